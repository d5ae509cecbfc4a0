"""Launches of kernels/ladder: every step's grid, block and shared memory, for all three directions.

No device computes with these kernels. They are launched by their tests and by benchmarks/ladder.py, on a device whose
driver runs CUDA kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tinycnn.kernels as kernels
from tinycnn.devices.base import Array, Slices
from tinycnn.devices.gpu.device import KernelDevice
from tinycnn.devices.gpu.grid import BLOCKS, MOST_GRID_Y, SHARED_BYTES, THREADS, ceil_div
from tinycnn.shapes import Geometry

ITEMSIZE = 4  # of float, which is all the ladder has
MOST_ELEMENTS = 2**31 - 1  # of an image, of the filters, and of the outputs' pixels: what an int counts


class Conv(Geometry):
    """The numbers that every kernel of the ladder is given, and what its blocks keep in shared memory."""

    @property
    def images_at_once(self) -> int:
        """How many blocks share the images in backward filter: as many as there are images, within reason."""
        return min(self.N, BLOCKS)

    def halo(self, tile: int, depth: int) -> int:
        """Numbers in shared memory of the pixels that a square tile of outputs sees, `depth` channels."""
        return ((tile - 1) * self.stride_h + self.R) * ((tile - 1) * self.stride_w + self.S) * depth

    def halo_back(self, tile: int, depth: int) -> int:
        """The same of the outputs that may have seen a square tile of pixels."""
        extents = [
            (tile + window - 3 + stride) // stride + 1
            for window, stride in ((self.R, self.stride_h), (self.S, self.stride_w))
        ]
        return extents[0] * extents[1] * depth


class Shape(NamedTuple):
    """How a kernel is launched."""

    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int = 0  # bytes of dynamic shared memory


class Step(NamedTuple):
    """A step: from a Conv to a Shape, for each direction, and how its backward filter adds up what blocks found."""

    forward: Callable[[Conv], Shape]
    backward_data: Callable[[Conv], Shape]
    backward_filter: Callable[[Conv], Shape]
    sums: str  # "" (a thread has the whole sum), "atomics", or "partials" (one dw for each of gridDim.z)


def tiles(tile: int, rows: int, columns: int) -> int:
    """How many square tiles cover rows x columns."""
    return ceil_div(rows, tile) * ceil_div(columns, tile)


# ---------------------------------------------------------------- a thread for each output: steps 1 and 2


def of_an_image(outputs: int, N: int) -> Shape:
    """A thread for each output of N images."""
    return Shape((ceil_div(outputs, THREADS), N), (THREADS,))


one_output = Step(
    forward=lambda c: of_an_image(c.P * c.Q * c.K, c.N),
    backward_data=lambda c: of_an_image(c.H * c.W * c.C, c.N),
    backward_filter=lambda c: of_an_image(c.R * c.S * c.C * c.K, 1),
    sums="",
)

# ---------------------------------------------------------------- 16 x 16 outputs a block: steps 3 and 4


shared_filters = Step(
    forward=lambda c: Shape((ceil_div(c.P * c.Q, 16), ceil_div(c.K, 16), c.N), (16, 16)),
    backward_data=lambda c: Shape((ceil_div(c.H * c.W, 16), ceil_div(c.C, 16), c.N), (16, 16)),
    backward_filter=lambda c: Shape((ceil_div(c.R * c.S * c.C, 16), ceil_div(c.K, 16), c.images_at_once), (16, 16)),
    sums="atomics",
)


def tiled(tile: int, filter_tile: int, width: int, taps: int, block: tuple[int, int]) -> Step:
    """A step whose blocks have a square tile of outputs and `width` channels, four channels at a time.

    filter_tile: the side of the tile that backward filter walks with; taps: how many taps its block has.
    """

    def over_images(conv: Conv, rows: int, columns: int, channels: int, halo: int) -> Shape:
        shared = halo + conv.R * conv.S * 4 * width
        return Shape((tiles(tile, rows, columns), ceil_div(channels, width), conv.N), block, ITEMSIZE * shared)

    def backward_filter(conv: Conv) -> Shape:
        parts = ceil_div(conv.R * conv.S, taps) * ceil_div(conv.C, 4)
        shared = conv.halo(filter_tile, 4) + filter_tile**2 * width
        return Shape((parts, ceil_div(conv.K, width), conv.images_at_once), block, ITEMSIZE * shared)

    return Step(
        forward=lambda c: over_images(c, c.P, c.Q, c.K, c.halo(tile, 4)),
        backward_data=lambda c: over_images(c, c.H, c.W, c.C, c.halo_back(tile, 4)),
        backward_filter=backward_filter,
        sums="atomics",
    )


# ---------------------------------------------------------------- a matrix product: steps 6 to 9


def matrix_product(block: tuple[int, ...]) -> Step:
    """A step whose blocks have 64 x 32 numbers of the product."""

    def shape(rows: int, columns: int, shares: int = 1) -> Shape:
        return Shape((ceil_div(rows, 64), ceil_div(columns, 32), shares), block)

    def shares(c: Conv) -> int:
        """As many as keep a large GPU busy, with at least 32 terms of the sum each."""
        parts = ceil_div(c.R * c.S * c.C, 64) * ceil_div(c.K, 32)
        return max(1, min(2 * BLOCKS // parts, c.N * c.P * c.Q // 32))

    return Step(
        forward=lambda c: shape(c.N * c.P * c.Q, c.K),
        backward_data=lambda c: shape(c.N * c.H * c.W, c.C),
        backward_filter=lambda c: shape(c.R * c.S * c.C, c.K, shares(c)),
        sums="partials",
    )


STEPS = {
    "1_naive": one_output,
    "2_coalesced": one_output,
    "3_shared_filters": shared_filters,
    "4_halo_tile": tiled(tile=4, filter_tile=8, width=16, taps=4, block=(16, 16)),
    "5_register_blocking": tiled(tile=8, filter_tile=8, width=32, taps=16, block=(8, 16)),
    "6_implicit_gemm": matrix_product(block=(8, 16)),
    "7_vectorised": matrix_product(block=(8, 16)),
    "8_tensor_cores": matrix_product(block=(128,)),
    "9_specialised": matrix_product(block=(8, 16)),
}
DIRECTIONS = ("forward", "backward_data", "backward_filter")


# ---------------------------------------------------------------- launches


def shape_of(step: str, direction: str, conv: Conv) -> Shape:
    """The Shape of a step's launch. Raises ValueError for what the step's kernels cannot take."""
    shape = getattr(STEPS[step], direction)(conv)
    if shape.shared > SHARED_BYTES:
        raise ValueError(f"{step}: filters of {conv.R} x {conv.S} do not fit into {SHARED_BYTES // 1024} KB")
    largest = max(conv.H * conv.W * conv.C, conv.P * conv.Q * conv.K, conv.R * conv.S * conv.C * conv.K)
    pixels = conv.N * max(conv.H * conv.W, conv.P * conv.Q)
    if max(largest, pixels) > MOST_ELEMENTS or max(shape.grid[1:]) > MOST_GRID_Y:
        raise ValueError(f"{step}: a convolution of {conv.x_shape} with {conv.w_shape} is too large for one launch")
    return shape


def kernel_of(step: str, direction: str, conv: Conv) -> str:
    """The C++ name of a step's kernel: of one that is compiled for a shape, with that shape."""
    of_shape = f"<Conv<{','.join(map(str, conv[1:]))}>>" if f"ladder/{step}" in kernels.SPECIALISED else ""
    return f"conv2d_{direction}{of_shape}"


def start(device: KernelDevice, step: str, direction: str, conv: Conv, a: Array, b: Array, out: Array) -> None:
    """Launch one kernel: forward (x, w, y), backward_data (dy, w, dx) or backward_filter (x, dy, dw)."""
    grid, block, shared = shape_of(step, direction, conv)
    file, numbers = f"ladder/{step}", conv[:1] if f"ladder/{step}" in kernels.SPECIALISED else conv
    device.launch(file, kernel_of(step, direction, conv), grid, block, a, b, out, *numbers, shared=shared)


def forward(device: KernelDevice, step: str, conv: Conv, x: Array, w: Array) -> Array:
    """y (N,P,Q,K)"""
    y = device.empty(conv.y_shape)
    start(device, step, "forward", conv, x, w, y)
    return y


def backward_data(device: KernelDevice, step: str, conv: Conv, dy: Array, w: Array) -> Array:
    """dx (N,H,W,C)"""
    dx = device.empty(conv.x_shape)
    start(device, step, "backward_data", conv, dy, w, dx)
    return dx


def backward_filter(device: KernelDevice, step: str, conv: Conv, x: Array, dy: Array) -> Array:
    """dw (R,S,C,K)"""
    sums = STEPS[step].sums
    if sums == "partials":
        slices = shape_of(step, "backward_filter", conv).grid[2]
        dw = device.empty((slices, *conv.w_shape))
    else:
        dw = device.zeros(conv.w_shape) if sums == "atomics" else device.empty(conv.w_shape)
    start(device, step, "backward_filter", conv, x, dy, dw)
    return device.whole(Slices(dw) if sums == "partials" else dw)
