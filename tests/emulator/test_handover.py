"""`check` knows how blocks hand over, by a fence and an atomic, and reports those that do not quite."""

from pathlib import Path

import numpy as np
import pytest

from tinycnn import emulator
from tinycnn.emulator import Launch

SOURCE = Path(__file__).parent / "handover.cu"
BLOCKS = 6
X = np.random.default_rng(0).standard_normal((BLOCKS, 64)).astype(np.float32)

# kernel: the marks of the lines of which each report of the wrong twin has one
FAULTS = {
    "fence_in_every_thread": ("READ", "WRITE"),
    "fence_in_one_thread": ("READ", "WRITE"),
    "fence_behind_the_atomic": ("READ", "WRITE"),
    "fence_before_the_write": ("READ", "WRITE"),
    "fence_of_the_block_only": ("READ", "WRITE"),
    "barrier_before_the_atomic": ("READ", "WRITE"),
    "counter_without_atomic": ("READ", "WRITE", "COUNT"),
    "last_by_its_number": ("READ", "WRITE"),
    "the_last_but_one": ("READ", "WRITE"),
    "two_counters": ("READ two_counters", "WRITE two_counters"),
    "by_way_of_another": ("READ", "WRITE"),
    "syncwarp_before_the_atomic": ("READ", "WRITE"),
    "syncwarp_behind_the_atomic": ("READ", "WRITE"),
    "readers_not_waited_for": ("READ readers_not_waited_for", "WRITE readers_not_waited_for"),
    "atomics_not_waited_for": ("READ atomics_not_waited_for", "ADD atomics_not_waited_for"),
}


def arrays():
    """x, partials, counters and y of a launch."""
    return [X.copy(), np.zeros((2, BLOCKS, 64), np.float32), np.zeros(4, np.uint32), np.zeros(128, np.float32)]


def launch(kernel):
    return Launch(kernel, (BLOCKS,), (64,), arrays())


def lines_marked(mark):
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
def test_blocks_that_do_not_hand_over_race(reports, kernel):
    lines = {lines_marked(mark) for mark in FAULTS[kernel]}
    found = reports[f"{kernel}<false>"]
    assert found and {report.kind for report in found} <= {"race", "uninitialised"}
    races = [report for report in found if report.kind == "race"]
    assert any({report.line, report.other_line or report.line} <= lines for report in races), "\n".join(map(str, found))


@pytest.mark.parametrize("kernel", FAULTS)
def test_blocks_that_hand_over_do_not(reports, kernel):
    assert not reports[f"{kernel}<true>"], "\n".join(map(str, reports[f"{kernel}<true>"]))
