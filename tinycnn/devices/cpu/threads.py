"""A team of threads that share the tasks of one kernel after another.

The thread that launches a kernel writes the job down in shared memory, and every thread claims tasks
until none are left. Each has a range of tasks of its own, so that from kernel to kernel a core meets
the same images, in its cache; whoever is done early claims from the others' ranges.

Helpers are never waited for, except to finish a task that they have begun: if the machine is busy and
a helper gets no processor, the launching thread does the work alone. (OpenMP's threads all have to
come to every kernel, which on a busy machine costs milliseconds each time.) Between kernels a helper
watches for the next, which it begins within a microsecond; after a while it goes to sleep.

A claim is one atomic step on one 64-bit word: the job's number above, the next task's below. So a
helper that is late cannot claim from a job other than the one it has read: its step fails.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import struct
import sys
import threading
from collections.abc import Callable

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils

from tinycnn.devices.cpu.compiler import address_of
from tinycnn.devices.cpu.processor import settings
from tinycnn.devices.cpu.simd import intrinsic, offset

WORDS = types.CPointer(types.int64)

# The shared words, each group in a cache line (8 words) of its own, so that a thread that writes one does not take the
# others from those who read them: the job that is being done, its number and its kernel; how many of its tasks are
# finished; what does not change, except that STOP ends the helpers; what Python writes for the next job, its kernel,
# number of tasks and arguments; then a line for each thread, its claim word and where its range ends.
JOB, KERNEL, FINISHED = 0, 1, 8
TEAM, GIVE_WAY, STOP = 16, 17, 18
NEXT_KERNEL, TASKS, ARGUMENTS, MOST_ARGUMENTS = 24, 25, 26, 62
CLAIMS, LINE = ARGUMENTS + MOST_ARGUMENTS, 8
TASK_BITS = 32
CLOSED = (1 << TASK_BITS) - 1  # the next task of a range that nobody may claim from

SPINS = 2_000  # looks for a new job at full speed, about 50 microseconds
YIELDS = 20_000  # then looks that let others have the processor first, some milliseconds


@intrinsic
def call(typing, address, values):
    """Call the compiled C function at `address` with the members of a tuple as its arguments."""

    def code(context, builder, signature, arguments):
        values = cgutils.unpack_tuple(builder, arguments[1])
        function = ir.FunctionType(ir.VoidType(), [value.type for value in values])
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), values)
        return context.get_dummy_value()

    return types.void(types.int64, values), code


@intrinsic
def atomic_read(typing, words, index):
    def code(context, builder, signature, values):
        return builder.load_atomic(builder.gep(values[0], [values[1]]), "acquire", 8, typ=ir.IntType(64))

    return types.int64(WORDS, types.int64), code


@intrinsic
def atomic_write(typing, words, index, value):
    def code(context, builder, signature, values):
        builder.store_atomic(values[2], builder.gep(values[0], [values[1]]), "release", 8)
        return context.get_dummy_value()

    return types.void(WORDS, types.int64, types.int64), code


@intrinsic
def atomic_add(typing, words, index, value):
    def code(context, builder, signature, values):
        builder.atomic_rmw("add", builder.gep(values[0], [values[1]]), values[2], "acq_rel")
        return context.get_dummy_value()

    return types.void(WORDS, types.int64, types.int64), code


@intrinsic
def atomic_replace(typing, words, index, old, new):
    """Write `new` if the word is still `old`; whether it was."""

    def code(context, builder, signature, values):
        words, index, old, new = values
        pair = builder.cmpxchg(builder.gep(words, [index]), old, new, "acq_rel", "acquire")
        return builder.extract_value(pair, 1)

    return types.boolean(WORDS, types.int64, types.int64, types.int64), code


@intrinsic
def pause(typing):
    """Tell the processor that this is a waiting loop, where it wants to know."""
    x86 = binding.get_process_triple().startswith("x86_64")

    def code(context, builder, signature, values):
        if x86:
            instruction = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, instruction, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), code


@njit
def do_tasks(words, team, me):
    """Claim tasks and do them until none are left: first from this thread's range, then from the others'."""
    done = 0
    for turn in range(team):
        claims = CLAIMS + (me + turn) % team * LINE
        while True:
            claim = atomic_read(words, claims)
            end = atomic_read(words, claims + 1)
            kernel = atomic_read(words, KERNEL)
            task = claim & CLOSED
            if task >= end:
                break
            if atomic_replace(words, claims, claim, claim + 1):
                call(kernel, (offset(words, ARGUMENTS), task, me))
                done += 1
    if done:
        atomic_add(words, FINISHED, done)


def run_job(words):
    """Publish the job that Python wrote down, share in it, and wait for the tasks that others have begun."""
    team, kernel, tasks, job = words[TEAM], words[NEXT_KERNEL], words[TASKS], words[JOB] + 1
    if team == 1 or tasks == 1:
        for task in range(tasks):
            call(kernel, (offset(words, ARGUMENTS), task, 0))
        return
    for thread in range(team):
        atomic_write(words, CLAIMS + thread * LINE, job << TASK_BITS | CLOSED)
    atomic_write(words, KERNEL, kernel)
    atomic_write(words, FINISHED, 0)
    for thread in range(team):
        atomic_write(words, CLAIMS + thread * LINE + 1, tasks * (thread + 1) // team)
        atomic_write(words, CLAIMS + thread * LINE, job << TASK_BITS | tasks * thread // team)
    atomic_write(words, JOB, job)
    do_tasks(words, team, 0)
    waited = 0
    while atomic_read(words, FINISHED) != tasks:
        waited += 1
        if waited < SPINS:
            pause()
        else:
            call(words[GIVE_WAY], ())


def help_along(words, me):
    """Do tasks of job after job; return when there was none for a while."""
    seen, idle = 0, 0
    while idle < SPINS + YIELDS and atomic_read(words, STOP) == 0:
        job = atomic_read(words, JOB)
        if job != seen:
            do_tasks(words, words[TEAM], me)
            seen, idle = job, 0
        elif idle < SPINS:
            pause()
            idle += 1
        else:
            call(words[GIVE_WAY], ())
            idle += 1


def _compiled(function: Callable[..., None], integers: int) -> Callable[..., None]:
    """A function of the words' address and of integers, as one that Python calls. ctypes lets go of the interpreter's
    lock while it runs, so that other Python threads go on."""
    address = address_of(function, types.void(WORDS, *[types.int64] * integers), f"{__name__}.{function.__name__}")
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * (integers + 1))(address)


def _give_way_address() -> int:
    """The operating system's function that lets another thread have the processor."""
    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return address


class Team:
    """The launching thread and size - 1 helpers."""

    def __init__(self, size: int):
        self.run_job, self.help_along = _compiled(run_job, 0), _compiled(help_along, 1)
        self.size = size
        memory = np.zeros(CLAIMS + LINE * (size + 1), np.int64)
        self.words = memory[-memory.ctypes.data % 64 // 8 :]  # from the beginning of a cache line on
        self.next_job = self.words[NEXT_KERNEL:CLAIMS].data
        self.state = self.words.ctypes.data
        self.words[TEAM], self.words[GIVE_WAY] = size, _give_way_address()
        self.asleep: list[threading.Event] = []
        self.launching = threading.Lock()
        self.helpers = [threading.Thread(target=self._helper, args=(me,), daemon=True) for me in range(1, size)]
        for helper in self.helpers:
            helper.start()

    def run(self, kernel: int, arguments: list[int], tasks: int) -> None:
        """Do tasks 0 to tasks - 1 of the kernel at an address, with at most MOST_ARGUMENTS words as its arguments.

        Several threads may call this at once: their jobs come one after the other.
        """
        with self.launching:
            if tasks > 1:
                self._wake()
            struct.pack_into(f"{len(arguments) + 2}q", self.next_job, 0, kernel, tasks, *arguments)
            self.run_job(self.state)

    def _wake(self) -> None:
        """Wake those who sleep. For whoever holds `launching`."""
        for wake in self.asleep.copy():
            wake.set()  # first, so that Ctrl-C between the two leaves nobody asleep for good
            self.asleep.remove(wake)

    def _helper(self, me: int) -> None:
        while not self.words[STOP]:
            self.help_along(self.state, me)
            if not self.words[STOP]:
                wake = threading.Event()
                self.asleep.append(wake)
                wake.wait()

    def stop(self) -> None:
        """Send the helpers home. Whoever launches afterwards works alone."""
        with self.launching:
            self.words[STOP] = 1
        for helper in self.helpers:
            while helper.is_alive():
                with self.launching:
                    self._wake()
                helper.join(timeout=0.01)


_team: Team | None = None
_changing = threading.RLock()


def team() -> Team:
    """The team in use: as many threads as Numba would use, NUMBA_NUM_THREADS or one per processor."""
    global _team
    found = _team
    if found is None:
        with _changing:
            if _team is None:
                _team = Team(settings.NUMBA_NUM_THREADS)
            found = _team
    return found


def set_team_size(size: int) -> None:
    """Compute with `size` threads from here on. The results do not change. Not while another thread computes: its
    buffers are as many as the threads were."""
    global _team
    with _changing:
        _stop()
        _team = Team(size)


def _stop() -> None:
    global _team
    with _changing:
        if _team is not None:
            _team.stop()
            _team = None


def _forget() -> None:
    """A forked process has no helpers, and locks of threads that it does not have: begin anew."""
    global _team, _changing
    _team, _changing = None, threading.RLock()


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
