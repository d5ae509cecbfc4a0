"""`keras.backend`: functions and gradients of layers' outputs, beside NumPy and finite differences."""

import numpy as np
import pytest
from helpers import assert_close, normal
from small_trainings import network

import tinycnn
from tinycnn import Tensor, optimizers, session
from tinycnn import backend as K
from tinycnn import functional as F
from tinycnn.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, Lambda
from tinycnn.models import Model, Sequential


def small():
    return Sequential(
        [Conv2D(3, 3, activation="relu", input_shape=(6, 6, 1)), Flatten(), Dense(4, activation="softmax")]
    )


RNG = np.random.default_rng(0)
A, B = normal(RNG, 3, 4), normal(RNG, 3, 4)
CASES = {
    "sum": (lambda: K.sum(A, axis=1), A.sum(1)),
    "mean": (lambda: K.mean(A, axis=-1, keepdims=True), A.mean(-1, keepdims=True)),
    "max": (lambda: K.max(A, axis=0), A.max(0)),
    "min": (lambda: K.min(A), A.min()),
    "var": (lambda: K.var(A, axis=[0]), A.var(0)),
    "std": (lambda: K.std(A), A.std()),
    "square": (lambda: K.square(A), A * A),
    "sqrt": (lambda: K.sqrt(A), np.sqrt(np.maximum(A, 0))),
    "exp": (lambda: K.exp(A), np.exp(A)),
    "log": (lambda: K.log(A * A), np.log(A * A)),
    "pow": (lambda: K.pow(A, 3.0), A**3),
    "sign": (lambda: K.sign(A), np.sign(A)),
    "abs": (lambda: K.abs(A), abs(A)),
    "maximum": (lambda: K.maximum(A, B), np.maximum(A, B)),
    "minimum": (lambda: K.minimum(A, 0.5), np.minimum(A, 0.5)),
    "clip": (lambda: K.clip(A, -0.5, 0.5), A.clip(-0.5, 0.5)),
    "relu": (lambda: K.relu(A), A.clip(0)),
    "sigmoid": (lambda: K.sigmoid(A), 1 / (1 + np.exp(-A))),
    "tanh": (lambda: K.tanh(A), np.tanh(A)),
    "softmax": (lambda: K.softmax(A), np.exp(A) / np.exp(A).sum(-1, keepdims=True)),
    "l2_normalize": (lambda: K.l2_normalize(A, axis=1), A / np.sqrt((A * A).sum(1, keepdims=True))),
    "any": (lambda: K.any(A > 1, axis=1), (A > 1).any(1)),
    "all": (lambda: K.all(A < 1, axis=0), (A < 1).all(0)),
    "argmax": (lambda: K.argmax(A), A.argmax(-1)),
    "argmin": (lambda: K.argmin(A, axis=0), A.argmin(0)),
    "argmax of equal ones": (lambda: K.argmax(A > 0.1, axis=1), (A > 0.1).argmax(1)),
    "logsumexp": (lambda: K.logsumexp(A, axis=1), np.log(np.exp(A).sum(1))),
    "round": (lambda: K.round([[0.5, 1.5, -0.5, 2.4999], [-2.5, 1e9, 3.0, -7.51]]), [[0, 2, 0, 2], [-2, 1e9, 3, -8]]),
    "elu": (lambda: K.elu(A), np.where(A > 0, A, np.exp(A) - 1)),
    "softplus": (lambda: K.softplus(A), np.log1p(np.exp(A))),
    "one_hot": (lambda: K.one_hot([2, 0], 3), [[0, 0, 1], [1, 0, 0]]),
    "greater_equal": (lambda: K.greater_equal(A, A.clip(0)), A >= 0),
    "less_equal": (lambda: K.less_equal(A, A.clip(0)), np.ones((3, 4))),
    "not_equal": (lambda: K.not_equal(A, A.clip(0)), A < 0),
    "equal": (lambda: K.equal(A, A.clip(0)), A > 0),
    "greater": (lambda: K.greater(A, B), A > B),
    "less": (lambda: K.less(A, B), A < B),
    "dot": (lambda: K.dot(A, B.T.copy()), A @ B.T),
    "transpose": (lambda: K.transpose(A), A.T),
    "permute_dimensions": (lambda: K.permute_dimensions(A, (1, 0)), A.T),
    "reshape": (lambda: K.reshape(A, (2, -1)), A.reshape(2, -1)),
    "flatten": (lambda: K.flatten(A), A.ravel()),
    "expand_dims": (lambda: K.expand_dims(A, 1), A[:, None]),
    "squeeze": (lambda: K.squeeze(A[:, None], 1), A),
    "concatenate": (lambda: K.concatenate([A, B]), np.concatenate([A, B], -1)),
    "zeros_like": (lambda: K.zeros_like(A), np.zeros((3, 4))),
    "ones_like": (lambda: K.ones_like(A), np.ones((3, 4))),
    "batch_flatten": (lambda: K.batch_flatten(A[:, :, None]), A),
}


INF = np.inf
FAR = np.array([[-INF, 0.0, INF, np.nan, -1e30, 2.0]])
OF_INFINITIES = {
    "maximum": (lambda: K.maximum(FAR, -100.0), np.maximum(FAR, -100)),
    "maximum, the other way": (lambda: K.maximum(-100.0, FAR), np.maximum(-100, FAR)),
    "minimum": (lambda: K.minimum(FAR, 1.0), np.minimum(FAR, 1)),
    "clip": (lambda: K.clip(FAR, -1.0, 1.0), FAR.clip(-1, 1)),
    "round": (lambda: K.round(FAR), np.round(FAR)),
    "abs": (lambda: K.abs(FAR), abs(FAR)),
    "relu": (lambda: K.maximum(K.log(np.zeros(1)), -100.0), [-100.0]),
}


@pytest.mark.parametrize("name", OF_INFINITIES)
def test_infinities_and_nan_are_numpy_s(name, device):
    made, wanted = OF_INFINITIES[name]
    np.testing.assert_allclose(made().numpy(), wanted)


def test_cross_entropies_of_logits_are_not_clipped(float64):
    """A sample that is badly wrong has its loss, and a slope to learn by."""
    logits = Tensor(np.array([[-40.0]]), requires_grad=True)
    loss = K.binary_crossentropy(np.ones((1, 1)), logits, from_logits=True)
    loss.sum().backward()
    assert loss.item() == pytest.approx(40, abs=1e-9) and logits.grad.item() == pytest.approx(-1)
    logits = Tensor(np.array([[0.0, 100.0]]), requires_grad=True)
    for function, target in ((K.categorical_crossentropy, [[1.0, 0.0]]), (K.sparse_categorical_crossentropy, [[0.0]])):
        logits.zero_grad()
        loss = function(np.array(target), logits, from_logits=True)
        loss.sum().backward()
        assert loss.item() == pytest.approx(100) and np.allclose(logits.grad.numpy(), [[-1, 1]])


@pytest.mark.parametrize("name", CASES)
def test_a_function_of_arrays_is_numpy_s(name, float64):
    made, wanted = CASES[name]
    assert_close(made().numpy(), np.asarray(wanted, float), 12)


@pytest.mark.parametrize("name", ["abs", "clip", "maximum", "min", "sqrt", "sigmoid", "tanh", "softmax", "var"])
def test_the_gradient_of_a_function_is_that_of_differences(name, float64):
    function = {
        "clip": lambda x: K.clip(x, -0.5, 0.5), "maximum": lambda x: K.maximum(x, B),
        "sqrt": lambda x: K.sqrt(K.square(x)),
    }.get(name, getattr(K, name))  # fmt: skip
    x = Input((4,))
    weighted = K.sum(function(x) * np.cos(A))
    value, gradient = K.function([x], [weighted, K.gradients(weighted, x)[0]])([A])
    of = K.function([x], [weighted])
    step = 1e-6
    for place in np.ndindex(A.shape):
        moved = A.copy()
        moved[place] += step
        assert gradient[place] == pytest.approx((of([moved])[0] - value) / step, abs=1e-4)


def test_a_function_gives_a_layer_s_output_for_images(device):
    model, x = small(), np.random.default_rng(1).random((2, 6, 6, 1))
    layer = model.layers[0]
    (got,) = K.function([model.input], [layer.output])([x])
    assert isinstance(got, np.ndarray)
    want = F.conv2d(tinycnn.Tensor(x), layer.kernel, layer.bias, activation="relu").numpy()
    assert np.array_equal(got, want)
    assert K.int_shape(layer.output) == (None, 4, 4, 3) and layer.output.shape[3] == 3


def test_the_learning_phase_is_an_input(float64):
    model, x = network(input_shape=(8, 8, 1)), np.random.default_rng(1).random((5, 8, 8, 1))
    of = K.function([model.input, K.learning_phase()], [model.output])
    assert np.array_equal(of([x, 0])[0], model.predict(x))
    assert not np.array_equal(of([x, 1])[0], model.predict(x))
    K.set_learning_phase(1)
    try:
        assert not np.array_equal(K.function([model.input], [model.output])([x])[0], model.predict(x))
    finally:
        K.set_learning_phase(0)


def test_a_function_that_trains_drops_anew_each_time_and_leaves_statistics_alone(device):
    model = Sequential([BatchNormalization(input_shape=(50,)), Dropout(0.5)])
    before = model.get_weights()
    of = K.function([model.input, K.learning_phase()], [model.output, *K.gradients(K.sum(model.output), model.input)])
    x = np.random.default_rng(1).random((3, 50))
    outputs = [of([x, 1])[0] for _ in range(3)]
    assert all((a != b).any() for i, a in enumerate(outputs) for b in outputs[:i])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert model.layers[0].momentum == 0.99


def test_a_new_session_s_functions_do_not_train():
    K.set_learning_phase(1)
    with session.another():
        assert K.learning_phase() is not None and session.learning_phase() == 0
    assert session.learning_phase() == 1
    K.clear_session()
    assert session.learning_phase() == 0


def test_powers_and_products_of_what_is_not_computed_yet(float64):
    x = Input((4,))
    found = K.function([x], [2.0**x, x @ B.T, A @ K.transpose(x)])([A])
    for got, want in zip(found, [2.0**A, A @ B.T, A @ A.T], strict=True):
        assert_close(got, want, 12)


def test_functions_of_weights_are_tried_where_the_weights_are(device):
    """Of what is not computed yet the shape is found by trying."""
    weights = K.variable(np.ones((4, 3)))
    dense, x = Dense(5), Input((4,))
    Sequential([Flatten(input_shape=(4,)), dense])
    assert Lambda(lambda t: K.dot(t, weights))(x).shape == (None, 3)
    assert Lambda(lambda t: dense(t))(x).shape == (None, 5)
    assert K.int_shape(K.dot(x, weights)) == (None, 3)


def test_gradients_of_inputs_middles_and_weights_are_those_of_backward(device):
    model, x = small(), np.random.default_rng(1).random((2, 6, 6, 1))
    first, last = model.layers[0], model.layers[-1]
    loss = K.sum(model.output[:, 1])
    wanted = [model.input, first.output, last.kernel]
    of_input, of_middle, of_kernel = K.function([model.input], K.gradients(loss, wanted))([x])

    image = tinycnn.Tensor(x, requires_grad=True)
    middle = first(image)
    middle_leaf = tinycnn.Tensor(middle.numpy(), requires_grad=True)
    upstream = np.zeros((2, 4))
    upstream[:, 1] = 1
    last(F.flatten(middle_leaf)).backward(upstream)
    middle.backward(middle_leaf.grad)
    for got, tensor in ((of_input, image), (of_middle, middle_leaf), (of_kernel, last.kernel)):
        assert_close(got, tensor.grad.numpy(), 9)
        tensor.zero_grad()


def test_gradients_leave_the_weights_as_they_were(float64):
    model = small()
    loss = K.mean(model.layers[0].output[:, :, :, 0])
    K.function([model.input], K.gradients(loss, [model.input]))([np.ones((1, 6, 6, 1))])
    assert all(w.requires_grad and w.grad is None for w in model.weights)


def test_gradients_are_computed_where_the_weights_are():
    with tinycnn.use_device("reference", "float64"):
        model = small()
        of = K.function([model.input], K.gradients(K.sum(model.output[:, 0]), [model.input]))
    with tinycnn.use_device("reference", "float32"):
        assert of([np.ones((1, 6, 6, 1))])[0].dtype == "float64"


def test_an_image_climbs_to_what_a_filter_likes(device):
    model, rng = small(), np.random.default_rng(3)
    layer_output = {layer.name: layer for layer in model.layers}[model.layers[0].name].output
    loss = K.mean(layer_output[:, :, :, 1])
    grads = K.gradients(loss, model.input)[0]
    grads /= K.sqrt(K.mean(K.square(grads))) + 1e-5
    iterate = K.function([model.input], [loss, grads])
    image, losses = rng.random((1, 6, 6, 1)), []
    for _ in range(5):
        value, climb = iterate([image])
        assert np.sqrt((climb**2).mean()) == pytest.approx(1, rel=1e-3)
        losses.append(float(value))
        image += climb * 0.1
    assert losses == sorted(losses) and losses[-1] > losses[0]


def test_a_shape_has_none_for_the_batch(float64):
    output = small().layers[0].output
    assert K.sum(output, axis=-1).shape == (None, 4, 4) and K.mean(output).shape == ()
    assert K.gradients(K.mean(output), output)[0].shape == (None, 4, 4, 3)


def test_what_cannot_be_is_said(float64):
    model = small()
    loss = K.sum(model.output)
    with pytest.raises(NotImplementedError, match="gradients of gradients"):
        K.gradients(K.gradients(loss, model.input)[0], model.input)
    with pytest.raises(ValueError, match="not among the inputs"):
        K.function([Input((3,))], [loss])([np.ones((1, 3))])
    with pytest.raises(ValueError, match="does not depend"):
        K.function([model.input], K.gradients(loss, small().layers[0].kernel))([np.ones((1, 6, 6, 1))])
    with pytest.raises(ValueError, match="1 inputs, and 2"):
        K.function([model.input], [loss])([1, 2])
    with pytest.raises(TypeError, match="updates"):
        K.function([model.input], [loss], updates=[1])
    with pytest.raises(TypeError, match=r"model\.optimizer\.lr, not 0.1"):
        K.set_value(0.1, 0.2)
    with pytest.raises(TypeError, match="Lambda"):
        Flatten()(loss)
    with pytest.raises(TypeError, match="not computed yet"):
        np.asarray(loss)
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(loss > 0.0)
    for wrong in (lambda: K.set_image_data_format("channels_first"), lambda: K.set_image_dim_ordering("th")):
        with pytest.raises(ValueError, match="transpose"):
            wrong()


def test_values_of_weights_are_read_and_written(float64):
    model = small()
    K.set_value(model.layers[0].bias, [1, 2, 3])
    assert K.get_value(model.layers[0].bias).tolist() == [1, 2, 3]
    K.batch_set_value([(model.layers[0].bias, np.zeros(3))])
    assert K.batch_get_value([model.layers[0].bias])[0].tolist() == [0, 0, 0]
    assert K.eval(K.variable([1.0]) + 1.0).tolist() == [2.0] and K.get_value(0.5) == 0.5


def test_a_learning_rate_is_read_and_written(float64):
    model = small()
    model.compile(optimizers.SGD(0.5))
    K.set_value(model.optimizer.lr, K.get_value(model.optimizer.lr) * 0.5)
    assert model.optimizer.learning_rate == 0.25
    K.set_value(model.optimizer.learning_rate, np.float32(0.125))
    assert model.optimizer.lr == 0.125 and type(K.get_value(model.optimizer.lr)) is float
    with pytest.raises(ValueError, match="learning rate"):
        K.set_value(model.optimizer.lr, -1)


def test_a_rate_that_was_written_is_the_one_that_is_trained_with(float64):
    x, y = np.ones((2, 6, 6, 1)), np.eye(4)[:2]

    def weights_after_a_step(change):
        tinycnn.backend.clear_session()
        tinycnn.utils.set_random_seed(0)
        model = small()
        model.compile(optimizers.SGD(0.5))
        change(model)
        model.fit(x, y, epochs=1, verbose=0)
        return model.get_weights()

    written = weights_after_a_step(lambda model: K.set_value(model.optimizer.lr, 0.25))
    given = weights_after_a_step(lambda model: model.compile(optimizers.SGD(0.25)))
    for a, b in zip(written, given, strict=True):
        assert_close(a, b)


# ---------------------------------------------------------------- a model as a layer


def test_a_model_is_a_layer_of_another_and_shares_its_weights(device):
    base, rng = small(), np.random.default_rng(2)
    x = rng.random((3, 6, 6, 1))
    row = Sequential([base, Dense(2, activation="softmax")])
    entry = Input((6, 6, 1))
    graph = Model([entry], [base(entry)])
    assert row.layers[0] is base and graph.layers[1] is base
    assert np.array_equal(graph.predict(x), base.predict(x))
    assert row.count_params() == base.count_params() + 10 and row.output_shape == (None, 2)
    row.compile("sgd", metrics=["accuracy"])
    row.fit(x, np.eye(2)[[0, 1, 0]], epochs=2, verbose=0)
    assert np.array_equal(graph.predict(x), base.predict(x))
    lines = []
    row.summary(print_fn=lines.append)
    assert f"{base.name} (Sequential)" in lines[0] and f"Total params: {row.count_params()}" in lines[0]


def test_a_frozen_model_stays_inside_of_another(float64):
    base, x = small(), np.random.default_rng(2).random((4, 6, 6, 1))
    base.trainable = False
    row = Sequential([base, Dense(2, activation="softmax")])
    row.compile("adam")
    before = base.get_weights()
    row.fit(x, np.eye(2)[[0, 1, 0, 1]], epochs=1, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, base.get_weights(), strict=True))
    assert len(row.trainable_weights) == 2
