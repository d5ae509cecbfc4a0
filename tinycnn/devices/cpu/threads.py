"""A team of threads that share the tasks of one kernel after another.

The thread that launches a kernel writes the job down in shared memory, and every thread claims tasks
until none are left. Each has a range of tasks of its own, so that from kernel to kernel a core meets
the same images, in its cache; whoever is done early claims from the others' ranges.

Helpers are never waited for, except to finish a task that they have begun: if the machine is busy and
a helper gets no processor, the launching thread does the work alone. (OpenMP's threads all have to
come to every kernel, which on a busy machine costs milliseconds each time.) Between kernels a helper
watches for the next, so that a launch takes a microsecond; after a while it goes to sleep.

A claim is one atomic step on one 64-bit word: the job's number above, the next task's below. So a
helper that is late cannot claim from a job other than the one it has read: its step fails.
"""

import atexit
import ctypes
import os
import sys
import threading

import numba
import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinycnn.devices.cpu.cache import in_use

WORDS = types.CPointer(types.int64)

# The shared words. Each thread's claim word has a cache line (8 words) of its own, followed by where its range ends.
JOB, KERNEL, ARGUMENTS, FINISHED, STOP = 0, 1, 2, 8, 16
CLAIMS, LINE = 24, 8
TASK_BITS = 32
CLOSED = (1 << TASK_BITS) - 1  # the next task of a range that nobody may claim from

MOST_ARGUMENTS = 32

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
def words_at(typing, address):
    """An address as a pointer to 64-bit words."""

    def code(context, builder, signature, values):
        return builder.inttoptr(values[0], context.get_value_type(WORDS))

    return WORDS(types.int64), code


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
            kernel, arguments = atomic_read(words, KERNEL), atomic_read(words, ARGUMENTS)
            task = claim & CLOSED
            if task >= end:
                break
            if atomic_replace(words, claims, claim, claim + 1):
                call(kernel, (words_at(arguments), task, me))
                done += 1
    if done:
        atomic_add(words, FINISHED, done)


def _run(state, team, kernel, arguments, tasks, give_way):
    """Publish a job, share in it, and wait for the tasks that others have begun."""
    words = words_at(state)
    if team == 1 or tasks == 1:
        for task in range(tasks):
            call(kernel, (words_at(arguments), task, 0))
        return
    job = atomic_read(words, JOB) + 1
    for thread in range(team):
        atomic_write(words, CLAIMS + thread * LINE, job << TASK_BITS | CLOSED)
    atomic_write(words, KERNEL, kernel)
    atomic_write(words, ARGUMENTS, arguments)
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
            call(give_way, ())


def _help(state, team, me, give_way):
    """Do tasks of job after job; return when there was none for a while."""
    words = words_at(state)
    seen, idle = 0, 0
    while idle < SPINS + YIELDS and atomic_read(words, STOP) == 0:
        job = atomic_read(words, JOB)
        if job != seen:
            do_tasks(words, team, me)
            seen, idle = job, 0
        elif idle < SPINS:
            pause()
            idle += 1
        else:
            call(give_way, ())
            idle += 1


def _give_way_address():
    """The operating system's function that lets another thread have the processor."""
    if sys.platform == "win32":
        function = ctypes.windll.kernel32.SwitchToThread
    else:
        function = ctypes.CDLL(None).sched_yield
    return ctypes.cast(function, ctypes.c_void_p).value


class Team:
    """The launching thread and size - 1 helpers."""

    def __init__(self, size):
        signature = types.void(*[types.int64] * 6)
        with in_use():
            self.run_compiled = njit(signature, nogil=True, cache=True)(_run)
            self.help_compiled = njit(types.void(*[types.int64] * 4), nogil=True, cache=True)(_help)
        self.give_way = _give_way_address()
        self.size = size
        self.words = np.zeros(CLAIMS + LINE * (size + 1), np.int64)
        self.state = self.words.ctypes.data + -self.words.ctypes.data % 64
        self.arguments = (ctypes.c_int64 * MOST_ARGUMENTS)()
        self.arguments_address = ctypes.addressof(self.arguments)
        self.asleep = []
        self.launching = threading.Lock()
        self.helpers = [threading.Thread(target=self._helper, args=(me,), daemon=True) for me in range(1, size)]
        for helper in self.helpers:
            helper.start()

    def run(self, kernel, arguments, tasks):
        """Do tasks 0 to tasks - 1 of the kernel at an address. arguments: a list of 64-bit integers."""
        with self.launching:
            while self.asleep and tasks > 1:
                self.asleep.pop().set()
            self.arguments[: len(arguments)] = arguments
            self.run_compiled(self.state, self.size, kernel, self.arguments_address, tasks, self.give_way)

    def _helper(self, me):
        while not self._stopped():
            self.help_compiled(self.state, self.size, me, self.give_way)
            if not self._stopped():
                wake = threading.Event()
                self.asleep.append(wake)
                wake.wait()

    def _stop_word(self):
        return (self.state - self.words.ctypes.data) // 8 + STOP

    def _stopped(self):
        return self.words[self._stop_word()] != 0

    def stop(self):
        """Send the helpers home."""
        with self.launching:
            self.words[self._stop_word()] = 1
        for helper in self.helpers:
            while helper.is_alive():
                while self.asleep:
                    self.asleep.pop().set()
                helper.join(timeout=0.01)


_team = None


def team():
    """The team in use: as many threads as Numba would use, NUMBA_NUM_THREADS or one per processor."""
    global _team
    if _team is None:
        _team = Team(numba.config.NUMBA_NUM_THREADS)
    return _team


def set_team_size(size):
    """Compute with `size` threads from here on. The results do not change."""
    global _team
    _stop()
    _team = Team(size)


def _stop():
    global _team
    if _team is not None:
        _team.stop()
        _team = None


def _forget():
    """A forked process has no helpers: begin anew."""
    global _team
    _team = None


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
