"""tinycnn: convolutional networks from autograd down to hand-written CUDA kernels, for learning how they work."""

import importlib
from types import ModuleType
from typing import Any

from tinycnn import arithmetic, moved  # noqa: F401 (arithmetic puts the operators on Tensor)
from tinycnn.devices import DeviceError, get_device, set_device, use_device
from tinycnn.session import set_random_seed
from tinycnn.tensor import Tensor, no_grad

__version__ = "0.2.0"
__all__ = ["DeviceError", "Tensor", "get_device", "no_grad", "set_device", "set_random_seed", "use_device"]

moved.install()

# `import tinycnn` and then `tinycnn.optimizers.Adam()`, as with Keras, without loading everything at once.
_SUBMODULES = (
    "architectures", "backend", "callbacks", "datasets", "fit", "functional", "gradcheck", "initializers", "layers",
    "losses", "models", "optimizers", "pictures", "preprocessing", "utils",
)  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"tinycnn.{name}")
    raise AttributeError(f"module 'tinycnn' has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext tinycnn` calls in IPython and in notebooks: the magic `%%tinycnn` is there from then on."""
    importlib.import_module("tinycnn.magics").load(shell)
