"""Measures on a GPU how long the planner's best tiles of a layer take, so that it need not predict.

A time is that of a launch among CALLS (FEW, if it takes long) in a recorded graph, the median of ROUNDS replays
between two events; the tiles of a layer are replayed in turn, so that a change of the clocks meets all of them. What a
way needs beside its launch is in its time: turned filters, dz, and the adding up of partial gradients, as a launch of
its own, for whoever makes more of them makes more work for the optimiser. Inputs lie in the cache where they find room,
as a layer's do that the launch before has written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from tinycnn.devices.base import Array, Slices
from tinycnn.devices.gpu.cuda import CudaDevice, Recording
from tinycnn.devices.gpu.fast import launches
from tinycnn.devices.gpu.fast.instances import BACKWARD_DATA, FORWARD
from tinycnn.devices.gpu.fast.measured import Time
from tinycnn.devices.gpu.fast.plan import Candidate, choices, flop
from tinycnn.shapes import Geometry

MOST = 8  # tiles of a layer, the best by prediction
CALLS, ROUNDS = 10, 5
FEW, LONG = 2, 2e10  # calls where one has so many floating-point operations
RUNS_UNTIL_RECORDED = 2
DRAWN = 1_000_003  # a prime: no image is another one's copy


def tried(layer: Geometry, direction: str, masked: bool, device: CudaDevice) -> list[Candidate]:
    """The tiles to measure: the best ones, and the best of every other kernel."""
    found = choices(layer, direction, device.driver.card, masked, device.itemsize)
    best = {(one.plan.file, one.way): one for one in reversed(found)}
    return list(dict.fromkeys([*found[:MOST], *best.values()]))


def measure(layer: Geometry, direction: str, masked: bool, device: CudaDevice) -> list[Time]:
    """The Times of a layer's direction. device: of float32. Raises ValueError where no kernel takes the layer,
    RuntimeError where launches cannot be recorded."""
    ways = tried(layer, direction, masked, device)
    found = microseconds(ways, direction, masked, inputs(layer, device), device)
    return [
        Time(one.layer, one.way, masked, one.tile, one.plan.slices, us)
        for one, us in zip(ways, found, strict=True)
    ]  # fmt: skip


def microseconds(
    ways: Sequence[Candidate], direction: str, masked: bool, arrays: Sequence[Array], device: CudaDevice
) -> list[float]:
    """How long each of these launches of one layer takes. arrays: what `inputs` gives. Raises RuntimeError where
    launches cannot be recorded."""
    device.driver.build([(one.plan.file, device.named(one.plan.kernel)) for one in ways])
    calls = FEW if flop(ways[0].layer) >= LONG else CALLS
    replays = [Recording(device.driver, repeated(device, one, calls, direction, masked, arrays)) for one in ways]
    for replay in replays:
        for _ in range(RUNS_UNTIL_RECORDED):
            replay()
        if replay.graph is None:
            raise RuntimeError("a launch that cannot be recorded takes the host's time, which would be measured")
    rounds = [[seconds_of(device, replay) for replay in replays] for _ in range(ROUNDS)]
    return [median(seconds) * 1e6 / calls for seconds in zip(*rounds, strict=True)]


def inputs(layer: Geometry, device: CudaDevice) -> list[Array]:
    """Random x, w, b, dy and y of a layer: a million numbers over and over, which are soon drawn."""
    drawn = np.random.default_rng(0).standard_normal(DRAWN, np.float32)
    shapes = layer.x_shape, layer.w_shape, (layer.K,), layer.y_shape, layer.y_shape
    return [device.asarray(np.resize(np.roll(drawn, number), shape)) for number, shape in enumerate(shapes)]


def repeated(
    device: CudaDevice, one: Candidate, calls: int, direction: str, masked: bool, arrays: Sequence[Array]
) -> Callable[[], None]:
    """A step of so many launches of a tile."""
    x, w, b, dy, y = arrays
    cut, form = (y if masked else None), one.layer

    def step() -> None:
        for _ in range(calls):
            if direction == FORWARD:
                launches.forward(device, one.plan, form, x, w, b, True)
            elif direction == BACKWARD_DATA:
                launches.backward_data(device, one.plan, form, dy, cut, w)
            else:
                dw, _ = launches.backward_filter(device, one.plan, form, x, dy, cut, True)
                device.whole(Slices(dw))

    return step


def seconds_of(device: CudaDevice, replay: Callable[[], None]) -> float:
    """How long a replay takes. Another one before it keeps the GPU busy while the host starts this one."""
    cupy = device.driver.cupy
    begin, end = cupy.cuda.Event(), cupy.cuda.Event()
    replay()
    begin.record()
    replay()
    end.record()
    end.synchronize()
    return cupy.cuda.get_elapsed_time(begin, end) / 1e3
