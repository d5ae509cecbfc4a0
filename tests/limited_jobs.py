"""Jobs for test_limited.py: generators that a child process runs by name."""

import os
import signal
import sys
import threading
import time

from tinycnn import emulator
from tinycnn.limited import At


def countdown(first):
    yield from range(first, -1, -1)


def at_something(what):
    yield "before"
    yield At(what, 0.3)
    yield from {"sleeping": sleep, "eating": eat, "flooding": flood, "leaving": leave, "crashing": crash}[what]()


def sleep():
    time.sleep(3600)
    yield "never"


def eat():
    kept = []
    while True:
        kept.append(bytearray(2**26))
        yield At("eating", 20)


def flood():
    yield At("flooding", 20)
    while True:
        os.write(1, b"flood\n" * 1000)


def leave():
    sys.exit(0)
    yield


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)
    yield


def write(path, size):
    with open(path, "wb") as file:
        file.write(bytes(size))
    yield "written"


def fail(kind):
    raise {"build": emulator.BuildError("x.cu does not build:", "line 1: error: no"), "value": ValueError("no such")}[
        kind
    ]
    yield


def raise_of_its_own():
    class Odd(Exception):
        pass

    raise Odd("odd")
    yield


def with_a_child_that_stays():
    """Which holds all pipes open after its parent's end."""
    child = os.fork()
    if child == 0:
        time.sleep(3600)
    yield child
    os._exit(3)


def stay():
    print(os.getpid(), flush=True)
    yield At("staying", 3600)
    time.sleep(3600)


def with_a_thread_that_stays():
    threading.Thread(target=time.sleep, args=(3600,)).start()
    yield "done"


def talk():
    print("printed", flush=True)
    print("on both", file=sys.stderr, flush=True)
    yield [sys.stdin.read()]


def write_everywhere(text, times):
    """As foreign code may that wants to answer in the job's place."""
    yield "before"
    for descriptor in map(int, os.listdir("/dev/fd")):  # the answer's has the number that was free in the parent
        try:
            for _ in range(times if descriptor > 2 else 0):
                os.write(descriptor, text.encode())
        except OSError:
            pass
    yield "after"
