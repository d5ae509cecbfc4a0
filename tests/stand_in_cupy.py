"""A stand-in for the part of CuPy that the cuda device uses, on the emulator: to test the device's logic without a GPU.

Kernels run at once. While a stream is capturing, launches and copies from pinned memory are only noted, and run when
the graph is launched; anything else that would touch values then is an error, as on a GPU it would be lost or refused.
"""

import contextlib
import ctypes
import time
from types import SimpleNamespace

import numpy as np

from tinycnn import emulator, kernels

captured = None  # what is noted while a stream is capturing
spoilt = False  # whether something was tried meanwhile that cannot be part of a graph


def do(action):
    captured.append(action) if captured is not None else action()


def not_while_capturing():
    global spoilt
    if captured is not None:
        spoilt = True
        raise RuntimeError("this cannot be part of a CUDA graph")


class Pointer:
    def __init__(self, array):
        self.ptr = array.__array_interface__["data"][0]

    def copy_from_host_async(self, source, size, stream):
        do(lambda: ctypes.memmove(self.ptr, source.value, size))


class ndarray(np.ndarray):
    @property
    def data(self):
        return Pointer(self)

    def __getitem__(self, index):
        part = super().__getitem__(index)
        return part if isinstance(part, np.ndarray) else np.asarray(part).view(ndarray)

    def __setitem__(self, index, value):
        not_while_capturing()
        super().__setitem__(index, value)


def asarray(source, dtype=None, order="K"):
    not_while_capturing()
    return np.array(np.asarray(source), dtype=dtype, order=order).view(ndarray)


def asnumpy(array):
    not_while_capturing()
    return np.array(array.view(np.ndarray))


def empty(shape, dtype):
    made = np.empty(shape, dtype)
    made.fill(np.nan if made.dtype.kind == "f" else 77)  # nobody may rely on what is in it
    if captured is not None:
        captured.append(lambda: made)  # a graph's memory lives as long as the graph
    return made.view(ndarray)


def zeros(shape, dtype):
    made = np.zeros(shape, dtype)
    do(lambda: made.fill(0))
    return made.view(ndarray)


class RawModule:
    def __init__(self, code, options, name_expressions):
        file = next(file for file in (*kernels.INSTANCES, *kernels.LADDER) if kernels.source(file) == code)
        self.module = emulator.load(kernels.path(file), list(name_expressions))

    def get_function(self, name):
        def launch(grid, block, args, shared_mem=0):
            arrays = [a.view(np.ndarray) if isinstance(a, ndarray) else a for a in args]
            assert all(isinstance(a, ndarray | np.generic) for a in args)
            do(lambda: self.module.launch(name, grid, block, arrays, shared=shared_mem))

        return launch


class Graph:
    def __init__(self, actions):
        self.actions, self.launches = actions, 0

    def launch(self, stream=None):
        self.launches += 1
        for action in self.actions:
            action()


class Stream(contextlib.nullcontext):
    def __init__(self, non_blocking=False):
        super().__init__()

    def begin_capture(self):
        global captured
        captured = []

    def end_capture(self):
        global captured, spoilt
        graph, captured, was_spoilt, spoilt = Graph(captured), None, spoilt, False
        if was_spoilt:
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        return graph

    def synchronize(self):
        pass


class Event:
    def record(self, stream=None):
        self.time = time.perf_counter()

    def synchronize(self):
        pass


class Device:
    id, compute_capability = 0, "90"
    attributes = {"L2CacheSize": 1}


class Pinned(bytearray):
    @property
    def ptr(self):
        return ctypes.addressof(ctypes.c_char.from_buffer(self))


class OutOfMemoryError(MemoryError):
    pass


class Pool:
    def malloc(self, size):
        raise NotImplementedError

    def used_bytes(self):
        return 3 * 2**30

    def free_all_blocks(self):
        pass


def get_default_memory_pool():
    return Pool()


runtime = SimpleNamespace(
    runtimeGetVersion=lambda: 13000,
    getDeviceCount=lambda: 1,
    getDeviceProperties=lambda number: {"name": b"NVIDIA H200 (stand-in)"},
    memGetInfo=lambda: (2**30, 4 * 2**30),
    CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {}),
)
cuda = SimpleNamespace(
    runtime=runtime,
    nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    MemoryPool=Pool,
    Device=Device,
    Event=Event,
    get_elapsed_time=lambda begin, end: 1e3 * (end.time - begin.time),
    Stream=Stream,
    get_current_stream=Stream,
    using_allocator=contextlib.nullcontext,
    alloc_pinned_memory=Pinned,
)
