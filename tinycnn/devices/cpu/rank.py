"""The cpu device of one rank of several (devices/ranks.py)."""

from __future__ import annotations

import math

import numpy as np

from tinycnn.devices.cpu import dropout
from tinycnn.devices.cpu.device import CpuDevice
from tinycnn.devices.ranks import OneRank


class CpuRank(OneRank, CpuDevice):
    """Draws its own part of a dropout's mask, and no other."""

    def dropout_forward(  # type: ignore[override]  # of all arguments that a Device's takes
        self, x: np.ndarray, rate: float, seed: int, stream: int, step: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return dropout.dropout_forward(x, rate, seed, stream, step, self.mine.first * math.prod(x.shape[1:]))

    dropout_backward = staticmethod(dropout.dropout_backward)
