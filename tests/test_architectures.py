"""The documented networks against facts transcribed from the documents: tests/data/architectures.json.

Each layer there is [type, options that are not Keras's defaults, output shape, parameters].
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers import images

from tinycnn import architectures, session
from tinycnn.architectures import ARCHITECTURES, UnknownNetwork
from tinycnn.callbacks import LearningRateScheduler
from tinycnn.fit import summary

FACTS = json.loads((Path(__file__).parent / "data" / "architectures.json").read_text())
KERAS_DEFAULTS = {
    "Conv2D": {
        "strides": [1, 1],
        "padding": "valid",
        "activation": None,
        "use_bias": True,
        "kernel_initializer": "glorot_uniform",
    },
    "Dense": {"activation": None, "use_bias": True, "kernel_initializer": "glorot_uniform"},
    "MaxPooling2D": {"padding": "valid"},
    "BatchNormalization": {"momentum": 0.99, "epsilon": 0.001},
}

every_network = pytest.mark.parametrize("name", FACTS)
pytestmark = pytest.mark.usefixtures("float64")


def build(name):
    """The network without drawing its weights, up to 38 million of them."""
    with session.without_initial_weights():
        return architectures.build(name)


def facts_of(layer):
    """[type, all options] as in FACTS."""
    return [layer.type, json.loads(json.dumps(layer.options()))]


def complete(kind, options):
    return [kind, {**KERAS_DEFAULTS.get(kind, {}), **options}]


def test_there_are_the_documented_networks_and_no_others():
    assert list(ARCHITECTURES) == list(FACTS) and len(FACTS) == 27
    assert all(a.id == name and a.title for name, a in ARCHITECTURES.items())


@every_network
def test_every_layer_has_the_documented_options_shape_and_parameters(name):
    rows = FACTS[name]["layers"]
    model = build(name)
    symbols = model.symbols[1:]
    if rows[0][0] == "Concatenate":
        _, options, shape, count = rows.pop(0)
        joined = next(s for s in symbols if s.layer.type == "Concatenate")
        for last, branch in zip(joined.inputs, options["branches"], strict=True):
            for row in reversed(branch):
                assert facts_of(last.layer) == complete(*row)
                (last,) = last.inputs
            assert last is model.input
        before = symbols[: symbols.index(joined)]
        assert joined.extents == tuple(shape) and sum(s.layer.count_params() for s in before) == count
        symbols = symbols[len(before) + 1 :]
    if "dropout" in ARCHITECTURES[name].reconstructed:
        symbols = [symbol for symbol in symbols if symbol.layer.type != "Dropout"]
    for symbol, (kind, options, shape, count) in zip(symbols, rows, strict=True):
        assert facts_of(symbol.layer) == complete(kind, options)
        assert symbol.extents == tuple(shape) and symbol.layer.count_params() == count


@every_network
def test_the_parameters_are_the_documented_ones(name):
    total, trainable, frozen = FACTS[name]["params"]
    params = ARCHITECTURES[name].params
    assert (params.total, params.trainable, params.non_trainable) == (total, trainable, frozen)
    assert params.documented == FACTS[name]["documented_params"]
    counts = {"total": total, "trainable": trainable, "non_trainable": frozen}
    assert summary.parameter_counts(build(name)) == counts


@every_network
def test_the_recipe_is_the_documented_one_or_says_that_it_is_not(name):
    facts = FACTS[name]["training"]
    model = build(name)
    recipe = model.recipe
    assert json.loads(json.dumps(recipe)) == recipe and recipe["architecture"] == model.name == name
    assert recipe["optimizer_documented"] == ("optimizer" in facts)
    assert recipe["batch_size"] == facts.get("batch_size", 128)
    assert recipe["epochs"] == facts.get("epochs", 100 if name == "breakdown-3" else 20)
    assert (recipe["schedule"] is not None) == FACTS[name]["scheduled"]
    assert (
        model.optimizer.name == facts.get("optimizer", "Adam") and recipe["optimizer"] == model.optimizer.name.lower()
    )
    assert model.optimizer.learning_rate == facts.get("learning_rate", 0.001) == recipe["learning_rate"]
    assert model.loss.__name__ == "categorical_crossentropy" and model.metrics == ["acc"]
    if model.optimizer.name == "Adadelta":
        assert model.optimizer.rho == 0.95


@every_network
def test_the_accuracies_are_the_documented_ones(name):
    architecture = ARCHITECTURES[name]
    assert architecture.accuracy == FACTS[name]["accuracy"]
    assert architecture.best_accuracy == FACTS[name]["best_accuracy"]


def test_logs_have_a_row_an_epoch_and_end_at_the_documented_accuracy():
    logged = {name: a for name, a in ARCHITECTURES.items() if a.history is not None}
    assert len(logged) == 18  # all of the third and the fourth document, the fifth, and four of the second
    for name, architecture in logged.items():
        history = architecture.history
        assert list(history) == ["loss", "acc", "val_loss", "val_acc"]
        assert {len(values) for values in history.values()} == {architecture.recipe.epochs}
        for figure, values in history.items():
            high = 1 if figure.endswith("acc") else 2.5
            assert all(0 < value < high or math.isnan(value) for value in values) and not math.isnan(values[-1])
        # The document of cn-3 prints an accuracy that is not the last of its log.
        assert history["val_acc"][-1] == (0.9923 if name == "cn-3" else architecture.accuracy)
        if architecture.best_accuracy:
            assert max(history["val_acc"]) == architecture.best_accuracy


def test_logs_are_the_documented_ones():
    history = ARCHITECTURES["go-crazy"].history
    assert history["loss"][:2] == (0.2010, 0.0618) and history["val_acc"][13] == 0.9945
    history = ARCHITECTURES["models-3"].history  # of which the document shows the last ten epochs
    assert [math.isnan(value) for value in history["val_acc"]] == [True] * 3 + [False] * 10
    assert history["val_acc"][3] == 0.9918 and history["acc"][-1] == 0.9969


def test_the_schedule_is_the_documented_formula():
    schedule = architectures.schedule_function(build("go-crazy").recipe["schedule"])
    assert [schedule(epoch) for epoch in (0, 1, 2, 19)] == [0.003, 0.0022744503, 0.0018315018, 0.0004248690]
    assert all(schedule(epoch) == round(0.003 * 1 / (1 + 0.319 * epoch), 10) for epoch in range(20))
    assert architectures.schedule_function(None) is None
    with pytest.raises(ValueError, match="'cosine'.*inverse_time"):
        architectures.schedule_function(["cosine", 1])


def test_a_documented_network_trains_by_its_schedule():
    x, y = images(np.random.default_rng(0), 40, 28, 28, 1, 10)
    model = architectures.build("go-crazy")
    schedule = LearningRateScheduler(architectures.schedule_function(model.recipe["schedule"]))
    history = model.fit(x, y, batch_size=model.recipe["batch_size"], epochs=2, verbose=0, callbacks=[schedule])
    assert history.history["lr"] == [0.003, 0.0022744503]
    assert history.history["loss"][1] < history.history["loss"][0]


def test_the_notes_say_what_a_reader_must_know():
    notes = {name: a.note for name, a in ARCHITECTURES.items()}
    assert all(notes[name] for name, facts in FACTS.items() if "optimizer" not in facts["training"])
    assert "log" in notes["vanilla"] and "Dropout" in notes["eip4-2"] and "3x3" in notes["cn-3"]


@pytest.mark.parametrize("use", [architectures.get, architectures.build])
def test_an_unknown_name_is_refused_with_the_nearest(use):
    with pytest.raises(UnknownNetwork, match="'go-crasy'; did you mean go-crazy.*`tinycnn list`") as error:
        use("go-crasy")
    assert isinstance(error.value, ValueError)
    with pytest.raises(UnknownNetwork) as error:
        use("resnet152")
    assert "did you mean" not in str(error.value)


def test_get_gives_the_description_alone():
    assert architectures.get("go-crazy") is ARCHITECTURES["go-crazy"]
