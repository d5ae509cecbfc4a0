"""Textbook access patterns give textbook numbers."""

from pathlib import Path

import numpy as np
import pytest

from tinycnn import emulator
from tinycnn.emulator import Launch

SOURCE = Path(__file__).parent / "patterns.cu"
X, Y = np.zeros(8192, np.float32), np.zeros(8192, np.float32)


@pytest.fixture
def traced(find_line):
    """traced(kernel, args) -> (the Trace, a function from a line's mark and operation to its Line)."""

    def run(kernel, args, grid=(2,), block=(64,), **options):
        trace = emulator.trace(SOURCE, Launch(kernel, grid, block, args), **options)

        def find(mark, op="load"):
            number = find_line(SOURCE, f"LINE {mark}")
            (line,) = [line for line in trace.lines if line.line == number and line.op == op]
            return line

        return trace, find

    return run


def test_a_copy_takes_four_sectors_a_request(traced):
    trace, line = traced("copy", [X, Y, np.int32(128)])
    for mark, op in (("copy load", "load"), ("copy store", "store")):
        found = line(mark, op)
        assert (found.requests, found.sectors_per_request, found.ideal_sectors_per_request) == (4, 4, 4)
        assert (found.space, found.lane_efficiency) == ("global", 1)
    assert line("copy load").array == "x" and line("copy store", "store").array == "y"
    assert trace.bytes_moved == trace.bytes_fewest == 2 * 128 * 4


def test_off_by_one_element_takes_a_fifth(traced):
    _, line = traced("off_by_one", [X, Y])
    assert line("off_by_one").sectors_per_request == 5


@pytest.mark.parametrize("stride, sectors", [(1, 4), (2, 8), (4, 16), (8, 32), (32, 32)])
def test_a_stride_costs_sectors(traced, stride, sectors):
    trace, line = traced("strided", [X, Y, np.int32(stride)])
    assert line("strided").sectors_per_request == sectors
    assert line("strided").ideal_sectors_per_request == 4


def test_all_lanes_on_one_word_take_one_sector(traced):
    trace, line = traced("same", [X, Y])
    assert line("same").sectors_per_request == line("same").ideal_sectors_per_request == 1
    assert trace.bytes_fewest == 32 + 128 * 4 < trace.bytes_moved


def test_a_float4_takes_sixteen(traced):
    _, line = traced("wide", [X, Y])
    assert line("wide load").sectors_per_request == 16 and line("wide load").bytes_per_lane == 16
    assert line("wide store", "store").sectors_per_request == 16
    _, line = traced("wide_cast", [X, Y])
    assert line("wide_cast").sectors_per_request == 16


@pytest.mark.parametrize(
    "kind, pitch, ways", [("float", 32, 32), ("float", 33, 1), ("double", 32, 16), ("double", 33, 1)]
)
def test_a_tile_read_by_columns(traced, kind, pitch, ways):
    args = [np.zeros(1024, {"float": np.float32, "double": np.float64}[kind]) for _ in range(2)]
    _, line = traced(f"transpose<{kind}, {pitch}>", args, (1,), (32, 8))
    columns, rows = line("transpose columns"), line("transpose rows", "store")
    assert (columns.space, columns.array, columns.requests) == ("shared", "tile", 32)
    assert (columns.bank_conflict_ways, rows.bank_conflict_ways) == (ways, 1)


def test_lanes_in_a_branch_are_grouped_as_they_run(traced):
    _, line = traced("lane_dependent", [X, Y], (1,), (32,))
    assert (line("lane_dependent").requests, line("lane_dependent").lanes) == (64, 64 * 8)
    assert (line("together again").requests, line("together again").lanes) == (1, 32)


def test_atomics_are_told_apart(traced):
    _, line = traced("histogram", [np.arange(32, dtype=np.int32) % 2, np.zeros(8, np.int32)], (1,), (32,))
    assert line("histogram", "atomic").sectors_per_request == 1


def test_divergence_is_lanes_at_work(traced):
    trace, line = traced("tail", [X, Y, np.int32(8)], (1,), (32,))
    assert line("tail").lane_efficiency == line("tail", "store").lane_efficiency == trace.lane_efficiency == 0.25


def test_a_slice_is_counted_where_it_is_in_its_base(traced):
    _, line = traced("copy", [X[1:], Y, np.int32(64)], (1,))
    assert line("copy load").sectors_per_request == 5


def test_a_large_grid_is_sampled(traced):
    trace, _ = traced("copy", [X, Y, np.int32(8192)], (128,), blocks=5)
    assert (trace.blocks, trace.traced_blocks) == (128, 5)
    assert "5 of its 128 blocks" in str(trace)


def test_a_trace_says_what_it_counts_and_no_time(traced):
    trace, _ = traced("copy", [X, Y, np.int32(128)])
    assert "accesses of the source, not machine instructions" in str(trace)
    assert trace.as_json()["lines"][0].keys() >= {
        "file", "line", "space", "op", "requests", "sectors", "sectors_per_request", "bank_conflict_ways",
    }  # fmt: skip
    assert "y[i] = v;" in str(trace)


def test_a_kernel_with_a_fault_is_not_traced(traced):
    with pytest.raises(emulator.KernelError, match="tinycnn check"):
        traced("copy", [X, Y[:10], np.int32(128)])
