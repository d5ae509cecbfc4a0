"""Cooperative launches: all blocks run at once and may wait for one another, and `check` sees where they do not."""

import numpy as np
import pytest

from tinycnn import emulator
from tinycnn.devices import DeviceError
from tinycnn.devices.gpu.cards import get
from tinycnn.devices.gpu.emulator import EmulatorDriver
from tinycnn.emulator import Launch

SOURCE = __file__.replace("test_together.py", "together.cu")
NO_BARRIER, NO_FENCE, NOT_ALL_ARRIVED, TOO_FEW, NOT_ALL_WAIT = FAULTS = 1, 2, 3, 4, 5
WAYS = ("by_atomics<0>", "by_sleeping", "by_fences")
STEPS = 3


def launch(kernel, blocks=5, threads=64, shared=0, cooperative=True):
    numbers = np.random.default_rng(0).standard_normal(blocks * threads).astype(np.float32)
    args = [numbers, np.zeros_like(numbers), np.zeros(1, np.uint32), np.int32(STEPS)]
    return Launch(kernel, (blocks,), (threads,), args, max(shared, 4 * threads), cooperative=cooperative)


def wanted(one):
    """What x and y are afterwards."""
    x, y = (a.copy() for a in one.args[:2])
    for step in range(STEPS):
        now = np.roll((x, y)[step % 2], -one.block[0]) + np.float32(1)
        x, y = (x, now) if step % 2 == 0 else (now, y)
    return x, y


@pytest.fixture(scope="module")
def module():
    return emulator.load(SOURCE, [*WAYS, "stuck"])


@pytest.mark.parametrize("kernel", WAYS)
def test_blocks_that_wait_for_one_another(module, kernel):
    one = launch(kernel)
    x, y = wanted(one)
    module.launch(kernel, one.grid, one.block, one.args, one.shared, cooperative=True)
    np.testing.assert_array_equal(one.args[0], x)
    np.testing.assert_array_equal(one.args[1], y)
    assert one.args[2] == 2 * STEPS * one.grid[0]


def test_as_many_blocks_as_a_large_gpu_holds(module):
    """Each with all of its shared memory, and with stacks that are smaller than those of other launches."""
    one = launch("by_atomics<0>", 128, 512, 227 * 1024)
    x, y = wanted(one)
    module.launch(one.kernel, one.grid, one.block, one.args, one.shared, cooperative=True)
    np.testing.assert_array_equal(one.args[0], x)
    np.testing.assert_array_equal(one.args[1], y)


def test_launches_of_both_kinds_in_turn(module):
    for cooperative in (True, False, True):
        one = launch("by_atomics<0>", 1, 96)
        x, y = wanted(one)
        module.launch(one.kernel, one.grid, one.block, one.args, one.shared, cooperative)
        np.testing.assert_array_equal(one.args[1], y)


def test_a_block_that_cannot_go_on_ends_the_launch(module, find_line):
    with pytest.raises(
        emulator.KernelError, match=rf"together.cu:{find_line(SOURCE, '// WAITS') + 1}: block \(1, 0, 0\)"
    ):
        module.launch("stuck", (3,), (64,), [np.zeros(1, np.uint32)], cooperative=True)


# ---------------------------------------------------------------- check


@pytest.fixture(scope="module")
def checked():
    """{fault: its reports}, all in one build."""
    found = emulator.check(SOURCE, [launch(f"by_atomics<{fault}>") for fault in (0, *FAULTS)])
    return {fault: [r for r in found if r.kernel == f"by_atomics<{fault}>"] for fault in (0, *FAULTS)}


def test_barriers_of_the_grid_order_memory(checked):
    assert not checked[0], "\n".join(map(str, checked[0]))


def test_a_loop_of_volatile_reads_sees_what_other_blocks_write(tmp_path):
    """Here two blocks, each of which waits for the other in turn."""
    file = tmp_path / "turns.cu"
    file.write_text(
        "__global__ void turns(volatile int* turn) {\n    for (int i = blockIdx.x; i < 6; i += 2) {\n"
        "        while (*turn != i) {}\n        *turn = i + 1;\n    }\n}\n"
    )
    checker = emulator.Checker(file, ["turns"])
    (turn,) = checker.run(Launch("turns", (2,), (1,), [np.zeros(1, np.int32)], cooperative=True))
    assert turn == 6


@pytest.mark.parametrize("fault", FAULTS)
def test_without_them_blocks_race(checked, find_line, fault):
    lines = {find_line(SOURCE, "// READ"), find_line(SOURCE, "// WRITE")}
    races = [r for r in checked[fault] if r.kind == "race"]
    assert lines in [{r.line, r.other_line} for r in races], "\n".join(map(str, checked[fault]))
    assert any(r.block != r.other_block and "only a __threadfence and an atomic" in r.message for r in races)


def test_blocks_that_run_one_after_the_other_wait_for_ever(find_line):
    (report,) = emulator.check(SOURCE, [launch("by_atomics<0>", cooperative=False)], seconds=0.2)
    assert report.kind == "endless" and report.block == (0, 0, 0) and report.thread == (0, 0, 0)
    assert report.line == find_line(SOURCE, "while (atomicAdd(counter, 0u) < target)")


def test_a_barrier_that_not_all_blocks_come_to_ends_at_its_line(tmp_path):
    """With the block and the thread that wait; the thread that went out of bounds before is told first."""
    file = tmp_path / "missing.cu"
    file.write_text(
        "__global__ void k(int* x, unsigned* counter) {\n    if (blockIdx.x == 1) x[99] = 1;\n"
        "    __threadfence();\n    atomicAdd(counter, 1u);\n"
        "    while (atomicAdd(counter, 0u) < gridDim.x) {}\n}\n"
    )
    args = [np.zeros(4, np.int32), np.zeros(1, np.uint32)]
    outside, endless = emulator.check(file, [Launch("k", (3,), (1,), args, cooperative=True)], seconds=0.2)
    assert (outside.kind, outside.line, outside.block) == ("out-of-bounds", 2, (1, 0, 0))
    assert (endless.kind, endless.line) == ("endless", 5) and endless.block in ((0, 0, 0), (2, 0, 0))
    assert "All blocks run at once" in endless.message


def test_all_blocks_are_traced():
    """A store of every block, in every step."""
    found = emulator.trace(SOURCE, launch("by_atomics<0>", blocks=3), blocks=1)
    assert found.traced_blocks == 3
    (store,) = [line for line in found.lines if line.op == "store" and line.array == "y"]
    assert store.requests == 3 * 2 * (STEPS + 1) // 2


# ---------------------------------------------------------------- what is asked for, and refused


def test_a_launch_comment_may_say_so(tmp_path):
    file = tmp_path / "mine.cu"
    file.write_text("// launch: kernel=k grid=2 block=32 cooperative y=int[1]=0\n__global__ void k(int* y) {}\n")
    (one,) = emulator.read_launches(file)
    assert one.cooperative and one.grid == (2,)
    assert not emulator.check(file, [one])


def test_more_blocks_than_a_gpu_holds_are_refused(module):
    one = launch("by_atomics<0>", 1, 1024)
    with pytest.raises(emulator.LaunchError, match="all of its 297 blocks.* holds 296"):
        module.launch(one.kernel, (297,), (1024,), one.args, one.shared, cooperative=True)


def test_a_device_refuses_more_than_its_card_holds():
    """Two blocks of 1,024 threads on each of an H200's multiprocessors."""
    driver, most = EmulatorDriver(), 2 * get("h200").multiprocessors
    x = np.zeros(8, np.float32)
    args = [x, x.copy(), np.int64(8)]
    driver.launch("relu", "relu_forward<float>", "float", (most,), (1024,), args, 0, cooperative=True)
    with pytest.raises(DeviceError, match=rf"all of its {most + 1} blocks.* holds {most}"):
        driver.launch("relu", "relu_forward<float>", "float", (most + 1,), (1024,), args, 0, cooperative=True)
