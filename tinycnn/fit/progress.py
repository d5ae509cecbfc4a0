"""The progress bar of an epoch: images/s, loss, accuracy and the time left; silent where there is no terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

REFRESH_SECONDS = 0.2  # reading the loss waits for the device, so it is read no more often than an eye can follow


class Progress:
    """A bar over `count` images, or over so many batches where their images are not counted (None).

    Used as a context: `with Progress(...) as p: p.advance(128, read_means)`.
    """

    nothing = nullcontext()

    def __init__(self, verbose: int, epoch: int, epochs: int, count: int | None, batches: int = 0):
        self.verbose, self.title, self.count, self.batches = verbose, f"Epoch {epoch + 1}/{epochs}", count, batches
        self.bar: Any = None
        self.compiled_images, self.compiling_seconds, self.done = 0, 0.0, 0

    def __enter__(self) -> Progress:
        if self.verbose == 1:
            from tqdm import tqdm

            # disable=None: off where stderr is not a terminal.
            total, unit = (self.batches, " batches") if self.count is None else (self.count, " images")
            self.bar = tqdm(total=total, desc=self.title, unit=unit, leave=False, disable=None)
            self.shown = time.monotonic()
        return self

    @contextmanager
    def compiling(self, images: int) -> Iterator[None]:
        """Around the first batch of its size, for which kernels are compiled: it is left out of the speed."""
        if self.bar is not None and not self.bar.disable:
            self.bar.set_postfix_str("compiling")
        self.compiling_began = time.perf_counter()
        yield
        self.compiling_seconds += time.perf_counter() - self.compiling_began
        self.compiled_images += images

    def advance(self, images: int, means: Callable[[], tuple[float, ...]]) -> None:
        """Another batch is done. `means` is called for (loss, accuracy, ...) when the bar is drawn again."""
        self.done += images
        if self.bar is None or self.bar.disable:
            return
        self.bar.update(1 if self.count is None else images)
        if time.monotonic() - self.shown >= REFRESH_SECONDS:
            loss, accuracy, *_ = means()
            is_measured = not math.isnan(accuracy)
            self.bar.set_postfix_str(f"loss {loss:.4f}" + (f", acc {accuracy:.4f}" if is_measured else ""))
            self.shown = time.monotonic()

    def speed(self, seconds: float) -> float:
        """Images a second of an epoch that took so long, first batches aside where there were others."""
        if 0 < self.compiled_images < self.done:
            return (self.done - self.compiled_images) / max(seconds - self.compiling_seconds, 1e-9)
        return self.done / max(seconds, 1e-9)

    def __exit__(self, *error: Any) -> None:
        if self.bar is not None:
            self.bar.close()
