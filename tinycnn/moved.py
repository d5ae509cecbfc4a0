"""What of tinycnn 0.1.0 has moved: an import under an old name gives the very module, with a warning."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinycnn.shapes import Padding, Pair
    from tinycnn.tensor import Tensor

MODULES = {
    "checkpoint": "fit.checkpoint",
    "cli": "command",
    "compare": "keras_reference.compare",
    "compare_command": "command.compare",
    "devices.compile_gate": "devices.checks.compile_gate",
    "devices.cpu.activation": "devices.cpu.relu",
    "devices.cpu.conv": "devices.cpu.direct",
    "devices.cpu.pooling": "devices.cpu.maxpool2d",
    "devices.cpu.softmax": "devices.cpu.softmax_crossentropy",
    "devices.cuda": "devices.gpu.cuda",
    "devices.emulator": "devices.gpu.emulator",
    "devices.kernel_cases": "devices.checks.cases",
    "devices.kernels_host": "devices.gpu",
    "devices.kernels_host.conv2d": "devices.gpu.launches.conv2d",
    "devices.kernels_host.shapes": "devices.gpu.grid",
    "devices.numba": "devices.gpu.numba",
    "devices.numba_blocks": "devices.gpu.numba_blocks",
    "documented_logs": "architectures.documented_logs",
    "doctor": "command.doctor",
    "emulator.commands": "command.targets",
    "gradcheck_cases": "gradcheck.cases",
    "gradcheck_command": "command.gradcheck",
    "gradcheck_networks": "gradcheck.networks",
    "hardware": "utils.hardware",
    "images": "datasets.images",
    "keras_translation": "keras_reference.translation",
    "lessons.pictures": "pictures",
    "notation": "architectures.notation",
    "options": "command.options",
    "places": "fit.places",
    "progress": "fit.progress",
    "reproduce_command": "command.reproduce",
    "reproduction": "architectures.reproduction",
    "reproduction_report": "architectures.reproduction_report",
    "summary": "fit.summary",
    "train_command": "command.train",
    "training": "fit.loop",
}


def place_of(name: str) -> str | None:
    """Where the module called `name` in 0.1.0 is now, itself or by the package it was in; None for any other name."""
    old, rest = name.removeprefix("tinycnn."), ""
    if old == name:
        return None
    while old not in MODULES:
        old, dot, part = old.rpartition(".")
        if not dot:
            return None
        rest = f".{part}{rest}"
    return f"tinycnn.{MODULES[old]}{rest}"


class Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Python asks it first, or it would load what is in a moved package a second time, under the old name."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self) if place_of(name) else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        new = place_of(spec.name)
        assert new is not None
        module = importlib.import_module(new)
        warnings.warn(f"{spec.name} has moved to {new}", DeprecationWarning, stacklevel=2)
        spec.loader_state = module.__spec__  # Python now writes the old name's into the module
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = getattr(module.__spec__, "loader_state", None)


def convolution_of_0_1_0(stride: Pair, padding: Padding, relu: bool) -> Callable[..., Tensor]:
    """functional.Conv2D(stride, padding, relu)(x, w, b), which functional.conv2d(x, w, b, ...) does now."""
    from tinycnn.functional import conv2d

    warnings.warn("functional.Conv2D has become functional.conv2d", DeprecationWarning, stacklevel=2)
    return partial(conv2d, stride=stride, padding=padding, activation="relu" if relu else None)


def install() -> None:
    """From here on the old names can be imported."""
    sys.meta_path.insert(0, Moved())
