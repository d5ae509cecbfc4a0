"""The convolution of several exercises: what is right, in float64, and how large the numbers were that were added up.

Nothing here is shared with the kernels or with tinycnn's devices, so that a fault is not judged by itself.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinycnn.exercises.exercise import Sizes

SIZES = dict.fromkeys(("N", "H", "W", "C", "K", "R", "S", "stride_h", "stride_w"), 1)
SIZES |= dict.fromkeys(("top", "bottom", "left", "right"), 0)
NAMES = tuple(SIZES)

Result = tuple[np.ndarray, np.ndarray]  # what is right, and the sum of the products' absolute values


class Conv(NamedTuple):
    """The sizes of a convolution: x (N,H,W,C), w (R,S,C,K), y (N,P,Q,K)."""

    N: int
    H: int
    W: int
    C: int
    K: int
    R: int
    S: int
    stride_h: int
    stride_w: int
    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def of(cls, sizes: Sizes) -> Conv:
        """Raises ValueError for filters larger than the padded image."""
        conv = cls(**sizes)
        if min(conv.P, conv.Q) < 1:
            raise ValueError(f"filters of {conv.R} x {conv.S} do not fit into the padded image")
        return conv

    @property
    def P(self) -> int:
        return (self.H + self.top + self.bottom - self.R) // self.stride_h + 1

    @property
    def Q(self) -> int:
        return (self.W + self.left + self.right - self.S) // self.stride_w + 1

    @property
    def numbers(self) -> tuple[int, ...]:
        """What the kernels take, in their order: N, H, W, C, K, R, S, P, Q, stride_h, stride_w, top, left."""
        return (*self[:7], self.P, self.Q, self.stride_h, self.stride_w, self.top, self.left)

    def padded(self, x: np.ndarray) -> np.ndarray:
        widths = ((0, 0), (self.top, self.bottom), (self.left, self.right), (0, 0))
        return np.pad(np.asarray(x, np.float64), widths)

    def seen(self, image: np.ndarray, r: int, s: int) -> np.ndarray:
        """The pixels (N,P,Q,C) of a padded image that tap (r, s) of all outputs sees: a view."""
        rows = slice(r, r + (self.P - 1) * self.stride_h + 1, self.stride_h)
        return image[:, rows, s : s + (self.Q - 1) * self.stride_w + 1 : self.stride_w]


def forward(conv: Conv, x: np.ndarray, w: np.ndarray) -> Result:
    """y (N,P,Q,K)"""

    def sums(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        image = conv.padded(x)
        taps = np.ndindex(conv.R, conv.S)
        return sum((conv.seen(image, r, s) @ w[r, s] for r, s in taps), np.zeros((conv.N, conv.P, conv.Q, conv.K)))

    w = np.asarray(w, np.float64)
    return sums(x, w), sums(np.abs(x), np.abs(w))


def backward_data(conv: Conv, dy: np.ndarray, w: np.ndarray) -> Result:
    """dx (N,H,W,C)"""

    def sums(dy: np.ndarray, w: np.ndarray) -> np.ndarray:
        image = conv.padded(np.zeros((conv.N, conv.H, conv.W, conv.C)))
        for r, s in np.ndindex(conv.R, conv.S):
            conv.seen(image, r, s)[...] += dy @ w[r, s].T
        return image[:, conv.top : conv.top + conv.H, conv.left : conv.left + conv.W]

    dy, w = np.asarray(dy, np.float64), np.asarray(w, np.float64)
    return sums(dy, w), sums(np.abs(dy), np.abs(w))


def backward_filter(conv: Conv, x: np.ndarray, dy: np.ndarray) -> Result:
    """dw (R,S,C,K)"""

    def sums(x: np.ndarray, dy: np.ndarray) -> np.ndarray:
        image = conv.padded(x)
        dw = np.zeros((conv.R, conv.S, conv.C, conv.K))
        for r, s in np.ndindex(conv.R, conv.S):
            dw[r, s] = np.tensordot(conv.seen(image, r, s), dy, ((0, 1, 2), (0, 1, 2)))
        return dw

    dy = np.asarray(dy, np.float64)
    return sums(x, dy), sums(np.abs(x), np.abs(dy))
