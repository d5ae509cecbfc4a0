"""Training steps as launches of one kernel: its file, its arrays, and what happens when blocks wait in vain."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.devices.base import Array, StepError, WholeStep
from tinycnn.devices.gpu.fast import cubins
from tinycnn.devices.gpu.step import generate
from tinycnn.devices.gpu.step.plan import plan, why_not_on
from tinycnn.devices.gpu.step.stages import THREADS, Plan
from tinycnn.devices.network import Network, Rule
from tinycnn.folders import user_cache

if TYPE_CHECKING:
    from tinycnn.devices.gpu.device import KernelDevice

PATIENCE = 2_000_000_000  # nanoseconds that a block waits for the others


def whole_step(device: KernelDevice, network: Network, rule: Rule, batch: int) -> WholeStep | str:
    """See Device.whole_step."""
    if device.ctype != "float":
        return f"it computes in float32, and this device in {device.dtype}"
    card = device.driver.card
    made = plan(network, batch, card.shared_of_a_block)
    if isinstance(made, str):
        return made
    return why_not_on(made, card) or OneKernel(device, made, rule)


class OneKernel(WholeStep):
    """The steps of a plan, on a device."""

    def __init__(self, device: KernelDevice, plan: Plan, rule: Rule):
        self.device, self.plan, self.rule, self.batch = device, plan, rule, plan.batch
        self.file = kept(generate.source(plan, rule))
        self.patience = PATIENCE
        self.parameters = device.zeros((plan.parameters,))
        self.states: list[Array] = []
        self.partials = device.zeros((plan.batch, plan.row))
        self.exchange = device.zeros((max(1, 2 * plan.exchange * plan.batch),))

    def lay_out(
        self, weights: Sequence[Array], states: Sequence[Sequence[Array]]
    ) -> tuple[list[Array], list[list[Array]]]:
        learnt, all_of_them = self.places()
        self.states = [self.device.zeros((self.plan.row,)) for _ in states]
        moved = self.moved(self.parameters, all_of_them, weights)
        return moved, [self.moved(to, learnt, state) for to, state in zip(self.states, states, strict=True)]

    def places(self) -> tuple[list[int], list[int]]:
        """Where the weights that are learnt begin, and where all do, in Keras's order."""
        learnt: list[int] = []
        all_of_them: list[int] = []
        for segment in self.plan.segments:
            offsets = self.plan.offsets.get(segment.name, ())
            learnt += offsets
            all_of_them += [*offsets, *self.plan.moving.get(segment.name, ())]
        return learnt, all_of_them

    def moved(self, to: Array, places: Sequence[int], arrays: Sequence[Array]) -> list[Array]:
        found = []
        for place, array in zip(places, arrays, strict=True):
            there = to[place : place + prod(array.shape)].reshape(array.shape)
            self.device.driver.assign(there, array)
            found.append(there)
        return found

    def run(
        self, data: tuple[Array, Array, Array, Array], passes: Array, draws: np.ndarray, rates: np.ndarray,
        totals: Array,
    ) -> None:  # fmt: skip
        device = self.device
        changed = [self.parameters, *self.states, totals]
        before = [device.copy(array) for array in changed]
        images, labels, order, start = data
        counter, error = device.zeros((1,), "uint32"), device.zeros((1,), "int32")
        first, second = [*self.states, self.parameters, self.parameters][:2]  # not looked at where there are fewer
        device.launch(
            self.file, generate.KERNEL, (self.batch,), (THREADS,),
            images, labels, order, start, passes, device.asarray(rates), self.parameters, first, second, self.partials,
            self.exchange, totals, device.asarray(draws.reshape(-1), "int64"), counter, error, np.int64(self.patience),
            len(rates), images.shape[0], shared=self.plan.shared, cooperative=True,
        )  # fmt: skip
        if device.numpy(error)[0]:
            for array, values in zip(changed, before, strict=True):
                device.driver.assign(array, values)
            raise StepError(
                f"a block waited {self.patience / 1e9:g} s for the others, in vain: is another program on this GPU? "
                "Weights and optimizer are as they were before these steps; the paths general and fast need no waiting"
            )


# ---------------------------------------------------------------- the file

_temporary: list[tempfile.TemporaryDirectory] = []  # where the user's cache folder cannot be written


def chosen_folder() -> Path:
    """Where generated files are kept."""
    return user_cache() / "tinycnn" / "step"


def is_generated(path: Path) -> bool:
    """Whether it is a file that `kept` has written."""
    return path.parent in {folder.resolve() for folder in (chosen_folder(), *(Path(t.name) for t in _temporary))}


def kept(text: str) -> str:
    """The name, as kernels.path takes it, of a kernel file with this text; it is written unless it is there."""
    name = f"{generate.KERNEL}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    try:
        return written(chosen_folder(), name, text)
    except OSError:  # a folder that cannot be written, or a full disk
        if not _temporary:
            _temporary.append(tempfile.TemporaryDirectory(prefix="tinycnn-step-"))
        return written(Path(_temporary[0].name), name, text)


def written(folder: Path, name: str, text: str) -> str:
    """The same in a folder. What another process reads is the whole of it."""
    path = folder / f"{name}.cu"
    if not path.is_file() or path.read_bytes() != text.encode():
        cubins.replace(folder, path.name, text.encode())
    return str(folder.resolve() / name)
