"""The kernels of kernels/fast for one layer: their C++ names, and grid, block and shared memory for a tile.

A tile says how a kernel cuts a layer up; its fields are the template parameters of the kernel, in their order:

    GemmTile        conv_gemm_forward, conv_gemm_backward_data          a matrix product, tiles in shared memory
    FilterTile      conv_gemm_backward_filter                           the same, summed over pixels
    SmallTile       conv_small_forward, conv_small_backward_data        a band of an image in shared memory
    SmallFilterTile conv_small_backward_filter                          the same

and this is a kernel's name, with T the type, CONV the numbers of Geometry but N, and MASKED whether the layer ends in a
ReLU whose output is given with dy:

    conv_gemm_forward<T, Conv<CONV>, GemmTile<...>>
    conv_gemm_backward_data<T, MASKED, Conv<CONV>, GemmTile<...>>
    conv_gemm_backward_filter<T, MASKED, Conv<CONV>, FilterTile<...>>

and so for conv_small. What is not here: which tile is best.
"""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

from tinycnn.devices.gpu.grid import FLAG_BYTES, MOST_GRID_Y, ceil_div, round_up
from tinycnn.shapes import Geometry

FORWARD, BACKWARD_DATA, BACKWARD_FILTER = DIRECTIONS = ("forward", "backward_data", "backward_filter")
# Backward data by conv_gemm_forward, over dz and filters that other launches have made (launches.py). Where a layer is
# large, that takes less time than reading filters the wrong way round and masking dy wherever it is read.
TURNED = "turned"
WAYS = (*DIRECTIONS, TURNED)
MOST_THREADS = 1024
MOST_OFFSET = 2**31 - 1  # of a number in the images of a tile: the kernels count them in ints
REGISTERS = 65536  # of a multiprocessor, a quarter for each fourth warp; a thread has 255 at most
BIAS_THREADS = 32  # of conv_small_filter.cu
REGISTERS_FOR_PLACES = 18  # of a thread, at least: where its numbers are, and how far it has come


class Plan(NamedTuple):
    """One launch of a kernel of kernels/fast."""

    file: str  # as "fast/conv_gemm"
    kernel: str  # a C++ name expression, T standing for the type
    grid: tuple[int, int, int]
    block: tuple[int]
    shared: int  # bytes that the launch asks for
    slices: int  # forward and backward data: of the sum, added up by the last block; backward filter: partial dw
    outputs: int  # of a block, with those that are behind an edge

    @property
    def is_forward(self) -> bool:
        """Whether the kernel is one of forward: in backward data, TURNED."""
        return "_forward<" in self.kernel

    @property
    def room(self) -> int:
        """Bytes of shared memory that a block takes: where slices are added up by the last block, also its flag."""
        return self.shared + (FLAG_BYTES if self.file == "fast/conv_gemm" and self.slices > 1 else 0)

    def named(self, ctype: str) -> str:
        """The kernel for a type: 'float' or 'double'."""
        return self.kernel.replace("<T", f"<{ctype}", 1)


class GemmTile(NamedTuple):
    """A block's tile of conv_gemm: IM images x TP x TQ pixels (BM together) x BN filters, BL channels at a time."""

    IM: int
    TP: int
    TQ: int
    BN: int
    BL: int  # a multiple of 4
    TM: int  # pixels of a thread; a warp has 32 / LN * TM
    TN: int  # filters of a thread, a multiple of 4; a warp has LN * TN
    LN: int  # lanes of a warp side by side: 1, 2, 4 or 8
    STAGES: int  # tiles in shared memory, all but one of them on their way
    SPLIT: int  # slices of the sum, a block each
    MINBLOCKS: int  # blocks that are to fit on a multiprocessor, which limits the registers

    @property
    def BM(self) -> int:
        """Pixels of the tile."""
        return self.IM * self.TP * self.TQ

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.BM * self.BN // (self.TM * self.TN)


class FilterTile(NamedTuple):
    """A block's tile of conv_gemm_backward_filter: BM rows (r, s, c) x BN filters, one pixel of BL images at a time."""

    BM: int
    BN: int
    BL: int
    TM: int  # a multiple of 4, as TN
    TN: int
    LN: int
    STAGES: int
    MINBLOCKS: int

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.BM * self.BN // (self.TM * self.TN)


class SmallTile(NamedTuple):
    """A block's band of conv_small: TP rows of an image. A thread has PX pixels of a row and TK filters."""

    TP: int
    PX: int
    TK: int  # a multiple of 4
    SPLIT: int  # threads that share the channels and filter rows of a sum


class SmallFilterTile(NamedTuple):
    """A block's band of conv_small_backward_filter: TP rows of an image's dy, dealt to SPLIT threads."""

    TP: int
    SPLIT: int


Tile = GemmTile | FilterTile | SmallTile | SmallFilterTile


class View(NamedTuple):
    """What a kernel of forward or backward data takes for image (H,W,C), output (P,Q,K), and filter (R,S).

    As Forward and BackwardData of conv.cuh: backward data is a forward pass over dy, in phases where there is a stride.
    """

    H: int
    W: int
    C: int
    P: int
    Q: int
    K: int
    R: int
    S: int
    stride_h: int
    stride_w: int
    phases: int


def view_of(layer: Geometry, direction: str) -> View:
    """The View of a layer's forward or backward data."""
    _, H, W, C, K, R, S, P, Q, stride_h, stride_w, *_ = layer
    if direction == FORWARD:
        return View(H, W, C, P, Q, K, R, S, stride_h, stride_w, 1)
    rows, columns = ceil_div(H, stride_h), ceil_div(W, stride_w)
    taps_h, taps_w = ceil_div(R, stride_h), ceil_div(S, stride_w)
    return View(P, Q, K, rows, columns, C, taps_h, taps_w, 1, 1, stride_h * stride_w)


def simplified(layer: Geometry) -> Geometry:
    """The same sums with the fewest indices: a filter of one pixel, or as large as the image, is a matrix product."""
    N, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left = layer
    unpadded = top == left == 0
    if unpadded and R == S == stride_h == stride_w == 1 and (P, Q) == (H, W):
        return Geometry.of_product(N * H * W, C, K)
    if unpadded and (R, S) == (H, W) and P == Q == 1:
        return Geometry.of_product(N, H * W * C, K)
    return layer


def is_turnable(layer: Geometry) -> bool:
    """Whether its backward data is a forward pass: without stride, between whose outputs there would be zeros, and
    without padding beyond the filter."""
    return layer.stride_h == layer.stride_w == 1 and layer.top < layer.R and layer.left < layer.S


def turned(layer: Geometry) -> Geometry:
    """The layer whose forward pass, over dy and the filters turned, is this one's backward data. Raises ValueError
    unless it is turnable."""
    if not is_turnable(layer):
        raise ValueError(f"backward data of {layer} is no forward pass")
    N, H, W, C, K, R, S, P, Q, _, _, top, left = layer
    return Geometry(N, P, Q, K, C, R, S, H, W, 1, 1, R - 1 - top, S - 1 - left)


# ---------------------------------------------------------------- how things lie in shared memory, as in tiles.cuh


def width_of(n: int) -> int:
    """How many neighbouring numbers are copied at a time where rows have `n` of them: 4, 2 or 1."""
    return gcd(n, 4)


def odd_quads(n: int) -> int:
    """At least `n` numbers, an odd number of fours: rows of that length begin in different banks."""
    quads = ceil_div(n, 4)
    return 4 * (quads if quads % 2 else quads + 1)


class Band(NamedTuple):
    """Some rows of an image in shared memory: how many numbers a pixel takes, and all of them together."""

    pixel: int
    size: int

    @classmethod
    def of(cls, rows: int, columns: int, C: int) -> Band:
        """The Band of so many rows and columns of C channels."""
        pixel = C if C < 4 else round_up(C, 4)
        row = columns * pixel | 1 if C < 4 else odd_quads(columns * pixel)
        return cls(pixel, round_up(rows * row, 4))


# ---------------------------------------------------------------- plans


def plan_of(layer: Geometry, direction: str, tile: Tile, slices: int, masked: bool, itemsize: int) -> Plan:
    """The launch of a layer's direction with this tile.

    slices: of backward filter, how many partial dw there are; of the others, the tile's SPLIT where it is a GemmTile.
    masked: whether y comes with dy, and dy counts only where y > 0. itemsize: bytes of a number.
    Raises ValueError where the kernel cannot be launched so.
    """
    if direction == TURNED:
        return plan_of(turned(layer), FORWARD, tile, slices, False, itemsize)
    check_fit(layer, direction, tile)
    largest = max(layer.H * layer.W * layer.C, layer.P * layer.Q * layer.K)
    images = tile.IM if isinstance(tile, GemmTile) else tile.BL if isinstance(tile, FilterTile) else 1
    if (images + 1) * largest > MOST_OFFSET or layer.R * layer.S * layer.C * layer.K > MOST_OFFSET:
        raise ValueError(f"{layer} is too large for {tile}")
    if isinstance(tile, GemmTile):
        plan = gemm(layer, direction, tile, masked, itemsize)
    elif isinstance(tile, FilterTile):
        plan = gemm_filter(layer, tile, slices, masked, itemsize)
    elif isinstance(tile, SmallTile):
        plan = small(layer, direction, tile, masked, itemsize)
    else:
        plan = small_filter(layer, tile, slices, masked, itemsize)
    if plan.block[0] > MOST_THREADS or plan.grid[2] > MOST_GRID_Y:
        raise ValueError(f"{plan.kernel}: a grid of {plan.grid} with blocks of {plan.block} cannot be launched")
    check_registers(layer, direction, tile, plan.block[0], itemsize)
    return plan


def registers_of(threads: int) -> int:
    """How many registers a thread has where so many are on a multiprocessor together."""
    warps = ceil_div(ceil_div(threads, 32), 4)
    return min(255, REGISTERS // (128 * warps) // 8 * 8)


def numbers_held(layer: Geometry, direction: str, tile: Tile) -> int:
    """How many numbers a thread holds at once: its sums, and what it multiplies."""
    if isinstance(tile, GemmTile):
        return tile.TM * tile.TN + 4 * min(tile.TM, tile.TN) + 4
    if isinstance(tile, FilterTile):
        return tile.TM * tile.TN + tile.TM + tile.TN
    if isinstance(tile, SmallTile):
        view = view_of(layer, direction)
        span = (tile.PX - 1) * view.stride_w + view.S
        return tile.PX * tile.TK + span * (1 if view.C < 4 else 4) + 4
    taps = layer.S * min(layer.C, 4)
    return 4 * taps + taps + taps // 4 + 4


def check_registers(layer: Geometry, direction: str, tile: Tile, threads: int, itemsize: int) -> None:
    """Raises ValueError where the compiler would have to put numbers into memory."""
    together = threads * (tile.MINBLOCKS if isinstance(tile, GemmTile | FilterTile) else 1)
    needed = numbers_held(layer, direction, tile) * itemsize // 4 + REGISTERS_FOR_PLACES
    if needed > registers_of(together):
        raise ValueError(f"{tile}: a thread needs {needed} registers, and has {registers_of(together)}")


def check_fit(layer: Geometry, direction: str, tile: Tile) -> None:
    """Raises ValueError for a tile that is not what its kernel takes."""
    if isinstance(tile, GemmTile | FilterTile):
        rows, columns = 32 // tile.LN * tile.TM, tile.LN * tile.TN
        fours = (tile.BL, tile.TN) if isinstance(tile, GemmTile) else (tile.TM, tile.TN)
        if tile.BM % rows or tile.BN % columns or any(n % 4 for n in fours):
            raise ValueError(f"{tile} is not whole warps of {rows} x {columns}, in fours")
        # A row of the filters' tile, or of dy's, is no more chunks than there are threads.
        K = layer.C if direction == BACKWARD_DATA else layer.K
        chunks = 0 if direction == BACKWARD_DATA else tile.BN // width_of(K)
        if isinstance(tile, GemmTile):
            chunks = max(chunks, tile.BL // width_of(layer.K if direction == BACKWARD_DATA else layer.C))
        if chunks > tile.threads:
            raise ValueError(f"{tile} has {tile.threads} threads, too few to copy a row of {chunks} chunks")


def name_of(kernel: str, direction: str, layer: Geometry, tile: Tile, masked: bool) -> str:
    """conv_gemm_forward<T, Conv<...>, GemmTile<...>>"""
    mask = "" if direction == FORWARD else f"{str(masked).lower()}, "
    conv, numbers = ", ".join(map(str, layer[1:])), ", ".join(map(str, tile))
    return f"{kernel}_{direction}<T, {mask}Conv<{conv}>, {type(tile).__name__}<{numbers}>>"


def gemm(layer: Geometry, direction: str, tile: GemmTile, masked: bool, itemsize: int) -> Plan:
    """The launch of conv_gemm.cu."""
    view = view_of(layer, direction)
    pitch = odd_quads(tile.BL)
    filters = tile.BL * tile.BN if direction == FORWARD else tile.BN * pitch
    stage = tile.BM * pitch * (2 if masked else 1) + filters
    tiles = ceil_div(layer.N, tile.IM) * ceil_div(view.P, tile.TP) * ceil_div(view.Q, tile.TQ)
    grid = tiles * ceil_div(view.K, tile.BN), view.phases, tile.SPLIT
    name = name_of("conv_gemm", direction, layer, tile, masked)
    return Plan(
        "fast/conv_gemm", name, grid, (tile.threads,), itemsize * stage * tile.STAGES, tile.SPLIT, tile.BM * tile.BN
    )


def gemm_filter(layer: Geometry, tile: FilterTile, slices: int, masked: bool, itemsize: int) -> Plan:
    """The launch of conv_gemm_filter.cu."""
    stage = tile.BL * (tile.BM + tile.BN * (2 if masked else 1))
    blocks = ceil_div(layer.R * layer.S * layer.C, tile.BM) * ceil_div(layer.K, tile.BN)
    name = name_of("conv_gemm", BACKWARD_FILTER, layer, tile, masked)
    shared = itemsize * stage * tile.STAGES
    return Plan("fast/conv_gemm_filter", name, (blocks, 1, slices), (tile.threads,), shared, slices, tile.BM * tile.BN)


def small(layer: Geometry, direction: str, tile: SmallTile, masked: bool, itemsize: int) -> Plan:
    """The launch of conv_small.cu. Raises ValueError for backward data of a stride, which it does not compute."""
    view = view_of(layer, direction)
    if view.phases > 1:
        raise ValueError("conv_small.cu has no backward data of a stride: conv_gemm.cu has")
    groups_q, groups_k = ceil_div(view.Q, tile.PX), ceil_div(view.K, tile.TK)
    rows, columns = (tile.TP - 1) * view.stride_h + view.R, (groups_q * tile.PX - 1) * view.stride_w + view.S
    band = Band.of(rows, columns, view.C)
    tasks = tile.TP * groups_q * groups_k
    filters = view.R * view.S * band.pixel * groups_k * tile.TK
    numbers = max(band.size * (2 if masked else 1) + filters, (tile.SPLIT - 1) * tile.PX * tile.TK * tasks)
    grid = layer.N * ceil_div(view.P, tile.TP), 1, 1
    name = name_of("conv_small", direction, layer, tile, masked)
    outputs = tasks * tile.PX * tile.TK
    return Plan("fast/conv_small", name, grid, (tasks * tile.SPLIT,), itemsize * numbers, 1, outputs)


def small_filter(layer: Geometry, tile: SmallFilterTile, slices: int, masked: bool, itemsize: int) -> Plan:
    """The launch of conv_small_filter.cu."""
    groups_k = ceil_div(layer.K, 4)
    units = layer.R * ceil_div(layer.C, 4) * groups_k
    rows, columns = (tile.TP - 1) * layer.stride_h + layer.R, (layer.Q - 1) * layer.stride_w + layer.S
    gradient = tile.TP * layer.Q * 4 * groups_k
    tiles = Band.of(rows, columns, layer.C).size + gradient * (2 if masked else 1)
    bias_rows = min(units * tile.SPLIT // groups_k, BIAS_THREADS)
    sums = tile.SPLIT * units * layer.S * min(layer.C, 4) * 4 + 4 * groups_k * bias_rows
    name = name_of("conv_small", BACKWARD_FILTER, layer, tile, masked)
    shared = itemsize * max(tiles, sums)
    outputs = layer.R * layer.S * layer.C * layer.K
    return Plan("fast/conv_small_filter", name, (slices, 1, 1), (units * tile.SPLIT,), shared, slices, outputs)
