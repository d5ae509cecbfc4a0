"""A recording keeps every request, and what it keeps adds up to what the trace counts."""

import json
import zlib

import numpy as np
import pytest
from click.testing import CliRunner
from test_trace import SOURCE, X, Y

from tinycnn import emulator, kernels
from tinycnn.command.main import cli
from tinycnn.command.targets import find
from tinycnn.devices.gpu.ladder import DIRECTIONS
from tinycnn.emulator import Launch
from tinycnn.emulator.recording import REQUEST
from tinycnn.emulator.tracing import COUNTS


def record(kernel, args, grid=(2,), block=(64,), **options):
    return emulator.record(SOURCE, Launch(kernel, grid, block, args), **options)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("step", kernels.LADDER)
def test_the_sums_of_a_recorded_step_are_those_of_its_trace(step, direction):
    target = f"{step}::conv2d_{direction}"
    path, launches = find(target)
    recording = emulator.record(path, launches[0])
    printed = CliRunner().invoke(cli, ["trace", target, "--json", "--blocks", "100000"])
    traced = json.loads(printed.output)["lines"]
    summed = [line.as_json() for line in recording.lines()]
    assert traced and [line["line"] for line in summed] == [line["line"] for line in traced]
    for line, other in zip(summed, traced, strict=True):
        place = (line["line"], line["space"], line["op"], line["array"], line["bytes_per_lane"])
        assert place == tuple(other[name] for name in ("line", "space", "op", "array", "bytes_per_lane"))
        assert {name: line[name] for name in COUNTS} == {name: other[name] for name in COUNTS}


@pytest.mark.parametrize("kind, pitch", [("float", 32), ("float", 33), ("double", 32), ("double", 33)])
def test_bank_conflicts_add_up_for_wide_and_narrow_numbers(kind, pitch):
    args = [np.zeros(1024, {"float": np.float32, "double": np.float64}[kind]) for _ in range(2)]
    launch = Launch(f"transpose<{kind}, {pitch}>", (1,), (32, 8), args)
    traced = emulator.trace(SOURCE, launch, blocks=None)
    assert emulator.record(SOURCE, launch).lines() == traced.lines


@pytest.mark.parametrize("kernel, args", [("wide", [X, Y]), ("lane_dependent", [X, Y]), ("off_by_one", [X, Y])])
def test_vector_loads_branches_and_unaligned_requests_add_up(kernel, args):
    launch = Launch(kernel, (1,), (32,), args)
    assert emulator.record(SOURCE, launch).lines() == emulator.trace(SOURCE, launch, blocks=None).lines


def test_each_request_says_who_wanted_which_bytes():
    """A copy: warp w of block b loads 32 neighbouring floats, then stores them."""
    recording = record("copy", [X, Y, np.int32(120)])
    loads, stores = recording.of("x", "load"), recording.of("y", "store")
    assert len(recording) == len(loads) + len(stores) == 8
    for number, request in enumerate(recording.requests[loads]):
        first = 4 * 32 * number
        lanes = 24 if number == 3 else 32  # of the last warp 8 have nothing to do
        assert tuple(request["block"]) == (number // 2, 0, 0) and request["warp"] == number % 2
        assert request["lanes"] == 2**lanes - 1 and request["size"] == 4
        assert request["offsets"][:lanes].tolist() == list(range(first, first + 4 * lanes, 4))
        assert not request["offsets"][lanes:].any()


def test_a_slice_s_sectors_are_counted_where_it_lies():
    recording = record("copy", [X[1:], Y, np.int32(64)], (1,))
    assert recording.sectors()[recording.of("x")].tolist() == [5, 5]
    assert recording.requests["offsets"][recording.of("x")[0]][0] == 0


def test_barriers_are_counted():
    path, launches = find("ladder/3_shared_filters::conv2d_forward")
    recording = emulator.record(path, launches[0])
    stores, loads = recording.of("filters", "store"), recording.of("filters", "load")
    epochs = [set(recording.requests["barriers"][numbers].tolist()) for numbers in (stores, loads)]
    assert epochs == [{0, 2}, {1, 3}]  # 48 rows of filters in two rounds, each with a barrier before and behind its use


def test_what_is_packed_is_what_was_recorded():
    recording = record("transpose<float, 33>", [np.zeros(1024, np.float32)] * 2, (1,), (32, 8))
    columns = np.frombuffer(zlib.decompress(recording.packed()), "<i4").reshape(-1, len(recording))
    got = {}
    for name in REQUEST.names:
        width = REQUEST[name].shape[0] if REQUEST[name].shape else 1
        got[name], columns = columns[:width].T, columns[width:]
    np.testing.assert_array_equal(np.cumsum(got["offsets"], axis=1), recording.requests["offsets"])
    np.testing.assert_array_equal(got["lanes"][:, 0].astype(np.uint32), recording.requests["lanes"])
    np.testing.assert_array_equal(got["block"], recording.requests["block"])
    for name in ("place", "array", "op", "size", "warp", "barriers"):
        np.testing.assert_array_equal(got[name][:, 0], recording.requests[name])


def test_a_large_launch_is_refused_and_leaves_nothing_behind():
    with pytest.raises(ValueError, match="copy makes 512 requests; at most 100 are recorded"):
        record("copy", [X, Y, np.int32(8192)], (128,), most=100)
    assert len(record("copy", [X, Y, np.int32(8192)], (128,), blocks=4)) == 16
    assert emulator.trace(SOURCE, Launch("copy", (2,), (64,), [X, Y, np.int32(128)])).lines[0].requests == 4


def test_a_kernel_with_a_fault_is_not_recorded():
    with pytest.raises(emulator.KernelError, match="tinycnn check"):
        record("copy", [X, Y[:10], np.int32(128)])
