"""A benchmark's time: what there is in order of importance, for as long as it fits, and what was left out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from statistics import median_low
from typing import TypeVar

Item = TypeVar("Item")


class Budget:
    """So many seconds from now on, or no end of them (None).

    rehearsal: nothing is measured, and every item takes the time that it is estimated to take.
    """

    def __init__(self, seconds: float | None = None, rehearsal: bool = False):
        self.seconds, self.rehearsal = seconds, rehearsal
        self.began, self.rehearsed = time.perf_counter(), 0.0
        self.left_out: list[str] = []

    @property
    def limited(self) -> bool:
        return self.seconds is not None

    def elapsed(self) -> float:
        return self.rehearsed if self.rehearsal else time.perf_counter() - self.began

    def left(self) -> float:
        """Seconds; infinite where there is no budget."""
        return float("inf") if self.seconds is None else self.seconds - self.elapsed()

    def fits(self, seconds: float) -> bool:
        return seconds <= self.left()

    def spend(self, seconds: float) -> None:
        """In a rehearsal, let so much time pass."""
        self.rehearsed += seconds

    def leave_out(self, what: str) -> None:
        self.left_out.append(what)

    def within(
        self, items: Iterable[Item], name: Callable[[Item], str], estimate: Callable[[Item], float]
    ) -> Iterator[Item]:
        """Those of the items that fit, in their order; the others' names go to `left_out`.

        estimate: an item's seconds. It is corrected by how long the items before took: by the lower median of these
        ratios, so that a first one that compiles does not speak for all.
        """
        ratios = [1.0]
        for item in items:
            if not self.fits(estimate(item) * median_low(ratios)):
                self.leave_out(name(item))
                continue
            before = self.elapsed()
            yield item
            self.spend(estimate(item))
            ratios.append((self.elapsed() - before) / estimate(item))

    def report(self) -> str:
        """One line on what was left out, or an empty string."""
        if not self.left_out:
            return ""
        some = "; ".join(self.left_out[:12])
        more = f"; and {len(self.left_out) - 12} more" if len(self.left_out) > 12 else ""
        return f"left out, for {self.seconds:g} s are too short ({len(self.left_out)}): {some}{more}"


def add_option(parser: argparse.ArgumentParser, what: str = "rows") -> None:
    """--budget SECONDS"""
    text = f"take about so many seconds: {what} in order of importance, the rest is left out and named"
    parser.add_argument("--budget", type=positive, metavar="SECONDS", help=text)


def positive(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return seconds
