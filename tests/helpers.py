"""What several test files share: inputs and comparisons."""

import math

import numpy as np

from tinycnn.gradcheck.check import gradcheck, largest, rounding

# For a process that is to be interrupted: what a shell runs in the background ignores Ctrl-C, as does what that starts.
LISTEN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


def normal(rng, *shape):
    """Standard normal numbers that float32 holds exactly, as float64."""
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def spaced(rng, *shape):
    """A random order of numbers 1/8 apart, none nearer to 0 than 1/16: no small step crosses a kink."""
    n = math.prod(shape)
    return ((rng.permutation(n) - n // 2 + 0.5) / 8).reshape(shape)


def one_hot(labels, classes):
    return np.eye(classes)[np.asarray(labels)]


def images(rng, count, height=8, width=8, channels=1, classes=3):
    """A toy data set that can be learnt: noise, brighter in the columns of the class. (x, one-hot y), float32."""
    labels = np.arange(count) % classes
    x = rng.uniform(0, 0.3, (count, height, width, channels))
    band = width // classes
    for image, label in zip(x, labels, strict=True):
        image[:, label * band : (label + 1) * band] += 0.7
    return x.astype(np.float32), one_hot(labels, classes).astype(np.float32)


def same_padding(shape, window, stride):
    """((top, bottom), (left, right)) of padding='same', from the definition: the fewest pixels that give every
    output, ceil(n / stride) of them, a whole window."""
    pads = []
    for n, k, step in zip(shape[1:3], window, stride, strict=True):
        total = 0
        while (n + total - k) // step + 1 < math.ceil(n / step) or n + total < k:
            total += 1
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def padding_of(kind, shape, window, stride):
    return same_padding(shape, window, stride) if kind == "same" else ((0, 0), (0, 0))


def assert_close(got, want, length=1, scale=None, factor=8):
    """`got`, in its own precision, against the float64 `want`.

    The tolerance grows with the root of the reduction's length; scale is the size of the numbers (the largest
    of `want`, at least 1, if None). Written so that NaN fails.
    """
    got, want = np.asarray(got), np.asarray(want, dtype=np.float64)
    assert got.shape == want.shape
    scale = largest(want) if scale is None else scale
    tolerance = rounding(got.dtype, length, scale, factor)
    difference = np.abs(got.astype(np.float64) - want)
    worst = float(difference.max(initial=0)) if np.isfinite(difference).all() else math.nan
    assert worst <= tolerance, f"differs by {worst:.3g}, more than {tolerance:.3g} (length {length}, scale {scale:.3g})"


def assert_same_bits(got, want):
    """Equal to the last bit: NaN equals NaN, -0 differs from 0."""
    got, want = np.ascontiguousarray(got), np.ascontiguousarray(want)
    assert got.shape == want.shape and got.dtype == want.dtype
    assert got.tobytes() == want.tobytes()


def assert_same_weights(one, other):
    for got, want in zip(one.get_weights(), other.get_weights(), strict=True):
        assert_same_bits(got, want)


def check_gradients(function, *arrays, device="reference"):
    """Every gradient of `function` on `device`, by gradcheck."""
    gradcheck(function, arrays, device=device)
