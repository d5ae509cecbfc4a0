"""`tinycnn compare`: the same network in Keras says the same, what is altered is found, and what it needs is said."""

import json
import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

import tinycnn
from tinycnn import command as cli
from tinycnn import layers, optimizers
from tinycnn.command.options import find_network
from tinycnn.fit.places import parameters, places
from tinycnn.keras_reference import compare
from tinycnn.keras_reference.compare import Answers, distance, ours, prepare, rows, trial_for
from tinycnn.models import Model


@pytest.fixture
def run(capsys):
    """run("compare", "go-crazy") -> (exit status, standard output, standard error)"""

    def call(*arguments):
        with tinycnn.use_device("reference"), pytest.raises(SystemExit) as end:
            cli.main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def keras_reference():
    pytest.importorskip("keras", reason="Keras is not installed: pip install 'tinycnn[keras]'")
    pytest.importorskip("jax", reason="JAX is not installed: pip install 'tinycnn[keras]'")
    from tinycnn.keras_reference import twin as keras_reference

    try:
        keras_reference.keras_on_jax()
    except ValueError as error:  # another backend
        pytest.skip(str(error))
    return keras_reference


def with_answers(network, steps=compare.STORED_STEPS):
    """(a prepared model that has stored answers on the current device, its trial)"""
    tinycnn.set_random_seed(0)
    model = find_network(compare.WITH_ANSWERS[network])
    trial = trial_for(model, steps)
    prepare(model)
    return model, trial


def missed(values, answers):
    return [(row.what, row.where) for row in rows(values, answers) if not row.passed]


# ---------------------------------------------------------------- the stored answers


def test_every_device_gives_keras_s_stored_answers_with_every_optimizer(device):
    if device.name == "numba":
        pytest.skip("Numba's simulator takes minutes; `tinycnn compare every-layer --device numba` does it")
    model, trial = with_answers("every-layer")
    assert list(trial.optimizers) == ["SGD", "momentum", "Nesterov", "Adam", "Adadelta", "RMSprop"]
    assert {type(layer).__name__ for layer in model.layers} >= {
        "Conv2D", "Dense", "MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D",
        "BatchNormalization", "Dropout", "Flatten", "Activation", "LeakyReLU", "ELU", "ZeroPadding2D", "Concatenate",
        "Add", "UpSampling2D", "Conv2DTranspose",
    }  # fmt: skip
    assert missed(ours(model, trial), compare.stored_answers("every-layer", device.dtype)) == []


def test_every_device_updates_by_keras_s_rules(device):
    if device.name == "numba":
        pytest.skip("Numba's simulator takes minutes; `tinycnn compare every-layer --device numba` does it")
    model, trial = with_answers("every-rule")
    assert list(trial.optimizers) == ["SGD", "momentum", "Nesterov", "Adam", "Adadelta", "RMSprop"]
    assert missed(ours(model, trial), compare.stored_answers("every-rule", device.dtype)) == []


@pytest.mark.parametrize("network", compare.WITH_ANSWERS)
def test_the_stored_answers_are_those_that_keras_gives(keras_reference, network, float64):
    model, trial = with_answers(network)
    weights = {name: w.numpy() for name, w in parameters(model).items()}
    with keras_reference.precision("float64"):
        now = keras_reference.Twin(model).values(weights, trial.x.astype(np.float64), trial.y, trial)
    assert missed(now, compare.stored_answers(network, "float64")) == []


@pytest.mark.parametrize("network", compare.WITH_ANSWERS)
def test_the_stored_tolerances_leave_no_room_for_another_rule(network):
    """In float64 they are next to nothing beside what they measure; in float32 far less than that."""
    for dtype, share in (("float64", 1e-10), ("float32", 2e-2)):
        stored = compare.stored_answers(network, dtype)
        for (what, where), value in stored.values.items():
            if what != compare.RIGHT and not what.startswith(compare.WEIGHTS):
                assert stored.tolerances[what, where] < share * distance(what, value, 0), (what, where)


# ---------------------------------------------------------------- what is wrong is found


class PaperAdam(optimizers.Adam):
    """Epsilon added to the corrected root, as in the paper; in Keras to the uncorrected one."""

    def update(self, device, parameters, gradients):
        t = self.step_on_device[0]
        usual, self.epsilon = self.epsilon, self.epsilon * np.sqrt(1 - self.beta_2**t)
        super().update(device, parameters, gradients)
        self.epsilon = usual


class UncorrectedAdam(optimizers.Adam):
    """Without the correction for the bias of the first steps."""

    def before_step(self):
        super().before_step()
        corrected = (1 - self.beta_2**self.iterations) ** 0.5 / (1 - self.beta_1**self.iterations)
        self.device.assign(self.rate_on_device, self.rate_on_device / corrected)
        self.rate_there = None


class RMSpropOfKeras3(optimizers.RMSprop):
    """Epsilon added below the root."""

    def update(self, device, parameters, gradients):
        for p, g, a in zip(parameters, gradients, self.state["mean_square"], strict=True):
            a += (1 - self.rho) * (g * g - a)
            p -= self.rate_on_device[0] * g / np.sqrt(a + self.epsilon)


class OtherAdadelta(optimizers.Adadelta):
    """Another rho."""

    def __init__(self, rate=1.0):
        super().__init__(rate, rho=0.951)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("Adam", PaperAdam),
        ("Adam", UncorrectedAdam),
        ("Adadelta", OtherAdadelta),
        ("RMSprop", RMSpropOfKeras3),
        ("SGD", lambda rate: optimizers.SGD(rate * 1.001)),
        ("Nesterov", lambda rate: optimizers.SGD(rate, momentum=0.9)),
    ],
)
def test_an_optimizer_of_another_rule_is_found(name, wrong, dtype):
    found = []
    for network in compare.WITH_ANSWERS:  # a rate that is a little off in the one, a wrong epsilon in the other
        with tinycnn.use_device("reference", dtype):
            model, trial = with_answers(network)
            rate = trial.optimizers[name]().learning_rate
            altered = compare.Trial(trial.x, trial.y, {**trial.optimizers, name: partial(wrong, rate)})
            found += missed(ours(model, altered), compare.stored_answers(network, dtype))
    assert found and {what.rpartition(" of ")[2] for what, _ in found} == {name}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_altered_weight_is_found_from_its_layer_on(dtype):
    with tinycnn.use_device("reference", dtype):
        model, trial = with_answers("every-layer", 1)
        bias = parameters(model)["dense_3.bias"]
        bias.device.assign(bias.data, bias.numpy() + 1e-3)
        stored = compare.stored_answers("every-layer", dtype)
        values = {key: value for key, value in ours(model, trial).items() if not key[0].startswith(compare.WEIGHTS)}
        part = Answers({key: stored.values[key] for key in values}, stored.tolerances, "")
        found = missed(values, part)
    outputs = [where for what, where in found if what == compare.INFERENCE]
    assert outputs == ["dense_3", "leaky_re_lu_1", "dense_4"]


def test_a_gradient_that_is_a_little_off_or_not_a_number_is_found_and_named(float64):
    model, trial = with_answers("every-layer")
    values, stored = ours(model, trial), compare.stored_answers("every-layer", "float64")
    for wrong in (1e-9, np.nan, np.inf):
        altered = {key: value.copy() for key, value in values.items()}
        altered[compare.GRADIENT, "conv2d_2.kernel"].flat[1] += wrong
        assert missed(altered, stored) == [(compare.GRADIENT, "conv2d_2.kernel")]
        assert max(rows(altered, stored), key=lambda row: row.share).where == "conv2d_2.kernel"


def test_answers_to_another_question_are_refused(float64):
    model, trial = with_answers("every-layer", 1)
    with pytest.raises(ValueError, match="another network or trial"):
        rows(ours(model, trial), compare.stored_answers("every-layer", "float64"))


# ---------------------------------------------------------------- Keras itself


def shared():
    """A layer that is used twice, branches, and several kinds of padding, on images that are not MNIST's."""
    x = layers.Input(shape=(8, 9, 2))
    twice = layers.Conv2D(2, (3, 2), padding="same", activation="relu")
    left = layers.BatchNormalization(momentum=0.8, epsilon=1e-2)(twice(twice(x)))
    right = layers.MaxPooling2D((3, 3), strides=1, padding="same")(layers.Conv2D(2, 1, use_bias=False)(x))
    y = layers.Dense(4, activation="relu")(layers.Flatten()(layers.Concatenate()([left, right, x])))
    return Model(x, layers.Dense(3, activation="softmax")(layers.Dropout(0.5)(y)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_with_branches_and_a_layer_used_twice_is_keras_s(keras_reference, dtype):
    with tinycnn.use_device("reference", dtype):
        model = shared()
        model.compile(optimizers.SGD(0.1, momentum=0.5, decay=0.5))
        trial = trial_for(model, 3)
        prepare(model)
        values = ours(model, trial)
        assert missed(values, keras_reference.answers(model, trial)) == []
    assert len({where for _, where in values}) == len(places(model)) + len(parameters(model)) + 1


def test_comparing_leaves_keras_and_jax_as_they_were(keras_reference):
    keras, jax = keras_reference.keras_on_jax()
    from keras.src.backend.common import dtypes

    def state():
        promoted = dtypes.BIT64_TO_BIT32_DTYPE["float64"]
        return keras.config.floatx(), keras.config.dtype_policy().name, jax.config.jax_enable_x64, promoted

    before = state()
    with pytest.raises(RuntimeError), keras_reference.precision("float64"):
        assert state() == ("float64", "float64", True, "float64")
        raise RuntimeError
    assert state() == before


# ---------------------------------------------------------------- the command

# A few of the documented networks; benchmarks/compare_all.py compares them all.
KINDS = [("breakdown-2", 1), ("eip4-2", 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("network", "steps"), KINDS)
def test_documented_networks_are_keras_s(keras_reference, run, network, steps):
    status, out, error = run("compare", network, "--device", "cpu", "--steps", steps, "--json")
    facts = json.loads(out)
    assert status == 0, [row for c in facts["comparisons"] for row in c["rows"] if not row["passed"]]
    assert facts["passed"] and [(c["device"], c["dtype"]) for c in facts["comparisons"]] == [
        ("cpu", "float32"),
        ("reference", "float64"),
    ]
    for comparison in facts["comparisons"]:
        assert comparison["reference"].startswith("Keras 3")
        assert {row["where"] for row in comparison["rows"]} >= {"", "conv2d_1", "conv2d_1.kernel"}


@pytest.mark.slow
@pytest.mark.parametrize("network", ["vanilla-15k", "other-4"])
def test_training_steps_as_one_kernel_are_keras_s(keras_reference, run, network):
    status, out, _ = run("compare", network, "--device", "emulator", "--path", "one-kernel", "--steps", 20, "--json")
    facts = json.loads(out)
    assert status == 0, [row for c in facts["comparisons"] for row in c["rows"] if not row["passed"]]
    assert [(c["device"], c["dtype"]) for c in facts["comparisons"]] == [
        ("emulator", "float32"),
        ("reference", "float64"),
    ]
    as_one_kernel, general = (c["optimizers"] for c in facts["comparisons"])
    assert general == [*compare.OPTIMIZERS] and as_one_kernel == [name for name in general if name != "RMSprop"]


WITHOUT_KERAS = """
import os, sys
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ("keras", "jax") else find(name, *rest)
from tinycnn import command as cli
from tinycnn.keras_reference import compare
compare_values = compare.ours
def altered(model, trial):
    values = compare_values(model, trial)
    values["gradient", "dense_2.bias"][0] += float(os.environ["ALTERED"])
    return values
compare.ours = altered
try:
    cli.main(sys.argv[1:])
finally:
    assert "keras" not in sys.modules and "jax" not in sys.modules
"""


def without_keras(*arguments, altered=0):
    """(exit status, standard output, standard error) of the command in a process of its own."""
    command = [sys.executable, "-c", WITHOUT_KERAS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "ALTERED": str(altered)})
    return done.returncode, done.stdout, done.stderr


def test_without_keras_the_stored_answers_are_compared_with_and_named():
    status, out, error = without_keras("compare", "every-layer", "--device", "reference")
    assert status == 0, out + error
    assert "beside stored answers of Keras 3" in out and "in float32" in out and "in float64" in out
    assert "all passed" in out.splitlines()[-1]


def test_a_missed_tolerance_is_named_and_the_exit_status_is_1():
    status, out, error = without_keras("compare", "every-layer", "--device", "reference", altered=1e-3)
    assert status == 1 and error == ""
    # In both of its networks, and in both precisions.
    assert out.count("MISSED: gradient dense_2.bias: 1.00e-03, more than") == 4
    assert "4 missed" in out.splitlines()[-1]


@pytest.mark.parametrize("arguments", [("go-crazy",), ("every-layer", "--steps", "3")])
def test_without_keras_other_comparisons_are_refused_with_what_installs_it(arguments):
    status, out, error = without_keras("compare", *arguments)
    assert status == 2 and out == "" and error.count("\n") == 1
    assert "pip install 'tinycnn[keras]'" in error and "tinycnn compare every-layer" in error


def test_another_backend_of_keras_is_named_in_one_line():
    pytest.importorskip("keras", reason="Keras is not installed: pip install 'tinycnn[keras]'")
    script = (
        "import sys, types\n"
        "fake = types.ModuleType('keras')\n"
        "fake.backend = types.SimpleNamespace(backend=lambda: 'torch')\n"
        "sys.modules['keras'] = fake\n"
        "from tinycnn.command import main\n"
        "main(['compare', 'go-crazy', '--steps', '1'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "torch" in done.stderr and "KERAS_BACKEND=jax" in done.stderr
