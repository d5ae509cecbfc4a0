"""The examples in docstrings: they run as they stand, on the reference device in float32."""

import doctest
import importlib
from pathlib import Path

import pytest

import tinycnn
from tinycnn import Tensor, datasets, gradcheck, initializers, layers, models, pictures, session, utils
from tinycnn import functional as F
from tinycnn.architectures import catalogue, notation
from tinycnn.devices import use_device

PACKAGE = Path(tinycnn.__file__).parent
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]

# What a student calls by name has an example to begin with.
CALLED = (
    F.conv2d, F.conv1x1, F.dense, F.maxpool2d, F.batchnorm, F.dropout, F.relu, F.softmax, F.softmax_crossentropy,
    F.flatten, F.concatenate, layers.Conv2D, layers.Dense, layers.MaxPooling2D, layers.BatchNormalization,
    layers.Dropout, layers.Flatten, layers.Activation, layers.Concatenate, models.Model, models.Sequential, Tensor,
    gradcheck.gradcheck, datasets.load, catalogue.build, notation.parse, notation.notation, pictures.plot_confusion,
    pictures.plot_feature_maps, pictures.plot_filters, pictures.plot_history, pictures.confusion_matrix,
    utils.to_categorical, initializers.get, initializers.glorot_uniform,
)  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, monkeypatch):
    monkeypatch.delenv("TINYCNN_DATA", raising=False)
    said, runner = [], doctest.DocTestRunner()
    with use_device("reference", "float32"):
        for test in doctest.DocTestFinder().find(importlib.import_module(name)):
            session.clear_session()  # so that every example counts its layers from 1
            session.set_random_seed(0)
            runner.run(test, out=said.append)
    assert runner.tries and not runner.failures, "".join(said)


@pytest.mark.parametrize("function", CALLED, ids=lambda function: function.__name__)
def test_what_a_student_calls_has_an_example(function):
    assert ">>> " in function.__doc__
