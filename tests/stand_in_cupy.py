"""A stand-in for what the cuda device uses of CuPy 14, on the emulator: to test the device's logic without a GPU.

Kernels run at once. While a stream is capturing they are only noted, with the addresses of their arrays, and run when
the graph is launched; a copy from or to the host is refused then, as CuPy 14 refuses it. What was noted on another
stream that joined in runs as late as it may: when the first one waits for it. Memory comes from pools that
hand out again what was let go, the last first, as CuPy's do: who keeps an address without keeping its array finds
somebody else's numbers there.
"""

import contextlib
import ctypes
import json
import math
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tinycnn import emulator, kernels


class Local(threading.local):
    """What each thread has of its own."""

    captured = None  # while its stream is capturing: {stream: what is noted of it, in order}
    spoilt = False  # whether something was tried meanwhile that cannot be part of a graph


local = Local()


def do(action):
    local.captured[get_current_stream()].append(action) if local.captured is not None else action()


def not_while_capturing():
    if local.captured is not None:
        local.spoilt = True
        raise RuntimeError("the current stream is capturing, so H2D transfers are disallowed")


# ---------------------------------------------------------------- memory


class MemoryPool:
    """Blocks by size; one that nobody uses any more is the next to be handed out. They live as long as the pool."""

    def __init__(self):
        self.free, self.blocks = {}, []

    def malloc(self, size):
        """(a block of `size` bytes as a NumPy array, which goes back to the pool when it and its views are gone)."""
        unused = self.free.setdefault(size, [])
        if not unused:
            # 16 bytes aligned, as vector loads need it
            room = np.zeros(size + 16, np.uint8)
            self.blocks.append(room[-room.ctypes.data % 16 :][:size])
            unused.append(self.blocks[-1])
        block = unused.pop()
        used = at_address(block.ctypes.data, size)
        weakref.finalize(used, unused.append, block)
        return used

    def holds(self, array):
        """Whether an array lies in one of the blocks."""
        place = array.__array_interface__["data"][0]
        return any(0 <= place - block.ctypes.data < max(1, block.size) for block in self.blocks)

    def used_bytes(self):
        return 3 * 2**30

    def free_all_blocks(self):
        pass


def at_address(place, size):
    """The bytes at an address as a NumPy array that keeps nothing alive."""
    return np.frombuffer((ctypes.c_uint8 * size).from_address(place), np.uint8)


default_pool = MemoryPool()


def get_allocator():
    return getattr(local, "allocator", default_pool.malloc)


@contextlib.contextmanager
def using_allocator(allocator):
    before, local.allocator = get_allocator(), allocator
    try:
        yield
    finally:
        local.allocator = before


class Pointer:
    def __init__(self, array):
        self.ptr = array.__array_interface__["data"][0]

    def copy_from_host_async(self, source, size, stream):
        not_while_capturing()
        ctypes.memmove(self.ptr, source.value, size)


class ndarray(np.ndarray):
    @property
    def data(self):
        return Pointer(self)

    def set(self, source):
        not_while_capturing()
        np.ndarray.__setitem__(self, ..., source)

    def __getitem__(self, index):
        part = super().__getitem__(index)
        return part if isinstance(part, np.ndarray) else np.asarray(part).view(ndarray)

    def __setitem__(self, index, value):
        not_while_capturing()
        super().__setitem__(index, value)


def asarray(source, dtype=None, order="K"):
    not_while_capturing()
    values = np.asarray(source, dtype=dtype)
    made = empty(values.shape, values.dtype)
    made.set(values)
    return made


def asnumpy(array):
    not_while_capturing()
    return np.array(array.view(np.ndarray))


def empty(shape, dtype):
    shape, dtype = (shape,) if isinstance(shape, int) else tuple(shape), np.dtype(dtype)
    made = get_allocator()(math.prod(shape) * dtype.itemsize).view(dtype).reshape(shape)
    if local.captured is None:
        made.fill(np.nan if dtype.kind == "f" else 77)  # nobody may rely on what is in it
    return made.view(ndarray)


def zeros(shape, dtype):
    made = empty(shape, dtype)
    raw = as_kernels_see(made)
    do(lambda: raw.fill(0))
    return made


def as_kernels_see(array):
    """The array's elements by their address alone."""
    return at_address(array.data.ptr, array.nbytes).view(array.dtype).reshape(array.shape)


# ---------------------------------------------------------------- kernels and graphs


class RawModule:
    """Of a text, or of the code that `nvrtc` has made of a text."""

    def __init__(self, code=None, options=(), name_expressions=(), path=None):
        if path is not None:
            content = Path(path).read_bytes()
            assert content.endswith(END), f"{path} is cut short"
            code, *name_expressions = json.loads(content.removesuffix(END))
        every = (*kernels.INSTANCES, *kernels.LADDER, *kernels.FAST)
        file = next(file for file in every if kernels.source(file) == code)
        self.module, self.alone = emulator.load(kernels.path(file), list(name_expressions)), path is not None

    def get_function(self, name):
        # The emulator knows the variables in shared memory of a file: a kernel's, where it is alone in it.
        variables = self.module.shared[self.module.dynamic_count : len(self.module.shared_names)] if self.alone else []
        return Function(self.module, name, sum(-(-one.size // 16) * 16 for one in variables))


END = b"\0"  # the last byte of machine code


class Function:
    """A kernel. More than 48 KB of shared memory, its variables included, has to be asked for before the launch."""

    def __init__(self, module, name, static=0):
        self.module, self.name = module, name.removeprefix(MANGLED)
        self.max_dynamic_shared_size_bytes = 48 * 1024 - static
        self.num_regs, self.local_size_bytes = 40, 0  # any: a compiler knows

    @property
    def kernel(self):
        """What CuPy's RawKernel calls; as one object with it, for it takes a word more."""
        return self

    @property
    def ptr(self):
        return self  # occupancy asks for it

    def __call__(self, grid, block, args, shared_mem=0, enable_cooperative_groups=False):
        assert all(isinstance(a, ndarray | np.generic) for a in args)
        assert shared_mem <= self.max_dynamic_shared_size_bytes, "CUDA_ERROR_INVALID_VALUE"
        seen = [as_kernels_see(a) if isinstance(a, ndarray) else a for a in args]
        for i, parameter in enumerate(self.module.signature(self.name).parameters):
            if parameter.is_pointer and isinstance(seen[i], np.uint64) and seen[i] == 0:
                seen[i] = None  # a null pointer
        do(lambda: self.module.launch(self.name, grid, block, seen, shared_mem, enable_cooperative_groups))


MANGLED = "_Z"  # what a kernel's name begins with in its code


class Nvrtc:
    """CuPy's module cupy.cuda.nvrtc, as far as the device uses it. A program's code is its text and its names."""

    class NVRTCError(RuntimeError):
        pass

    def __init__(self):
        self.compiled = []  # the names, in the order in which they were asked for
        self.programs = {}

    def getVersion(self):
        return 13, 0

    def createProgram(self, source, name, headers, include_names):
        program = object()
        self.programs[program] = [source]
        return program

    def addNameExpression(self, program, name):
        self.programs[program].append(name)

    def compileProgram(self, program, options):
        assert options[0].startswith("-arch=sm_")
        self.compiled += self.programs[program][1:]
        if "Refused<" in self.programs[program][1]:
            raise self.NVRTCError("NVRTC_ERROR_COMPILATION (6)")

    def getProgramLog(self, program):
        return 'error: identifier "Refused" is undefined'

    def getLoweredName(self, program, name):
        return MANGLED + name

    def getCUBIN(self, program):
        return json.dumps(self.programs[program]).encode()  # without the last byte, as CuPy does it

    def destroyProgram(self, program):
        del self.programs[program]


class Graph:
    def __init__(self, actions, stream):
        self.actions, self.stream, self.launches = actions, stream, 0

    def launch(self, stream=None):
        self.launches += 1
        run(self.actions, dict.fromkeys(self.actions, 0), self.stream, len(self.actions[self.stream]))


def run(actions, done, stream, end):
    """Do what was noted of a stream up to number `end`, and of others where it waits for them."""
    while done[stream] < end:
        action = actions[stream][done[stream]]
        done[stream] += 1
        run(actions, done, action.stream, action.number) if isinstance(action, Event) else action()


class Stream:
    def __init__(self, non_blocking=False):
        pass

    def __enter__(self):
        streams().append(self)
        return self

    def __exit__(self, *error):
        streams().pop()

    def record(self):
        event = Event()
        event.record(self)
        return event

    def wait_event(self, event):
        if local.captured is not None:
            local.captured.setdefault(self, []).append(event)

    def begin_capture(self):
        local.captured = {self: []}

    def end_capture(self):
        noted, local.captured, was_spoilt, local.spoilt = local.captured, None, local.spoilt, False
        if was_spoilt:
            raise RuntimeError("cudaErrorStreamCaptureInvalidated")
        done = dict.fromkeys(noted, 0)
        run(
            {stream: [a if isinstance(a, Event) else int for a in of] for stream, of in noted.items()},
            done,
            self,
            len(noted[self]),
        )
        if any(done[stream] < len(of) for stream, of in noted.items()):
            raise RuntimeError("cudaErrorStreamCaptureUnjoined")
        return Graph(noted, self)

    def synchronize(self):
        pass


null = Stream()


def streams():
    if not hasattr(local, "streams"):
        local.streams = [null]
    return local.streams


def get_current_stream():
    return streams()[-1]


class Event:
    def record(self, stream=None):
        self.time, self.stream = time.perf_counter(), stream or get_current_stream()
        self.number = len(local.captured[self.stream]) if local.captured is not None else 0

    def synchronize(self):
        pass


class Device:
    id, compute_capability = 0, "90"
    attributes = {"L2CacheSize": 1, "MultiProcessorCount": 3}


def most_active_blocks(function, threads, shared):
    """Of a multiprocessor that holds 2,048 threads."""
    assert isinstance(function, Function) and shared >= 0
    return 2048 // threads


class Pinned(bytearray):
    @property
    def ptr(self):
        return ctypes.addressof(ctypes.c_char.from_buffer(self))


class OutOfMemoryError(MemoryError):
    pass


def get_default_memory_pool():
    return default_pool


runtime = SimpleNamespace(
    runtimeGetVersion=lambda: 13000,
    getDeviceCount=lambda: 1,
    getDeviceProperties=lambda number: {"name": b"NVIDIA H200 (stand-in)"},
    memGetInfo=lambda: (2**30, 4 * 2**30),
    CUDARuntimeError=type("CUDARuntimeError", (RuntimeError,), {}),
)
cuda = SimpleNamespace(
    runtime=runtime,
    driver=SimpleNamespace(occupancyMaxActiveBlocksPerMultiprocessor=most_active_blocks),
    nvrtc=Nvrtc(),
    memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    MemoryPool=MemoryPool,
    Device=Device,
    Event=Event,
    get_elapsed_time=lambda begin, end: 1e3 * (end.time - begin.time),
    Stream=Stream,
    get_current_stream=get_current_stream,
    get_allocator=get_allocator,
    using_allocator=using_allocator,
    alloc_pinned_memory=Pinned,
)
