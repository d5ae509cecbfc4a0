"""Runs foreign code in a child process, within limits.

A student's kernel is a program like any other: it may loop for ever, call abort(), take all memory, print without end,
and what stands outside its functions runs when it is loaded. In a process of its own none of that ends the command:

    outcome = limited.run("tinycnn.command.check:job", {"target": "mine.cu", "seconds": 20.0})
    outcome.values      what the job yielded
    outcome.ended       "" where it came to its end, else what ended it: "a segmentation fault ..."
    outcome.during      and what it was at then

A job is a generator function of a module that can be imported. It yields plain data, and an `At` before whatever may
not end: then the clock starts anew. What it raises is raised here too.

The child is started, not forked, so that it may be started from threads and notebooks. Its limits are those that the
system has (macOS has none on memory). This is no sandbox: the code runs with the user's rights, and reads the user's
files. Against malice there are containers.
"""

from __future__ import annotations

import builtins
import importlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

import tinycnn
from tinycnn import processes

START_SECONDS = 60.0  # until the job says what it is at
POLL_SECONDS = 0.1  # how soon the end of a child is noticed whose own children keep its pipes open
MOST_SAID = 2**24  # bytes of an answer
STATUS = ", with status "
FORGED = "it wrote where only the answer belongs"
FLOOD_KEPT = 2000  # bytes: of what printed too much

SIGNALS = {
    "SIGSEGV": "a segmentation fault: memory that is not its own, a recursion without end, or memory it did not get",
    "SIGBUS": "a bus error: memory that is not its own",
    "SIGABRT": "an abort(): a failed assert, or memory it did not get",
    "SIGFPE": "an integer division by 0",
    "SIGILL": "an illegal instruction: a __builtin_trap(), or a function that ends without its return",
    "SIGTRAP": "a trap",
    "SIGKILL": "SIGKILL, which the system sends where memory runs out",
    "SIGXFSZ": "a file larger than it may write",
}


class Limits(NamedTuple):
    """What a child may take, in bytes: address space, the size of a file, and what it prints."""

    memory: int = 4 * 2**30
    file: int = 256 * 2**20
    printed: int = 2**20


class At(NamedTuple):
    """What a job yields before it begins something that may not end: what, and how many seconds it has."""

    what: str
    seconds: float


class Outcome(NamedTuple):
    """What became of a job: see the head of this file. printed: what the child printed, of a flood the beginning."""

    values: list[Any]
    ended: str = ""
    during: str = ""
    printed: str = ""


class JobError(RuntimeError):
    """What a job raised, where it is of no class of Python's or tinycnn's."""


# ---------------------------------------------------------------- the parent


def run(job: str, arguments: Mapping[str, Any], limits: Limits | None = None, same_output: bool = False) -> Outcome:
    """Run a job, named as 'package.module:function', with plain data for its arguments, in a child process.

    same_output: what it reads and prints is this process's input and output, and so neither kept nor limited.
    Raises what the job raised. What ends the child otherwise is told by the Outcome.
    """
    limits = limits or Limits()
    answer, for_child = os.pipe()
    orders, for_orders = os.pipe()
    token = secrets.token_hex(8)
    order = {"job": job, "arguments": dict(arguments), "limits": limits, "answer": for_child, "token": token}
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # its threads' stacks would count
    child = subprocess.Popen(
        processes.python("from tinycnn import limited; limited.serve()", str(orders)),
        stdin=None if same_output else subprocess.DEVNULL,
        stdout=None if same_output else subprocess.PIPE,
        stderr=None if same_output else subprocess.STDOUT,
        pass_fds=[for_child, orders],
        env=environment,
        start_new_session=True,  # so that its own children can be ended with it
    )
    os.close(for_child)
    os.close(orders)
    held = open(for_orders, "wb")  # to the end: where this process is killed it is closed, and the child ends
    try:
        try:
            held.write(json.dumps(order).encode() + b"\n")
            held.flush()
        except BrokenPipeError:  # it ended before it read: what it printed says why
            pass
        return _Listener(child, answer, token, limits).outcome()
    finally:
        _end(child)
        os.close(answer)
        with suppress(BrokenPipeError):
            held.close()
        if child.stdout:
            child.stdout.close()


def _end(child: subprocess.Popen) -> None:
    """End a child and what it has started. Before it is waited for: until then its number belongs to nobody else."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS says the latter of one that has ended
        pass
    child.wait()


def waited(pid: int) -> float:
    """The seconds in which this process's first thread wanted to compute and had no core; 0 where nothing says it."""
    try:
        _, nanoseconds, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (OSError, ValueError):  # this is Linux's
        return 0.0
    return int(nanoseconds) / 1e9


class _Listener:
    """Takes down what a child says and prints, until it has ended, or has to be."""

    def __init__(self, child: subprocess.Popen, answer: int, token: str, limits: Limits):
        self.child, self.answer, self.token, self.limits = child, answer, token.encode(), limits
        self.pipes = selectors.DefaultSelector()
        self.pipes.register(answer, selectors.EVENT_READ)
        if child.stdout:
            self.pipes.register(child.stdout, selectors.EVENT_READ)
        self.said, self.printed = bytearray(), bytearray()
        self.values: list[Any] = []
        self.during = "the start"
        self.seconds, self.since = START_SECONDS, self._clock()

    def _clock(self) -> float:
        """Stands still while the child waits for a core, for which a machine with much else to do lets it wait long."""
        return time.monotonic() - waited(self.child.pid)

    def outcome(self) -> Outcome:
        """Listen to the end."""
        with self.pipes:
            ended = self._listen()
        while ended is None:  # it has ended without a word
            try:
                ended = _how_it_ended(self.child.wait(1))
            except subprocess.TimeoutExpired:
                ended = "it closed what it answers through"
        self._take_what_is_left()
        if len(self.printed) > self.limits.printed:
            self.printed = self.printed[:FLOOD_KEPT]
        return Outcome(self.values, ended, self.during, self.printed.decode(errors="replace"))

    def _take_what_is_left(self) -> None:
        """What was printed before the end, and not yet read."""
        if not self.child.stdout:
            return
        output = self.child.stdout.fileno()
        os.set_blocking(output, False)
        try:
            while len(self.printed) < self.limits.printed and (data := os.read(output, 2**16)):
                self.printed += data
        except BlockingIOError:
            pass

    def _listen(self) -> str | None:
        """'' after the job's end, what ended it before, or None where its process ended by itself."""
        while True:
            left = self.since + self.seconds - self._clock()
            ready = self.pipes.select(max(0.0, min(left, POLL_SECONDS)))
            for key, _ in ready:
                data = os.read(key.fd, 2**16)
                if not data:
                    self.pipes.unregister(key.fileobj)
                    if key.fd == self.answer:
                        return None
                elif key.fd != self.answer:
                    self.printed += data
                    if len(self.printed) > self.limits.printed:
                        return f"it printed more than {_bytes(self.limits.printed)}"
                elif (ended := self._hear(data)) is not None:
                    return ended
            if left <= 0:
                return f"it had not ended after {self.seconds:g} seconds"
            if not ready and self.child.poll() is not None:
                return None

    def _hear(self, data: bytes) -> str | None:
        """Take down what was said; '' where that was the job's end, what ended it, or None if it goes on.

        What does not begin with the token was not said by the job, but by the foreign code, which can write anywhere.
        """
        self.said += data
        lines: list[bytearray] = []
        if b"\n" in data:
            *lines, self.said = self.said.split(b"\n")
        for line in lines:
            if not line.startswith(self.token):
                return FORGED
            try:
                said = json.loads(line.removeprefix(self.token))
            except ValueError:
                return FORGED
            if "at" in said:
                self.during, self.seconds = said["at"]
                self.since = self._clock()
            elif "value" in said:
                self.values.append(said["value"])
            elif "raised" in said:
                _raise(**said["raised"])
            else:
                return f"it wanted more than {_bytes(self.limits.memory)} of memory" if said["end"] == "memory" else ""
        return FORGED if len(self.said) > MOST_SAID else None


def _how_it_ended(status: int) -> str:
    """In words."""
    if status >= 0:
        return f"it ended its process{STATUS}{status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return SIGNALS.get(name, name)


def _bytes(count: int) -> str:
    for size, unit in ((2**30, "GiB"), (2**20, "MiB")):
        if count >= size:
            return f"{count / size:g} {unit}"
    return f"{count} bytes"


def _raise(module: str, name: str, args: list[Any], state: dict[str, Any]) -> NoReturn:
    """Raise what the job raised, as the same class where that is Python's or tinycnn's."""
    known: Any = None
    if module == "builtins":
        known = getattr(builtins, name, None)
    elif module.partition(".")[0] == tinycnn.__name__:
        known = getattr(importlib.import_module(module), name, None)
    if not (isinstance(known, type) and issubclass(known, Exception)):
        raise JobError(f"{name}: {', '.join(map(str, args))}")
    error = known.__new__(known)
    error.args = tuple(args)
    error.__dict__.update(state)
    raise error


# ---------------------------------------------------------------- the child

_answer: Callable[..., None] | None = None


def tell(value: Any) -> None:
    """Say in a job what it would yield, where it cannot: in a call that foreign code makes, say."""
    assert _answer, "only a job tells"
    _answer(value=value)


def serve() -> NoReturn:
    """What the child does: reads its order, runs the job, and says what it yields, line by line."""
    orders = os.fdopen(int(sys.argv[1]))
    order = json.loads(orders.readline())
    threading.Thread(target=_end_with_the_parent, args=(orders,), daemon=True).start()
    limits = Limits(*order["limits"])
    module, _, name = order["job"].partition(":")
    job = getattr(importlib.import_module(module), name)
    _set_limits(limits)
    with os.fdopen(order["answer"], "w", encoding="utf-8") as answer:

        def say(**what: Any) -> None:
            answer.write(f"{order['token']}{json.dumps(what)}\n")
            answer.flush()

        global _answer
        _answer = say
        try:
            for value in job(**order["arguments"]):
                say(at=value) if isinstance(value, At) else say(value=value)
            say(end="")
        except MemoryError:
            say(end="memory")
        except Exception as error:
            say(raised=_described(error))
        os._exit(0)  # whatever threads or handlers the foreign code has left


def _end_with_the_parent(orders: IO[str]) -> None:
    """Wait for the end of the parent, however it comes, and end this process then, and what it has started."""
    with suppress(OSError):  # of foreign code that has closed what is not its own
        orders.read()
        os.killpg(0, signal.SIGKILL)


def _set_limits(limits: Limits) -> None:
    """Those that this system has."""
    import resource

    for kind, most in (("RLIMIT_AS", limits.memory), ("RLIMIT_FSIZE", limits.file), ("RLIMIT_CORE", 0)):
        try:
            number = getattr(resource, kind)
            hard = resource.getrlimit(number)[1]
            least = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(number, (least, least))
        except (AttributeError, ValueError, OSError):  # macOS knows the name of one, and refuses it
            pass


def _described(error: Exception) -> dict[str, Any]:
    """An exception as plain data: what JSON does not have as its text."""
    kept = json.loads(json.dumps({"args": error.args, "state": vars(error)}, default=str))
    return {"module": type(error).__module__, "name": type(error).__name__, **kept}
