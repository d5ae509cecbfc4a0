"""What a page is made from: a network's layers, made small enough to be seen, and launches of the ladder on them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn import kernels, session
from tinycnn.architectures import build, notation
from tinycnn.devices import use_device
from tinycnn.devices.checks.cases import Operations
from tinycnn.devices.gpu import ladder
from tinycnn.devices.gpu.ladder import Conv
from tinycnn.emulator import Launch
from tinycnn.layers import Conv2D, Symbol
from tinycnn.models import Model
from tinycnn.shapes import UNPADDED, Padding, Pair, Shape, window_padding

NETWORK = "CN(8,(3,3))->CN(8,(3,3))->MP(2,2)->CN(16,(3,3))->MP(2,2)->FL()->DN(10)"  # where none is given
MOST_SIDE, MOST_CHANNELS, MOST_FILTERS, MOST_WINDOW = 10, 8, 16, 7  # of a layer that is recorded


@dataclass(frozen=True)
class Layer:
    """A convolution to be recorded, and what it is."""

    conv: Conv
    what: str  # a convolution of ...

    def __str__(self) -> str:
        c = self.conv
        stride = f", stride {c.stride_h} x {c.stride_w}" if c.stride != (1, 1) else ""
        return f"an image of {c.H} x {c.W} with {c.C} channels, {c.K} filters of {c.R} x {c.S}{stride}{self.padding}"

    @property
    def padding(self) -> str:
        """', padding of 1 on every side', or of how much above, below, at the left and at the right, or ''."""
        c = self.conv
        below, right = (c.P - 1) * c.stride_h + c.R - c.H - c.top, (c.Q - 1) * c.stride_w + c.S - c.W - c.left
        sides = {"above": c.top, "below": below, "at the left": c.left, "at the right": right}
        padded = [f"{pixels} {side}" for side, pixels in sides.items() if pixels > 0]
        if len(padded) == 4 and len(set(sides.values())) == 1:
            return f", padding of {c.top} on every side"
        return f", padding of {', '.join(padded)}" if padded else ""


def conv_of(x_shape: Shape, w_shape: Shape, stride: Pair, padding: Padding) -> Conv:
    return Conv(*Conv.of(x_shape, w_shape, stride, padding))


# Where no network is given. One with a stride and padding, and one whose warps are easily told apart.
STRIDED = Layer(conv_of((1, 7, 7, 2), (3, 3, 2, 4), (2, 2), ((1, 1), (1, 1))), "a small layer with a stride")
SQUARE = Layer(conv_of((1, 8, 8, 8), (3, 3, 8, 16), (1, 1), ((1, 1), (1, 1))), "a small layer")
REAL = Layer(conv_of((1, 26, 26, 12), (3, 3, 12, 20), (1, 1), UNPADDED), "the second layer of go-crazy, one image")


class Subject:
    """A network, or none: then each lesson takes what shows it best.

    network: a documented network's name or one in the notation. times: a folder of results that were measured on a GPU,
    as benchmarks/results/nvidia-h200. Raises ValueError for what is no network, or has no convolution to be shown.
    """

    def __init__(self, network: str | None = None, times: Path | None = None):
        self.network, self.times = network, times
        if network is not None:
            self.layers()  # to refuse it before anything is run

    @property
    def text(self) -> str:
        """The network, or the one that stands in where none is given."""
        return self.network or NETWORK

    @property
    def shown(self) -> str:
        """The same, as it is shown: with arrows, at which a line may end."""
        return self.text.replace("->", " → ")

    def measured(self, benchmark: str, pick: Callable[[Any], dict[str, Any] | None]) -> dict[str, Any] | None:
        """What `pick` finds in the results of benchmarks/`benchmark`.py; None without a file of them.

        Raises ValueError for a file that is none.
        """
        path = None if self.times is None else self.times / f"{benchmark}.json"
        if path is None or not path.is_file():
            return None
        try:
            return pick(json.loads(path.read_text(encoding="utf-8")))
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is no results file of benchmarks/{benchmark}.py: {error!r}") from None

    def model(self) -> Model:
        """The network, its weights drawn with seed 0, on the current device."""
        with session.another(seed=0):
            model = notation.parse(self.text) if "(" in self.text else build(self.text)
        model.compile("adam", "categorical_crossentropy", ["acc"])
        return model

    def layers(self, side: int = MOST_SIDE, channels: int = MOST_CHANNELS, filters: int = MOST_FILTERS) -> list[Layer]:
        """The network's convolutions whose windows are small, cut down to what can be seen."""
        with use_device("reference"):
            model = self.model()
        found = []
        for symbol in model.symbols:
            layer = symbol.layer
            if not isinstance(layer, Conv2D) or not 1 < max(layer.window) <= MOST_WINDOW:
                continue
            H, W, C = symbol.inputs[0].extents
            x_shape = 1, min(H, max(side, layer.window[0])), min(W, max(side, layer.window[1])), min(C, channels)
            padding = window_padding(x_shape[1:3], layer.window, layer.stride, layer.padding)
            w_shape = (*layer.window, x_shape[3], min(layer.filters, filters))
            what = f"{layer.name} of {self.shown} ({H} x {W} x {C} to {layer.filters} filters)"
            cut = "" if x_shape[1:] == (H, W, C) and w_shape[3] == layer.filters else ", cut down to be seen"
            found.append(Layer(conv_of(x_shape, w_shape, layer.stride, padding), what + cut))
        if not found:
            raise ValueError(f"{self.text} has no convolution of 2 x 2 to {MOST_WINDOW} x {MOST_WINDOW} to be shown")
        return found

    @cached_property
    def first(self) -> Layer:
        """The layer of lesson 1."""
        return self.layers()[0] if self.network else STRIDED

    @cached_property
    def later(self) -> Layer:
        """The layer of the lessons about memory: one over several channels, if there is one."""
        if not self.network:
            return SQUARE
        return self._later(self.layers())

    @cached_property
    def whole(self) -> Layer:
        """The layer of the lessons that only count: as large as it is, for one image, within reason."""
        return self._later(self.layers(28, 32, 32)) if self.network else REAL

    @staticmethod
    def _later(layers: list[Layer]) -> Layer:
        return next((layer for layer in layers if layer.conv.C > 1), layers[0])


def first_convolution(model: Model) -> Symbol:
    return next(symbol for symbol in model.symbols if isinstance(symbol.layer, Conv2D))


def launch_of(step: str, direction: str, conv: Conv) -> Launch:
    """The launch of a step of the ladder, as tinycnn launches it, on random numbers."""
    on = Operations("float32")
    shapes = {"x": conv.x_shape, "w": conv.w_shape, "dy": conv.y_shape}
    wanted = {"forward": "x w", "backward_data": "dy w", "backward_filter": "x dy"}[direction].split()
    getattr(ladder, direction)(on.device, step, conv, *(on.normal(*shapes[name]) for name in wanted))
    return next(launch for file, launch in on.driver.launches if file == f"ladder/{step}")


@contextmanager
def changed(step: str, old: str, new: str) -> Iterator[Path]:
    """A step of the ladder with one text in the place of another, as a file of its own for a while.

    Raises ValueError where the text is not there; of several places the first is changed.
    """
    path = kernels.path(f"ladder/{step}")
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise ValueError(f"{path.name} has no {old!r}")
    with tempfile.TemporaryDirectory(prefix="tinycnn-") as folder:
        place = Path(folder).resolve() / "ladder"
        place.mkdir()
        for header in (*kernels.FOLDER.glob("*.cuh"), *(kernels.FOLDER / "ladder").glob("*.cuh")):
            target = place.parent / header.relative_to(kernels.FOLDER)
            target.write_bytes(header.read_bytes())
        (place / path.name).write_text(text.replace(old, new, 1), encoding="utf-8")
        yield place / path.name


def output_of(number: int, conv: Conv) -> tuple[int, int, int]:
    """(p, q, k) of a thread of step 1, which numbers its outputs along the rows."""
    k, p, q = (int(i) for i in np.unravel_index(number, (conv.K, conv.P, conv.Q)))
    return p, q, k
