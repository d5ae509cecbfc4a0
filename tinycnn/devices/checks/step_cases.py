"""The launch of a small network's training steps as one kernel, for `tinycnn check step`: every stage at least once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import tinycnn.kernels as kernels
from tinycnn import emulator
from tinycnn.devices.base import WholeStep
from tinycnn.devices.checks.cases import RecordingDriver
from tinycnn.devices.gpu import KernelDevice
from tinycnn.devices.gpu.step.run import OneKernel
from tinycnn.devices.network import Conv, Dense, Drop, Flat, Network, Norm, Pool, Relu, Rule
from tinycnn.shapes import UNPADDED, Geometry, Padding, Pair, Shape

BATCH, IMAGES = 3, 5  # the last batch has two images, and a block without one
ADAM = Rule("Adam", (0.9, 0.999, 1e-7))


def conv(
    x: Shape, w: Shape, stride: Pair = (1, 1), padding: Padding = UNPADDED, bias: bool = True, relu: bool = True
) -> Conv:
    """A convolution of images x (H, W, C) with filters w (R, S, C, K)."""
    return Conv(Geometry.of((1, *x), w, stride, padding), bias, relu)


NETWORK = Network(
    (9, 8, 2),
    (
        conv((9, 8, 2), (3, 3, 2, 5), padding=((1, 1), (1, 1))),
        Norm(5, 0.99, 1e-3),
        Drop(0.3),
        conv((9, 8, 5), (3, 3, 5, 6), relu=False),
        Norm(6, 0.9, 1e-3),
        Relu(),
        Pool(Geometry.of_pool((1, 7, 6, 6), (2, 2), (2, 2), UNPADDED)),
        Drop(0.2),
        conv((3, 3, 6), (1, 1, 6, 7)),
        conv((3, 3, 7), (2, 2, 7, 4), (2, 2), ((1, 0), (1, 0)), bias=False),
        Flat(),
        Dense(16, 7, True, True),
        Drop(0.5),
        Dense(7, 3, True, False),
        Norm(3, 0.9, 1e-3),
        Drop(0.1),
    ),
)


def recorded(network: Network = NETWORK, rule: Rule = ADAM) -> tuple[Path, list[emulator.Launch]]:
    """(the generated file, its launch): two steps, on random numbers. Runs it once, without a tool."""
    driver = RecordingDriver()
    step = run(KernelDevice("float32", driver), network, rule)
    return kernels.path(step.file), [launch for file, launch in driver.launches if file == step.file]


def run(device: KernelDevice, network: Network = NETWORK, rule: Rule = ADAM) -> OneKernel:
    """Two steps on random numbers."""
    rng = np.random.default_rng(0)
    step = device.whole_step(network, rule, BATCH)
    assert isinstance(step, OneKernel), step
    learnt, weights = ([device.asarray(w) for w in arrays] for arrays in filled(step, rng))
    step.lay_out(weights, [[device.zeros(w.shape) for w in learnt] for _ in range(2)])
    classes = step.plan.segments[-1].shape[2]
    images = device.asarray(rng.standard_normal((IMAGES, *network.image)))
    labels = device.asarray(np.eye(classes)[rng.integers(0, classes, IMAGES)])
    counter, draws = device.zeros((1,), "int64"), rng.integers(0, 2**32, (8, 2)).astype(np.uint64)
    data = images, labels, device.asarray(rng.permutation(IMAGES), "int64"), counter
    step.run(data, counter, draws, np.full(2, 0.01, np.float32), device.zeros((2,), "float64"))
    return step


def filled(step: WholeStep, rng: np.random.Generator) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(the weights that are learnt, all of them): random numbers."""
    assert isinstance(step, OneKernel)
    learnt: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for segment in step.plan.segments:
        own = [rng.standard_normal(shape).astype(np.float32) / 3 for shape in segment.sizes]
        learnt += own
        weights += own
        if isinstance(segment.layer, Norm):
            weights += [np.zeros(segment.shape[2], np.float32), np.ones(segment.shape[2], np.float32)]
    return learnt, weights
