"""`check` finds each of these faults at its line, and nothing in the kernels' correct twins."""

from pathlib import Path

import numpy as np
import pytest

from tinycnn import emulator
from tinycnn.emulator import Launch, instrument

SOURCE = Path(__file__).parent / "faults.cu"

FLOATS = [np.linspace(0, 1, 256, dtype=np.float32), np.zeros(256, np.float32)]
BYTES = [np.zeros(64, np.uint8), np.zeros(64, np.uint8)]
N = [np.int32(50)]
SHORT = [np.ones(50, np.float32), np.zeros(50, np.float32)]

# kernel: (kind, grid, block, args, bytes of shared memory in the right and the wrong launch)
FAULTS = {
    "barrier_missing": ("race", 2, 64, FLOATS, 0, 0),
    "second_barrier": ("race", 1, 64, FLOATS, 0, 0),
    "guard_missing": ("out-of-bounds", 2, 32, SHORT + N, 0, 0),
    "atomic_missing": ("race", 2, 32, [np.arange(64, dtype=np.int32), np.zeros(8, np.int32)], 0, 0),
    "halo": ("out-of-bounds", 2, 32, [np.ones(64, np.float32), np.zeros(64, np.float32), np.int32(64)], 0, 0),
    "shuffle_mask": ("warp-intrinsic", 1, 32, FLOATS, 0, 0),
    "shuffle_lane": ("warp-intrinsic", 1, 16, FLOATS, 0, 0),
    "intrinsics_differ": ("warp-intrinsic", 1, 32, FLOATS, 0, 0),
    "barrier_in_branch": ("divergent-barrier", 1, 64, FLOATS, 0, 0),
    "barriers_differ": ("divergent-barrier", 1, 64, FLOATS, 0, 0),
    "uninitialised": ("uninitialised", 1, 64, FLOATS, 0, 0),
    "dynamic_too_small": ("out-of-bounds", 1, 64, FLOATS, 256, 252),
    "warp_unsynchronised": ("race", 1, 32, FLOATS, 0, 0),
    "partial_syncwarp": ("race", 1, 32, FLOATS, 0, 0),
    "misaligned": ("misaligned", 1, 8, FLOATS, 0, 0),
    "blocks_collide": ("race", 2, 32, BYTES, 0, 0),
    "local_array": ("out-of-bounds", 1, 32, FLOATS, 0, 0),
    "constant_array": ("out-of-bounds", 1, 32, [*FLOATS, np.int32(9)], 0, 0),
    "device_array": ("out-of-bounds", 1, 32, [*FLOATS, np.int32(9)], 0, 0),
    "row_of_an_array": ("out-of-bounds", 1, 32, FLOATS, 0, 0),
    "skipped_barrier": ("divergent-barrier", 1, 64, FLOATS, 0, 0),
    "lanes_returned": ("warp-intrinsic", 1, 32, FLOATS, 0, 0),
    "asserted": ("trap", 1, 32, FLOATS, 0, 0),
    "crashed": ("crash", 1, 32, FLOATS, 0, 0),
}


def launches(kernel):
    _, grid, block, args, right, wrong = FAULTS[kernel]
    return (
        Launch(f"{kernel}<true>", (grid,), (block,), args, right),
        Launch(f"{kernel}<false>", (grid,), (block,), args, wrong),
    )


@pytest.fixture(scope="module")
def reports():
    """{kernel: its reports}, all in one build."""
    found = emulator.check(SOURCE, [launch for kernel in FAULTS for launch in launches(kernel)])
    by_kernel = {}
    for report in found:
        by_kernel.setdefault(report.kernel, []).append(report)
    return by_kernel


@pytest.mark.parametrize("kernel", FAULTS)
def test_a_fault_is_found_at_its_line(reports, find_line, kernel):
    kind, line = FAULTS[kernel][0], find_line(SOURCE, f"FAULT {kernel}")
    found = reports[f"{kernel}<false>"]
    mine = [report for report in found if report.kind == kind and line in (report.line, report.other_line)]
    assert mine, f"expected {kind} at line {line}; got: " + "\n".join(map(str, found))
    assert Path(mine[0].file).resolve() == SOURCE.resolve()
    assert len(mine[0].block) == len(mine[0].thread) == 3


@pytest.mark.parametrize("kernel", FAULTS)
def test_the_correct_twin_has_no_report(reports, kernel):
    assert not reports.get(f"{kernel}<true>"), "\n".join(map(str, reports[f"{kernel}<true>"]))


def test_a_report_names_array_element_and_both_threads(reports):
    race = next(r for r in reports["barrier_missing<false>"] if r.kind == "race")
    assert "shared memory" in race.message and "tile[" in race.message and "no barrier in between" in race.message
    bounds = reports["guard_missing<false>"][0]
    assert (bounds.block, bounds.thread) == ((1, 0, 0), (18, 0, 0))
    assert "x + 200 bytes; it has 200 bytes" in bounds.message
    blocks = reports["blocks_collide<false>"][0]
    assert "y[31]" in blocks.message and "of block (0,0,0)" in blocks.message


def test_reports_of_what_only_the_compiler_and_the_barrier_know(reports):
    (local,) = reports["local_array<false>"]
    assert local.message == "the index 4 is outside of an array of type 'float [4]'" and local.count == 32
    (device,) = reports["device_array<false>"]
    assert "scratch + 36 bytes; it has 36 bytes" in device.message
    (skipped,) = reports["skipped_barrier<false>"]
    assert "32 threads, the first (32,0,0), ended without coming to it" in skipped.message
    assert "your mask 0xffffffff names lanes that have returned" in reports["lanes_returned<false>"][0].message
    (crashed,) = reports["crashed<false>"]
    assert crashed.thread == (3, 0, 0) and crashed.message == "an integer division by 0"


def one_report(tmp_path, text, *args, grid=(1,), block=(32,), **launch):
    """(the only report of a kernel k, or None; the arguments as it left them)"""
    source = tmp_path / "one.cu"
    source.write_text(text)
    checker = emulator.Checker(source, ["k"])
    left = checker.run(Launch("k", grid, block, list(args), **launch))
    (report,) = checker.reports or [None]
    return report, left


@pytest.mark.parametrize("line, wrong", [("y[t] += x[t];", True), ("y[t] = x[t]; y[t] += 1;", False)])
def test_global_memory_that_nobody_has_written(tmp_path, line, wrong):
    """As cudaMalloc leaves it, where the launch says so."""
    text = f"__global__ void k(const float* x, float* y) {{\n    int t = threadIdx.x;\n    {line}\n}}\n"
    x, y = np.ones(32, np.float32), np.zeros(32, np.float32)
    report, _ = one_report(tmp_path, text, x, y, unset=[y])
    assert (report is not None) == wrong
    if wrong:
        assert (report.kind, report.line, report.count) == ("uninitialised", 3, 32)
        assert "global memory: reads y[0], which nobody has written yet" in report.message
    assert one_report(tmp_path, text, x, y)[0] is None


@pytest.mark.parametrize("operation, wrong", [("atomicExch(&n, 0)", False), ("atomicAdd(&n, 0)", True)])
def test_an_exchange_writes_what_nobody_has_written(tmp_path, operation, wrong):
    text = (
        f"__global__ void k(int* y) {{\n    __shared__ int n;\n    if (threadIdx.x == 0) {operation};\n"
        "    __syncthreads();\n    y[threadIdx.x] = atomicAdd(&n, 1);\n}\n"
    )
    report, _ = one_report(tmp_path, text, np.zeros(32, np.int32))
    assert (report is not None) == wrong and (not wrong or (report.kind, report.line) == ("uninitialised", 3))


@pytest.mark.parametrize("start, wrong", [("", True), (" = 0.f", False)])
def test_a_variable_without_a_value_by_the_compiler_s_warning(tmp_path, start, wrong):
    text = (
        f"__global__ void k(const float* x, float* y) {{\n    float sum{start};\n"
        "    for (int i = 0; i < 4; ++i) sum += x[i];\n    y[threadIdx.x] = sum;\n}\n"
    )
    report, _ = one_report(tmp_path, text, np.ones(32, np.float32), np.zeros(32, np.float32))
    assert (report is not None) == wrong
    if wrong:
        assert (report.kind, report.line, report.kernel, report.block) == ("uninitialised", 3, "k", ())
        assert str(report).endswith(
            "one.cu:3: uninitialised: k: local memory: 'sum' is used uninitialized (the compiler)"
        )


def test_functions_that_call_themselves(tmp_path):
    text = (
        "__device__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }\n"
        "__global__ void k(int* y) {\n    y[threadIdx.x] = fibonacci(threadIdx.x % 8);\n}\n"
    )
    report, (y,) = one_report(tmp_path, text, np.zeros(32, np.int32))
    assert report is None and y[:8].tolist() == [0, 1, 1, 2, 3, 5, 8, 13]
    (line,) = emulator.trace(tmp_path / "one.cu", Launch("k", (1,), (32,), [np.zeros(32, np.int32)])).lines
    assert (line.op, line.requests, line.line) == ("store", 1, 3)


def test_a_return_before_a_barrier_is_no_fault(tmp_path):
    """Threads that have ended are not waited for; those that go around it are a fault."""
    text = (
        "__global__ void k(const float* x, float* y, int n) {\n    __shared__ float tile[64];\n"
        "    int t = threadIdx.x;\n    if (t >= n) return;\n    tile[t] = x[t];\n    __syncthreads();\n"
        "    y[t] = tile[n - 1 - t];\n}\n"
    )
    arrays = np.ones(64, np.float32), np.zeros(64, np.float32)
    assert one_report(tmp_path, text, *arrays, np.int32(40), block=(64,))[0] is None
    text = text.replace("if (t >= n) return;", "if (t < n) {").replace("    y[t] = ", "    y[t] = 0; } // ")
    report, _ = one_report(tmp_path, text, *arrays, np.int32(40), block=(64,))
    assert report.kind == "divergent-barrier" and report.line == 6 and report.thread == (40, 0, 0)


def test_a_return_from_a_loop_with_a_barrier_is_no_fault(tmp_path):
    """What a thread did behind the barrier was in an earlier round."""
    text = (
        "__global__ void k(int* y) {\n    int t = threadIdx.x;\n    for (int i = 0; i < 3; ++i) {\n"
        "        if (i == 1 && t >= 16) return;\n        __syncthreads();\n        y[t] += 1;\n    }\n}\n"
    )
    report, (y,) = one_report(tmp_path, text, np.zeros(32, np.int32))
    assert report is None and y.tolist() == 16 * [3] + 16 * [1]


AROUND = """#define GUARD(around) if (around) return;
__global__ void k(const float* x, float* y, int n) {
    __shared__ float tile[64];
    int t = threadIdx.x;
    EARLY
    tile[t] = 0;
    if (t < n) {
        tile[t] = x[t];
        __syncthreads();
        y[t] = tile[n - 1 - t];
    }
}
"""


@pytest.mark.parametrize("between", ["    tile[t] = 0;\n", ""])
@pytest.mark.parametrize(
    "early", ["if (blockIdx.x > 9) return;", "if (n > 999) {\n        return;\n    }", "GUARD(n > 999)", ""]
)
def test_a_return_that_nobody_takes_excuses_nobody(tmp_path, early, between):
    """One behind the barrier neither."""
    arrays = np.ones(64, np.float32), np.zeros(64, np.float32)
    text = AROUND.replace("EARLY", early).replace("    tile[t] = 0;\n", between)
    text = text if early else text[:-2] + "    return;\n}\n"
    report, _ = one_report(tmp_path, text, *arrays, np.int32(40), block=(64,))
    assert report.kind == "divergent-barrier" and report.thread == (40, 0, 0) and report.other_line is None
    assert "24 threads, the first (40,0,0), ended without coming to it" in report.message


@pytest.mark.parametrize(
    "early",
    [
        "if (t >= n) return;", "if (t >= n) {\n        return;\n    }", "if (t >= n && x[t] > 0)\n        return;",
        "for (int i = 0; i < 9; i++)\n        if (i == 5 && t >= n) return;", "if (t < n) y[t] = 1; else return;",
        "for (int i = 0; i < 2; i++) {\n        if (i == 1 && t >= n) return;\n        tile[t] = x[t];\n    }",
        "GUARD(t >= n)\n    if (blockIdx.x > 9) return;",
    ],
)  # fmt: skip
def test_a_return_that_is_taken_is_none_to_be_waited_for(tmp_path, early):
    arrays = np.ones(64, np.float32), np.zeros(64, np.float32)
    assert one_report(tmp_path, AROUND.replace("EARLY", early), *arrays, np.int32(40), block=(64,))[0] is None


def test_two_faults_of_a_line_are_two_reports(tmp_path):
    """By array, and by the end of the array that is left."""
    source = tmp_path / "two.cu"
    source.write_text(
        "__global__ void k(const float* x, const float* z, float* y) {\n    int t = threadIdx.x;\n"
        "    y[t] = t == 0 ? x[t - 1] : t == 31 ? x[t + 1] : t == 5 ? z[t + 32] : 0.f;\n}\n"
    )
    arrays = [np.ones(32, np.float32), np.ones(32, np.float32), np.zeros(32, np.float32)]
    found = emulator.check(source, [Launch("k", (1,), (32,), arrays)])
    assert {(r.array, r.element, r.line, r.count) for r in found} == {("x", -1, 3, 1), ("x", 32, 3, 1), ("z", 37, 3, 1)}


FLAG = """__global__ void k(volatile int* flag, int* y) {
    if (threadIdx.x == SETS) {
        *flag = 1;
    }
    if (threadIdx.x == 0) {
        while (*flag == 0) {}
        y[0] = *flag;
    }
}
"""


def test_a_thread_may_wait_for_another_warp_of_its_block(tmp_path):
    arrays = [np.zeros(1, np.int32), np.zeros(64, np.int32)]
    report, (flag, y) = one_report(tmp_path, FLAG.replace("SETS", "32"), *arrays, block=(64,))
    assert report is None and flag == 1 and y[0] == 1


def test_within_a_warp_that_takes_the_lanes_for_one(tmp_path):
    """It comes to its end here."""
    source = tmp_path / "lanes.cu"
    source.write_text(FLAG.replace("SETS", "1"))
    checker = emulator.Checker(source, ["k"])
    _, y = checker.run(Launch("k", (1,), (64,), [np.zeros(1, np.int32), np.zeros(64, np.int32)]))
    assert y[0] == 1 and {report.kind for report in checker.reports} == {"race"}


@pytest.mark.parametrize("barrier, wrong", [("__syncthreads", False), ("__syncwarp", True)])
def test_volatile_orders_no_warps_in_shared_memory(tmp_path, barrier, wrong):
    text = (
        "__global__ void k(int* y) {\n    volatile __shared__ int tile[64];\n    int t = threadIdx.x;\n"
        f"    tile[t] = t;\n    {barrier}();\n    y[t] = tile[t ^ 32];\n}}\n"
    )
    source = tmp_path / "volatile.cu"
    source.write_text(text)
    reports = emulator.check(source, [Launch("k", (1,), (64,), [np.zeros(64, np.int32)])])
    found = {(report.kind, frozenset([report.line, report.other_line])) for report in reports}
    assert (("race", frozenset([4, 6])) in found) == wrong and bool(found) == wrong


def test_a_lock_is_given_up(tmp_path):
    """Every warp takes it in turn; what it guards is handed over by atomics."""
    text = (
        "__global__ void k(int* lock, int* sum) {\n    if (threadIdx.x % 32) return;\n"
        "    while (atomicCAS(lock, 0, 1) != 0) {}\n    atomicAdd(sum, 1);\n    __syncwarp(1);\n"
        "    atomicExch(lock, 0);\n}\n"
    )
    report, (lock, total) = one_report(tmp_path, text, *np.zeros((2, 1), np.int32), grid=(2,), block=(128,))
    assert report is None and total == 8 and lock == 0


def test_equal_faults_are_one_report_with_a_count(reports):
    (bounds,) = reports["guard_missing<false>"]
    assert bounds.count == 14  # threads 50 to 63, each ended at its first access out of bounds
    assert "(14 times)" in str(bounds)


def test_a_race_that_gave_the_right_numbers_is_a_race(reports):
    """Run here, in the order of the threads, this reads what is meant to be read from half of the tile."""
    assert reports["warp_unsynchronised<false>"]


def test_the_arrays_of_a_launch_stay_as_they_are():
    x, y = np.ones(50, np.float32), np.zeros(50, np.float32)
    emulator.check(SOURCE, [Launch("guard_missing<true>", (2,), (32,), [x, y, np.int32(50)])])
    assert (x == 1).all() and (y == 0).all()


def test_arrays_that_share_memory_still_do(tmp_path):
    """In place, and by overlapping slices: here element i + 1 of x is element i of y."""
    source = tmp_path / "shift.cu"
    source.write_text(
        'extern "C" __global__ void shift(const float* x, float* y) { y[threadIdx.x] = x[threadIdx.x]; }\n'
    )
    base = np.zeros(40, np.float32)
    in_place, shifted = [base[:32], base[:32]], [base[:32], base[1:33]]
    assert not emulator.check(source, [Launch("shift", (1,), (32,), in_place)])
    (report,) = emulator.check(source, [Launch("shift", (1,), (32,), shifted)])
    assert report.kind == "race"


def test_arrays_behind_a_table_of_pointers(tmp_path):
    source = tmp_path / "table.cu"
    source.write_text(
        'extern "C" __global__ void fill(float* const* tables, int n) {\n'
        "    if (threadIdx.x < n) tables[blockIdx.x][threadIdx.x] = 1.f;\n}\n"
    )
    buffers = [np.zeros(8, np.float32) for _ in range(2)]
    tables = np.array([b.ctypes.data for b in buffers], np.uint64)
    assert not emulator.check(source, [Launch("fill", (2,), (32,), [tables, np.int32(8)], buffers=buffers)])
    assert not any(b.any() for b in buffers)
    many = [np.zeros(1, np.float32) for _ in range(1500)]
    tables = np.array([b.ctypes.data for b in many], np.uint64)
    assert not emulator.check(source, [Launch("fill", (1500,), (1,), [tables, np.int32(1)], buffers=many)])


def test_a_device_function_in_an_included_file_is_named(tmp_path):
    (tmp_path / "common.cuh").write_text("\n__device__ float last(const float* x, int n) { return x[n]; }\n")
    source = tmp_path / "include.cu"
    source.write_text(
        '#include "common.cuh"\nextern "C" __global__ void f(const float* x, float* y, int n) { y[0] = last(x, n); }\n'
    )
    launch = Launch("f", (1,), (1,), [np.zeros(4, np.float32), np.zeros(1, np.float32), np.int32(4)])
    (report,) = emulator.check(source, [launch])
    assert (Path(report.file).name, report.line, report.kind) == ("common.cuh", 2, "out-of-bounds")


def test_variables_of_the_file_are_watched_too(tmp_path):
    source = tmp_path / "variables.cu"
    source.write_text(
        "__device__ int counter;\n__constant__ float table[4];\n"
        'extern "C" __global__ void count() {\n    counter += 1;\n}\n'
        'extern "C" __global__ void look(float* y) {\n    y[threadIdx.x] = table[threadIdx.x];\n}\n'
    )
    launches = [Launch("count", (1,), (2,), []), Launch("look", (1,), (4,), [np.zeros(4, np.float32)])]
    (race,) = emulator.check(source, launches)
    assert (race.kind, race.line, race.kernel) == ("race", 4, "count") and "counter[0]" in race.message


@pytest.mark.parametrize(
    "line, wrong",
    [
        ("table[1] = 1;", True), ("atomicAdd(table + 1, 1.f);", True), ("memcpy(table + 1, y, 4);", True),
        ("write(n::pair);", True), ("own = table[1] + n::pair[1];", False),
    ],
)  # fmt: skip
def test_a_kernel_does_not_write_constant_memory(tmp_path, line, wrong):
    text = (
        "__constant__ float table[4];\nnamespace n { static __device__ __constant__ float unused, pair[2] = {1, 2}; }\n"
        "__device__ float own;\n__device__ void write(float* p) { p[1] = 2; }\n"
        f"__global__ void k(float* y) {{\n    {line}\n    y[0] = table[1] + n::pair[1] + own;\n}}\n"
    )
    report, _ = one_report(tmp_path, text, np.ones(1, np.float32), block=(1,))
    assert (report is not None) == wrong
    if wrong:
        assert (report.kind, report.line) == ("read-only", 4 if "write" in line else 6)
        assert report.message.startswith(
            f"writes 4 bytes at {'pair' if 'pair' in line else 'table'} + 4 bytes; kernels"
        )


def test_null_and_wild_pointers(tmp_path):
    source = tmp_path / "wild.cu"
    source.write_text('extern "C" __global__ void wild(const float* x, float* y, long long i) { y[0] = x[i]; }\n')
    y = np.zeros(4, np.float32)
    launches = [Launch("wild", (1,), (1,), [x, y, np.int64(i)]) for x, i in ((None, 0), (y, 2**40), (y, -1))]
    for launch, words in zip(
        launches, ("to none of the launch's", "to none of the launch's", "x/y - 4 bytes"), strict=True
    ):
        (report,) = emulator.check(source, [launch])
        assert report.kind == "out-of-bounds" and words in report.message


@pytest.mark.parametrize(
    "body, wanted",
    [
        ("*(int*)nullptr = 5;\n    y[0] = threadIdx.x;", {("out-of-bounds", 2)}),
        ("y[0] = threadIdx.x;\n    *(int*)nullptr = 5;", {("race", 2), ("out-of-bounds", 3)}),
        ("if (threadIdx.x == 3) *(int*)nullptr = 5;\n    y[0] = threadIdx.x;", {("out-of-bounds", 2), ("race", 3)}),
        ("float* z = nullptr;\n    if (threadIdx.x) z[threadIdx.x] = y[0];", {("out-of-bounds", 3)}),
        ("const float4* z = nullptr;\n    y[threadIdx.x] = z[1].y;", {("out-of-bounds", 3)}),
    ],
)
def test_a_literal_null_pointer_and_the_race_beside_it(tmp_path, body, wanted):
    """The compiler takes such an access for impossible, and so the whole kernel for one that does nothing."""
    source = tmp_path / "null.cu"
    source.write_text(f'extern "C" __global__ void null(int* y) {{\n    {body}\n}}\n')
    reports = emulator.check(source, [Launch("null", (1,), (32,), [np.zeros(32, np.int32)])])
    assert {(report.kind, report.line) for report in reports} == wanted


@pytest.mark.parametrize(
    "copy",
    ["memcpy(tile, x, 4 * n)", "memmove(tile, x, 4 * n)", "memset(tile, 0, 4 * n)", "std::memcpy(tile, x, 4 * n)"],
)
@pytest.mark.parametrize("include", ["", "#include <cstring>\n"])
def test_a_copy_by_the_c_library_is_an_access_too(tmp_path, include, copy):
    """To nine numbers of eight, and by all threads at once."""
    source = tmp_path / "copies.cu"
    source.write_text(
        f'{include}extern "C" __global__ void copies(const float* x, float* y, int n) {{\n'
        f"    __shared__ float tile[8];\n    {copy};\n    __syncthreads();\n"
        "    y[threadIdx.x] = tile[threadIdx.x];\n}\n"
    )
    x, y = np.zeros(16, np.float32), np.zeros(8, np.float32)
    (race,) = emulator.check(source, [Launch("copies", (1,), (8,), [x, y, np.int32(8)])])
    (out,) = emulator.check(source, [Launch("copies", (1,), (1,), [x, y, np.int32(9)])])
    line = 3 + bool(include)
    assert (race.kind, race.line, out.kind, out.line) == ("race", line, "out-of-bounds", line)


def test_a_second_result_of_the_c_library_is_an_access_too(tmp_path):
    """Of 9 threads to 8 numbers that nobody has written before."""
    calls = ["sincosf(x[t], y + t, &other)", "modff(x[t], y + t)", "std::modf(x[t], y + t)", "frexpf(x[t], z + t)"]
    calls += ["std::frexp(x[t], z + t)", "remquof(x[t], 2.f, z + t)", "std::remquo(x[t], 2.f, z + t)"]
    source = tmp_path / "two.cu"
    source.write_text(
        "#include <cmath>\n#define KERNEL(name, call) __global__ void name(const float* x, float* y) { \\\n"
        "    float other; int t = threadIdx.x, *z = (int*)y; call; __syncthreads(); y[t] *= 2; }\n"
        + "".join(f"KERNEL(k{i}, ({call}))\n" for i, call in enumerate(calls))
    )
    y = np.zeros(8, np.float32)
    launches = [Launch(f"k{i}", (1,), (9,), [np.ones(9, np.float32), y], unset=[y]) for i in range(len(calls))]
    found = [(r.kernel, r.kind, r.line, r.thread, r.count) for r in emulator.check(source, launches)]
    assert found == [(f"k{i}", "out-of-bounds", i + 4, (8, 0, 0), 1) for i in range(len(calls))]


SPIN = """extern "C" __global__ void spin(volatile int* flag, int* y) {
    if (blockIdx.x == 1 && threadIdx.x == 5) {
        while (*flag == 0) {
        }
    }
    y[threadIdx.x] = 1;
}
extern "C" __global__ void forever(int* y) {
    __syncthreads();
    for (;;) {
    }
}
"""


def test_a_launch_is_given_the_processor_s_time_and_not_the_clock_s(tmp_path, monkeypatch):
    """On a machine that has much else to do it computes for less than the time that goes by."""
    source = tmp_path / "spin.cu"
    source.write_text(SPIN)
    computed = [0.0, 0.0, 0.01, 0.03, 0.05, 0.07, 0.09, 0.11]  # at the start, and whenever somebody looks
    monkeypatch.setattr(instrument.time, "clock_gettime", lambda clock: computed.pop(0))
    (report,) = emulator.check(source, [Launch("forever", (1,), (32,), [np.zeros(32, np.int32)])], seconds=0.1)
    assert report.kind == "endless" and computed == []


def test_a_kernel_that_does_not_end_is_ended_and_its_line_named(tmp_path):
    source = tmp_path / "spin.cu"
    source.write_text(SPIN)
    arrays = [np.zeros(1, np.int32), np.zeros(32, np.int32)]
    launches = [Launch("spin", (3,), (32,), arrays), Launch("forever", (1,), (32,), arrays[1:])]
    spin, forever = (report for report in emulator.check(source, launches, seconds=0.3) if report.kind == "endless")
    assert (spin.kernel, spin.block, spin.thread) == ("spin", (1, 0, 0), (5, 0, 0)) and spin.line == 3
    assert (forever.kernel, forever.thread) == ("forever", (31, 0, 0)) and forever.line in (10, 11)
    assert "has not ended after 0.3 seconds" in spin.message and spin.file.endswith("spin.cu")
    # What was ended leaves nothing behind, and what ends in time is left alone.
    arrays = [np.ones(1, np.int32), np.zeros(32, np.int32)]
    assert not [r for r in emulator.check(source, [Launch("spin", (1,), (32,), arrays)]) if r.kind != "race"]
    with pytest.raises(emulator.KernelError, match=r"spin: .*spin.cu:3: the launch has not ended after 0.3 seconds"):
        emulator.trace(source, launches[0], seconds=0.3)
