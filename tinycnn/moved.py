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
    "cli": "command",
    "checkpoint": "fit.checkpoint",
    "compare": "keras_reference.compare",
    "compare_command": "command.compare",
    "devices.compile_gate": "devices.checks.compile_gate",
    "devices.cuda": "devices.gpu.cuda",
    "devices.emulator": "devices.gpu.emulator",
    "devices.kernel_cases": "devices.checks.cases",
    "devices.kernels_host": "devices.gpu",
    "devices.numba": "devices.gpu.numba",
    "documented_logs": "architectures.documented_logs",
    "doctor": "command.doctor",
    "emulator.commands": "command.targets",
    "gradcheck_cases": "gradcheck.cases",
    "gradcheck_networks": "gradcheck.networks",
    "hardware": "utils.hardware",
    "images": "datasets.images",
    "keras_translation": "keras_reference.translation",
    "lessons": "pictures",
    "lessons.pictures": "pictures",
    "notation": "architectures.notation",
    "places": "fit.places",
    "progress": "fit.progress",
    "reproduction": "architectures.reproduction",
    "reproduction_report": "architectures.reproduction_report",
    "summary": "fit.summary",
    "training": "fit.loop",
}


class Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Python asks it for modules that are not where their name says."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        old = name.removeprefix("tinycnn.")
        if old == name or old not in MODULES:
            return None
        return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        new = f"tinycnn.{MODULES[spec.name.removeprefix('tinycnn.')]}"
        warnings.warn(f"{spec.name} has moved to {new}", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
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
    sys.meta_path.append(Moved())
