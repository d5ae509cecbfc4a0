"""The devices by name, and which of them is in use.

`get_device("cpu")`, `set_device("reference", dtype="float64")`; without either, the default that default.py chooses.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinycnn.devices.base import Device

# name: (module, class, the precisions it computes in). The module is imported when the device is first asked for.
DEVICES = {
    "reference": ("tinycnn.devices.reference", "ReferenceDevice", ("float32", "float64")),
    "cpu": ("tinycnn.devices.cpu", "CpuDevice", ("float32",)),
    "cuda": ("tinycnn.devices.gpu.cuda", "CudaDevice", ("float32", "float64")),
    "emulator": ("tinycnn.devices.gpu.emulator", "EmulatorDevice", ("float32", "float64")),
    "numba": ("tinycnn.devices.gpu.numba", "NumbaDevice", ("float32", "float64")),
}

_made: dict[tuple[str, str], Device] = {}
_making = threading.RLock()
_default: Device | None = None  # of the process
_used: ContextVar[Device | None] = ContextVar("device", default=None)  # of a thread inside of use_device


class DeviceError(RuntimeError):
    """A device that cannot be had: says what is missing and what mends it."""


def get_device(name: str | None = None, dtype: str | None = None) -> Device:
    """The device called `name` (the current one if None) computing in `dtype` ("float32" if None).

    Raises ValueError for a name or precision that does not exist, DeviceError where the device cannot be had.
    """
    if name is None and dtype is None:
        return current_device()
    name = name or current_device().name
    if name not in DEVICES:
        raise ValueError(f"no device is called {name!r}; there are: {', '.join(DEVICES)}")
    module, cls, dtypes = DEVICES[name]
    dtype = dtype or "float32"
    if dtype not in dtypes:
        able = [n for n, (_, _, d) in DEVICES.items() if dtype in d]
        remedy = f"{dtype} is computed by: {', '.join(able)}" if able else "float32 and float64 exist"
        raise ValueError(f"device {name!r} computes in {' and '.join(dtypes)}, not in {dtype!r}; {remedy}")
    with _making:
        if (name, dtype) not in _made:
            _made[name, dtype] = getattr(_imported(name, module), cls)(dtype)
        return _made[name, dtype]


def _imported(name: str, module: str) -> ModuleType:
    """A device's module. Raises DeviceError where what it is made of cannot be imported."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        from tinycnn.utils.hardware import numpy_remedy  # here, for tinycnn.utils stands above the devices

        raise DeviceError(f"the {name} device cannot be imported: {numpy_remedy() or error}") from error


def current_device() -> Device:
    """The device that new tensors and models are made on."""
    return _used.get() or _default or set_device(_chosen())


def _chosen() -> str:
    """The name of the default device, which is found out now and not at `import tinycnn`."""
    from tinycnn.devices.default import choice

    return choice().device


def set_device(name: str, dtype: str | None = None) -> Device:
    """Make `name` the process's device, for all threads, and return it.

    Tensors and models made before stay where they are, and inside of `use_device` that block's device goes on.
    """
    global _default
    _default = get_device(name, dtype or "float32")
    return _default


@contextmanager
def use_device(name: str | Device, dtype: str | None = None) -> Iterator[Device]:
    """`with use_device("reference", "float64"):` the current device for a while, in this thread (or asyncio task).

    It may also be given one that was made.
    """
    device = get_device(name, dtype or "float32") if isinstance(name, str) else name
    before = _used.set(device)
    try:
        yield device
    finally:
        _used.reset(before)
