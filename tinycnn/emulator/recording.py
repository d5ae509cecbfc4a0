"""Keeps every request that a small launch makes of memory, in the order in which they were made.

    recording = emulator.record("copy.cu", emulator.Launch("copy", (4,), (256,), [x, y, np.int32(1000)]))
    recording.requests["offsets"]   # which byte each lane wanted
    recording.sectors()             # what each request costs global memory
    recording.lines()               # summed up line by line: the counts of `trace`

A trace says how much, a recording says who and where: which lanes of which warp wanted which bytes of which array. What
a request costs is worked out here once more, from those bytes, and the sums are those of `trace`.
"""

from __future__ import annotations

import ctypes
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinycnn.emulator import instrument, tracing
from tinycnn.emulator.instrument import ALIGNMENT, MOST_SECONDS, Place, Watched
from tinycnn.emulator.launches import Launch
from tinycnn.emulator.tracing import SECTOR, Line

LANES = 32
BANKS, WORD = 32, 4  # of shared memory; a bank's width in bytes
MOST_REQUESTS = 200_000  # some 35 MB while they are recorded

OPS = ("load", "store", "atomic")

_REQUEST = np.dtype(  # `Request` of trace.cpp
    [
        ("pc", "u8"), ("region", "i4"), ("block", "i4", 3), ("warp", "i4"), ("lanes", "u4"), ("barriers", "u4"),
        ("size", "u1"), ("write", "u1"), ("atomic", "u1"), ("unused", "u1"), ("offsets", "i4", LANES),
    ]
)  # fmt: skip
REQUEST = np.dtype(
    [
        ("place", "i4"),  # which of Recording.places
        ("array", "i4"),  # which of Recording.arrays
        ("op", "i4"),  # which of OPS
        ("size", "i4"),  # bytes a lane
        ("block", "i4", 3),
        ("warp", "i4"),  # of the block
        ("barriers", "i4"),  # that the block had completed before
        ("lanes", "u4"),  # bit i: lane i took part
        ("offsets", "i4", LANES),  # bytes from the array's begin; 0 for lanes that took no part
    ]
)


@dataclass(frozen=True)
class RecordedArray:
    """An array that a launch touched."""

    name: str
    space: str  # global or shared
    shape: tuple[int, ...]  # as the launch was given it; of shared arrays (words,)
    itemsize: int
    at: int  # bytes from a multiple of 256 to its begin: a sector may begin before it


@dataclass
class Recording:
    """Every request of a launch."""

    path: Path
    launch: Launch
    arrays: list[RecordedArray]
    places: list[Place]  # (file, line)
    requests: np.ndarray  # of REQUEST

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def active(self) -> np.ndarray:
        """Which lanes took part: bool (requests, 32)."""
        return (self.requests["lanes"][:, None] >> np.arange(LANES, dtype=np.uint32) & 1).astype(bool)

    def of(self, array: str, op: str | None = None) -> np.ndarray:
        """The numbers of the requests of one array, of one operation if it is named."""
        numbers = [i for i, a in enumerate(self.arrays) if a.name == array]
        chosen = np.isin(self.requests["array"], numbers)
        if op is not None:
            chosen &= self.requests["op"] == OPS.index(op)
        return np.flatnonzero(chosen)

    def addresses(self) -> np.ndarray:
        """Offsets as sectors see them: bytes from a multiple of 256 before the array's begin, int64 (requests, 32)."""
        at = np.array([array.at for array in self.arrays] or [0])
        return self.requests["offsets"].astype(np.int64) + at[self.requests["array"]][:, None]

    def sectors(self) -> np.ndarray:
        """The 32-byte sectors that each request touches; 0 for shared memory."""
        return np.where(self._is_shared(), 0, _distinct(self.addresses() // SECTOR, self.active))

    def fewest_sectors(self) -> np.ndarray:
        """How many would do for the same numbers side by side; 0 for shared memory."""
        wanted = _distinct(self.addresses(), self.active) * self.requests["size"]
        return np.where(self._is_shared(), 0, -(-wanted // SECTOR))

    def passes(self) -> np.ndarray:
        """The passes that each request takes through the banks of shared memory; 0 for global memory."""
        return self._passes()[0]

    def _is_shared(self) -> np.ndarray:
        return np.array([array.space == "shared" for array in self.arrays] or [False])[self.requests["array"]]

    def _passes(self) -> tuple[np.ndarray, np.ndarray]:
        """(`passes`, the same without conflicts). More than 4 bytes a lane: half or quarter warps at a time."""
        passes, fewest = (np.zeros(len(self), np.int64) for _ in range(2))
        shared = self._is_shared()
        for size in np.unique(self.requests["size"][shared]):
            those = np.flatnonzero(shared & (self.requests["size"] == size))
            width = max(1, size // WORD)  # words a lane
            words = self.requests["offsets"][those][:, :, None] // WORD + np.arange(width)
            active = np.repeat(self.active[those], width, axis=1)
            at_a_time = {8: 16, 16: 8}.get(int(size), LANES) * width
            for first in range(0, LANES * width, at_a_time):
                those_words = slice(first, first + at_a_time)
                most = _most_in_a_bank(words.reshape(len(those), -1)[:, those_words], active[:, those_words])
                passes[those] += most
                fewest[those] += most > 0
        return passes, fewest

    def lines(self) -> list[Line]:
        """The sums, line by line: as those of `trace`."""
        threads = int(np.prod(self.launch.block))
        passes, fewest_passes = self._passes()
        counts = {
            "requests": np.ones(len(self), np.int64),
            "lanes": self.active.sum(axis=1),
            "possible_lanes": np.minimum(LANES, threads - LANES * self.requests["warp"]),
            "sectors": self.sectors(),
            "fewest_sectors": self.fewest_sectors(),
            "passes": passes,
            "fewest_passes": fewest_passes,
        }
        keys = self.requests[["place", "op", "array", "size"]]
        found = []
        for key in np.unique(keys):
            those = keys == key
            array = self.arrays[key["array"]]
            file, number = self.places[key["place"]]
            line = Line(file, number, array.space, OPS[key["op"]], array.name, int(key["size"]))
            for name, values in counts.items():
                setattr(line, name, int(values[those].sum()))
            found.append(line)
        return sorted(found, key=lambda line: (line.file, line.line, line.space, line.op, line.array))

    def packed(self) -> bytes:
        """All requests, compressed by zlib: int32, one column after the other, offsets as steps from lane to lane.

        The columns are those of REQUEST in their order, `block` as three and `offsets` as 32.
        """
        columns = []
        for name in REQUEST.names or ():
            values = self.requests[name].astype(np.int64)
            if name == "offsets":
                values = np.diff(values, axis=1, prepend=0)
            columns.append(values[:, None].T if values.ndim == 1 else values.T)
        return zlib.compress(np.concatenate(columns).astype("<i4").tobytes(), 9)


def record(
    path: str | Path, launch: Launch, blocks: int | None = None, seconds: float = MOST_SECONDS,
    most: int = MOST_REQUESTS,
) -> Recording:  # fmt: skip
    """Run a launch and keep every request that its warps make of memory: a Recording.

    blocks: at most this many of the grid's blocks are run, evenly spread; None for all. Of a cooperative launch all.
    Raises what `trace` raises, and ValueError for a launch that makes more than `most` requests.
    """
    watched = instrument.Watched(path, [launch.kernel])
    only = tracing.some_blocks(launch.grid, launch.cooperative, blocks)
    library = watched.module.library
    library.cudasim_requests.restype = ctypes.c_void_p
    with tracing.running(watched, launch, only, seconds, record=most):
        count = ctypes.c_uint64()
        begin = library.cudasim_requests(ctypes.byref(count))
        if count.value > most:
            raise ValueError(f"{launch.kernel} makes {count.value:,} requests; at most {most:,} are recorded")
        kept = ctypes.string_at(begin, count.value * _REQUEST.itemsize) if count.value else b""
        rows = np.frombuffer(kept, _REQUEST)
    return _recording(watched, launch, rows)


def _recording(watched: Watched, launch: Launch, rows: np.ndarray) -> Recording:
    """Instructions become places in the source; of the arrays those that were touched are kept, by their names."""
    regions = [int(region) for region in np.unique(rows["region"])]
    arrays = {region: _described(watched, launch, region) for region in regions}
    regions.sort(key=lambda region: (arrays[region].space, arrays[region].name))  # not by where they lie in memory
    where = watched.places([int(pc) for pc in rows["pc"]])
    places = sorted(set(where.values()))
    number = {pc: places.index(place) for pc, place in where.items()}
    requests = np.zeros(len(rows), REQUEST)
    requests["place"] = [number[int(pc)] for pc in rows["pc"]]
    requests["array"] = [regions.index(region) for region in rows["region"].tolist()]
    requests["op"] = np.where(rows["atomic"], 2, rows["write"])
    for name in ("size", "block", "warp", "barriers", "lanes", "offsets"):
        requests[name] = rows[name]
    return Recording(watched.path, launch, [arrays[region] for region in regions], places, requests)


def _described(watched: Watched, launch: Launch, region: int) -> RecordedArray:
    """An array by the number that the runtime gave it."""
    name, itemsize, size = watched.array_of(region)
    if itemsize is None:
        if name in watched.module.shared_names[: watched.module.dynamic_count]:
            size = launch.shared
        return RecordedArray(name, "shared", (-(-size // WORD),), WORD, 0)
    parameters = watched.module.signature(launch.kernel).parameters
    shapes = [a.shape for p, a in zip(parameters, launch.args, strict=True) if p.name == name]
    shape = shapes[0] if shapes else (size // itemsize,)
    return RecordedArray(name, "global", shape, itemsize, watched.arrays[region].offset % ALIGNMENT)


def _distinct(values: np.ndarray, active: np.ndarray) -> np.ndarray:
    """How many different values the active ones of each row are."""
    values = np.sort(np.where(active, values, -1), axis=1)
    return (values[:, :1] >= 0).sum(axis=1) + ((np.diff(values, axis=1) != 0) & (values[:, 1:] >= 0)).sum(axis=1)


def _most_in_a_bank(words: np.ndarray, active: np.ndarray) -> np.ndarray:
    """For each row, the most different words that one bank is asked for."""
    words = np.sort(np.where(active, words, -1), axis=1)
    first = words >= 0
    first[:, 1:] &= np.diff(words, axis=1) != 0
    rows, columns = np.nonzero(first)
    counts = np.bincount(rows * BANKS + words[rows, columns] % BANKS, minlength=len(words) * BANKS)
    return counts.reshape(len(words), BANKS).max(axis=1)
