"""The path one-kernel: a training step in one launch, beside the other paths and the reference in float64."""

import itertools
import types

import numpy as np
import pytest
from helpers import assert_same_bits, images

import tinycnn
from tinycnn import architectures, callbacks, layers, losses, optimizers, session
from tinycnn import functional as F
from tinycnn.devices import DeviceError, ranks
from tinycnn.devices.base import StepError
from tinycnn.devices.checks import step_cases
from tinycnn.devices.gpu.step import run as step_run
from tinycnn.devices.network import Network, Rule
from tinycnn.fit import whole_steps
from tinycnn.fit.description import describe, rule_of
from tinycnn.fit.whole_steps import PathError
from tinycnn.gradcheck.check import rounding
from tinycnn.gradcheck.networks import longest_sum
from tinycnn.layers import (
    ELU,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    Convolution2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    Input,
    Lambda,
    Layer,
    LeakyReLU,
    MaxPooling2D,
    ReLU,
    Reshape,
    Softmax,
    UpSampling2D,
    ZeroPadding2D,
)  # fmt: skip
from tinycnn.models import Model, Sequential, load_model

ONE_KERNEL = "one-kernel"


@pytest.fixture(params=["emulator", "cuda"])
def gpu(request):
    """A device that has the path, on it and made the current one."""
    try:
        device = tinycnn.get_device(request.param)
    except DeviceError as error:
        pytest.skip(str(error))
    with tinycnn.use_device(device), device.taking(ONE_KERNEL):
        yield device


def same(filters, size, **options):
    return Conv2D(filters, size, padding="same", **options)


# Every kind of layer, and what stands behind what: padding, strides, windows that overlap, channels that are no fours.
NETWORKS = {
    "normalised": lambda: [
        same(5, 3, activation="relu", input_shape=(9, 8, 2)), BatchNormalization(), Dropout(0.3),
        Conv2D(6, 3), BatchNormalization(momentum=0.9), Activation("relu"), MaxPooling2D(2), Dropout(0.2),
        Conv2D(7, 1, activation="relu"), Flatten(), Dense(3, activation="softmax"),
    ],
    "strided": lambda: [
        Conv2D(5, (3, 2), strides=2, activation="relu", input_shape=(12, 11, 3)), MaxPooling2D(3, 1, padding="same"),
        same(6, 2, use_bias=False), Activation("relu"), Dropout(0.1), same(4, 5, activation="relu"),
        Conv2D(33, 3, strides=(1, 2), padding="same", activation="relu"), Flatten(), Dense(9, activation="relu"),
        Dropout(0.5), Dense(4, use_bias=False), BatchNormalization(), Dropout(0.1), Activation("softmax"),
    ],
    "pooled": lambda: [
        Dropout(0.2, input_shape=(10, 10, 1)), BatchNormalization(), MaxPooling2D((3, 2), (2, 2)), BatchNormalization(),
        Conv2D(8, 3), Dropout(0.2), MaxPooling2D(2, 1), Conv2D(3, (1, 2)), Flatten(), Activation("softmax"),
    ],
}  # fmt: skip


def trained(name, device, batch, optimizer, count=7, epochs=1, **options):
    """(model, optimizer, History) of a network that was trained on noise, from seed 3."""
    session.clear_session()
    session.set_random_seed(3)
    with tinycnn.use_device(device):
        model = Sequential(NETWORKS[name]())
        rule = optimizer()
        model.compile(rule, metrics=["acc"])
        shape, classes = model.input.extents, model.output.extents[0]
        rng = np.random.default_rng(1)
        model.set_weights([w + rng.standard_normal(w.shape) / 10 for w in model.get_weights()])  # no bias is 0
        x = rng.standard_normal((count, *shape)).astype(np.float32)
        y = np.eye(classes)[rng.integers(0, classes, count)]
        history = model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0, **options)
    return model, rule, history


def learnt_names(model):
    return [f"{layer.name}.{name}" for layer in model.layers for name in layer.parameters if name in layer.learnt]


def gradients(name, device, images_of_a_batch):
    """{weight: gradient} of one step, as the velocity of a rate of 1 has it; and the loss."""
    count = images_of_a_batch
    model, rule, history = trained(name, device, count, lambda: optimizers.SGD(1.0, momentum=0.5), count)
    device = rule.device
    found = [-device.numpy(v).astype(np.float64) for v in rule.state["velocity"]]
    return dict(zip(learnt_names(model), found, strict=True)), history.history["loss"][0], model


def assert_gradients(found, wanted, model):
    """By the rule of gradcheck/networks.py: what rounding may do to a gradient that came through every operation."""
    operations, length = len(model.symbols), longest_sum(model)
    of_all = max(np.abs(g).max() for g in wanted.values())
    for name, want in wanted.items():
        tolerance = rounding(np.float32, length, 2 * operations * np.abs(want).max() + of_all)
        worst = np.abs(found[name] - want).max()
        assert worst <= tolerance, f"{name} differs by {worst:.3g}, more than {tolerance:.3g}"


@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_those_of_the_reference_in_float64(gpu, network):
    found, loss, model = gradients(network, gpu, 3)
    exact, exact_loss, _ = gradients(network, tinycnn.get_device("reference", "float64"), 3)
    assert_gradients(found, exact, model)
    assert loss == pytest.approx(exact_loss, rel=1e-5)


@pytest.mark.parametrize("optimizer", [optimizers.SGD, optimizers.Adadelta, lambda: optimizers.Adam(0.01, decay=0.1)])
def test_weights_after_some_steps_are_those_of_the_general_path(gpu, optimizer):
    model, rule, history = trained("strided", gpu, 3, optimizer, epochs=2)
    with gpu.taking("general"):
        other, other_rule, other_history = trained("strided", gpu, 3, optimizer, epochs=2)
    for name in ("loss", "acc"):
        np.testing.assert_allclose(history.history[name], other_history.history[name], rtol=1e-4)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-4)
    assert rule.iterations == other_rule.iterations == 6
    assert gpu.numpy(model.step) == gpu.numpy(other.step) == 6
    assert gpu.numpy(rule.step_on_device) == 6


# ---------------------------------------------------------------- in the training loop


def bits(model, rule):
    return [w.numpy().copy() for w in model.weights] + [
        rule.device.numpy(a).copy() for s in rule.state.values() for a in s
    ]


def test_the_same_bits_twice_whatever_a_launch_takes(gpu, monkeypatch):
    """Steps in one launch each, and as many a launch as there are."""
    model, rule, history = trained("normalised", gpu, 3, optimizers.Adam, epochs=2)
    monkeypatch.setattr(whole_steps, "PART_SECONDS", 0)
    again, again_rule, again_history = trained("normalised", gpu, 3, optimizers.Adam, epochs=2)
    for a, b in zip(bits(model, rule), bits(again, again_rule), strict=True):
        assert_same_bits(a, b)
    assert history.history["loss"] == again_history.history["loss"]


def test_a_launch_takes_as_many_steps_as_take_a_fifth_of_a_second(monkeypatch):
    clock, launches = itertools.count(), []

    class Whole(whole_steps.WholeSteps):
        def __init__(self):
            self.at_once, self.is_compiled = 1, False
            self.data = types.SimpleNamespace(batch_sizes=lambda size: [size] * 20)

        def run(self, sizes, totals):
            launches.append(len(sizes))
            [next(clock) for _ in range(3 * len(sizes))]  # three ticks a step, and one for each look at the clock

    monkeypatch.setattr(whole_steps.time, "perf_counter", lambda: next(clock) / 100)
    progress = whole_steps.Progress(0, 0, 1, 100)

    class Steps:
        totals = None

        def means(done):
            return 0.0, 0.0

    Whole().run_epoch(Steps, 2, progress)
    assert launches == [1, 1, 2, 4, 4, 4, 4]  # 4 steps take 0.13 s, and 8 would take 0.26 s
    assert progress.done == 40


def test_a_training_goes_on_from_a_checkpoint_on_another_path(gpu, tmp_path):
    """Validation, history, checkpoint and resume go through what all paths go through."""
    x, y = images(np.random.default_rng(0), 9, 8, 9, 1)
    layers = [Conv2D(4, 3, activation="relu", input_shape=(8, 9, 1)), BatchNormalization(), Dropout(0.2), Flatten()]
    model = Sequential([*layers, Dense(3, activation="softmax")])
    model.compile(optimizers.Adam(0.01), metrics=["acc"])
    file = tmp_path / "model.safetensors"
    kept = callbacks.ModelCheckpoint(str(file))
    first = model.fit(x, y, 4, epochs=2, verbose=0, validation_data=(x, y), callbacks=[kept])
    assert first.history["val_loss"][-1] == pytest.approx(model.evaluate(x, y, 4, verbose=0)[0])
    np.testing.assert_array_equal(load_model(file).get_weights()[0], model.get_weights()[0])

    losses = {}
    for path in (ONE_KERNEL, "general"):
        with gpu.taking(path):
            resumed = load_model(file)
            losses[path] = resumed.fit(x, y, 4, epochs=4, verbose=0, initial_epoch=resumed.epoch).history["loss"]
    straight = model.fit(x, y, 4, epochs=4, verbose=0, initial_epoch=model.epoch).history["loss"]
    assert losses[ONE_KERNEL] == straight and len(straight) == 2
    np.testing.assert_allclose(losses["general"], straight, rtol=1e-4)


def test_blocks_that_wait_in_vain_are_an_error_and_lose_nothing(gpu, monkeypatch):
    model, rule, _ = trained("normalised", gpu, 3, optimizers.Adam)
    before, iterations, step = bits(model, rule), rule.iterations, gpu.numpy(model.step).copy()
    zeros = gpu.zeros

    def one_arrival_too_few(shape, dtype=None):
        return gpu.asarray(np.array([2**32 - 1], np.uint32), dtype) if dtype == "uint32" else zeros(shape, dtype)

    monkeypatch.setattr(gpu, "zeros", one_arrival_too_few)
    monkeypatch.setattr(step_run, "PATIENCE", 1000)
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((3, *model.input.extents)), np.eye(3)
    with pytest.raises(StepError, match="waited .* in vain.*as they were before"):
        model.fit(x, y, batch_size=3, verbose=0)
    for a, b in zip(before, bits(model, rule), strict=True):
        assert_same_bits(a, b)
    assert rule.iterations == iterations and gpu.numpy(model.step) == step
    monkeypatch.undo()
    assert np.isfinite(model.fit(x, y, batch_size=3, verbose=0).history["loss"]).all()


# ---------------------------------------------------------------- what it does not take


class Own(Layer):
    def call(self, x, training):
        return x + x


class OwnOptimizer(optimizers.SGD):
    pass


class OwnCallback(callbacks.Callback):
    def on_batch_end(self, batch, logs=None):
        pass


def simple(*before_flatten, optimizer="adam", frozen=False):
    layers = [Conv2D(2, 3, input_shape=(6, 6, 1)), *before_flatten, Flatten(), Dense(3, activation="softmax")]
    model = Sequential(layers, name="small")
    model.layers[0].trainable = not frozen
    model.compile(optimizer)
    return model


def branched():
    x = Input((6, 6, 1))
    y = Conv2D(2, 3, padding="same")(x)
    model = Model(x, Dense(3, activation="softmax")(Flatten()(tinycnn.layers.Concatenate()([x, y]))))
    model.compile()
    return model


def twice():
    x, layer = Input((6, 6, 1)), Dropout(0.5)
    model = Model(x, Dense(3, activation="softmax")(layer(Flatten()(layer(x)))))
    model.compile()
    return model


def large():
    model = Sequential(
        [Conv2D(64, 3, input_shape=(28, 28, 1)), Conv2D(64, 3), Flatten(), Dense(3, activation="softmax")]
    )
    model.compile()
    return model


def classes_of_pixels():
    model = Sequential([Conv2D(1, (6, 4), input_shape=(6, 6, 1)), Flatten(), Activation("softmax")])
    model.compile()
    return model


def unlearning():
    model = Sequential([MaxPooling2D((6, 2), input_shape=(6, 6, 1)), Flatten(), Activation("softmax")])
    model.compile()
    return model


def softmax_inside():
    model = Sequential([Flatten(input_shape=(6, 6, 1)), Dense(4, activation="softmax"), Dense(3, activation="softmax")])
    model.compile()
    return model


REASONS = {
    "a generator": (simple, {"generated": True}, "its data come batch by batch"),
    "sample weights": (simple, {"sample_weight": np.ones(4)}, "its images or its classes have weights"),
    "class weights": (simple, {"class_weight": {0: 2.0, 1: 1.0, 2: 1.0}}, "its images or its classes have weights"),
    "a callback by batch": (simple, {"callbacks": [OwnCallback()]}, "OwnCallback listens to every batch"),
    "frozen layers": (lambda: simple(frozen=True), {}, "some of its layers are frozen"),
    "a layer of one's own": (lambda: simple(Own()), {}, "own_1 is of class Own, which it has no stage for"),
    "another optimizer": (lambda: simple(optimizer=OwnOptimizer()), {}, "OwnOptimizer is an optimizer of your own"),
    "branches": (branched, {}, "concatenate_1 makes it a network with branches"),
    "a layer at two places": (twice, {}, "dropout_1 stands in it twice"),
    "two dropouts": (lambda: simple(Dropout(0.1), Dropout(0.2)), {}, "a dropout behind a dropout"),
    "too large an image": (
        large, {},
        "an image needs 660.2 KB of shared memory, 433.2 KB more than the 227 KB that a block can have",
    ),
    "too large a batch": (
        simple, {"batch_size": 1000, "count": 1000},
        "NVIDIA H200 holds 132 blocks at once, of an image each, and a batch has 1000",
    ),
    "pixels as classes": (classes_of_pixels, {}, "its classes are the pixels of an image"),
    "nothing to learn": (unlearning, {}, "it has no weights"),
    "a softmax inside": (softmax_inside, {}, "dense_1 is a softmax inside of the network"),
}  # fmt: skip


def fit_noise(model, batch_size=2, count=4, **options):
    rng, shape = np.random.default_rng(0), model.input.extents
    x, y = rng.standard_normal((count, *shape)), np.eye(3)[rng.integers(0, 3, count)]
    if options.pop("generated", False):
        return model.fit(((x, y) for _ in itertools.count()), steps_per_epoch=2, verbose=0)
    return model.fit(x, y, batch_size=batch_size, verbose=0, **options)


@pytest.mark.parametrize("reason", REASONS)
def test_what_cannot_be_one_kernel_says_why(reason):
    """Asked for by name it is an error; wished for, a line, and the recorded step is taken."""
    make, options, why = REASONS[reason]
    with tinycnn.use_device("emulator") as device, device.taking(ONE_KERNEL):
        with pytest.raises(PathError, match=f"cannot be trained by the path one-kernel: .*{why}.*; the paths general"):
            fit_noise(make(), **options)
        device.path_is_forced = False
        session.clear_session()
        if reason not in ("too large an image", "too large a batch"):  # which the emulator's other path takes long for
            with pytest.warns(UserWarning, match=f"path one-kernel: .*{why}.*; it takes the recorded step"):
                assert np.isfinite(fit_noise(make(), **options).history["loss"]).all()
            assert device.path == ONE_KERNEL and not device.path_is_forced  # the next network may fit


def test_what_a_layer_or_an_optimizer_has_beyond_what_is_known_is_no_network_that_is_known(monkeypatch):
    """Options that these classes are given one day are not computed as if they were not there."""
    with tinycnn.use_device("reference"):
        model = simple()
        assert isinstance(describe(model), Network)
        options = Conv2D.options
        monkeypatch.setattr(Conv2D, "options", lambda layer: {**options(layer), "dilation_rate": 2})
        assert describe(model) == "conv2d_1 has a dilation_rate, which it has no stage for"
        monkeypatch.setattr(Conv2D, "options", lambda layer: {**options(layer), "groups": None})
        model.layers[0].activation = "tanh"
        assert describe(model) == "conv2d_1 has the activation tanh, which it has no stage for"
        monkeypatch.setattr(optimizers.Adam, "options", lambda optimizer: {"learning_rate": 0.1, "clipnorm": 1.0})
        assert rule_of(model.optimizer) == "its optimizer has a clipnorm"
        model.loss = print
        assert describe(model) == "its loss is print"


def network(*layers, dense=None, flat=True, **compiled):
    """A compiled network with these layers in it, and these options of its Dense."""
    session.clear_session()
    head = [Flatten()] if flat else []
    dense = Dense(3, **{"activation": "softmax", **(dense or {})})
    model = Sequential([Conv2D(2, 3, input_shape=(6, 6, 1)), *layers, *head, dense])
    model.compile(**compiled)
    return model


def joined(layer):
    """One with a layer of two inputs."""
    session.clear_session()
    x = Input((6, 6, 1))
    model = Model(x, Dense(3, activation="softmax")(Flatten()(layer([x, Conv2D(1, 3, padding="same")(x)]))))
    model.compile()
    return model


WITH_STAGE = (Conv2D, Dense, BatchNormalization, MaxPooling2D, Dropout, Flatten, Activation)
# The other layers: {class: a network with one}.
OTHER_LAYERS = {
    **dict.fromkeys((Add, Concatenate), lambda kind: joined(kind())),
    **dict.fromkeys(
        (ELU, LeakyReLU, ReLU, Softmax, AveragePooling2D, UpSampling2D, ZeroPadding2D), lambda kind: network(kind())
    ),
    Conv2DTranspose: lambda kind: network(kind(2, 3)),
    **dict.fromkeys((GlobalAveragePooling2D, GlobalMaxPooling2D), lambda kind: network(kind(), flat=False)),
    Convolution2D: lambda kind: network(kind(2, 3)),
    Lambda: lambda kind: network(kind(lambda x: x)),
    Reshape: lambda kind: network(kind((-1,))),
}  # fmt: skip


def test_everything_without_a_stage_is_refused_by_name():
    """Of all that tinycnn has: what is new is missed here until it is listed, or has a stage."""
    with tinycnn.use_device("reference"):
        assert isinstance(describe(network()), Network)
        there = {c for c in vars(layers).values() if isinstance(c, type) and issubclass(c, Layer)}
        assert there == {Layer, layers.InputLayer, *WITH_STAGE, *OTHER_LAYERS}
        for kind, make in OTHER_LAYERS.items():
            why = "makes it a network with branches" if kind in (Add, Concatenate) else f"is of class {kind.__name__}, "
            assert why in describe(make(kind)), kind
        assert describe(network(flat=False)) == "dense_1 is a dense layer on images that are not flat"

        for activation in {*F.ACTIVATIONS} - {"relu", "softmax"}:
            for layer in (Conv2D(2, 3, activation=activation), Activation(activation)):
                why = describe(network(layer))
                assert why == f"{layer.name} has the activation {activation}, which it has no stage for"
            why = describe(network(dense={"activation": activation}, loss="mean_squared_error"))
            assert why == "its loss is mean_squared_error"
        for option in ("kernel_regularizer", "bias_regularizer"):
            for penalty in ("l1", "l2", "l1_l2"):
                why = f"has a {option}, which it has no stage for"
                assert describe(network(Conv2D(2, 3, **{option: penalty}))) == f"conv2d_2 {why}"
                assert describe(network(dense={option: penalty})) == f"dense_1 {why}"

        for loss in losses.LOSSES:
            found = describe(network(loss=loss))
            assert isinstance(found, Network) == loss.endswith("categorical_crossentropy")
            assert isinstance(found, Network) or found == f"its loss is {loss}"
        for name, kind in optimizers.OPTIMIZERS.items():
            rule = rule_of(kind())
            assert rule == "it has no stage for the optimizer RMSprop" if name == "rmsprop" else isinstance(rule, Rule)

        rank = ranks.of(tinycnn.get_device("emulator"), types.SimpleNamespace(rank=0, size=2), "part")
        why = rank.whole_step(step_cases.NETWORK, step_cases.ADAM, 3)
        assert why == "it is one of several ranks, which add up their gradients within a step"


def test_only_float32_and_only_gpus_have_it():
    network, rule = step_cases.NETWORK, step_cases.ADAM
    for name, dtype in (("emulator", "float64"), ("cpu", None), ("reference", None)):
        why = tinycnn.get_device(name, dtype).whole_step(network, rule, 3)
        assert why == (
            "it computes in float32, and this device in float64"
            if dtype
            else f"the {name} device has no path one-kernel"
        )


@pytest.mark.parametrize("network", [pytest.param(n, marks=() if n == "go-crazy" else pytest.mark.slow) for n in (
    "breakdown-2", "breakdown-5", "vanilla-15k", "go-crazy", "other-2", "other-4",
)])  # fmt: skip
def test_gradients_of_a_documented_network(gpu, network):
    """From the loss to every weight, beside the reference in float64."""
    rng, found = np.random.default_rng(0), {}
    x, y = rng.uniform(0, 1, (3, 28, 28, 1)).astype(np.float32), np.eye(10)[rng.integers(0, 10, 3)]
    for device in (gpu, tinycnn.get_device("reference", "float64")):
        session.clear_session()
        session.set_random_seed(2)
        with tinycnn.use_device(device):
            model = architectures.build(network)
            rule = optimizers.SGD(1.0, momentum=0.5)
            model.compile(rule)
            model.fit(x, y, batch_size=3, verbose=0)
        velocity = [-device.numpy(v).astype(np.float64) for v in rule.state["velocity"]]
        found[device.name] = dict(zip(learnt_names(model), velocity, strict=True))
    assert_gradients(found[gpu.name], found["reference"], model)
