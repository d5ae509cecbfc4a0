"""Gradients of operations of any shape, window, stride and padding, by finite differences.

The kernels' values for any shape are in test_products.py and test_layer_operations.py, against formulas; here it is
what `functional` makes of them: that padding, bias, ReLU and autograd lead to the derivative of what was computed.
"""

from helpers import one_hot, spaced
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from oracles import rng_of, seeds

from tinycnn import Tensor
from tinycnn import functional as F
from tinycnn.gradcheck.check import gradcheck

EXAMPLES = {"cpu": 2, "emulator": 3, "numba": 2}  # what is compiled for a shape, or simulated, takes long
EXAMPLES_ELSEWHERE = 15

sizes, channels = st.integers(1, 5), st.sampled_from([1, 2, 3, 4, 8])
windows = st.tuples(st.integers(1, 4), st.integers(1, 4))
strides = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.sampled_from(["valid", "same"])
activations = st.sampled_from([None, "relu"])


def check(device, draw_operation):
    """gradcheck of (function, arrays), as `draw_operation(draw, rng)` gives them, as often as the device allows."""

    # Shapes are small as they are drawn: to shrink those that fail takes minutes.
    @settings(max_examples=EXAMPLES.get(device.name, EXAMPLES_ELSEWHERE), phases=[Phase.generate])
    @given(data=st.data(), seed=seeds)
    def run(data, seed):
        function, arrays = draw_operation(data.draw, rng_of(seed))
        gradcheck(function, arrays, device=device)

    run()


def off_the_kink(rng, x_shape, w_shape):
    """[x, w, b] whose sums of products plus b are odd multiples of 1/32: none is near 0, where ReLU has its kink."""
    x, w = (rng.integers(-6, 7, shape) / 4 for shape in (x_shape, w_shape))
    return [x, w, (2 * rng.integers(-6, 7, w_shape[-1:]) + 1) / 32]


def image(draw, window=(1, 1), padding="same"):
    """(N, H, W, C) of images that the window fits into."""
    H, W = (draw(sizes) + (n - 1 if padding == "valid" else 0) for n in window)
    return draw(st.integers(1, 3)), H, W, draw(channels)


def test_convolution_of_any_shape(device):
    def operation(draw, rng):
        window, stride, padding, activation = draw(windows), draw(strides), draw(paddings), draw(activations)
        x_shape = image(draw, window, padding)
        x, w, b = off_the_kink(rng, x_shape, (*window, x_shape[3], draw(st.integers(1, 5))))
        if activation or draw(st.booleans()):
            return lambda x, w, b: F.conv2d(x, w, b, stride, padding, activation), [x, w, b]
        return lambda x, w: F.conv2d(x, w, None, stride, padding), [x, w]

    check(device, operation)


def test_one_by_one_convolution_of_any_shape(device):
    def operation(draw, rng):
        x_shape, activation = image(draw), draw(activations)
        arrays = off_the_kink(rng, x_shape, (1, 1, x_shape[3], draw(channels)))
        return lambda x, w, b: F.conv1x1(x, w, b, activation), arrays

    check(device, operation)


def test_dense_of_any_shape(device):
    def operation(draw, rng):
        inputs, activation = draw(st.integers(1, 20)), draw(activations)
        arrays = off_the_kink(rng, (draw(sizes), inputs), (inputs, draw(st.integers(1, 12))))
        return lambda x, w, b: F.dense(x, w, b, activation), arrays

    check(device, operation)


def test_pooling_of_any_shape(device):
    def operation(draw, rng):
        window, stride, padding = draw(windows), draw(strides), draw(paddings)
        pool = draw(st.sampled_from([F.maxpool2d, F.avgpool2d]))
        return lambda x: pool(x, window, stride, padding), [spaced(rng, *image(draw, window, padding))]

    check(device, operation)


def test_batch_normalisation_of_any_shape(device):
    def operation(draw, rng):
        training, C = draw(st.booleans()), (draw(channels),)
        shape = (*draw(st.sampled_from([(2,), (7,), (1, 1, 3), (2, 3, 1), (3, 4, 5)])), *C)
        mean, variance = rng.standard_normal(C), rng.uniform(0.5, 2, C)

        def function(x, gamma, beta):
            moving = [Tensor(values, device=x.device) for values in (mean, variance)]
            return F.batchnorm(x, gamma, beta, *moving, training)

        return function, [spaced(rng, *shape), rng.standard_normal(C), rng.standard_normal(C)]

    check(device, operation)


def test_softmax_and_its_loss_of_any_shape(device):
    def operation(draw, rng):
        N, K = draw(sizes), draw(st.integers(1, 40))
        if draw(st.booleans()):
            return F.softmax, [rng.standard_normal((N, K))]
        labels = 0.75 * one_hot(rng.integers(0, K, N), K) + 0.25 / K
        return lambda logits: F.softmax_crossentropy(logits, labels)[0], [rng.standard_normal((N, K))]

    check(device, operation)


def test_concatenate_of_any_shapes(device):
    def operation(draw, rng):
        lead = draw(st.sampled_from([(3,), (2, 3, 1), (1, 2, 4)]))
        parts = draw(st.lists(channels, min_size=1, max_size=4))
        return lambda *parts: F.concatenate(parts), [rng.standard_normal((*lead, C)) for C in parts]

    check(device, operation)
