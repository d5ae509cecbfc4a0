"""Every public name of Keras 2.3.1 works here, or is refused by its name with what to do instead."""

import importlib
import inspect

import keras_names
import numpy as np
import pytest

import tinycnn
from tinycnn import backend as K
from tinycnn import callbacks, layers, losses, metrics, models, optimizers, refusals
from tinycnn.layers import keras1
from tinycnn.models import Sequential

GROUPS = [group for group in keras_names.names() if group != "modules"]


@pytest.mark.parametrize("group", GROUPS)
def test_every_name_works_or_is_refused_with_what_to_do_instead(group, float64):
    for name, arguments in keras_names.names()[group].items():
        found = keras_names.sort_name(group, name, arguments)  # raises Unsorted
        assert (found.status == "works") != bool(found.remedy)


# Keras's are not in the file; a layer's `call` may name its input as it likes, and initial weights and a layer's
# arguments are told apart when they are given. Of add_weight the third is refused where it is no initializer.
OWN_ORDER = {
    "Layer.call", "Layer.add_weight", "callbacks.History", "optimizers.Optimizer", "preprocessing.image.Iterator",
    "preprocessing.image.array_to_img", "preprocessing.image.img_to_array", "preprocessing.image.load_img",
}  # fmt: skip


@pytest.mark.parametrize("group", [group for group in GROUPS if group not in ("layers", "initializers", "constraints")])
def test_arguments_are_taken_by_position_in_keras_s_order(group):
    classes = {"Layer": layers.Layer, "Model": models.Model, "Sequential": models.Sequential}
    owner = classes.get(group) or module(group)
    for name, arguments in keras_names.names()[group].items():
        function = getattr(owner, name, None)
        if not callable(function) or isinstance(function, refusals.NotHere) or f"{group}.{name}" in OWN_ORDER:
            continue
        ours = inspect.signature(function).parameters.values()
        ordered = [p.name for p in ours if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
        assert ordered == list(arguments or [])[: len(ordered)], f"{group}.{name}"


def test_layers_are_given_arguments_by_position_in_keras_s_order():
    for name, ordered in keras1.POSITIONS.items():
        for kind in ("MaxPooling2D", "AveragePooling2D") if name == "Pooling2D" else (name,):
            assert list(ordered) == keras_names.names()["layers"][kind][: len(ordered)], kind


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: optimizers.Adam(0.001, 0.9, 0.999, True), "Adam takes learning_rate, beta_1, beta_2 by position"),
        (lambda: network().summary(100), "Model.summary takes nothing by position: give the others by their names"),
        (lambda: network().fit_generator(None, 1, 1, 0, None, None, None, 1), "takes .*validation_steps by"),
    ],
)
def test_more_by_position_is_refused(call, message, float64):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize("place", [place for place in refusals.NAMES if place.islower()])
def test_no_name_that_is_there_is_refused(place):
    assert not refusals.NAMES[place].keys() & vars(importlib.import_module(f"tinycnn.{place}")).keys()


@pytest.mark.parametrize("module", keras_names.names()["modules"])
def test_every_module_can_be_imported(module):
    importlib.import_module(f"tinycnn.{module}")


def test_the_file_has_the_names_that_keras_s_documentation_begins_with():
    names = keras_names.names()
    assert {"Dense", "Conv2D", "LSTM", "Flatten", "Lambda"} <= names["layers"].keys()
    assert {"fit", "evaluate", "predict", "train_on_batch"} <= names["Model"].keys()
    assert {"EarlyStopping", "TensorBoard"} <= names["callbacks"].keys()
    assert "dilation_rate" in names["layers"]["Conv2D"] and "kernel_constraint" in names["layers"]["Dense"]


def network():
    return Sequential([layers.Flatten(input_shape=(2, 2, 1)), layers.Dense(2, activation="softmax")])


def fitted(**arguments):
    model = network()
    model.compile()
    return model.fit(np.ones((2, 2, 2, 1)), np.eye(2), verbose=0, **arguments)


def module(name):
    return importlib.import_module(f"tinycnn.{name}")


def derived():
    class Mine(layers.GRU):
        pass


REFUSED = {
    "a dilated window": (lambda: layers.Conv2D(2, 3, dilation_rate=2), "Conv2D.dilation_rate=2. .*strides"),
    "channels first": (lambda: layers.MaxPooling2D(2, data_format="channels_first"), "data_format.*transpose"),
    "Keras 1's order": (lambda: layers.Convolution2D(2, 3, 3, dim_ordering="th"), "data_format.*transpose"),
    "groups": (lambda: layers.Conv2D(2, 3, groups=2), "groups.*Concatenate"),
    "a constraint": (lambda: layers.Dense(2, kernel_constraint=print), "kernel_constraint.*callback"),
    "no scale": (lambda: layers.BatchNormalization(scale=False), "scale.*gamma"),
    "a mistake": (lambda: layers.Dense(2, activaton="relu"), "no argument 'activaton'; did you mean activation"),
    "twice": (lambda: layers.Conv2D(2, 3, border_mode="same", padding="same"), "padding twice"),
    "a layer": (lambda: layers.LSTM(3), "layers.LSTM is not there.*convolutions"),
    "a callback": (lambda: callbacks.TensorBoard(log_dir="logs"), "TensorBoard is not there.*JSONLogger"),
    "a loss": (lambda: losses.huber_loss(1, 2), "huber_loss is not there.*categorical_crossentropy"),
    "an optimizer": (lambda: optimizers.Nadam(), "Nadam is not there.*Adam"),
    "an optimizer's argument": (lambda: optimizers.Adam(amsgrad=True), "Adam.amsgrad=True. is not there"),
    "a callback's argument": (lambda: callbacks.ModelCheckpoint("m.h5", save_freq=7), "save_freq.*period"),
    "a metric to compile": (
        lambda: network().compile(metrics=[metrics.AUC]),
        "AUC is not there.*function of y_true.*predict",
    ),
    "a loss to compile": (lambda: network().compile(loss=losses.Huber), "Huber is not there.*'mse'"),
    "a metric": (lambda: metrics.top_k_categorical_accuracy(1, 2), "predict"),
    "a network of photographs": (
        lambda: importlib.import_module("tinycnn.applications.vgg16").VGG16(),
        "architectures",
    ),
    "a backend's function": (lambda: K.cumsum(1), "cumsum is not there"),
    "several losses": (lambda: network().compile(loss_weights=[1, 2]), "loss_weights.*one output"),
    "a part of the data": (lambda: fitted(steps_per_epoch=2), "steps_per_epoch.*part of the data"),
    "a base": (derived, "layers.GRU is not there"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_there_says_what_to_do_instead(what, float64):
    wrong, message = REFUSED[what]
    with pytest.raises(TypeError, match=message):
        wrong()


@pytest.mark.parametrize(
    "thing, name, message",
    [
        (lambda: layers.Dense(2), "add_metric", "add_metric is not there"),
        (lambda: layers.Dense(2), "input_mask", "no masks"),
        (network, "to_yaml", "to_json"),
        (network, "model", "Sequential is the model itself"),
        (network, "nothing_of_keras", "no attribute 'nothing_of_keras'"),
        (lambda: callbacks, "Tensorboard", "no attribute 'Tensorboard'"),
        (lambda: layers.GRU, "units", "GRU is not there"),
    ],
)
def test_an_attribute_that_is_not_there_says_what_to_do_instead(thing, name, message, float64):
    with pytest.raises(AttributeError, match=message):
        getattr(thing(), name)


def test_arguments_that_change_nothing_are_let_through(float64):
    layers.Conv2D(
        2, 3, data_format="channels_last", dilation_rate=(1, 1), kernel_regularizer=None, kernel_constraint=None,
        dtype="float64",
    )  # fmt: skip
    layers.BatchNormalization(center=True, scale=True, beta_initializer="zeros", mode=0)
    network().compile(loss_weights=None)
    fitted(steps_per_epoch=None, workers=1)
    with pytest.raises(ValueError, match="float16"):
        layers.Dense(2, dtype="float16")


def test_a_class_that_is_not_there_can_be_imported_and_has_a_name():
    from tinycnn.layers.recurrent import GRU

    from tinycnn.layers import LSTM

    assert "not there" in repr(LSTM) and "GRU" in repr(GRU)


def test_keras_s_name_for_the_whole_has_its_parts():
    assert tinycnn.Sequential is models.Sequential and tinycnn.Model is models.Model
    assert tinycnn.Input is layers.Input
