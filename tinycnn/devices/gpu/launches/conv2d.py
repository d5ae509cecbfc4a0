"""Launches of conv2d.cu: which tile a block takes, and how much of it is in shared memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tinycnn.devices.base import Array, Gradients, Wanted
from tinycnn.devices.gpu.grid import BLOCKS, SHARED_BYTES, THREADS, ceil_div, evenly, round_up
from tinycnn.devices.gpu.launches.products import FILTER, Sum, in_slices
from tinycnn.shapes import Geometry, Padding, Pair, Shape

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

ENOUGH_THREADS = 132 * 256  # a thread takes four pixels where that still leaves so many threads
MOST_FILTER_THREADS = 2 * THREADS  # of a block of conv2d_backward_filter
PARTIAL_BYTES = 64 * 2**20  # all partial dw together, at most


def too_large(R: int, S: int) -> ValueError:
    """The error for filters that no tile has room for."""
    return ValueError(f"conv2d: filters of {R} x {S} do not fit into {SHARED_BYTES // 1024} KB of shared memory")


class Tile(NamedTuple):
    """What a block of conv2d_forward (or backward_data, names exchanged) computes."""

    rows: int  # TP
    columns: int  # TQ
    KB: int
    CB: int
    RB: int
    pitch: int
    pixels: int  # of a thread
    vector: bool
    block: tuple[int, int]
    shared: int  # bytes

    @property
    def forms(self) -> str:
        """The template's arguments after T."""
        return f"{self.pixels}, {str(self.vector).lower()}"


def choose_tile(geometry: Geometry, itemsize: int) -> Tile:
    """The tile for a forward pass in numbers of so many bytes. Raises ValueError where nothing fits."""
    images, C, R, S, stride = geometry.N, geometry.C, geometry.R, geometry.S, geometry.stride
    P, Q, K = geometry.P, geometry.Q, geometry.K
    k_quads = ceil_div(K, 4)
    most_quads, most_groups = 8, THREADS
    vector = C % 4 == 0
    while True:
        quads = evenly(k_quads, most_quads)
        pixels = 4 if images * P * Q * k_quads >= 4 * ENOUGH_THREADS else 1
        groups = min(most_groups, max(1, THREADS // quads))
        rows, columns = choose_rectangle(geometry, groups * pixels)
        CB, RB = C, R
        while True:
            pitch = CB + 4 if vector and CB // 4 % 2 == 0 else CB  # odd in fours: neighbours in different banks
            halo = ((rows - 1) * stride[0] + RB) * ((columns - 1) * stride[1] + S)
            shared = (round_up(halo * pitch, 4) + RB * S * CB * 4 * quads) * itemsize
            if shared <= SHARED_BYTES:
                block = (quads, ceil_div(rows * columns, pixels))
                return Tile(rows, columns, 4 * quads, CB, RB, pitch, pixels, vector, block, shared)
            step = 4 if vector else 1
            if CB > step:
                CB = round_up(evenly(C, CB - step), step)
                if C == CB:
                    CB = step
            elif RB > 1:
                RB = evenly(R, RB - 1)
            else:
                break
        if most_quads > 1:
            most_quads //= 2
        elif most_groups > 1:
            most_groups //= 2
        else:
            raise too_large(R, S)


def choose_rectangle(geometry: Geometry, most: int) -> tuple[int, int]:
    """(rows, columns) of at most `most` outputs that cover P x Q with little waste and little halo."""
    P, Q, R, S, stride = geometry.P, geometry.Q, geometry.R, geometry.S, geometry.stride
    best: tuple[int, int, int] | None = None
    for columns in sorted({evenly(Q, n) for n in range(1, min(Q, most) + 1)}):
        rows = evenly(P, min(P, most // columns))
        tiles = ceil_div(P, rows) * ceil_div(Q, columns)
        halo = ((rows - 1) * stride[0] + R) * ((columns - 1) * stride[1] + S)
        cost = tiles * (rows * columns * R * S + 8 * halo)
        if best is None or cost < best[0]:
            best = cost, rows, columns
    assert best is not None, "an output of no pixels"
    return best[1:]


def conv2d_forward(
    device: KernelDevice, x: Array, w: Array, b: Array | None, stride: Pair, padding: Padding, relu: bool
) -> Array:
    geometry = Geometry.of(x.shape, w.shape, stride, padding)
    y, tile = device.empty(geometry.y_shape), choose_tile(geometry, device.itemsize)
    N, _, _, _, K, _, _, P, Q, *_ = geometry
    tiles = ceil_div(P, tile.rows), ceil_div(Q, tile.columns)
    device.launch(
        "conv2d", f"conv2d_forward<T, {tile.forms}>", (N * tiles[0] * tiles[1], ceil_div(K, tile.KB)), tile.block,
        x, w, w if b is None else b, y, *geometry[1:], int(b is not None), int(relu),
        tile.rows, tile.columns, *tiles, tile.KB, tile.CB, tile.RB, tile.pitch, shared=tile.shared,
    )  # fmt: skip
    return y


def conv2d_backward(
    device: KernelDevice, dy: Array, y: Array | None, x: Array, w: Array, stride: Pair, padding: Padding, wanted: Wanted
) -> Gradients:
    dw, db = filter_gradient(device, x, dy, y, w.shape, stride, padding, wanted)
    return data_gradient(device, dy, y, w, x.shape, stride, padding) if wanted.x else None, dw, db


def conv2d_backward_data(
    device: KernelDevice, dy: Array, w: Array, x_shape: Shape, stride: Pair, padding: Padding
) -> Array:
    return data_gradient(device, dy, None, w, x_shape, stride, padding)


def conv2d_backward_filter(
    device: KernelDevice, x: Array, dy: Array, w_shape: Shape, stride: Pair, padding: Padding
) -> Array:
    return device.whole(filter_gradient(device, x, dy, None, w_shape, stride, padding, FILTER)[0])


def data_gradient(
    device: KernelDevice, dy: Array, y: Array | None, w: Array, x_shape: Shape, stride: Pair, padding: Padding
) -> Array:
    geometry, dx = Geometry.of(x_shape, w.shape, stride, padding), device.empty(x_shape)
    N, H, W, C, K, R, S, *_ = geometry
    # Of each of stride_h * stride_w phases of dx, the largest: a convolution of dy, with C and K exchanged.
    phases = stride[0] * stride[1]
    rows, columns = ceil_div(H, stride[0]), ceil_div(W, stride[1])
    rows_of_taps, taps = ceil_div(R, stride[0]), ceil_div(S, stride[1])
    phase = Geometry(N * phases, geometry.P, geometry.Q, K, C, rows_of_taps, taps, rows, columns, 1, 1, 0, 0)
    tile = choose_tile(phase, device.itemsize)
    tiles = ceil_div(rows, tile.rows), ceil_div(columns, tile.columns)
    grid = N * tiles[0] * tiles[1], ceil_div(C, tile.KB), phases
    device.launch(
        "conv2d", f"conv2d_backward_data<T, {tile.forms}>", grid, tile.block,
        dy, dy if y is None else y, w, dx, *geometry[1:], int(y is not None),
        tile.rows, tile.columns, *tiles, tile.KB, tile.CB, tile.RB, tile.pitch, shared=tile.shared,
    )  # fmt: skip
    return dx


# ---------------------------------------------------------------- the filter's gradient


class FilterTile(NamedTuple):
    """What a block of conv2d_backward_filter has at a time, and for which part of dw."""

    rows: int  # TP
    columns: int  # TQ
    RU: int
    CB: int
    KB: int
    units: int
    splits: int
    vector: bool
    shared: int  # bytes


def choose_filter_tile(geometry: Geometry, itemsize: int) -> FilterTile:
    """The tile for the filter's gradient. Raises ValueError where nothing fits."""
    P, Q, C, K, R, S, stride = (
        geometry.P, geometry.Q, geometry.C, geometry.K, geometry.R, geometry.S, geometry.stride,
    )  # fmt: skip
    step = 4 if C % 4 == 0 else 1

    def quads_of(CB: int) -> int:
        return ceil_div(S * CB, 4)

    k_quads = evenly(ceil_div(K, 4), 8)
    CB = C
    while quads_of(CB) * k_quads > THREADS and CB > step:
        CB = round_up(CB // 2, step)
    while quads_of(CB) * k_quads > THREADS and k_quads > 1:
        k_quads = ceil_div(k_quads, 2)
    while True:
        RU = evenly(R, max(1, THREADS // (quads_of(CB) * k_quads)))
        units = RU * quads_of(CB) * k_quads
        whole_rows = [(evenly(P, n), Q) for n in range(P, 0, -1)]
        for rows, columns in whole_rows + [(1, evenly(Q, n)) for n in range(Q - 1, 0, -1)]:
            halo = ((rows - 1) * stride[0] + RU) * ((columns - 1) * stride[1] + S)
            splits = max(1, min((THREADS + units // 2) // units, rows * columns))
            tiles = round_up(halo * CB, 4) + rows * columns * 4 * k_quads
            shared = max(tiles, 16 * units * splits) * itemsize
            if shared <= SHARED_BYTES and units <= MOST_FILTER_THREADS:
                return FilterTile(rows, columns, RU, CB, 4 * k_quads, units, splits, CB % 4 == 0, shared)
        if CB > step:
            CB = round_up(CB // 2, step)
        elif k_quads > 1:
            k_quads = ceil_div(k_quads, 2)
        else:
            raise too_large(R, S)


def filter_gradient(
    device: KernelDevice, x: Array, dy: Array, y: Array | None, w_shape: Shape, stride: Pair, padding: Padding,
    wanted: Wanted,
) -> tuple[Sum | None, Sum | None]:  # fmt: skip
    """dw and db, each in as many slices as blocks share the images."""
    if not (wanted.w or wanted.b):
        return None, None
    geometry = Geometry.of(x.shape, w_shape, stride, padding)
    N, _, _, C, K, R, S, P, Q, *_ = geometry
    tile = choose_filter_tile(geometry, device.itemsize)
    tiles = ceil_div(P, tile.rows), ceil_div(Q, tile.columns)
    parts = ceil_div(R, tile.RU) * ceil_div(C, tile.CB) * ceil_div(K, tile.KB)
    work = N * tiles[0] * tiles[1]
    room = max(1, PARTIAL_BYTES // (R * S * C * K * device.itemsize))
    slices = max(1, min(work, room, 2 * BLOCKS // parts))
    kernel = f"conv2d_backward_filter<T, {str(tile.vector).lower()}>"
    with device.driver.branch():  # nothing but the optimiser waits for it
        partial, partial_db = device.empty((slices, *w_shape)), device.empty((slices, K if wanted.b else 1))
        device.launch(
            "conv2d", kernel, (parts, slices), (max(tile.units * tile.splits, tile.KB),),
            x, dy, dy if y is None else y, partial, partial_db, *geometry, int(wanted.b), int(y is not None),
            tile.rows, tile.columns, *tiles, tile.RU, tile.CB, tile.KB, tile.splits, shared=tile.shared,
        )  # fmt: skip
    return in_slices(partial, wanted.w), in_slices(partial_db, wanted.b)
