"""The devices by name, and which of them is in use.

`get_device("cpu")`, `set_device("reference", dtype="float64")`; without either, TINYCNN_DEVICE or `cpu`.
"""

import importlib
import os
from contextlib import contextmanager

# name: (module, class, the precisions it computes in). The module is imported when the device is first asked for.
DEVICES = {
    "reference": ("tinycnn.devices.reference", "ReferenceDevice", ("float32", "float64")),
    "cpu": ("tinycnn.devices.cpu", "CpuDevice", ("float32",)),
    "cuda": ("tinycnn.devices.gpu.cuda", "CudaDevice", ("float32", "float64")),
    "emulator": ("tinycnn.devices.gpu.emulator", "EmulatorDevice", ("float32", "float64")),
    "numba": ("tinycnn.devices.gpu.numba", "NumbaDevice", ("float32", "float64")),
}
DEFAULT = "cpu"

_made = {}
_current = None


class DeviceError(RuntimeError):
    """A device that cannot be had: says what is missing and what mends it."""


def get_device(name=None, dtype=None):
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
    if (name, dtype) not in _made:
        _made[name, dtype] = getattr(importlib.import_module(module), cls)(dtype)
    return _made[name, dtype]


def current_device():
    """The device that new tensors and models are made on."""
    if _current is None:
        set_device(os.environ.get("TINYCNN_DEVICE") or DEFAULT)
    return _current


def set_device(name, dtype=None):
    """Make `name` the current device and return it. Tensors and models made before stay where they are."""
    global _current
    _current = get_device(name, dtype or "float32")
    return _current


@contextmanager
def use_device(name, dtype=None):
    """`with use_device("reference", "float64"):` the current device for a while."""
    global _current
    before = _current
    try:
        yield set_device(name, dtype)
    finally:
        _current = before
