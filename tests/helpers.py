"""What several test files share: inputs, comparisons and the finite differences."""

import math

import numpy as np

import tinycnn
from tinycnn import Tensor


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
    epsilon = np.finfo(got.dtype).eps
    if scale is None:
        scale = max(1.0, float(np.abs(want).max(initial=0)))
    tolerance = factor * math.sqrt(length) * epsilon * scale
    difference = np.abs(got.astype(np.float64) - want)
    worst = float(difference.max(initial=0)) if np.isfinite(difference).all() else math.nan
    assert worst <= tolerance, f"differs by {worst:.3g}, more than {tolerance:.3g} (length {length}, scale {scale:.3g})"


def assert_same_bits(got, want):
    """Equal to the last bit: NaN equals NaN, -0 differs from 0."""
    got, want = np.ascontiguousarray(got), np.ascontiguousarray(want)
    assert got.shape == want.shape and got.dtype == want.dtype
    assert got.tobytes() == want.tobytes()


def gradients(function, arrays, upstream, device):
    """The gradient of every argument of `function`, a function of tensors, for this upstream."""
    tensors = [Tensor(array.copy(), requires_grad=True, device=device) for array in arrays]
    function(*tensors).backward(upstream)
    return [t.grad.numpy() for t in tensors]


def finite_differences(function, arrays, upstream, epsilon=1e-6):
    """The same by central differences in float64 on the reference device."""
    device = tinycnn.get_device("reference", "float64")

    def value(values):
        with tinycnn.no_grad():
            return float((function(*(Tensor(v, device=device) for v in values)).numpy() * upstream).sum())

    result = []
    for i, array in enumerate(arrays):
        gradient = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            sides = []
            for sign in (1, -1):
                moved = [np.array(a, dtype=np.float64) for a in arrays]
                moved[i][place] += sign * epsilon
                sides.append(value(moved))
            gradient[place] = (sides[0] - sides[1]) / (2 * epsilon)
        result.append(gradient)
    return result


def check_gradients(function, *arrays, device=None, length=1):
    """Every gradient of `function` for a random upstream: on the reference device in float64 against finite
    differences, and on `device` against that."""
    reference = tinycnn.get_device("reference", "float64")
    with tinycnn.no_grad():
        shape = function(*(Tensor(a, device=reference) for a in arrays)).shape
    upstream = normal(np.random.default_rng(99), *shape)
    exact = gradients(function, arrays, upstream, reference)
    for gradient, estimate in zip(exact, finite_differences(function, arrays, upstream), strict=True):
        np.testing.assert_allclose(gradient, estimate, rtol=1e-4, atol=1e-6, equal_nan=False)
    if device is not None and device is not reference:
        for gradient, want in zip(gradients(function, arrays, upstream, device), exact, strict=True):
            assert_close(gradient, want, length)
