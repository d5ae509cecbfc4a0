"""Checkpoints: which files are refused, and which networks a file is refused for."""

import json
import re

import numpy as np
import pytest
from helpers import assert_same_bits, assert_same_weights
from safetensors import safe_open
from safetensors.numpy import save_file
from saved_trainings import compiled, network
from small_trainings import again, toy

from tinycnn.fit.checkpoint import CheckpointError
from tinycnn.layers import Activation, Conv2D, Dense, Flatten, Layer
from tinycnn.models import Sequential, load_model


def test_the_weights_of_another_network_are_refused_with_both_shapes(saved, path):
    other = Sequential([Conv2D(4, (3, 3), padding="same", input_shape=(8, 8, 1)), Flatten(), Activation("softmax")])
    before = other.get_weights()
    with pytest.raises(CheckpointError, match=r"another network.*\(3, 3, 1, 3\).*\(3, 3, 1, 4\)"):
        other.load_weights(path)
    for got, want in zip(other.get_weights(), before, strict=True):
        assert_same_bits(got, want)


def test_a_network_with_fewer_or_more_weights_is_refused(saved, path):
    fewer = Sequential([Conv2D(3, (3, 3), input_shape=(8, 8, 1)), Flatten(), Activation("softmax")])
    with pytest.raises(CheckpointError, match="another network.*no place"):
        fewer.load_weights(path)
    more = network()
    more.add(Dense(3))
    with pytest.raises(CheckpointError, match=r"another network.*no weight.*\(3, 3\)"):
        more.load_weights(path)


def test_load_weights_takes_the_weights_and_nothing_else(saved, path):
    model = compiled(optimizer="sgd")
    model.load_weights(path)
    assert_same_weights(model, saved)
    assert model.epoch == 0 and model.optimizer.iterations == 0 and type(model.optimizer).__name__ == "SGD"


def test_a_file_cut_short_anywhere_is_refused(saved, path):
    data = path.read_bytes()
    for length in (0, 1, 7, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            load_model(path)
        with pytest.raises(CheckpointError, match=re.escape(str(path))):
            network().load_weights(path)


@pytest.mark.parametrize(
    "data",
    [
        b"not a checkpoint at all",
        b"\x00" * 4096,
        b"\xff" * 4096,
        np.random.default_rng(0).bytes(512),
        b"PK\x03\x04" + b"0" * 200,
    ],
)
def test_garbage_is_refused(float64, path, data):
    path.write_bytes(data)
    with pytest.raises(CheckpointError):
        load_model(path)


def test_a_folder_and_a_missing_file_are_refused(float64, tmp_path):
    with pytest.raises((CheckpointError, IsADirectoryError)):
        load_model(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_model(tmp_path / "nowhere.safetensors")


def test_another_program_s_safetensors_file_is_refused(float64, path):
    save_file({"weight": np.zeros((2, 2), np.float32)}, path)
    with pytest.raises(CheckpointError, match="not written by tinycnn"):
        load_model(path)
    save_file({"weight": np.zeros((2, 2), np.float32)}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="not written by tinycnn"):
        load_model(path)


def rewritten(path, change):
    """The file with its configuration (and, if `change` wants, its tensors) changed."""
    with safe_open(path, "numpy") as file:
        config = json.loads(file.metadata()["tinycnn"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    result = change(config, tensors)
    text = result if isinstance(result, str) else json.dumps(config)
    save_file(tensors, path, {"tinycnn": text})


CHANGES = {
    "no JSON": lambda c, t: "{",
    "a list": lambda c, t: "[]",
    "another format": lambda c, t: c.update(format=2),
    "no format": lambda c, t: c.pop("format"),
    "no layers": lambda c, t: c.pop("layers"),
    "empty layers": lambda c, t: c.update(layers=[]),
    "empty graph": lambda c, t: c.update(graph=[]),
    "no graph": lambda c, t: c.pop("graph"),
    "unknown layer": lambda c, t: c["layers"][1].update(type="Lambda"),
    "the base class": lambda c, t: c["layers"][1].update(type="Layer"),
    "a type that is a list": lambda c, t: c["layers"][1].update(type=["Conv2D"]),
    "unknown option": lambda c, t: c["layers"][1]["options"].update(command="rm -rf /"),
    "bad option": lambda c, t: c["layers"][1]["options"].update(filters=-1),
    "code for an activation": lambda c, t: c["layers"][1]["options"].update(activation="__import__('os').abort()"),
    "options that are a list": lambda c, t: c["layers"][1].update(options=[]),
    "a layer that does not exist": lambda c, t: c["graph"][1].update(layer=99),
    "an input from later": lambda c, t: c["graph"][1].update(inputs=[5]),
    "an endless kernel": lambda c, t: c["layers"][1]["options"].update(kernel_size=[100, 100], padding="valid"),
    "other filters": lambda c, t: c["layers"][1]["options"].update(filters=9),
    "unknown optimizer": lambda c, t: c["training"].update(optimizer="os"),
    "evil optimizer options": lambda c, t: c["training"]["options"].update(system="ls"),
    "unknown loss": lambda c, t: c["training"].update(loss="eval"),
    "unknown metric": lambda c, t: c["training"].update(metrics=["f1"]),
    "iterations of text": lambda c, t: c["training"].update(iterations="many"),
    "a step of text": lambda c, t: c.update(step="many"),
    "a history of text": lambda c, t: c.update(history="once upon a time"),
    "a weight missing": lambda c, t: t.pop("1.kernel") is None,
    "a weight too many": lambda c, t: t.update({"77.kernel": np.zeros(3)}),
    "a weight of another shape": lambda c, t: t.update({"1.kernel": np.zeros((2, 2, 1, 3))}),
    "optimizer state missing": lambda c, t: t.pop("optimizer.m.0") is None,
    "optimizer state of another shape": lambda c, t: t.update({"optimizer.m.0": np.zeros(7)}),
    "optimizer state that would broadcast": lambda c, t: t.update({"optimizer.m.0": np.zeros(1)}),
    "no seed": lambda c, t: c.pop("seed"),
    "no epoch": lambda c, t: c.pop("epoch"),
    "a seed of text": lambda c, t: c.update(seed="1"),
    "a seed below 0": lambda c, t: c.update(seed=-1),
    "a seed that is a fraction": lambda c, t: c.update(seed=0.5),
    "an epoch below 0": lambda c, t: c.update(epoch=-3),
    "an epoch of a list": lambda c, t: c.update(epoch=[1]),
    "a step past all numbers": lambda c, t: c.update(step=2**70),
    "a stream below 0": lambda c, t: c["layers"][1].update(stream=-1),
    "a stream past all streams": lambda c, t: c["layers"][1].update(stream=2**40),
    "lists in lists without end": lambda c, t: "[" * 100_000,
    "objects in objects without end": lambda c, t: '{"a":' * 100_000,
    "a name that moves the cursor": lambda c, t: c["layers"][1].update(name="\x1b[2Jx"),
    "a model's name that rings": lambda c, t: c.update(name="\x07"),
    "a history that is no number": lambda c, t: c["history"][0].update(loss="low"),
    "an epoch of the history below 0": lambda c, t: c["history"][0].update(epoch=-1),
    "iterations below 0": lambda c, t: c["training"].update(iterations=-1),
    "a rate that is infinite": lambda c, t: c["training"]["options"].update(learning_rate=1e999),
    "a recipe of text": lambda c, t: c.update(recipe="salt"),
    "a frozen layer that is neither": lambda c, t: c["layers"][1].update(trainable="no"),
    "trained weights that are not there": lambda c, t: c["training"].update(trained=["9.kernel"]),
    "weights that are whole numbers": lambda c, t: t.update({"1.kernel": t["1.kernel"].view(np.int32)}),
    "weights that are bytes": lambda c, t: t.update({"1.bias": np.zeros(t["1.bias"].shape, np.uint8)}),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_configuration_that_does_not_describe_a_network_is_refused(saved, path, case):
    """Never another exception than CheckpointError, and never anything executed: there is nothing that could."""
    rewritten(path, CHANGES[case])
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        load_model(path)


def test_what_is_refused_says_what_is_wrong_without_moving_the_cursor(saved, path):
    rewritten(path, CHANGES["a name that moves the cursor"])
    with pytest.raises(CheckpointError) as error:
        load_model(path)
    assert "layers/1/name" in str(error.value)


def test_weights_that_are_no_numbers_are_loaded_with_a_warning(saved, path):
    rewritten(path, lambda c, t: t["1.kernel"].fill(np.nan))
    with pytest.warns(UserWarning, match=r"1\.kernel holds NaN or infinity"):
        load_model(path)


class Twice(Layer):
    """A layer of one's own."""

    def call(self, x, training):
        return x + x


def test_a_network_with_a_layer_of_one_s_own_is_loaded_by_its_class_or_says_how(float64, tmp_path):
    again(3)
    model = Sequential([Flatten(input_shape=(8, 8, 1)), Twice(), Dense(3, activation="softmax")])
    model.compile("adam", metrics=["accuracy"])
    x, y = toy()
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match="'Twice'.*custom_objects.*load_weights"):
        load_model(tmp_path / "m.safetensors")
    back = load_model(tmp_path / "m.safetensors", custom_objects={"Twice": Twice})
    assert_same_bits(back.predict(x), model.predict(x))


def test_options_that_json_has_no_form_for_are_refused_before_the_file_is_written(float64, tmp_path):
    class Odd(Twice):
        def options(self):
            return {"function": print}

    model = Sequential([Flatten(input_shape=(8, 8, 1)), Odd(), Dense(3, activation="softmax")])
    with pytest.raises(ValueError, match="options"):
        model.save(tmp_path / "m.safetensors")
    assert not any(tmp_path.iterdir())
