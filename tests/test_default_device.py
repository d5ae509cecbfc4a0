"""Which device computes where none is named: the GPU where one is found and trains rightly, else the CPU.

The GPU is a stand-in for CuPy on the emulator.
"""

import json
import subprocess
import sys

import numpy as np
import pytest
import stand_in_cupy

import tinycnn
from tinycnn import command, layers, models, session
from tinycnn.devices import default
from tinycnn.devices.gpu import cuda

PASSED = ("cuda", "a GPU is found, and trains as the reference does", None)


@pytest.fixture
def undecided(monkeypatch):
    """Nobody has asked for a device yet, and no variable names one."""
    monkeypatch.delenv("TINYCNN_DEVICE", raising=False)
    monkeypatch.setattr(tinycnn.devices, "_default", None)
    monkeypatch.setitem(tinycnn.devices._made, ("cuda", "float32"), None)
    monkeypatch.delitem(tinycnn.devices._made, ("cuda", "float32"))
    default._by_what_is_there.cache_clear()
    yield
    default._by_what_is_there.cache_clear()


@pytest.fixture
def gpu(undecided, monkeypatch):
    """A GPU is found, and CuPy."""
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy)
    monkeypatch.setattr(cuda, "driver_version", lambda: (13, 0))
    monkeypatch.setattr(default, "gpu_count", lambda: 1)


def doctor(capsys):
    """(what doctor prints, its default device as JSON)."""
    found = []
    for words in (["doctor"], ["doctor", "--json"]):
        with pytest.raises(SystemExit) as end:
            command.main(words)
        assert not end.value.code
        found.append(capsys.readouterr().out)
    return found[0], json.loads(found[1])["default"]


def test_a_gpu_that_trains_as_the_reference_does_is_the_default(gpu, capsys):
    assert default.choice() == PASSED
    assert tinycnn.get_device().name == tinycnn.Tensor([1.0]).device.name == "cuda"
    text, as_json = doctor(capsys)
    assert "The default device is cuda: a GPU is found, and trains as the reference does\n" in text
    assert as_json == dict(zip(("device", "why", "remedy"), PASSED, strict=True))


@pytest.mark.parametrize(
    "file",
    [
        "bookkeeping", "fast/conv_small", "fast/conv_small_filter", "fast/conv_gemm_filter", "batchnorm", "dropout",
        "maxpool2d", "softmax_crossentropy", "optimizers",
    ],
)  # fmt: skip
def test_a_gpu_that_does_not_do_the_work_of_a_kernel_file_is_left_alone(gpu, monkeypatch, capsys, file):
    launch = cuda.CudaDriver.launch
    monkeypatch.setattr(cuda.CudaDriver, "launch", lambda self, f, *rest: None if f == file else launch(self, f, *rest))
    with pytest.warns(UserWarning, match="the GPU is left alone, for its test failed: after 3 steps"):
        device, why, remedy = default.choice()
    assert device == "cpu" and "its test failed: after 3 steps of training, " in why and "is off by" in why
    assert tinycnn.get_device().name == "cpu"
    assert "pip install --upgrade 'tinycnn[cuda13]'" in remedy and "--device cuda" in remedy
    text, as_json = doctor(capsys)
    assert f"The default device is cpu: {why}\nWhat brings the GPU: {remedy}\n" in text
    assert as_json == {"device": device, "why": why, "remedy": remedy}


def test_a_gpu_whose_kernels_do_not_compile_is_left_alone(gpu, monkeypatch):
    def refuse(*arguments, **options):
        raise RuntimeError("NVRTC_ERROR_INVALID_OPTION:\n  no such architecture")

    monkeypatch.setattr(stand_in_cupy, "RawModule", refuse)
    with pytest.warns(UserWarning, match="left alone"):
        device, why, _ = default.choice()
    assert device == "cpu"
    assert why.endswith("it ends in RuntimeError: NVRTC_ERROR_INVALID_OPTION: no such architecture")


def test_a_gpu_without_cupy_is_left_alone_and_doctor_has_the_command_that_brings_it(gpu, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cupy", None)  # as if it could not be imported
    device, why, remedy = default.choice()
    assert device == "cpu" and why.startswith("a GPU is found, and what the cuda device needs")
    assert "pip install 'tinycnn[cuda13]'" in remedy
    assert remedy in doctor(capsys)[0]


@pytest.mark.parametrize(
    "driver, remedy",
    [((13, 1), "pip install 'tinycnn[cuda13]'"), ((11, 8), "pip install 'tinycnn[cuda12]'"), (None, "come first")],
)
def test_doctor_names_the_cupy_that_fits_the_driver(undecided, monkeypatch, driver, remedy):
    monkeypatch.setattr(cuda, "driver_version", lambda: driver)
    monkeypatch.setattr(command.doctor, "driver_version", lambda: driver)
    monkeypatch.setattr(command.doctor, "cupy", lambda: None)
    (found,) = [part for part in command.doctor.parts() if part[0] == "CuPy"]
    assert found[1] is None and remedy in found[2]


def test_without_a_gpu_the_cpu_is_the_default_and_cupy_is_not_asked(undecided, monkeypatch):
    monkeypatch.setattr(default, "gpu_count", lambda: 0)
    monkeypatch.setattr(cuda, "find_cupy", None)  # would fail if called
    assert default.choice() == ("cpu", "no NVIDIA GPU is found", None)
    assert tinycnn.get_device().name == "cpu"


def test_a_variable_that_names_a_device_spares_the_question(undecided, monkeypatch):
    monkeypatch.setattr(default, "gpu_count", None)
    monkeypatch.setenv("TINYCNN_DEVICE", "reference")
    assert default.choice() == ("reference", "TINYCNN_DEVICE names it", None)
    assert tinycnn.get_device().name == "reference"


def test_the_gpu_is_tried_once_a_process(gpu, monkeypatch):
    tried, launch = [], cuda.CudaDriver.launch

    def count(self, *arguments):
        tried.append(arguments)
        launch(self, *arguments)

    monkeypatch.setattr(cuda.CudaDriver, "launch", count)
    default.choice()
    once = len(tried)
    assert default.choice() == PASSED and tinycnn.get_device().name == "cuda" and len(tried) == once > 0


def test_the_trial_is_no_part_of_what_the_user_does(gpu):
    """It neither sees a mode that is on, nor moves a seed or a number on."""
    session.set_random_seed(5)
    session.clear_session()
    with tinycnn.no_grad(), np.errstate(all="raise"):
        assert tinycnn.get_device().name == "cuda"
    assert (session.next_stream(), session.next_name("conv2d")) == (0, "conv2d_1")


def test_a_command_that_computes_nothing_does_not_try_the_gpu(undecided, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(default, "gpu_count", None)  # would fail if called
    with tinycnn.use_device("reference"):
        file = tmp_path / "small.safetensors"
        models.Sequential([layers.Conv2D(2, 3, input_shape=(5, 5, 1))]).save(file)
    for words in (["list"], ["summary", "vanilla"], ["filters", str(file), "-o", str(tmp_path / "filters.png")]):
        with pytest.raises(SystemExit) as end:
            command.main(words)
        assert not end.value.code, capsys.readouterr().err


def test_a_checkpoint_is_read_onto_the_default_device(gpu, tmp_path):
    with tinycnn.use_device("reference"):
        model = models.Sequential([layers.Flatten(input_shape=(3, 3, 1)), layers.Dense(2, activation="softmax")])
        x = np.ones((2, 3, 3, 1))
        want = model.predict(x)
        model.save(tmp_path / "small.safetensors")
    loaded = models.load_model(tmp_path / "small.safetensors")
    assert loaded.device.name == "cuda"
    np.testing.assert_allclose(loaded.predict(x), want, rtol=1e-5)


def test_nothing_is_asked_at_import(undecided):
    code = """
import sys, tinycnn, tinycnn.layers, tinycnn.models, tinycnn.command
from tinycnn.devices import default
print(default._by_what_is_there.cache_info().misses, "cupy" in sys.modules, "tinycnn.gradcheck.smoke" in sys.modules)
tinycnn.get_device()
print(default._by_what_is_there.cache_info().misses)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["0 False False", "1"]
