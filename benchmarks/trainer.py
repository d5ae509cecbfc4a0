"""What every contender of train_frameworks.py offers."""

from collections.abc import Callable
from typing import NamedTuple


class Trainer(NamedTuple):
    epoch: Callable  # () -> the mean loss of one epoch of training, once the device has finished it
    validation: Callable  # (x (N, H, W, C), y (N,)) -> a function () -> the share of right answers among these
    set_rate: Callable  # (rate) -> None: the learning rate from the next epoch on
    parameters: int  # counted as Keras counts
