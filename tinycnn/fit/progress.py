"""The progress bar of an epoch: images/s, loss, accuracy and the time left; silent where there is no terminal."""

import time

REFRESH_SECONDS = 0.2  # reading the loss waits for the device, so it is read no more often than an eye can follow


class Progress:
    """A bar over `count` images, used as a context: `with Progress(...) as p: p.advance(128, read_means)`."""

    def __init__(self, verbose, epoch, epochs, count):
        self.verbose, self.title, self.count = verbose, f"Epoch {epoch + 1}/{epochs}", count
        self.bar = None

    def __enter__(self):
        if self.verbose == 1:
            from tqdm import tqdm

            # disable=None: off where stderr is not a terminal.
            self.bar = tqdm(total=self.count, desc=self.title, unit=" images", leave=False, disable=None)
            self.shown = time.monotonic()
        return self

    def advance(self, images, means):
        """Another batch is done. `means` is called for (loss, accuracy) when the bar is drawn again."""
        if self.bar is None or self.bar.disable:
            return
        self.bar.update(images)
        if time.monotonic() - self.shown >= REFRESH_SECONDS:
            loss, accuracy = means()
            self.bar.set_postfix_str(f"loss {loss:.4f}, acc {accuracy:.4f}")
            self.shown = time.monotonic()

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.close()
