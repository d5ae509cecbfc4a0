"""`tinycnn train mynet.py:model`: a network from a Python file of one's own, with the command's log and resume."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import LISTEN, assert_same_bits

import tinycnn
from tinycnn.datasets import synthetic
from tinycnn.datasets.idx import write_idx
from tinycnn.models import load_model

pytestmark = pytest.mark.usefixtures("reference")  # the command sets the current device; it is put back

FILE = """
from neighbour import UNITS
from tinycnn.layers import Conv2D, Dense, Flatten, Input, Layer
from tinycnn.models import Model, Sequential

model = Sequential([
    Conv2D(3, 5, strides=4, activation="relu", input_shape=(28, 28, 1)), Flatten(), Dense(UNITS, activation="softmax"),
])
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])

class Twice(Layer):
    def call(self, x, training):
        return x + x

def make():
    return Sequential([Twice(), Flatten(), Dense(10, activation="softmax")])

number = 3

def fails():
    return 1 / 0

if __name__ == "__main__":
    raise RuntimeError("a script's own part was run")
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    for prefix, first, count in (("train", 0, 200), ("t10k", 10_000, 30)):
        images, labels = synthetic.digits(count, first=first)
        write_idx(folder / f"{prefix}-images-idx3-ubyte", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture
def file(tmp_path, monkeypatch):
    """mynet.py, and the file beside it that it imports."""
    (tmp_path / "neighbour.py").write_text("UNITS = 10\n")
    (tmp_path / "mynet.py").write_text(FILE)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    for name in ("neighbour", "mynet"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path / "mynet.py"


def test_a_network_from_a_file_is_trained_logged_and_drawn(run, digits, file, tmp_path):
    log, save, plot = tmp_path / "log.jsonl", tmp_path / "m.safetensors", tmp_path / "curves.svg"
    options = ("--data", digits, "--epochs", 2, "--log", log, "--save", save, "--plot", plot)
    status, out, error = run("train", f"{file}:model", *options)
    assert (status, error) == (0, "") and "SGD at 0.01, batches of 128, 2 epochs" in out
    assert [json.loads(line)["epoch"] for line in log.read_text().splitlines()] == [1, 2]
    assert plot.read_text().startswith("<?xml")
    saved = load_model(save)
    assert saved.count_params() == 78 + 1090 and saved.loss.__name__ == "sparse_categorical_crossentropy"


@pytest.mark.parametrize("ending", ["safetensors", "h5"])
@pytest.mark.parametrize("name", ["model", "make"])
def test_a_training_goes_on_where_it_stopped(run, digits, file, tmp_path, name, ending):
    """`make` has a layer that the file defines, waits for the shape of its images, and is compiled by the command."""
    whole, part = tmp_path / f"whole.{ending}", tmp_path / f"part.{ending}"
    common = ("train", f"{file}:{name}", "--data", digits, "--seed", 5)
    assert run(*common, "--epochs", 3, "--save", whole)[0] == 0
    assert run(*common, "--epochs", 1, "--save", part)[0] == 0
    status, out, _ = run(*common, "--epochs", 3, "--save", part, "--resume")
    assert status == 0 and "Epoch 2/3" in out and "Epoch 1/3" not in out
    custom = {"Twice": type("Twice", (tinycnn.layers.Layer,), {"call": lambda self, x, training: x + x})}
    for got, want in zip(load_model(part, custom).get_weights(), load_model(whole, custom).get_weights(), strict=True):
        assert_same_bits(got, want)


def test_the_only_network_of_a_file_needs_no_name(run, file):
    status, out, _ = run("summary", file)
    assert status == 0 and "Total params: 1,168" in out
    assert run("summary", f"{file}:model")[1].count("Conv2D") == 1


def test_another_network_is_not_resumed(run, refused, digits, file, tmp_path):
    save = tmp_path / "m.safetensors"
    assert run("train", f"{file}:model", "--data", digits, "--epochs", 1, "--save", save)[0] == 0
    error = refused("train", f"{file}:make", "--data", digits, "--save", save, "--resume")
    assert "holds another network, CN(3,(5,5),strides=(4,4))->FL()->DN(10), not Twice->Flatten->Dense" in error


def test_the_same_layers_with_other_options_are_another_network(run, refused, digits, file, tmp_path):
    save = tmp_path / "m.safetensors"
    assert run("train", f"{file}:model", "--data", digits, "--epochs", 1, "--save", save)[0] == 0
    file.write_text(FILE.replace("Conv2D(3, 5", "Conv2D(4, 5"))
    error = refused("train", f"{file}:model", "--data", digits, "--save", save, "--resume")
    assert "CN(3,(5,5),strides=(4,4))" in error and "not CN(4,(5,5),strides=(4,4))" in error


FAILS = FILE[: FILE.index("return 1 / 0")].count("\n") + 1
END = FILE.count("\n") + 1  # the line that is added there
BAD = {
    "a missing name": (":modle", "", "has no 'modle'; did you mean model?"),
    "no network": (":number", "", "is a int, and no Model"),
    "a function that fails": (":fails", "", f"mynet.py, line {FAILS}: ZeroDivisionError: division by zero"),
    "a file that fails": (
        ":model",
        "\n\nundefined\n",
        f"mynet.py, line {END + 2}: NameError: name 'undefined' is not defined",
    ),
    "a file that is no Python": (":model", "\nmodel = (", f"line {END + 1}: SyntaxError: '(' was never closed"),
    "a missing module": (":model", "\nimport no_such_module\n", f"line {END + 1}: ModuleNotFoundError"),
    "a file that ends": (":model", "\nraise SystemExit(3)\n", "ended itself, by exit(3)"),
    "several networks": ("", "\nother = make()\n", "has the networks model, other: say which is meant"),
    "an error of tinycnn's": (":model", "\nDense(-1)\n", f"line {END + 1}: ValueError: units must be a whole number"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_network_is_one_line_that_names_the_place(refused, file, case):
    name, more, message = BAD[case]
    file.write_text(FILE + more)
    assert message in refused("summary", f"{file}{name}")


def test_a_file_that_is_missing_or_without_networks_is_refused(refused, file, tmp_path):
    assert "none.py: there is no such file" in refused("train", f"{tmp_path}/none.py:model")
    assert "neighbour.py has no network" in refused("summary", file.parent / "neighbour.py")


@pytest.mark.parametrize(
    "name, message",
    [
        ("m.keras", ".keras files are not read"),
        ("no/m.h5", "there is no folder"),
        ("m.weights.h5", "a .weights.h5 file holds weights alone"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_trained(refused, file, tmp_path, name, message):
    assert message in refused("train", f"{file}:model", "--data", "synthetic", "--save", tmp_path / name)


@pytest.mark.parametrize("command", ["summary", "evaluate", "predict"])
def test_a_damaged_hdf5_file_is_one_line(refused, tmp_path, command):
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    (tmp_path / "x.png").write_bytes(b"")
    error = refused(command, tmp_path / "m.h5", *([tmp_path / "x.png"] if command == "predict" else []))
    assert "m.h5 is not an HDF5 file, or is damaged" in error


def test_evaluate_and_predict_take_an_hdf5_file(run, digits, file, tmp_path):
    save = tmp_path / "m.h5"
    assert run("train", f"{file}:model", "--data", digits, "--epochs", 1, "--save", save)[0] == 0
    assert run("evaluate", save, "--data", digits)[0] == 0
    write_idx(tmp_path / "one", np.zeros((1, 28, 28), np.uint8))
    assert run("predict", save, tmp_path / "one")[0] == 0


def test_ctrl_c_in_the_file_ends_the_command(file):
    """The file says when it runs, and waits; the signal comes then."""
    file.write_text("import signal\nprint('here', flush=True)\nsignal.pause()\n")
    program = f"{LISTEN}from tinycnn.command import main; main(['summary', {str(file)!r}])"
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "here\n"
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 130 and error.splitlines()[-1] == "tinycnn: interrupted"
