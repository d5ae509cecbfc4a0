"""Checkpoints: what is kept, and how a killed training goes on."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_same_bits, assert_same_weights
from safetensors import safe_open
from saved_trainings import OPTIMIZERS, X, Y, compiled, fit, graph, network

import tinycnn
from tinycnn import callbacks, session
from tinycnn.architectures.notation import parse
from tinycnn.keras_reference.compare import EVERY_LAYER
from tinycnn.layers import Conv2D, Dense, Flatten, Input
from tinycnn.models import Model, Sequential, load_model


def without_seconds(history):
    return [(epoch, {k: v for k, v in row.items() if k != "seconds"}) for epoch, row in history.rows()]


# ---------------------------------------------------------------- what is kept


@pytest.mark.parametrize("loss", ["binary_crossentropy", "mean_squared_error"])
def test_layers_of_every_kind_and_their_loss_come_back(float64, path, loss):
    model = parse(EVERY_LAYER)
    model.compile(OPTIMIZERS["rmsprop"](), loss)
    x = np.random.default_rng(0).random((3, 28, 28, 1))
    model.fit(x, np.eye(10)[:3], verbose=0)
    model.save(path)
    back = load_model(path)
    assert [(la.type, la.options()) for la in back.layers] == [(la.type, la.options()) for la in model.layers]
    assert_same_bits(back.predict(x), model.predict(x))
    assert back.loss is model.loss
    for net in (model, back):
        net.fit(x, np.eye(10)[:3], verbose=0)
    assert_same_weights(back, model)


@pytest.mark.parametrize("build", [network, graph])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_everything_comes_back_to_the_bit(device, path, build, optimizer):
    model = compiled(build, optimizer)
    fit(model, 2, validation_data=(X[:6], Y[:6]))
    model.save(path)
    session.set_random_seed(1)
    back = load_model(path)
    assert type(back) is type(model) and back.name == model.name and back.seed == model.seed
    assert back.epoch == 2 and back.device is device
    assert_same_weights(back, model)
    assert [layer.name for layer in back.layers] == [layer.name for layer in model.layers]
    assert [layer.options() for layer in back.layers] == [layer.options() for layer in model.layers]
    assert [(layer.seed, layer.stream) for layer in back.layers] == [
        (layer.seed, layer.stream) for layer in model.layers
    ]
    assert back.history.rows() == model.history.rows()
    assert device.numpy(back.step).tolist() == device.numpy(model.step).tolist() == [6]
    assert type(back.optimizer) is type(model.optimizer)
    assert back.optimizer.options() == model.optimizer.options()
    assert back.optimizer.iterations == model.optimizer.iterations == 6
    for slot, arrays in model.optimizer.state.items():
        for got, want in zip(back.optimizer.state[slot], arrays, strict=True):
            assert_same_bits(device.numpy(got), device.numpy(want))
    assert back.loss is model.loss and back.metrics == ["accuracy"]
    assert_same_bits(back.predict(X), model.predict(X))


@pytest.mark.parametrize("build", [network, graph])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_resumed_training_ends_where_an_uninterrupted_one_does(device, path, build, optimizer):
    """To the bit, with shuffling, dropout, batch norm, a rate that changes and the optimiser's state."""
    rate = callbacks.LearningRateScheduler(lambda epoch, lr: lr * 0.9)
    whole = compiled(build, optimizer)
    fit(whole, 4, callbacks=[rate], validation_data=(X[:6], Y[:6]))
    part = compiled(build, optimizer)
    fit(part, 2, callbacks=[rate], validation_data=(X[:6], Y[:6]))
    part.save(path)
    session.clear_session()
    session.set_random_seed(12345)
    back = load_model(path)
    fit(back, 4, callbacks=[rate], validation_data=(X[:6], Y[:6]))
    assert_same_weights(back, whole)
    assert without_seconds(back.history) == without_seconds(whole.history)
    assert back.history.epoch == [0, 1, 2, 3]


def test_a_model_that_was_never_compiled_or_never_trained_is_kept_too(device, path):
    session.set_random_seed(7)
    model = network()
    model.save(path)
    back = load_model(path)
    assert back.optimizer is None and back.epoch == 0
    assert_same_weights(back, model)
    model = compiled()
    model.save(path)
    back = load_model(path)
    fit(back, 2)
    fit(model, 2)
    assert_same_weights(back, model)


def test_a_model_of_several_outputs_is_kept_with_all_of_them(float64, path):
    inputs = Input(shape=(8, 8, 1))
    middle = Conv2D(2, (3, 3))(inputs)
    model = Model(inputs, [middle, Flatten()(middle)])
    model.save(path)
    for got, want in zip(load_model(path).predict(X), model.predict(X), strict=True):
        assert_same_bits(got, want)


def test_a_sequential_model_that_was_built_by_its_data_is_kept(float64, path):
    model = Sequential([Flatten(), Dense(3, activation="softmax")])
    with pytest.raises(ValueError, match="input_shape"):
        model.save(path)
    assert not path.exists()
    model.compile("sgd")
    model.fit(X, Y, epochs=1, verbose=0)
    model.save(path)
    assert_same_bits(load_model(path).predict(X), model.predict(X))


def test_float64_weights_load_into_float32_and_the_other_way_round(path):
    with tinycnn.use_device("reference", "float64"):
        model = compiled()
        fit(model, 1)
        model.save(path)
    with tinycnn.use_device("reference", "float32"):
        back = load_model(path)
        for got, want in zip(back.get_weights(), model.get_weights(), strict=True):
            assert_same_bits(got, want.astype(np.float32))
        back.save(path)
    with tinycnn.use_device("reference", "float64"):
        assert load_model(path).get_weights()[0].dtype == np.float64


def test_the_file_is_plain_safetensors_that_others_can_read(saved, path):
    with safe_open(path, "numpy") as file:
        config = json.loads(file.metadata()["tinycnn"])
        names = set(file.keys())
        kernel = file.get_tensor("1.kernel")
    assert config["format"] == 1 and config["epoch"] == 1
    assert {"1.kernel", "1.bias", "2.gamma", "2.moving_variance", "optimizer.m.0"} <= names
    assert_same_bits(kernel, saved.get_weights()[0])


def test_saving_leaves_the_model_as_it_was(saved, tmp_path):
    before = saved.get_weights()
    saved.save(tmp_path / "again.safetensors")
    for got, want in zip(saved.get_weights(), before, strict=True):
        assert_same_bits(got, want)
    other = compiled()
    fit(other, 2)
    fit(saved, 2)
    assert_same_weights(saved, other)


# ---------------------------------------------------------------- killed and resumed

CHILD = """
import sys
sys.path.insert(0, {tests!r})
import numpy as np
import tinycnn
from tinycnn import callbacks
from tinycnn.models import load_model
tinycnn.set_device({name!r}, {dtype!r})
import saved_trainings as t

def hold_still(*now):
    if now == {moment}:
        sys.stdin.read()  # until killed

class Report(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("batch", self.model.epoch + 1, batch, flush=True)
        hold_still("batch", self.model.epoch + 1, batch)
    def on_epoch_end(self, epoch, logs=None):
        print("saved", epoch + 1, flush=True)
        hold_still("saved", epoch + 1)

keep = callbacks.ModelCheckpoint({path!r})
model = load_model({path!r}) if {resume} else t.compiled()
t.fit(model, 5, callbacks=[keep, Report()])
print("done", flush=True)
"""


def child(device, path, resume=False, moment=()):
    code = CHILD.format(
        tests=str(Path(__file__).parent),
        name=device.name,
        dtype=device.dtype,
        path=str(path),
        resume=resume,
        moment=moment,
    )
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def read_until(process, start):
    for line in process.stdout:
        if line.strip() == start:
            return
    pytest.fail(f"the child ended with {process.wait()} before it printed {start!r}")


@pytest.mark.slow_on("emulator", "reference-float64")
@pytest.mark.parametrize("moment", [("saved", 2), ("batch", 3, 1)], ids=["between epochs", "within an epoch"])
def test_a_training_that_was_killed_goes_on_to_the_same_weights(device, path, moment):
    whole = compiled()
    fit(whole, 5)
    with child(device, path, moment=moment) as process:
        read_until(process, " ".join(map(str, moment)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert load_model(path).epoch == 2
    with child(device, path, resume=True) as process:
        read_until(process, "done")
    assert process.returncode == 0
    back = load_model(path)
    assert back.epoch == 5
    assert_same_weights(back, whole)
    assert without_seconds(back.history) == without_seconds(whole.history)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
