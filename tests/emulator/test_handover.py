"""`check` knows how blocks hand over, by a fence and an atomic, and reports those that do not quite."""

from pathlib import Path

import numpy as np
import pytest

from tinycnn import emulator
from tinycnn.emulator import Launch

SOURCE = Path(__file__).parent / "handover.cu"
BLOCKS = 6
X = np.random.default_rng(0).standard_normal((BLOCKS, 64)).astype(np.float32)

# kernel: the marks of the lines that reports of its wrong twin name; the first two are in one of them
FAULTS = {
    "fence_in_every_thread": ("READ", "WRITE", "RESET", "COUNT"),
    "fence_in_one_thread": ("READ", "WRITE"),
    "fence_behind_the_atomic": ("READ", "WRITE"),
    "fence_before_the_write": ("READ", "WRITE"),
    "fence_of_the_block_only": ("READ", "WRITE"),
    "barrier_before_the_atomic": ("READ", "WRITE"),
    "counter_without_atomic": ("COUNT of its own", "COUNT of its own", "RESET of its own", "READ", "WRITE"),
    "fence_in_some_blocks": ("RESET of some", "COUNT of some", "READ", "WRITE"),
    "last_by_its_number": ("READ", "WRITE"),
    "the_last_but_one": ("READ", "WRITE"),
    "every_thread_counts": ("READ", "WRITE"),
    "two_counters": ("READ two_counters", "WRITE two_counters"),
    "by_way_of_another": ("READ", "WRITE"),
    "syncwarp_before_the_atomic": ("READ", "WRITE"),
    "syncwarp_behind_the_atomic": ("READ", "WRITE"),
    "readers_not_waited_for": ("READ readers_not_waited_for", "WRITE readers_not_waited_for"),
    "atomics_not_waited_for": ("READ atomics_not_waited_for", "ADD atomics_not_waited_for"),
    "atomics_of_other_threads": ("READ atomics_of_other_threads", "ADD atomics_of_other_threads"),
}


SUMS = [kernel for kernel in FAULTS if "waited_for" not in kernel and "atomics_of" not in kernel]


def launch(kernel, grid=(BLOCKS,)):
    """With x, partials, counters and y."""
    arrays = [X.copy(), np.zeros((2, BLOCKS, 64), np.float32), np.zeros(4, np.uint32), np.zeros(128, np.float32)]
    return Launch(kernel, grid, (64,), arrays)


def line_marked(mark):
    """The only line that ends in this mark."""
    (line,) = [i for i, text in enumerate(SOURCE.read_text().splitlines(), 1) if text.endswith(f"// {mark}")]
    return line


@pytest.fixture(scope="module")
def reports():
    """{kernel: its reports}, all in one build."""
    kernels = [f"{kernel}<{right}>" for kernel in FAULTS for right in ("true", "false")]
    found = emulator.check(SOURCE, map(launch, kernels))
    return {kernel: [report for report in found if report.kernel == kernel] for kernel in kernels}


@pytest.mark.parametrize("kernel", FAULTS)
def test_blocks_that_do_not_quite_hand_over_race(reports, kernel):
    lines = [line_marked(mark) for mark in FAULTS[kernel]]
    found = reports[f"{kernel}<false>"]
    told = [{report.line, report.other_line} for report in found]
    assert set(lines[:2]) in told and set().union(*told) <= set(lines), "\n".join(map(str, found))
    assert all(report.kind == "race" and "only a __threadfence and an atomic" in report.message for report in found)


@pytest.mark.parametrize("kernel", FAULTS)
def test_blocks_that_hand_over_do_not(reports, kernel):
    assert not reports[f"{kernel}<true>"], "\n".join(map(str, reports[f"{kernel}<true>"]))


@pytest.fixture(scope="module")
def module():
    return emulator.load(SOURCE, [f"{kernel}<true>" for kernel in SUMS])


@pytest.mark.parametrize("kernel", SUMS)
def test_the_last_block_has_the_sum_and_the_next_launch_too(module, kernel):
    """The counters are as they were before, so that the second launch has its last block."""
    x, partials, counters, y = launch(kernel).args
    wanted = 2 * X.astype(np.float64).sum(axis=0)
    results = []
    for _ in range(2):
        y[:] = 0
        module.launch(f"{kernel}<true>", (BLOCKS,), (64,), [x, partials, counters, y])
        np.testing.assert_allclose(y[:64], wanted, rtol=1e-5, atol=1e-5)
        assert not counters.any()
        results.append(y.tobytes())
    assert results[0] == results[1]


def test_a_launch_of_one_block():
    assert not emulator.check(SOURCE, [launch("fence_in_one_thread<true>", (1,))])


GUIDE = """__device__ unsigned int count = 0;
__device__ float partials[64];
extern "C" __global__ void sum(const float* x, float* y) {
    __shared__ bool last;
    if (threadIdx.x == 0) {
        partials[blockIdx.x] = x[blockIdx.x];
        FENCE
        last = atomicInc(&count, gridDim.x) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 0) {
        float total = 0.f;
        for (int i = 0; i < gridDim.x; ++i) total += partials[i];
        y[0] = total;
        count = 0;
    }
}
"""


@pytest.mark.parametrize("fence, wanted", [("__threadfence();", 0), ("__threadfence_system();", 0), ("", {6, 13})])
def test_a_counter_among_the_variables_of_the_file(tmp_path, fence, wanted):
    """And three launches in a row, each of which finds it at zero."""
    source = tmp_path / "sum.cu"
    source.write_text(GUIDE.replace("FENCE", fence))
    three = [Launch("sum", (9,), (32,), [X[0], np.zeros(1, np.float32)]) for _ in range(3)]
    found = emulator.check(source, three)
    if wanted:
        assert wanted in [{report.line, report.other_line} for report in found]
        assert {report.count for report in found if report.line == 13} == {8 * 3}
    else:
        assert not found, "\n".join(map(str, found))


@pytest.mark.parametrize("type_, dtype", [("unsigned long long", np.uint64), ("int", np.int32)])
def test_counters_of_other_widths(tmp_path, type_, dtype):
    source = tmp_path / "wide.cu"
    source.write_text(
        f'extern "C" __global__ void wide(float* partials, {type_}* counter, float* y) {{\n'
        "    partials[blockIdx.x] = 1.f;\n    __threadfence();\n"
        f"    if (atomicAdd(counter, ({type_})1) != gridDim.x - 1) return;\n"
        "    y[0] = partials[0] + partials[1];\n    *counter = 0;\n}\n"
    )
    arrays = [np.zeros(2, np.float32), np.zeros(1, dtype), np.zeros(1, np.float32)]
    assert not emulator.check(source, [Launch("wide", (2,), (1,), arrays)])


def test_within_a_block_barriers_alone_order(tmp_path):
    """Here the last thread is the last to come to the counter, but nothing on a GPU says so."""
    source = tmp_path / "block.cu"
    source.write_text(
        'extern "C" __global__ void threads(float* partials, int* counter, float* y) {\n'
        "    partials[threadIdx.x] = 1.f;\n    __threadfence();\n    atomicAdd(counter, 1);\n"
        "    if (threadIdx.x == 63) {\n        y[0] = partials[0];\n        y[1] = *counter;\n    }\n}\n"
    )
    arrays = [np.zeros(64, np.float32), np.zeros(1, np.int32), np.zeros(2, np.float32)]
    races = emulator.check(source, [Launch("threads", (1,), (64,), arrays)])
    assert {(race.kind, race.line, race.other_line) for race in races} == {("race", 6, 2), ("race", 7, 4)}
    assert all("no barrier in between" in race.message for race in races)
