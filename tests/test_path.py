"""A device's two ways to compute: by kernels that take any shape, and by kernels compiled for a layer's."""

import json
import threading

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, images
from oracles import rng_of
from test_products import check_conv2d, check_dense
from test_products import test_one_by_one_convolution_and_its_gradients as check_conv1x1

import tinycnn
from tinycnn import command as cli
from tinycnn import layers, losses, models, optimizers, session
from tinycnn.devices.gpu.emulator import EmulatorDevice
from tinycnn.devices.gpu.fast import launches
from tinycnn.devices.gpu.fast import plan as planner
from tinycnn.fit import checkpoint


@pytest.fixture
def fast():
    """The emulator on its path 'fast', which nobody else has."""
    device = EmulatorDevice()
    device.path = "fast"
    return device


@pytest.fixture
def launched(fast, monkeypatch):
    """The files whose kernels are launched on it."""
    files, launch = [], fast.driver.launch

    def noted(file, *rest):
        files.append(file)
        launch(file, *rest)

    monkeypatch.setattr(fast.driver, "launch", noted)
    return files


# ---------------------------------------------------------------- the same numbers


@pytest.mark.parametrize(
    "x_shape, filters, window, stride, kind",
    [
        ((3, 9, 7, 1), 5, (3, 3), (1, 1), "valid"),
        ((2, 8, 9, 8), 16, (3, 2), (2, 1), "same"),
        ((2, 6, 5, 6), 9, (1, 1), (1, 1), "valid"),
        ((4, 3, 3, 5), 10, (3, 3), (1, 1), "valid"),
    ],
    ids=str,
)
@pytest.mark.parametrize("relu", [False, True])
def test_convolutions_and_all_their_gradients(fast, launched, x_shape, filters, window, stride, kind, relu):
    check_conv2d(fast, rng_of(1), x_shape, filters, window, stride, kind, relu=relu)
    assert any(file.startswith("fast/") for file in launched)


def test_convolutions_of_one_pixel_and_all_their_gradients(fast, launched):
    check_conv1x1(fast, (2, 6, 5, 6, 9), True)
    assert any(file.startswith("fast/") for file in launched)


@pytest.mark.parametrize("relu", [False, True])
def test_dense_and_all_its_gradients(fast, launched, relu):
    check_dense(fast, rng_of(2), 33, 150, 10, True, relu)
    assert any(file.startswith("fast/") for file in launched)


def test_a_smaller_batch_by_the_kernels_of_a_full_one(fast, launched, monkeypatch):
    """Right, though blocks and slices find nothing to do."""
    asked, choices = [], planner.choices
    monkeypatch.setattr(planner, "choices", lambda layer, *rest: (asked.append(layer.N), choices(layer, *rest))[1])
    with fast.batches_of(50):
        check_conv2d(fast, rng_of(6), (2, 9, 8, 8), 16, (3, 2), (2, 1), "same", relu=True)
        check_conv2d(fast, rng_of(6), (1, 9, 9, 1), 5, (3, 3), (1, 1), "valid", relu=False)
        check_conv1x1(fast, (3, 6, 5, 6, 9), True)
        check_dense(fast, rng_of(7), 7, 150, 10, True, True)
    assert set(asked) == {50} and {file.split("/")[0] for file in launched} >= {"fast"}
    asked.clear()
    check_dense(fast, rng_of(7), 7, 150, 10, True, True)
    with fast.batches_of(3):
        check_dense(fast, rng_of(7), 7, 150, 10, True, True)
    assert set(asked) == {7}


def test_a_layer_that_no_kernel_takes_is_computed_by_the_general_ones(fast, launched, monkeypatch):
    def refused(*_):
        raise ValueError("no kernel takes it")

    monkeypatch.setattr(launches, "plan", refused)
    check_conv2d(fast, rng_of(3), (2, 6, 5, 3), 4, (2, 3), (1, 1), "same", relu=True)
    check_conv1x1(fast, (2, 6, 5, 3, 4), True)
    check_dense(fast, rng_of(4), 3, 20, 4, True, True)
    assert {"conv2d", "conv1x1", "dense"} <= set(launched) and not any(file.startswith("fast/") for file in launched)


# ---------------------------------------------------------------- a network


def trained(device, monkeypatch, epochs=2):
    """(weights, losses) of a small network of every kind of product."""
    monkeypatch.setitem(tinycnn.devices._made, ("emulator", "float32"), device)
    session.clear_session()
    session.set_random_seed(3)
    x, y = images(rng_of(5), 24)
    with tinycnn.use_device("emulator"):
        model = models.Sequential(
            [
                layers.Conv2D(8, 3, activation="relu", input_shape=x.shape[1:]),
                layers.BatchNormalization(),
                layers.Dropout(0.1),
                layers.Conv2D(4, 1, activation="relu"),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dense(y.shape[1], activation="softmax"),
            ]
        )
        model.compile(optimizers.SGD(0.1), losses.categorical_crossentropy)
        history = model.fit(x, y, batch_size=8, epochs=epochs, verbose=0)
    return model.get_weights(), history.history["loss"]


def test_a_network_trains_alike_on_both_and_with_the_same_bits_on_one(fast, launched, monkeypatch):
    built, build = [], fast.driver.build
    monkeypatch.setattr(fast.driver, "build", lambda wanted: (built.append(list(wanted)), build(built[-1])))
    weights, found = trained(fast, monkeypatch)
    general_weights, want = trained(EmulatorDevice(), monkeypatch)
    np.testing.assert_allclose(found, want, rtol=1e-4)
    for one, other in zip(weights, general_weights, strict=True):
        assert_close(one, other, 100, factor=100)
    # All kernels of the step at once, before the first of them is launched.
    assert len(built) == 1 and len(set(built[0])) >= 6
    assert {file for file, _ in built[0]} == {file for file in launched if file.startswith("fast/")}

    again = EmulatorDevice()
    again.path = "fast"
    for one, other in zip(trained(again, monkeypatch)[0], weights, strict=True):
        assert_same_bits(one, other)


def test_what_is_recorded_is_gone_through_without_a_launch(fast, launched):
    parameter, gradient, rate = (fast.asarray(np.ones(n)) for n in (3, 3, 1))
    launched.clear()
    step = fast.record(lambda: fast.sgd_step([parameter], [gradient], [], rate, 0.0, False))
    assert not launched
    step()
    assert launched == ["optimizers"] and not np.any(fast.numpy(parameter))


def test_another_thread_computes_meanwhile(fast):
    found = []

    def step():
        other = threading.Thread(target=lambda: found.append(fast.numpy(fast.elementwise("add", fast.zeros(3), 1.0))))
        other.start()
        other.join()

    fast.record(step)
    np.testing.assert_array_equal(found, [np.ones(3)])


# ---------------------------------------------------------------- which one


def test_a_device_has_the_path_that_it_is_given_or_refuses_it():
    device = EmulatorDevice()
    assert device.path == "general"
    device.path = "fast"
    assert device.conv2d_forward.__func__ is launches.conv2d_forward
    device.path = "general"
    assert device.conv2d_forward.__func__ is EmulatorDevice.conv2d_forward
    with pytest.raises(ValueError, match="the reference device has no path 'fast'; it has: general"):
        tinycnn.get_device("reference").path = "fast"


def test_the_environment_names_the_path_of_devices_that_have_it(monkeypatch):
    monkeypatch.setenv("TINYCNN_PATH", "fast")
    assert EmulatorDevice().path == "fast"
    from tinycnn.devices.reference import ReferenceDevice

    assert ReferenceDevice("float32").path == "general"
    monkeypatch.setenv("TINYCNN_PATH", "quick")
    with pytest.raises(ValueError, match="TINYCNN_PATH is general or fast or one-kernel, not 'quick'"):
        EmulatorDevice()


def test_the_command_takes_a_path_and_logs_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(tinycnn.devices._made, ("emulator", "float32"), EmulatorDevice())
    words = ["train", "CN(4,3)->CN(10,26,activation=none)->FL()->AC(softmax)", "--data", "synthetic", "--limit", "8"]
    words += ["--epochs", "1", "--batch-size", "8", "--log", "log.jsonl", "--save", "m.safetensors"]
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--device", "emulator", "--path", "fast"])
    assert not end.value.code and "on emulator, by its path fast" in capsys.readouterr().out
    row = json.loads((tmp_path / "log.jsonl").read_text())
    assert (row["device"], row["path"]) == ("emulator", "fast")
    assert tinycnn.get_device("emulator").path == "general"  # the command is over
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--device", "cpu", "--path", "fast"])
    assert end.value.code == 2 and "the cpu device has no path 'fast'; it has: general" in capsys.readouterr().err


@pytest.mark.parametrize("path, activation", [("one-kernel", "none"), ("general", "tanh")])
def test_log_and_checkpoint_say_which_path_computed_where_another_was_wished_for(
    path, activation, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYCNN_PATH", "one-kernel")
    device = EmulatorDevice()
    monkeypatch.setitem(tinycnn.devices._made, ("emulator", "float32"), device)
    network = f"CN(2,5,strides=3,activation={activation})->CN(10,8,activation=none)->FL()->AC(softmax)"
    words = ["train", network, "--data", "synthetic", "--limit", "4", "--epochs", "1", "--batch-size", "2"]
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--log", "log.jsonl", "--save", "m.safetensors", "--device", "emulator"])
    assert not end.value.code
    assert capsys.readouterr().err.count("it takes the recorded step") == (path == "general")
    assert json.loads((tmp_path / "log.jsonl").read_text())["path"] == path
    assert checkpoint.read("m.safetensors")[0]["path"] == path
    assert device.path == "one-kernel"


def test_what_is_saved_after_a_training_says_which_path_it_took(tmp_path):
    with tinycnn.use_device("emulator") as device, device.taking("one-kernel"):
        device.path_is_forced = False
        x, y = images(rng_of(5), 4)
        flat = [layers.Flatten(input_shape=x.shape[1:]), layers.Dense(3, activation="tanh")]
        model = models.Sequential([*flat, layers.Dense(y.shape[1], activation="softmax")])
        model.compile("sgd")
        model.save(tmp_path / "new.safetensors")
        with pytest.warns(UserWarning, match="it takes the recorded step"):
            model.fit(x, y, verbose=0)
        model.save(tmp_path / "trained.safetensors")
    paths = [checkpoint.read(tmp_path / f"{name}.safetensors")[0]["path"] for name in ("new", "trained")]
    assert paths == ["one-kernel", "general"]
