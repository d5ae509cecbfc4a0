"""The forward convolution that two exercises are about: a thread for each output."""

from __future__ import annotations

import numpy as np

from tinycnn.emulator import Launch
from tinycnn.exercises import convolution
from tinycnn.exercises.exercise import Case, Output, Sizes, ceil_div, ints, normal, rounded, unwritten

THREADS = 128


def case(sizes: Sizes, random: np.random.Generator) -> Case:
    conv = convolution.Conv.of(sizes)
    x, w = normal(random, conv.N, conv.H, conv.W, conv.C), normal(random, conv.R, conv.S, conv.C, conv.K)
    want, magnitude = convolution.forward(conv, x, w)
    grid = (ceil_div(conv.P * conv.Q * conv.K, THREADS), conv.N)
    launch = Launch("conv2d_forward", grid, (THREADS,), [x, w, unwritten(*want.shape), *ints(*conv.numbers)])
    return Case(launch, (Output("y", 2, want, rounded(conv.R * conv.S * conv.C, magnitude)),))
