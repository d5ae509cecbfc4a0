"""What a session knows: the form of images, the precision, and the learning phase."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinycnn import refusals, session
from tinycnn.devices import current_device
from tinycnn.expressions import Expression


def backend() -> str:
    """'tinycnn', where Keras says 'tensorflow'."""
    return "tinycnn"


def image_data_format() -> str:
    """Images are (N, H, W, C), always."""
    return "channels_last"


def set_image_data_format(data_format: str) -> None:
    """Raises ValueError for another than 'channels_last'."""
    if data_format != "channels_last":
        raise ValueError(f"data_format {data_format!r}: {refusals.CHANNELS}")


def image_dim_ordering() -> str:
    """Keras 1's name of 'channels_last': 'tf'."""
    return "tf"


def set_image_dim_ordering(dim_ordering: str) -> None:
    """Raises ValueError for another than 'tf'."""
    if dim_ordering != "tf":
        raise ValueError(f"dim_ordering {dim_ordering!r}: {refusals.CHANNELS}")


def floatx() -> str:
    """The precision of the current device: 'float32' or 'float64'."""
    return current_device().dtype


def set_floatx(floatx: str) -> None:
    """Raises ValueError for another than the device computes in."""
    there = current_device().dtype
    if floatx != there:
        raise ValueError(f"this device computes in {there}; choose another with tinycnn.set_device(name, {floatx!r})")


def cast_to_floatx(x: Any) -> np.ndarray:
    """An array in the precision of the current device."""
    return np.asarray(x, dtype=floatx())


def epsilon() -> float:
    """What Keras adds to avoid a division by 0."""
    return 1e-7


class LearningPhase(Expression):
    """Among the inputs of a function: 1 for training, 0 for inference."""

    shape = ()

    def __repr__(self) -> str:
        return "learning_phase()"


PHASE: Any = LearningPhase()


def learning_phase() -> Any:
    """What tells a function whether it trains, as one of its inputs."""
    return PHASE


def untold_phase() -> int:
    """Whether functions train that are not told."""
    return session.learning_phase()


def set_learning_phase(value: int) -> None:
    """Whether functions train that are not told: 0 or 1, until clear_session(). fit() trains, predict() and evaluate()
    do not, whatever it is. Raises ValueError for anything else."""
    if value not in (0, 1):
        raise ValueError(f"the learning phase is 0 or 1, not {value!r}")
    session.set_learning_phase(int(value))
