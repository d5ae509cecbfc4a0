"""The same networks in Keras 3 on JAX, with the same weights: every output, loss, gradient, statistic and update."""

import functools

import numpy as np
import pytest
from helpers import assert_close, normal, one_hot

import tinycnn
from tinycnn import functional as F
from tinycnn import initializers, layers, optimizers, session
from tinycnn.losses import logits_of
from tinycnn.models import Model, Sequential

pytest.importorskip("keras", reason="Keras is not installed: pip install 'tinycnn[test]'")
pytest.importorskip("jax", reason="JAX is not installed: pip install 'tinycnn[test]'")


@pytest.fixture(scope="module", autouse=True)
def keras():
    """Keras in float64, for this file."""
    import jax
    import keras

    if keras.backend.backend() != "jax":
        pytest.skip(f"Keras runs on {keras.backend.backend()} here; these tests want KERAS_BACKEND=jax")
    before = keras.config.floatx(), keras.config.dtype_policy(), jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")  # it does not follow floatx once a layer has been made
    yield keras
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])
    jax.config.update("jax_enable_x64", before[2])


def close(got, want, length):
    """Within float32's rounding on every device: Keras's batch norm and optimisers round to it even in float64."""
    assert_close(got.astype(np.float32), want, 8 if got.dtype == np.float64 else length)


# ---------------------------------------------------------------- the twin


def keras_layers(keras, layer):
    """The Keras layers that do what a layer of ours does; softmax is a layer of its own."""
    options = {k: v for k, v in layer.options().items() if k != "kernel_initializer"}
    softmax = [keras.layers.Softmax()] if options.get("activation") == "softmax" else []
    if softmax:
        options["activation"] = None
    if isinstance(layer, layers.Activation):
        return softmax or [keras.layers.Activation(layer.activation or "linear")]
    if isinstance(layer, layers.Dropout):
        assert layer.rate == 0
        return [keras.layers.Dropout(0.0)]
    kind = {
        "Conv2D": keras.layers.Conv2D,
        "Dense": keras.layers.Dense,
        "MaxPooling2D": keras.layers.MaxPooling2D,
        "BatchNormalization": keras.layers.BatchNormalization,
        "Flatten": keras.layers.Flatten,
        "Concatenate": keras.layers.Concatenate,
    }[layer.type]
    if "use_bias" in options:
        options["kernel_initializer"] = "zeros"  # it gets our weights anyway, and drawing them takes JAX seconds
    return [kind(**options), *softmax]


class Twin:
    """A Keras model with the weights of ours, whose outputs are those of every layer, and the logits."""

    def __init__(self, keras, model):
        self.keras = keras
        made, values = {}, {}
        for symbol in model.symbols:
            if not symbol.inputs:
                inputs = values[symbol] = keras.Input(symbol.shape)
                continue
            value = [values[i] for i in symbol.inputs]
            value = value if len(value) > 1 else value[0]
            if symbol.layer not in made:
                made[symbol.layer] = keras_layers(keras, symbol.layer)
            for part in made[symbol.layer]:
                if isinstance(part, keras.layers.Softmax):
                    self.logits = value
                value = part(value)
            values[symbol] = value
        outputs = [values[symbol] for symbol in model.symbols[1:]]
        self.model = keras.Model(inputs, [*outputs, self.logits])
        ours, theirs = [], []
        for layer, parts in made.items():
            ours += layer.trainable_weights
            theirs += parts[0].trainable_variables
            for part in parts[:1]:
                part.set_weights([w.astype(np.float64) for w in layer.get_weights()])
        # Keras's order of all trainable variables, as positions in ours.
        places = {id(v): i for i, v in enumerate(theirs)}
        self.order = [places[id(v)] for v in self.model.trainable_variables]
        self.ours = ours

    def infer(self, x):
        """Every layer's output in inference mode."""
        return [np.asarray(o) for o in self.model(x, training=False)[:-1]]

    def train(self, x, y):
        """(loss, every layer's output, gradients in our order and that of x, the moving statistics afterwards)."""
        import jax

        fixed = [v.value for v in self.model.non_trainable_variables]

        def loss_of(trainable, x):
            outputs, moved = self.model.stateless_call(trainable, fixed, x, training=True)
            loss = self.keras.losses.categorical_crossentropy(y, outputs[-1], from_logits=True).mean()
            return loss, (outputs[:-1], moved)

        trainable = [v.value for v in self.model.trainable_variables]
        quick = {"xla_backend_optimization_level": 0}  # to compile takes longer than to run
        step = jax.jit(jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True), compiler_options=quick)
        (loss, (outputs, moved)), (gradients, dx) = step(trainable, x)
        ordered = [None] * len(gradients)
        for place, gradient in zip(self.order, gradients, strict=True):
            ordered[place] = np.asarray(gradient)
        return float(loss), [np.asarray(o) for o in outputs], [*ordered, np.asarray(dx)], [np.asarray(m) for m in moved]


def randomise(model, seed=1):
    """Weights off their starting values, the moving variances positive; the same on every device."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        values = []
        for name, weight in layer.parameters.items():
            value = weight.numpy() + 0.25 * normal(rng, *weight.shape)
            values.append(np.float32(np.abs(value) + 0.5 if name == "moving_variance" else value))
        layer.set_weights(values)


def layer_outputs(model, x, training):
    """What every connection of the model gives, as NumPy arrays, and the output tensor."""
    values = {model.input: x}
    for symbol in model.symbols[1:]:
        arguments = [values[i] for i in symbol.inputs]
        values[symbol] = symbol.layer(arguments if len(arguments) > 1 else arguments[0], training)
    return [values[s].numpy() for s in model.symbols[1:]], values[model.output]


def made(build):
    """The network on the current device, with the same weights everywhere."""
    session.clear_session()
    session.set_random_seed(0)
    model = build()
    randomise(model)
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    return model


def data(model, batch):
    rng, classes = np.random.default_rng(2), model.output.shape[0]
    return normal(rng, batch, *model.input.shape), one_hot(rng.integers(0, classes, batch), classes)


@pytest.fixture(scope="module")
def answers(keras):
    """(build, batch) -> what Keras says in training and in inference; asked once, for all devices."""
    known = {}

    def ask(build, batch):
        if build not in known:
            with tinycnn.use_device("reference", "float64"):
                model = made(build)
            twin = Twin(keras, model)
            x, y = data(model, batch)
            known[build] = twin.train(x, y), twin.infer(x)
        return known[build]

    return ask


def trained(model, x, y):
    """The same of our network, in training: (loss, outputs, gradients, moving statistics) as NumPy arrays."""
    inputs = tinycnn.Tensor(x, requires_grad=True)
    outputs, last = layer_outputs(model, inputs, training=True)
    loss, _ = F.softmax_crossentropy(logits_of(last), y)
    loss.backward()
    seen = list(dict.fromkeys(symbol.layer for symbol in model.symbols))  # the twin's order: the graph's
    gradients = [w.grad.numpy() for layer in seen for w in layer.trainable_weights]
    statistics = [w.numpy() for layer in seen for w in layer.non_trainable_weights]
    return loss.numpy(), outputs, [*gradients, inputs.grad.numpy()], statistics


def check_training(build, batch, answers, length):
    model = made(build)
    loss, outputs, gradients, statistics = trained(model, *data(model, batch))
    (want_loss, want_outputs, want_gradients, want_statistics), _ = answers(build, batch)
    close(loss, [want_loss], length)
    for got, want in zip(outputs, want_outputs, strict=True):
        close(got, want, length)
    for got, want in zip(gradients, want_gradients, strict=True):
        assert np.abs(want).max() > 0
        close(got, want, length)
    for got, want in zip(statistics, want_statistics, strict=True):
        close(got, want, length)
    return model


def check_inference(build, batch, answers, length):
    model = made(build)
    outputs, _ = layer_outputs(model, tinycnn.Tensor(data(model, batch)[0]), training=False)
    for got, want in zip(outputs, answers(build, batch)[1], strict=True):
        close(got, want, length)


# ---------------------------------------------------------------- networks


def convolutions():
    return Sequential(
        [
            layers.Conv2D(5, (3, 3), activation="relu", input_shape=(13, 11, 2)),
            layers.Conv2D(4, (4, 2), padding="same", activation="relu"),
            layers.Conv2D(6, (3, 5), strides=(2, 3), padding="same"),
            layers.Conv2D(3, 1, activation="relu", use_bias=False),
            layers.Flatten(),
            layers.Dense(7, activation="softmax"),
        ]
    )


def strided():
    return Sequential(
        [
            layers.Conv2D(4, (5, 4), strides=(2, 1), input_shape=(15, 14, 1)),
            layers.Conv2D(3, (2, 2), strides=(3, 2), padding="same"),
            layers.Conv2D(5, (1, 1), strides=(1, 2), padding="same"),
            layers.Flatten(),
            layers.Activation("softmax"),
        ]
    )


def pools():
    return Sequential(
        [
            layers.Conv2D(3, (3, 3), input_shape=(15, 14, 1)),
            layers.MaxPooling2D((2, 2), strides=(1, 1)),
            layers.MaxPooling2D((3, 2), strides=(2, 2), padding="same"),
            layers.MaxPooling2D((2, 2), padding="same"),
            layers.MaxPooling2D((2, 2), strides=1, padding="same"),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),
            layers.Dense(4),
            layers.Activation("softmax"),
        ]
    )


def normalised():
    return Sequential(
        [
            layers.Conv2D(4, (3, 3), use_bias=False, input_shape=(9, 8, 2)),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D((2, 2)),
            layers.BatchNormalization(momentum=0.8, epsilon=1e-2),
            layers.Dropout(0.0),
            layers.Flatten(),
            layers.Dense(6, activation="relu"),  # without relu what is before batch norm has gradients of pure rounding
            layers.BatchNormalization(),
            layers.Dense(5, activation="softmax"),
        ]
    )


def branches():
    x = layers.Input(shape=(8, 9, 2))
    shared = layers.Conv2D(3, (3, 3), padding="same", activation="relu")
    left = layers.BatchNormalization()(shared(x))
    right = layers.MaxPooling2D((3, 3), strides=1, padding="same")(layers.Conv2D(2, 1)(x))
    joined = layers.Concatenate()([left, right, x])
    y = layers.Dense(4, activation="relu")(layers.Flatten()(joined))
    return Model(x, layers.Dense(3, activation="softmax")(y))


NETWORKS = [convolutions, strided, pools, normalised, branches]


@pytest.mark.parametrize("network", NETWORKS)
def test_in_training_outputs_loss_gradients_and_statistics_are_keras_s(answers, device, network):
    check_training(network, 6, answers, length=2000)


@pytest.mark.parametrize("network", NETWORKS)
def test_in_inference_every_output_is_keras_s(answers, device, network):
    check_inference(network, 6, answers, length=2000)


DOCUMENTED = ("vanilla", "go-crazy", "eip4-2")


@pytest.mark.parametrize("which", DOCUMENTED)
def test_documented_networks_are_keras_s(answers, device, which):
    architectures = pytest.importorskip("tinycnn.architectures", reason="there is no tinycnn.architectures yet")
    check_training(documented(architectures, which), 4, answers, length=100_000)  # rounding grows with depth


@functools.cache
def documented(architectures, which):
    return functools.partial(architectures.build, which)


def test_the_gradient_of_equal_maxima_goes_where_keras_sends_it(keras, device):
    import jax

    rng = np.random.default_rng(3)
    x = rng.integers(0, 3, (2, 7, 6, 3)).astype(np.float64)
    for pool, strides, padding in (((2, 2), (2, 2), "valid"), ((3, 3), (1, 1), "same"), ((2, 3), (2, 1), "same")):
        layer = keras.layers.MaxPooling2D(pool, strides, padding)
        want, back = jax.vjp(layer, x)
        upstream = normal(rng, *want.shape)
        inputs = tinycnn.Tensor(x, requires_grad=True)
        y = F.maxpool2d(inputs, pool, strides, padding)
        y.backward(upstream)
        assert np.array_equal(y.numpy(), np.asarray(want))
        assert_close(inputs.grad.numpy(), np.asarray(back(upstream)[0]), 9)


# ---------------------------------------------------------------- optimisers

PAIRS = {
    "sgd": (lambda k: k.SGD(0.1), lambda: optimizers.SGD(0.1)),
    "momentum": (lambda k: k.SGD(0.1, momentum=0.9), lambda: optimizers.SGD(0.1, momentum=0.9)),
    "nesterov": (
        lambda k: k.SGD(0.1, momentum=0.8, nesterov=True),
        lambda: optimizers.SGD(0.1, momentum=0.8, nesterov=True),
    ),
    "adam": (lambda k: k.Adam(0.01), lambda: optimizers.Adam(0.01)),
    "adam with other betas": (lambda k: k.Adam(0.01, 0.8, 0.9, 1e-3), lambda: optimizers.Adam(0.01, 0.8, 0.9, 1e-3)),
    "adadelta": (lambda k: k.Adadelta(1.0), lambda: optimizers.Adadelta()),
    "adadelta with another rho": (lambda k: k.Adadelta(0.5, 0.8, 1e-3), lambda: optimizers.Adadelta(0.5, 0.8, 1e-3)),
    "decay": (
        lambda k: k.SGD(k.schedules.InverseTimeDecay(0.1, 1, 0.5)),
        lambda: optimizers.SGD(0.1, decay=0.5),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_updates_are_keras_s_after_one_step_and_after_four(keras, device, name):
    theirs, ours = PAIRS[name][0](keras.optimizers), PAIRS[name][1]()
    rng = np.random.default_rng(4)
    shapes = [(3, 3, 2, 4), (4,), (7, 5)]
    start = [normal(rng, *shape) for shape in shapes]
    variables = [keras.Variable(value, dtype="float64") for value in start]
    tensors = [tinycnn.Tensor(value.copy(), requires_grad=True) for value in start]
    for _ in range(4):
        gradients = [normal(rng, *shape) for shape in shapes]
        theirs.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
        for tensor, gradient in zip(tensors, gradients, strict=True):
            tensor.zero_grad()
            tensor.backward(gradient)
        ours.apply(tensors)
        for tensor, variable in zip(tensors, variables, strict=True):
            close(tensor.numpy(), np.asarray(variable.value), 8)


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "adadelta"])
def test_a_training_step_of_a_whole_network_ends_with_keras_s_weights(keras, answers, float64, name):
    model = check_training(normalised, 6, answers, length=2000)
    weights = model.trainable_weights
    gradients = answers(normalised, 6)[0][2][:-1]
    theirs, ours = PAIRS[name][0](keras.optimizers), PAIRS[name][1]()
    variables = [keras.Variable(w.numpy(), dtype="float64") for w in weights]
    theirs.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
    before = [w.numpy().copy() for w in weights]
    ours.apply(weights)
    for weight, variable, old in zip(weights, variables, before, strict=True):
        assert not np.array_equal(weight.numpy(), old)
        close(weight.numpy(), np.asarray(variable.value), 8)


def test_the_optimizers_defaults_are_keras_s(keras):
    k = keras.optimizers
    assert optimizers.SGD().learning_rate == pytest.approx(float(k.SGD().learning_rate))
    adam = k.Adam()
    assert optimizers.Adam().options() == {
        "learning_rate": pytest.approx(float(adam.learning_rate)),
        "decay": 0,
        "beta_1": adam.beta_1,
        "beta_2": adam.beta_2,
        "epsilon": adam.epsilon,
    }
    adadelta = k.Adadelta()
    ours = optimizers.Adadelta().options()
    assert (ours["rho"], ours["epsilon"]) == (adadelta.rho, adadelta.epsilon)
    assert ours["learning_rate"] == 1.0  # Keras 2's, on which the documents rely; Keras 3 has 0.001


def test_the_layers_defaults_are_keras_s(keras):
    ours, theirs = layers.BatchNormalization(), keras.layers.BatchNormalization()
    assert (ours.momentum, ours.epsilon) == (theirs.momentum, theirs.epsilon)
    ours, theirs = layers.MaxPooling2D(), keras.layers.MaxPooling2D()
    assert (ours.window, ours.stride, ours.padding) == (tuple(theirs.pool_size), tuple(theirs.strides), theirs.padding)
    ours, theirs = layers.Conv2D(2, 3), keras.layers.Conv2D(2, 3)
    assert (ours.stride, ours.padding) == (tuple(theirs.strides), theirs.padding)


# ---------------------------------------------------------------- initial weights and the loss


@pytest.mark.parametrize("shape", [(5, 3, 16, 24), (200, 100)], ids=str)
@pytest.mark.parametrize("name", ["glorot_uniform", "glorot_normal", "he_uniform", "he_normal"])
def test_initial_weights_are_distributed_as_keras_s(keras, name, shape):
    ours = initializers.INITIALIZERS[name](shape, seed=1, stream=2).ravel()
    theirs = np.asarray(keras.initializers.get({"class_name": name, "config": {"seed": 1}})(shape)).ravel()
    n = ours.size
    # The two-sample Kolmogorov-Smirnov distance, at a level of about 1e-6.
    values = np.sort(np.concatenate([ours, theirs]))
    distance = np.abs(
        np.searchsorted(np.sort(ours), values, side="right") - np.searchsorted(np.sort(theirs), values, side="right")
    ).max()
    assert distance / n < 2.7 * np.sqrt(2 / n)
    np.testing.assert_allclose(np.abs(ours).max(), np.abs(theirs).max(), rtol=0.02)
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=5 / np.sqrt(n))


def test_the_loss_of_probabilities_is_keras_s_up_to_its_clipping(keras, float64):
    rng = np.random.default_rng(5)
    logits, y = normal(rng, 9, 4), one_hot(rng.integers(0, 4, 9), 4)
    ours, _ = F.softmax_crossentropy(tinycnn.Tensor(logits), y)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert ours.item() == pytest.approx(float(keras.losses.categorical_crossentropy(y, p).mean()), rel=1e-12)
    assert ours.item() == pytest.approx(
        float(keras.losses.sparse_categorical_crossentropy(y.argmax(axis=1), p).mean()), rel=1e-12
    )


@pytest.mark.parametrize("n, k, step", [(n, k, s) for n in (1, 4, 7, 8) for k in (1, 2, 3, 4) for s in (1, 2, 3)])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_output_sizes_are_keras_s(keras, n, k, step, padding):
    if padding == "valid" and n < k:
        with pytest.raises(ValueError, match=f"subtracting {k} from {n}"):
            layers.Conv2D(2, k, strides=step).output_shape((n, n, 1))
        return
    want = keras.layers.Conv2D(2, k, strides=step, padding=padding).compute_output_shape((None, n, n, 1))
    assert layers.Conv2D(2, k, strides=step, padding=padding).output_shape((n, n, 1)) == want[1:]
    want = keras.layers.MaxPooling2D(k, strides=step, padding=padding).compute_output_shape((None, n, n, 1))
    assert layers.MaxPooling2D(k, strides=step, padding=padding).output_shape((n, n, 1)) == want[1:]
