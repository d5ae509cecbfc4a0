"""What training refuses, before a kernel runs: data, labels and networks that do not fit."""

import numpy as np
import pytest
from helpers import images, one_hot
from small_trainings import fit, linear, network, toy

from tinycnn import optimizers
from tinycnn.layers import (
    ELU,
    Activation,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    LeakyReLU,
    MaxPooling2D,
    ReLU,
    Softmax,
    ZeroPadding2D,
)
from tinycnn.models import Model, Sequential
from tinycnn.regularizers import l2
from tinycnn.shapes import ShapeError


@pytest.fixture
def idle(float64, monkeypatch):
    """The reference device with every kernel an error: what is refused in time never gets here."""
    kernels = [
        name
        for name in dir(type(float64))
        if name.endswith(("_forward", "_backward", "_data", "_filter", "_inference", "_crossentropy", "_step"))
        or name in ("gather_batch", "advance", "elementwise", "concatenate")
    ]
    assert len(kernels) > 20

    def never(*arguments, **options):
        raise AssertionError("a kernel ran")

    model = linear("adam")
    for name in kernels:
        monkeypatch.setattr(float64, name, never)
    return model


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


X, Y = toy(6)
BAD_DATA = {
    "another size": (X[:, :7], Y, ShapeError, r"\(6, 7, 8, 1\).*\('?N'?, 8, 8, 1\)"),
    "no channel axis": (X[..., 0], Y, ShapeError, r"reshape\(-1, 8, 8, 1\)"),
    "flat images": (X.reshape(6, 64), Y, ShapeError, r"\(6, 64\)"),
    "one image": (X[0], Y[0], ShapeError, r"\(8, 8, 1\)"),
    "a NaN": (changed(X, (2, 3, 4, 0), np.nan), Y, ValueError, r"NaN or infinity.*\(2, 3, 4, 0\)"),
    "an infinity": (changed(X, (5, 0, 0, 0), -np.inf), Y, ValueError, r"NaN or infinity.*\(5, 0, 0, 0\)"),
    "no images": (X[:0], Y[:0], ValueError, "empty"),
    "an empty list": ([], [], ValueError, "empty"),
    "a number": (3.0, Y, ValueError, "empty"),
    "text": (np.full((6, 8, 8, 1), "a"), Y, ValueError, "numbers"),
    "objects": (np.full((6, 8, 8, 1), None), Y, ValueError, "numbers"),
    "complex numbers": (X.astype(complex), Y, ValueError, "numbers"),
    "fewer labels": (X, Y[:5], ShapeError, "5 labels for 6 images"),
    "more labels": (X[:5], Y, ShapeError, "6 labels for 5 images"),
    "whole numbers for one-hot": (X, Y.argmax(axis=1), ShapeError, r"to_categorical\(.*, 3\).*sparse_categorical"),
    "other classes": (X, one_hot([0] * 6, 4), ShapeError, r"\(6, 4\).*3 classes"),
    "rows that sum to 2": (X, 2 * Y, ValueError, "sum to 1"),
    "negative labels": (X, Y - 2 * Y[:, ::-1] + 2 / 3, ValueError, "at least 0|sum to 1"),
    "a NaN label": (X, changed(Y, (1, 1), np.nan), ValueError, "sum to 1"),
    "labels of text": (X, np.full((6, 3), "a"), ValueError, "numbers"),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_that_do_not_fit_are_refused(idle, case):
    x, y, error, message = BAD_DATA[case]
    for call in (
        lambda: fit(idle, x, y),
        lambda: idle.evaluate(x, y, verbose=0),
        lambda: fit(idle, X, Y, validation_data=(x, y)),
    ):
        with pytest.raises(error, match=message):
            call()
    assert idle.optimizer.iterations == 0


@pytest.mark.parametrize(
    "labels, message",
    [
        ([0, 1, 2, 3, 0, 1], "label 3 is out of range: with 3 classes labels are 0 to 2"),
        ([0, 1, 2, -1, 0, 1], "label -1 is out of range"),
        ([0, 1, 2, 0.5, 0, 1], "whole numbers"),
        (Y, r"whole numbers of shape \(N,\)"),
    ],
    ids=["too large", "negative", "broken", "one-hot"],
)
def test_sparse_labels_that_do_not_fit_are_refused(idle, labels, message):
    idle.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=message):
        fit(idle, X, labels)


@pytest.mark.parametrize(
    "loss, labels, message",
    [
        ("mse", Y[:, :2], r"\(6, 2\).*\(N, 3\)"),
        ("mse", changed(Y, (1, 1), np.nan), "NaN or infinity"),
        ("binary_crossentropy", 2 * Y, "between 0 and 1"),
        ("binary_crossentropy", -Y, "between 0 and 1"),
        ("binary_crossentropy", Y.argmax(axis=1), r"\(6,\).*\(N, 3\)"),
    ],
)
def test_targets_that_do_not_fit_are_refused(idle, loss, labels, message):
    idle.compile("adam", loss)
    for call in (lambda: fit(idle, X, labels), lambda: idle.evaluate(X, labels, verbose=0)):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("size", [0, -1, 2.5, "8"])
def test_a_batch_size_is_a_whole_number_of_at_least_one(idle, size):
    for call in (
        lambda: fit(idle, X, Y, batch_size=size),
        lambda: idle.evaluate(X, Y, batch_size=size),
        lambda: idle.predict(X, batch_size=size),
    ):
        with pytest.raises(ValueError, match="batch_size"):
            call()


def test_predict_refuses_the_same_images(idle):
    for case in ("another size", "no channel axis", "a NaN", "no images", "text"):
        x, _, error, message = BAD_DATA[case]
        with pytest.raises(error, match=message):
            idle.predict(x)


def test_training_before_compile_is_an_error_that_says_what_to_do(idle):
    model = Sequential([Flatten(input_shape=(8, 8, 1)), Dense(3, activation="softmax")])
    for call in (lambda: fit(model, X, Y), lambda: model.evaluate(X, Y)):
        with pytest.raises(RuntimeError, match="compile"):
            call()


@pytest.mark.parametrize(
    "last",
    [
        [Dense(3)],
        [Dense(3, activation="relu")],
        [Dense(3, activation="softmax"), Activation("relu")],
        [Dense(3, activation="softmax"), Dropout(0.5)],
    ],
    ids=["dense", "relu", "relu after softmax", "dropout after softmax"],
)
def test_a_network_that_does_not_end_in_softmax_is_refused(idle, last):
    model = Sequential([Flatten(input_shape=(8, 8, 1)), *last])
    model.compile("adam")
    with pytest.raises(ValueError, match="softmax"):
        fit(model, X, Y)


def test_a_network_that_ends_in_images_is_refused(idle):
    model = Sequential([Conv2D(3, (3, 3), input_shape=(8, 8, 1))])
    model.compile("adam")
    with pytest.raises(ShapeError, match=r"\(6, 6, 3\).*Flatten"):
        fit(model, X, Y)


def test_a_network_of_several_outputs_cannot_be_trained(idle):
    inputs = Input(shape=(8, 8, 1))
    flat = Flatten()(inputs)
    model = Model(inputs, [Dense(3, activation="softmax")(flat), flat])
    model.compile("adam")
    with pytest.raises(ValueError, match="2 outputs"):
        fit(model, X, Y)


def test_an_optimizer_that_holds_another_network_s_state_is_refused(float64):
    optimizer = optimizers.Adam()
    first = linear(optimizer)
    fit(first, X, Y)
    second = Sequential([Flatten(input_shape=(8, 8, 1)), Dense(5, activation="relu"), Dense(3, activation="softmax")])
    second.compile(optimizer)
    with pytest.raises(ValueError, match="optimizer"):
        fit(second, X, Y)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"optimizer": "nadam"}, "nadam.*sgd, adam, adadelta, rmsprop"),
        ({"loss": "huber"}, "huber.*categorical_crossentropy"),
        ({"metrics": ["f1"]}, "f1.*accuracy"),
        ({"metrics": [0.5]}, "0.5.*accuracy.*functions of your own"),
        ({"loss": 0.5}, "0.5.*categorical_crossentropy.*functions of your own"),
    ],
)
def test_compile_lists_what_there_is(float64, arguments, message):
    with pytest.raises(ValueError, match=message):
        network(input_shape=(8, 8, 1)).compile(**arguments)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: optimizers.SGD(0), "learning rate must be positive"),
        (lambda: optimizers.Adam(lr=-1), "learning rate must be positive"),
        (lambda: optimizers.Adam(float("nan")), "learning rate must be positive"),
        (lambda: optimizers.SGD(momentum=2), "momentum"),
        (lambda: optimizers.SGD(decay=-1), "decay"),
    ],
)
def test_optimizers_refuse_numbers_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_update_without_gradients_is_an_error(float64):
    model = linear()
    with pytest.raises(ValueError, match="no gradient"):
        model.optimizer.apply(model.trainable_weights)


@pytest.mark.parametrize(
    "build, message",
    [
        (lambda: [Conv2D(2, 3, input_shape=(2, 8, 1))], "subtracting 3 from 2 for conv2d_1.*rows"),
        (lambda: [Conv2D(2, 3, input_shape=(8, 8, 1)), MaxPooling2D(7)], "subtracting 7 from 6 for max_pooling2d_1"),
        (lambda: [AveragePooling2D(9, input_shape=(8, 8, 1))], "subtracting 9 from 8 for average_pooling2d_1"),
        (
            lambda: [Flatten(input_shape=(8, 8, 1)), GlobalAveragePooling2D()],
            r"global_average_pooling2d_1.*\(H, W, C\)",
        ),
        (lambda: [Flatten(input_shape=(8, 8, 1)), ZeroPadding2D()], r"zero_padding2d_1.*\(H, W, C\)"),
        (lambda: [ZeroPadding2D(-1)], "zero_padding2d_1: padding.*-1"),
        (lambda: [ZeroPadding2D(((1, 2), (1, 2, 3)))], "zero_padding2d_1: padding"),
        (lambda: [LeakyReLU(-0.1)], "leaky_re_lu_1: alpha.*-0.1"),
        (lambda: [ELU("1")], "elu_1: alpha"),
        (lambda: [ReLU(6)], "re_lu_1: max_value"),
        (lambda: [Dense(3, kernel_regularizer="l3")], "no regularizer is called 'l3'; there are: l1, l2, l1_l2"),
        (lambda: [Dense(3, bias_regularizer=l2(-1.0))], "l2 of a regularizer.*-1.0"),
        (lambda: [Softmax(axis=1)], "softmax_1.*axis"),
        (lambda: [Flatten(input_shape=(8, 8, 1)), Conv2D(2, 3)], r"conv2d_1.*\(H, W, C\)"),
        (lambda: [Conv2D(0, 3)], "filters must be"),
        (lambda: [Conv2D(2, (3, 0))], "kernel_size"),
        (lambda: [Conv2D(2, 3, padding="full")], "'valid' or 'same'"),
        (lambda: [Conv2D(2, 3, activation="gelu")], "gelu.*relu"),
        (lambda: [Conv2D(2, 3, kernel_initializer="sparse")], "sparse"),
        (lambda: [Dropout(1.0)], "dropout_1.*rate"),
        (lambda: [Dropout(-0.1)], "dropout_1.*rate"),
        (lambda: [BatchNormalization(axis=1)], "NHWC"),
        (lambda: [MaxPooling2D("2")], "pool_size"),
        (lambda: [Dense(3.5)], "units"),
    ],
)
def test_layers_that_do_not_fit_are_refused_by_name(float64, build, message):
    with pytest.raises(ValueError, match=message):
        Sequential(build())


def test_inputs_of_two_shapes_cannot_be_added(float64):
    x = Input((8, 8, 3))
    for inputs, message in (([x, Input((8, 8, 1))], r"\(8, 8, 3\).*\(8, 8, 1\)"), ([x], "at least two")):
        with pytest.raises(ShapeError, match=f"add_.*{message}"):
            Add()(inputs)


def test_the_old_form_of_a_convolution_means_its_two_extents():
    assert Conv2D(16, 3, 5).window == (3, 5) and Conv2D(16, 3, 5).stride == (1, 1)
    assert Conv2D(16, 3).window == (3, 3) and Conv2D(16, (3, 2), 2).stride == (2, 2)
    assert Conv2D(16, 3, strides=(2, 1)).stride == (2, 1)
    assert Conv2D(16, (3, 3), (2, 1), "same").stride == (2, 1)
    assert Conv2D(16, 3, 5, strides=2).window == (3, 5) and Conv2D(16, 3, 5, strides=2).stride == (2, 2)


def test_strides_by_name_are_strides_even_where_all_are_numbers():
    layer = Conv2D(16, 3, strides=2)
    assert layer.window == (3, 3) and layer.stride == (2, 2)


def test_an_optimizer_that_has_trained_one_network_refuses_another_of_the_same_shapes(float64):
    x, y = images(np.random.default_rng(0), 16)
    shared = optimizers.Adam(0.01)
    first, second = linear(shared), linear(shared)
    fit(first, x, y)
    with pytest.raises(ValueError, match="other parameters.*new one"):
        fit(second, x, y)
    fit(first, x, y)  # its own it goes on with
    first.compile(shared, metrics=["accuracy"])
    fit(first, x, y)


@pytest.mark.parametrize("name", ["steps_per_epoch", "validation_steps", "workers", "bach_size"])
def test_an_argument_that_is_not_there_is_refused_by_name(idle, name):
    with pytest.raises(TypeError, match=name):
        fit(idle, X, Y, **{name: 3})


@pytest.mark.parametrize("shuffle", ["batch", "yes", 2, None])
def test_shuffle_is_true_or_false(idle, shuffle):
    with pytest.raises(ValueError, match="shuffle"):
        fit(idle, X, Y, shuffle=shuffle)


@pytest.mark.parametrize("epochs", [-1, 2.5, "3"])
def test_epochs_are_a_whole_number(idle, epochs):
    with pytest.raises(ValueError, match="epochs"):
        fit(idle, X, Y, epochs=epochs)


def test_a_batch_size_of_none_is_keras_s_default(float64):
    x, y = images(np.random.default_rng(0), 40)
    model = linear(optimizers.SGD(0.1))
    model.fit(x, y, batch_size=None, epochs=np.int64(2), verbose=0)
    assert model.optimizer.iterations == 4  # 32 and 8, twice
