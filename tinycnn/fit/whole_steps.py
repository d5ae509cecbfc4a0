"""The path one-kernel: an epoch by a device's WholeStep, many steps a launch, or why it cannot be."""

from __future__ import annotations

import time
import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array, WholeStep
from tinycnn.fit.data import Resident
from tinycnn.fit.description import describe, rule_of
from tinycnn.fit.progress import Progress
from tinycnn.fit.streams import Stream
from tinycnn.layers import Dropout

if TYPE_CHECKING:
    from tinycnn.fit.loop import Listeners, Steps
    from tinycnn.models import Model

ONE_KERNEL = "one-kernel"
PART_SECONDS = 0.2  # of a launch, about: Ctrl-C and the progress bar wait for it


class PathError(ValueError):
    """A path that was asked for, and cannot train this network so: says why."""


def whole_steps(model: Model, data: Resident | Stream, batch: int, listeners: Listeners) -> WholeSteps | None:
    """Those of a training, where the device is on the path one-kernel and has them.

    Raises PathError where that path was asked for by name and cannot be taken; where it was wished for by TINYCNN_PATH
    a warning says so.
    """
    if model.device.path != ONE_KERNEL:
        return None
    found = found_or_why_not(model, data, batch, listeners)
    if isinstance(found, WholeStep) and isinstance(data, Resident):
        return WholeSteps(model, data, found)
    text = f"{model.name} cannot be trained by the path {ONE_KERNEL}: {found}"
    if model.device.path_is_forced:
        raise PathError(f"{text}; the paths general and fast can")
    warnings.warn(f"{text}; it takes the recorded step", stacklevel=4)
    return None


def found_or_why_not(model: Model, data: Resident | Stream, batch: int, listeners: Listeners) -> WholeStep | str:
    """The device's WholeStep; or, in a clause, what stands in the way."""
    assert model.optimizer is not None and model.trained is not None
    if not isinstance(data, Resident):
        return "its data come batch by batch"
    if data.weights is not None:
        return "its images or its classes have weights"
    for hook in ("on_train_batch_begin", "on_train_batch_end"):
        if listeners.hear(hook):
            return f"{type(listeners.hears[hook][0]).__name__} listens to every batch"
    if model.other_steps:
        return "its dropout layers come from several models"
    layers = dict.fromkeys(symbol.layer for symbol in model.symbols)
    learnt = [w for layer in layers for name, w in layer.parameters.items() if name in layer.learnt]
    if [id(w) for w in model.trained] != [id(w) for w in learnt]:
        return "some of its layers are frozen"
    network, rule = describe(model), rule_of(model.optimizer)
    if isinstance(network, str) or isinstance(rule, str):
        return network if isinstance(network, str) else str(rule)
    return model.device.whole_step(network, rule, min(batch, data.count))


class WholeSteps:
    """A training's. The weights and the optimiser's state move to where the device's kernel reads them."""

    def __init__(self, model: Model, data: Resident, step: WholeStep):
        self.model, self.data, self.step = model, data, step
        optimizer = model.optimizer
        assert optimizer is not None and optimizer.state is not None
        weights, states = step.lay_out([w.data for w in model.weights], list(optimizer.state.values()))
        for weight, array in zip(model.weights, weights, strict=True):
            weight.data = array
        optimizer.state = dict(zip(optimizer.state, states, strict=True))
        masks = [s.layer.mask_at(s.use) for s in model.symbols if isinstance(s.layer, Dropout) and s.layer.rate]
        self.draws = np.array([(mask.seed, mask.stream) for mask in masks] or [(0, 0)], np.uint64)
        self.at_once, self.is_compiled = 1, False  # steps of a launch: as many as take about PART_SECONDS

    def run_epoch(self, steps: Steps, batch_size: int, progress: Progress) -> int:
        """All batches of an epoch that has been started: how many images they have. The first launch, for which a
        kernel is compiled, is short."""
        sizes = self.data.batch_sizes(batch_size)
        done = batch = 0
        while batch < len(sizes):
            part = sizes[batch : batch + self.at_once]
            began = time.perf_counter()
            with progress.nothing if self.is_compiled else progress.compiling(sum(part)):
                self.run(part, steps.totals)
            seconds = time.perf_counter() - began
            if self.is_compiled and seconds < PART_SECONDS / 2 and len(part) == self.at_once:
                self.at_once *= 2
            self.is_compiled = True
            batch, done = batch + len(part), done + sum(part)
            progress.advance(sum(part), partial(steps.means, done))
        return done

    def run(self, sizes: list[int], totals: Array) -> None:
        """So many steps in one launch. Where they were not computed, they do not count."""
        model, device, optimizer = self.model, self.model.device, self.model.optimizer
        assert optimizer is not None
        iterations = optimizer.iterations
        data = self.data.images[0], self.data.labels, self.data.order, self.data.start
        try:
            self.step.run(data, model.step, self.draws, optimizer.next_rates(len(sizes)), totals)
        except BaseException:
            optimizer.iterations = iterations
            raise
        counters = (self.data.start, sum(sizes)), (model.step, len(sizes)), (optimizer.step_on_device, len(sizes))
        device.advance(counters)
