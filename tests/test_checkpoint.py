"""Checkpoints: what is kept, how a killed training goes on, and which files are refused."""

import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_same_bits, images
from safetensors import safe_open
from safetensors.numpy import save_file
from small_trainings import again, toy

import tinycnn
from tinycnn import callbacks, optimizers, session
from tinycnn.architectures.notation import parse
from tinycnn.fit import checkpoint
from tinycnn.fit.checkpoint import CheckpointError
from tinycnn.keras_reference.compare import EVERY_LAYER
from tinycnn.layers import (
    Activation,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    MaxPooling2D,
)
from tinycnn.models import Model, Sequential, load_model

X, Y = images(np.random.default_rng(0), 22)


def network():
    """Everything that has something to remember: weights, moving statistics, dropout streams."""
    return Sequential(
        [
            Conv2D(3, (3, 3), strides=(2, 1), padding="same", activation="relu", input_shape=(8, 8, 1)),
            BatchNormalization(momentum=0.9),
            MaxPooling2D((2, 2), strides=1),
            Dropout(0.25),
            Flatten(),
            Dense(5, use_bias=False, kernel_initializer="he_normal", kernel_regularizer="l2"),
            Activation("relu"),
            Dropout(0.5),
            Dense(3, activation="softmax"),
        ]
    )


def graph():
    inputs = Input(shape=(8, 8, 1))
    shared = Conv2D(2, (3, 3), padding="same")
    left = shared(inputs)
    right = BatchNormalization()(shared(Dropout(0.1)(inputs)))
    joined = Flatten()(Concatenate()([left, right, inputs]))
    return Model(inputs, Dense(3, activation="softmax")(joined))


OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.05, decay=0.01),
    "nesterov": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: optimizers.Adam(0.01, beta_1=0.8),
    "adadelta": lambda: optimizers.Adadelta(rho=0.9),
    "rmsprop": lambda: optimizers.RMSprop(rho=0.8),
}


def compiled(build=network, optimizer="adam"):
    session.clear_session()
    session.set_random_seed(7)
    model = build()
    model.compile(OPTIMIZERS[optimizer](), metrics=["accuracy"])
    return model


def fit(model, epochs, **arguments):
    return model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, initial_epoch=model.epoch, **arguments)


def assert_same_weights(one, other):
    for got, want in zip(one.get_weights(), other.get_weights(), strict=True):
        assert_same_bits(got, want)


def without_seconds(history):
    return [(epoch, {k: v for k, v in row.items() if k != "seconds"}) for epoch, row in history.rows()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(float64, path):
    """A checkpoint after one epoch, and the model it is of."""
    model = compiled()
    fit(model, 1)
    model.save(path)
    return model


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
import test_checkpoint as t

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


# ---------------------------------------------------------------- what is refused


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


# ---------------------------------------------------------------- when writing fails


def only_the_old_file(path, data):
    assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_new_checkpoint_replaces_the_old_one_and_leaves_nothing_else(saved, path):
    old = path.read_bytes()
    fit(saved, 2)
    saved.save(path)
    assert path.read_bytes() != old
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert load_model(path).epoch == 2


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(saved, path, call, monkeypatch):
    data = path.read_bytes()
    fit(saved, 2)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "write":
        real = os.fdopen

        def fdopen(*arguments, **options):
            file = real(*arguments, **options)

            class Full:
                def __enter__(self):
                    return self

                def __exit__(self, *error):
                    file.close()

                def write(self, data):
                    file.write(data[: len(data) // 2])
                    full()

                def __getattr__(self, name):
                    return getattr(file, name)

            return Full()

        monkeypatch.setattr(checkpoint.os, "fdopen", fdopen)
    else:
        monkeypatch.setattr(checkpoint.os, call, full)
    with pytest.raises(OSError, match="No space left"):
        saved.save(path)
    monkeypatch.undo()
    only_the_old_file(path, data)
    assert load_model(path).epoch == 1


def test_a_file_size_limit_leaves_the_old_file_and_no_other(saved, path):
    """The real thing: the kernel refuses the write half way."""
    data = path.read_bytes()
    fit(saved, 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(data) // 2, hard))
    try:
        with pytest.raises(OSError):
            saved.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    only_the_old_file(path, data)


def test_an_interrupt_while_writing_leaves_the_old_file_and_no_other(saved, path, monkeypatch):
    data = path.read_bytes()

    def interrupted(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        saved.save(path)
    only_the_old_file(path, data)


def test_a_place_that_cannot_be_written_to_is_an_error_that_names_it(saved, tmp_path):
    with pytest.raises(OSError, match="missing"):
        saved.save(tmp_path / "missing" / "model.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        saved.save(tmp_path / "file" / "model.safetensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every folder")
def test_a_folder_without_write_permission_is_an_error(saved, path):
    data = path.read_bytes()
    path.parent.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            saved.save(path)
    finally:
        path.parent.chmod(0o755)
    only_the_old_file(path, data)


def test_a_checkpoint_is_readable_by_those_whom_the_umask_lets(saved, path):
    before = os.umask(0o027)
    try:
        saved.save(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
