"""Runs a submission in Python on a shape, in a child process: what it gives is compared in another (answers.py).

A runner is made of an exercise and a file, and raises Rejected where the file does not build. `run` gives an answer.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinycnn.exercises.answers import SEED, Answer, plain
from tinycnn.exercises.exercise import Case, Exercise, GradientCase
from tinycnn.exercises.runners import Rejected


def runner_of(exercise: Exercise, path: Path) -> Any:
    """The runner for this kind of exercise. Raises Rejected."""
    return {"numba": NumbaRunner, "gradient": GradientRunner}[exercise.kind](exercise, path)


def loaded(exercise: Exercise, path: Path) -> Callable[..., Any]:
    """The function of a file in Python that the exercise asks for. Raises Rejected."""
    sys.modules[f"tinycnn.exercises.{exercise.name}.solution"] = None  # type: ignore[assignment]  # not to be imported
    module = _imported(path)
    function = getattr(module, exercise.function, None)
    if not callable(function):
        raise Rejected(f"there is no {exercise.function}; asked for is {exercise.signature}")
    return function


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("submission", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["submission"] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = _line(error, path)
        place = f"{path.name}:{line}: " if line else ""
        raise Rejected(f"{place}{type(error).__name__}: {error}") from None
    return module


def _line(error: Exception, path: Path) -> int:
    """The submission's line that raised it; 0 if none did."""
    if isinstance(error, SyntaxError):
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    return next((f.lineno or 0 for f in reversed(frames) if Path(f.filename).name == path.name), 0)


def _raised(error: Exception, path: Path) -> Answer:
    return {"raised": type(error).__name__, "line": _line(error, path), "words": str(error)}


class NumbaRunner:
    """In Numba's simulator, on every machine: what it does there, it does for everybody."""

    def __init__(self, exercise: Exercise, path: Path):
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"  # read when Numba is first imported, which is below
        from tinycnn.devices.gpu.numba import find_numba_cuda

        self.cuda = find_numba_cuda()
        self.path, self.kernel = path, loaded(exercise, path)
        if not hasattr(self.kernel, "__getitem__"):
            raise Rejected(f"{exercise.function} is no kernel: it needs @cuda.jit")

    def run(self, case: Case) -> Answer:
        """What became of the arrays, and who wrote which number of the output."""
        arrays = [self.cuda.to_device(arg) for arg in case.launch.args]
        (output,) = case.outputs
        try:
            with writes_seen(arrays[output.argument]) as writes:
                self.kernel[case.launch.grid, case.launch.block](*arrays)  # type: ignore[index]
        except Exception as error:
            return _raised(error, self.path)
        return {"arrays": [plain(array.copy_to_host()) for array in arrays], "writes": sorted(map(list, writes))}


@contextmanager
def writes_seen(output: Any) -> Iterator[set[tuple[int, int]]]:
    """Watches an array of the simulator: who writes to it, as (thread of the grid, number of the element)."""
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray

    memory, write = output._ary, FakeCUDAArray.__setitem__
    seen: set[tuple[int, int]] = set()
    numbers = np.arange(memory.size, dtype=f"i{memory.itemsize}")

    def watched(array: Any, index: Any, value: Any) -> None:
        offset = array._ary.ctypes.data - memory.ctypes.data
        if 0 <= offset < memory.nbytes:  # what the kernel has cut out of the output is the output too
            here = np.ndarray(array._ary.shape, numbers.dtype, numbers, offset, array._ary.strides)
            seen.update((_thread(), int(element)) for element in np.ravel(here[index]))
        write(array, index, value)

    FakeCUDAArray.__setitem__ = watched
    try:
        yield seen
    finally:
        FakeCUDAArray.__setitem__ = write


def _thread() -> int:
    """The number in its grid of one dimension of the simulator's thread that runs."""
    thread: Any = threading.current_thread()
    return thread.blockIdx.x * thread._manager._block_dim[0] + thread.thread_id


class GradientRunner:
    """On `reference` in float64."""

    def __init__(self, exercise: Exercise, path: Path):
        self.exercise, self.path, self.function = exercise, path, loaded(exercise, path)

    def run(self, case: GradientCase) -> Answer:
        """The result and its gradients, the inputs as they are afterwards, and whether the way back is its own."""
        import tinycnn
        from tinycnn.gradcheck.check import random_upstream

        try:
            with tinycnn.use_device("reference", "float64"):
                inputs = [tinycnn.Tensor(x.copy(), requires_grad=True) for x in case.inputs]
                y = self.function(*inputs)
                y.backward(random_upstream(np.random.default_rng(SEED), y.shape))
                gradients = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in inputs]
                arrays = [y.numpy(), *gradients, *(x.numpy() for x in inputs)]
                own = y.creator is not None and y.creator.name == self.exercise.function
                return {"arrays": [plain(array) for array in arrays], "own": own}
        except Exception as error:
            return _raised(error, self.path)
