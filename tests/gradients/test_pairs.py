"""gradcheck of code that is not tinycnn's: pairs in NumPy, PyTorch, JAX, and as a fixture of pytest."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinycnn.gradcheck import GradcheckError, NotDifferentiable, jax_function, pair, torch_function

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 2)), RNG.standard_normal(2)


def affine_forward(x, w, b):
    return x @ w + b, (x, w)


def affine_backward(dy, cache):
    x, w = cache
    return dy @ w.T, x.T @ dy, dy.sum(axis=0)


# ---------------------------------------------------------------- pairs


def test_a_pair_that_is_right_passes():
    report = pair(affine_forward, affine_backward, [X, W, B])
    assert report and [row.argument for row in report.rows] == ["x", "w", "b"]
    assert str(report) == "gradients of affine_forward on numpy (float64):\n  3 gradients passed"
    assert all(row.error <= row.tolerance < 1e-2 for row in report.rows)


def test_one_input_may_have_its_gradient_alone():
    assert pair(lambda x: (x**2, x), lambda dy, x: 2 * x * dy, X)
    assert pair(lambda x: (x**2, x), lambda dy, x: [2 * x * dy], [X])
    assert pair(lambda x: ((x**3).sum(), x), lambda dy, x: 3 * x**2 * dy, [X])  # a number, as a loss is


@pytest.mark.parametrize(
    "backward, row, words",
    [
        (lambda dy, c: (dy @ c[1].T, c[0].T @ dy, dy.sum(axis=0) * 2), 2, r"b \(2,\): wrong, at b\["),
        (lambda dy, c: (-dy @ c[1].T, c[0].T @ dy, dy.sum(axis=0)), 0, r"x \(4, 3\): wrong, at x\["),
        (lambda dy, c: (dy @ c[1].T, 0 * c[1], dy.sum(axis=0)), 1, r"w \(3, 2\): wrong, at w\["),
        (lambda dy, c: (dy @ c[1].T, c[0].T @ dy, dy), 2, r"b \(2,\): wrong, .*the gradient has shape \(4, 2\)"),
        (lambda dy, c: (dy @ c[1].T, c[0].T @ dy * np.nan, dy.sum(axis=0)), 1, r"w \(3, 2\): wrong, at w\[0,0\] nan"),
        (lambda dy, c: (dy @ c[1].T, None, dy.sum(axis=0)), 1, r"w \(3, 2\): wrong"),
        # What a sum of ones would not have told apart.
        (lambda dy, c: (dy @ c[1].T, c[0].T @ dy[::-1], dy.sum(axis=0)), 1, r"w \(3, 2\): wrong"),
    ],
)
def test_a_gradient_that_is_wrong_is_named_and_no_other(backward, row, words):
    with pytest.raises(GradcheckError, match=words) as error:
        pair(affine_forward, backward, [X, W, B])
    assert [bool(r.verdict != "passed") for r in error.value.report.rows] == [i == row for i in range(3)]
    assert not pair(affine_forward, backward, [X, W, B], raise_exception=False)


def test_a_kink_is_no_fault():
    x = np.array([1.0, 0.0, -2.0])
    with pytest.raises(NotDifferentiable, match=r"not differentiable at x\[1\]"):
        pair(lambda x: (np.maximum(x, 0), x), lambda dy, x: dy * (x > 0), [x])


def changing(x):
    x -= x.max()
    return np.exp(x), np.exp(x)


@pytest.mark.parametrize(
    "forward, backward, inputs, words",
    [
        (lambda x: x, lambda dy, c: dy, [X], "returns a ndarray, not the pair (y, cache)"),
        (affine_forward, lambda dy, c: dy, [X, W, B], "returns 1 gradients; affine_forward has 3 inputs: x, w, b"),
        (changing, lambda dy, y: dy * y, [X], "changing changes its input x; give it a copy to work on"),
        (lambda x: (x.astype("float32"), None), lambda dy, c: dy, [X], "float32 for inputs in float64"),
        (lambda x: (x * RNG.random(), None), lambda dy, c: dy, [X], "two results for the same inputs"),
        (lambda x: (x / 0, None), lambda dy, c: dy, [X], "not finite at these inputs"),
        (affine_forward, affine_backward, [np.arange(3), W, B], "dtype int64"),
        (affine_forward, affine_backward, [], "needs an input to move"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_cannot_be_checked_is_said(forward, backward, inputs, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        pair(forward, backward, inputs)


def test_inputs_stay_as_they_are():
    before = X.copy()
    pair(lambda x: (x * 2, None), lambda dy, c: dy.__imul__(2), [X])
    np.testing.assert_array_equal(X, before)


# ---------------------------------------------------------------- PyTorch


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def cube(torch, factor):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.save_for_backward(x, scale)
            return scale * x**3

        @staticmethod
        def backward(ctx, dy):
            x, scale = ctx.saved_tensors
            return factor * scale * x**2 * dy, (dy * x**3).sum()

    return Cube


def test_a_function_of_pytorch(torch):
    report = torch_function(cube(torch, 3), [X, np.array(0.5)])
    assert report and [row.argument for row in report.rows] == ["x", "scale"] and report.device == "torch (float64)"
    with pytest.raises(GradcheckError, match=r"gradients of Cube on torch \(float64\):\n  x \(4, 3\): wrong, at x\["):
        torch_function(cube(torch, 2), [X, np.array(0.5)])
    assert torch_function(lambda a, b: a.tanh() @ b, [X, W])
    assert torch_function(lambda a, b: a * 2, [X, W])  # b has no part in it, and the gradient 0


# ---------------------------------------------------------------- JAX


def test_a_function_of_jax_with_a_way_back_of_its_own():
    jax = pytest.importorskip("jax")

    def cube(factor):
        @jax.custom_vjp
        def cube(x):
            return x**3

        cube.defvjp(lambda x: (x**3, x), lambda x, dy: (factor * x**2 * dy,))
        return cube

    report = jax_function(cube(3.0), [X])
    assert report and report.device == "jax (float64)" and [row.argument for row in report.rows] == ["x"]
    with pytest.raises(GradcheckError, match=r"gradients of cube on jax \(float64\):\n  x \(4, 3\): wrong"):
        jax_function(cube(2.0), [X])
    assert jax.numpy.ones(1).dtype == "float32"  # as it was before


# ---------------------------------------------------------------- the fixture

ASSIGNMENT = """
def forward(x, w):
    return x @ w, (x, w)

def backward(dy, cache):
    x, w = cache
    return dy @ w.T, FACTOR * x.T @ dy

def test_affine(gradcheck):
    gradcheck(forward, backward, [gradcheck.normal(4, 3), gradcheck.normal(3, 2)])

def test_tensors(gradcheck):
    gradcheck.tensors(lambda x: (x * x).exp(), [gradcheck.normal(2)], device="reference")
"""


def run_pytest(folder, *arguments):
    command = [sys.executable, "-m", "pytest", "-p", "tinycnn_pytest", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_an_assignment_is_checked_by_three_lines(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_right.py").write_text(ASSIGNMENT.replace("FACTOR", "1"))
    (tmp_path / "test_wrong.py").write_text(ASSIGNMENT.replace("FACTOR", "2"))
    done = run_pytest(tmp_path, "-q")
    assert done.returncode == 1 and "1 failed, 3 passed" in done.stdout, done.stdout + done.stderr
    assert re.search(
        r"_ test_affine _+\ngradients of forward on numpy \(float64\):\n  w \(3, 2\): wrong, at w\[\d,\d\] ",
        done.stdout,
    )
    assert "tinycnn_pytest.py" not in done.stdout  # the report is all that is said


def test_the_plugin_costs_those_who_do_not_use_it_nothing(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_nothing.py").write_text(
        "import sys\n\n\ndef test_nothing():\n    assert not {'numpy', 'tinycnn'} & set(sys.modules)\n"
    )
    done = run_pytest(tmp_path, "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gradcheck" in run_pytest(tmp_path, "--fixtures").stdout
