"""What operations and networks do with gradients that no single case of test_cases.py shows: kinks, refusals, networks
of every layer."""

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, images, normal, one_hot

import tinycnn
from tinycnn import Tensor, layers
from tinycnn import functional as F
from tinycnn.devices.base import Mask
from tinycnn.gradcheck.check import ATOL, EPS, RTOL, differences
from tinycnn.losses import logits_of
from tinycnn.models import Model
from tinycnn.shapes import ShapeError


def rng_of(*seed):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------- what finite differences do not tell


def test_the_gradient_of_equal_maxima_goes_to_the_first(device):
    x = Tensor(np.zeros((1, 4, 4, 1)), requires_grad=True)
    upstream = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 2, 2, 1)
    F.maxpool2d(x).backward(upstream)
    want = np.zeros((1, 4, 4, 1))
    want[0, ::2, ::2] = upstream[0]
    assert np.array_equal(x.grad.numpy(), want)


def test_batch_normalisation_moves_its_statistics_in_training_only(device):
    rng = rng_of(10)
    x, gamma, beta = Tensor(normal(rng, 6, 3) + 2), Tensor(np.ones(3)), Tensor(np.zeros(3))
    mean, variance = Tensor(np.zeros(3)), Tensor(np.ones(3))
    F.batchnorm(x, gamma, beta, mean, variance, training=False)
    assert not mean.numpy().any() and (variance.numpy() == 1).all()
    F.batchnorm(x, gamma, beta, mean, variance, training=True, momentum=0.75)
    batch = x.numpy().astype(np.float64)
    assert_close(mean.numpy(), 0.25 * batch.mean(axis=0))
    assert_close(variance.numpy(), 0.75 + 0.25 * batch.var(axis=0))


def test_dropout_of_rate_zero_is_the_identity_and_one_is_refused(device):
    x = Tensor(np.ones(3))
    assert F.dropout(x, 0, 1, 2, None) is x
    with pytest.raises(ValueError, match=r"\[0, 1\)"):
        F.dropout(x, 1.0, 1, 2, None)


def test_a_mask_of_rate_zero_behind_batch_normalisation_is_none_and_one_is_refused(device):
    x, parameters = Tensor(normal(rng_of(11), 6, 3)), [Tensor(np.full(3, value)) for value in (1.0, 2.0, 0.0, 1.0)]
    plain = F.batchnorm(x, *parameters, training=True)
    assert_same_bits(F.batchnorm(x, *parameters, True, mask=Mask(0.0, 1, 2, None)).numpy(), plain.numpy())
    for training in (True, False):
        with pytest.raises(ValueError, match=r"\[0, 1\)"):
            F.batchnorm(x, *parameters, training, mask=Mask(1.0, 1, 2, None))


@pytest.mark.parametrize("as_tensor", [True, False])
def test_anything_to_the_power_of_zero_has_no_slope_not_even_zero(device, as_tensor):
    x = Tensor(np.array([-2.0, 0.0, 3.0]), requires_grad=True)
    exponent = Tensor(np.zeros(3)) if as_tensor else 0
    (x**exponent).backward(np.array([1.0, 2.0, 3.0]))
    assert x.grad.numpy().tolist() == [0, 0, 0]


def test_zero_to_a_power_does_not_change_with_the_power(device):
    powers = Tensor(np.array([0.0, 1.0, 2.0]), requires_grad=True)
    (Tensor(np.zeros(3)) ** powers).backward(np.ones(3))
    assert powers.grad.numpy().tolist() == [0, 0, 0]


def test_flatten_reads_row_by_row(device):
    x = normal(rng_of(14), 2, 3, 4, 3)
    assert np.array_equal(F.flatten(Tensor(x)).numpy(), x.reshape(2, 36).astype(device.dtype))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda t: F.conv2d(t(2, 5, 5), t(3, 3, 1, 2)), r"images.*\(2, 5, 5\)"),
        (lambda t: F.conv2d(t(2, 5, 5, 1), t(3, 3, 2)), r"filters.*\(3, 3, 2\)"),
        (lambda t: F.conv2d(t(2, 5, 5, 3), t(3, 3, 1, 2)), "3 channels.*want 1"),
        (lambda t: F.conv2d(t(2, 5, 5, 1), t(3, 3, 1, 2), t(3)), r"bias of shape \(2,\)"),
        (lambda t: F.conv2d(t(2, 2, 5, 1), t(3, 3, 1, 2)), "subtracting 3 from 2"),
        (lambda t: F.conv2d(t(2, 5, 5, 1), t(3, 3, 1, 2), stride=0), "at least 1"),
        (lambda t: F.conv2d(t(2, 5, 5, 1), t(3, 3, 1, 2), padding="full"), "'valid' or 'same'"),
        (lambda t: F.conv2d(t(2, 5, 5, 1), t(3, 3, 1, 2), activation="swish"), "swish"),
        (lambda t: F.conv1x1(t(2, 5, 5, 1), t(3, 3, 1, 2)), r"\(1, 1, C, K\)"),
        (lambda t: F.dense(t(5), t(5, 2)), r"\(N, inputs\), not \(5,\)"),
        (lambda t: F.dense(t(2, 3, 5), t(3, 2)), r"\(2, 3, 5\).*\(3, 2\)"),
        (lambda t: F.dense(t(2, 5), t(4, 2)), r"\(2, 5\).*\(4, 2\)"),
        (lambda t: F.dense(t(2, 5), t(5, 2), t(5)), r"bias of shape \(2,\)"),
        (lambda t: F.maxpool2d(t(2, 5, 5)), r"\(2, 5, 5\)"),
        (lambda t: F.maxpool2d(t(2, 1, 5, 1)), "subtracting 2 from 1"),
        (lambda t: F.avgpool2d(t(2, 5, 5)), r"\(2, 5, 5\)"),
        (lambda t: F.avgpool2d(t(2, 1, 5, 1)), "subtracting 2 from 1"),
        (lambda t: F.globalavgpool2d(t(2, 5)), r"\(2, 5\)"),
        (lambda t: F.globalmaxpool2d(t(2, 5)), r"\(2, 5\)"),
        (lambda t: F.add([t(2, 3), t(3, 2)]), r"\(2, 3\).*\(3, 2\)"),
        (lambda t: F.add([t(2, 3)]), "two or more"),
        (lambda t: F.batchnorm(t(2, 3), t(3), t(3), t(3), t(2), True), r"\(3,\), not \(2,\)"),
        (lambda t: F.softmax(t(3)), r"\(3,\)"),
        (lambda t: F.elu(t(3), -0.1), "elu: alpha.*-0.1"),
        (lambda t: F.zeropad2d(t(2, 5, 5), ((1, 1), (1, 1))), r"\(2, 5, 5\)"),
        (lambda t: F.zeropad2d(t(2, 5, 5, 1), ((1, -1), (1, 1))), "negative"),
        (lambda t: F.upsample2d(t(2, 5, 5)), r"\(2, 5, 5\)"),
        (lambda t: F.upsample2d(t(2, 5, 5, 1), 0), "size must be at least 1"),
        (lambda t: F.conv2d_transpose(t(2, 5, 1), t(3, 3, 2, 1)), r"\(2, 5, 1\)"),
        (lambda t: F.conv2d_transpose(t(2, 5, 5, 1), t(3, 3, 1, 2)), r"1 channels, filters \(3, 3, 1, 2\) want 2"),
        (lambda t: F.conv2d_transpose(t(2, 5, 5, 1), t(3, 3, 2, 1), t(3)), r"bias of shape \(2,\)"),
        (lambda t: F.conv2d_transpose(t(2, 5, 5, 1), t(3, 3, 2, 1), padding="full"), "'valid' or 'same', not 'full'"),
        (lambda t: F.conv2d_transpose(t(2, 5, 5, 1), t(3, 3, 2, 1), activation="swish"), "not 'swish'"),
        (lambda t: F.softmax_crossentropy(t(2, 3), t(2, 4)), r"\(2, 3\).*\(2, 4\)"),
        (lambda t: F.concatenate([t(2, 3, 1), t(2, 4, 1)]), r"\(2, 4, 1\)"),
        (lambda t: F.concatenate([]), "concatenate"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_name(float64, call, message):
    with pytest.raises(ValueError, match=message):
        call(lambda *shape: Tensor(np.zeros(shape)))


def test_a_shape_error_is_a_value_error():
    assert issubclass(ShapeError, ValueError)


# ---------------------------------------------------------------- whole networks


def plain_network():
    """Every kind of layer in a row, and a branch."""
    x = layers.Input(shape=(8, 7, 2))
    y = layers.Conv2D(3, (3, 2), padding="same", activation="relu")(x)
    y = layers.BatchNormalization()(y)
    y = layers.MaxPooling2D(2, strides=1, padding="same")(y)
    left = layers.Conv2D(2, (3, 3), strides=(2, 1))(y)
    right = layers.MaxPooling2D((3, 3), strides=(2, 1))(layers.Conv2D(2, 1)(y))
    y = layers.Concatenate()([left, right])
    y = layers.Dropout(0.25)(layers.Activation("relu")(y))
    y = layers.Dense(7, activation="relu")(layers.Flatten()(y))
    return Model(x, layers.Dense(3, activation="softmax")(layers.Dropout(0.5)(y)))


def deep_network():
    """Convolution, batch norm and pooling three times, and no dense layer."""
    x = layers.Input(shape=(9, 9, 1))
    y = x
    for filters in (2, 3):
        y = layers.Activation("relu")(layers.BatchNormalization()(layers.Conv2D(filters, 3, use_bias=False)(y)))
    y = layers.MaxPooling2D(2)(y)
    y = layers.Conv2D(3, 2, strides=1)(y)
    return Model(x, layers.Activation("softmax")(layers.Flatten()(y)))


def learnt(build, device, values=None):
    """A network on `device`, its weights `values` or moved off their starting values."""
    with tinycnn.use_device(device.name, device.dtype):
        model = build()
    if values is None:
        rng = rng_of(15)
        values = [np.float32(w + 0.25 * normal(rng, *w.shape)) for w in model.get_weights()]
        values = [
            np.abs(v) + 0.5 if "moving_variance" in name else v for v, name in zip(values, names(model), strict=True)
        ]
    model.set_weights(values)
    return model, values


def names(model):
    return [name for layer in model.layers for name in layer.parameters]


def loss_and_gradients(model, x, y, training):
    """The loss at the model's first training step, and the gradient of every parameter and of the images."""
    model.device.assign(model.step, np.zeros(1, np.int64))
    inputs = Tensor(x, requires_grad=True, device=model.device)
    loss = F.softmax_crossentropy(logits_of(model(inputs, training)), Tensor(y, device=model.device))[0]
    loss.backward()
    parameters = [w.grad.numpy() for w in model.trainable_weights]
    for w in model.trainable_weights:
        w.zero_grad()
    return loss.item(), [*parameters, inputs.grad.numpy()]


def outcome(build, size):
    """Random images of this size, and one-hot labels."""
    rng = rng_of(16)
    classes = build().output.extents[0]
    return normal(rng, *size), one_hot(rng.integers(0, classes, size[0]), classes)


NETWORKS = {"branches": (plain_network, (3, 8, 7, 2)), "batch norm": (deep_network, (4, 9, 9, 1))}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_of_whole_networks_to_every_parameter(float64, network, training):
    build, size = NETWORKS[network]
    model, values = learnt(build, float64)
    x, y = outcome(build, size)
    _, exact = loss_and_gradients(model, x, y, training)
    trainable = model.trainable_weights

    def function(*arguments):
        """The loss as a function of every parameter; the moving statistics go back to where they were."""
        model.set_weights(values)
        for w, value in zip(trainable, arguments[:-1], strict=True):
            float64.assign(w.data, value.numpy())
        float64.assign(model.step, np.zeros(1, np.int64))
        return F.softmax_crossentropy(logits_of(model(arguments[-1], training)), y)[0]

    held = [np.array(w.numpy(), dtype=np.float64) for w in trainable]
    moved = {str(i): a for i, a in enumerate([*held, np.array(x)])}

    def loss():
        with tinycnn.no_grad():
            return function(*map(Tensor, moved.values())).numpy().copy()

    estimate = differences("the loss", loss, moved, loss(), np.ones(1), EPS, (ATOL, RTOL))
    for gradient, (want, _) in zip(exact, estimate, strict=True):
        assert np.abs(gradient).max() > 0
        np.testing.assert_allclose(gradient, want, rtol=1e-4, atol=1e-6, equal_nan=False)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_s_gradients_are_those_of_the_reference(device, network, training):
    build, size = NETWORKS[network]
    x, y = outcome(build, size)
    tinycnn.set_random_seed(0)
    exact, values = learnt(build, tinycnn.get_device("reference", "float64"))
    tinycnn.set_random_seed(0)  # the same streams, so the same dropout masks
    model, _ = learnt(build, device, values)
    want_loss, want = loss_and_gradients(exact, x, y, training)
    loss, got = loss_and_gradients(model, x, y, training)
    assert_close(np.array(loss, dtype=device.dtype), want_loss, 100)
    for gradient, right in zip(got, want, strict=True):
        assert_close(gradient, right, 500)
    for weight, right in zip(model.non_trainable_weights, exact.non_trainable_weights, strict=True):
        assert_close(weight.numpy(), right.numpy(), 100)


def test_a_zero_upstream_gives_zero_gradients_everywhere(device):
    model, _ = learnt(plain_network, device)
    x, y = outcome(plain_network, (3, 8, 7, 2))
    inputs = Tensor(x, requires_grad=True)
    model(inputs, training=True).backward(np.zeros((3, 3)))
    for tensor in [*model.trainable_weights, inputs]:
        assert not tensor.grad.numpy().any()


def test_two_backward_passes_add_up(device):
    model, _ = learnt(deep_network, device)
    x, y = outcome(deep_network, (4, 9, 9, 1))
    _, once = loss_and_gradients(model, x, y, False)
    for _ in range(2):
        F.softmax_crossentropy(logits_of(model(x)), y)[0].backward()
    for weight, gradient in zip(model.trainable_weights, once, strict=False):
        assert np.array_equal(weight.grad.numpy(), gradient + gradient)


def test_images_that_no_gradient_is_wanted_for_get_none(device):
    model, _ = learnt(deep_network, device)
    x, _ = images(rng_of(17), 2, 9, 9)
    inputs = Tensor(x)
    model(inputs, training=True).sum().backward()
    assert inputs.grad is None
