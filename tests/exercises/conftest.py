"""Exercises in CUDA need what the emulator needs, those in Numba a simulator: without them the tests are skipped."""

import pytest

from tinycnn.devices import DeviceError, get_device
from tinycnn.emulator import CompilerMissing
from tinycnn.emulator.compiler import find_compiler
from tinycnn.exercises import load


def why_not(kind):
    """What keeps this kind of exercise from being judged here; None if nothing does."""
    try:
        if kind == "cuda":
            find_compiler()
        elif kind == "numba":
            get_device("numba")
    except (CompilerMissing, DeviceError) as error:
        return str(error)
    return None


@pytest.fixture
def need():
    """need(name): the exercise of that name, or the test is skipped."""

    def of(name):
        exercise = load(name)
        if reason := why_not(exercise.kind):
            pytest.skip(reason)
        return exercise

    return of
