"""tinycnn: convolutional networks from autograd down to hand-written CUDA kernels, for learning how they work."""

import importlib

from tinycnn import arithmetic  # noqa: F401 (puts the operators on Tensor)
from tinycnn.devices import DeviceError, get_device, set_device, use_device
from tinycnn.session import set_random_seed
from tinycnn.tensor import Tensor, no_grad

__version__ = "0.1.0"
__all__ = ["DeviceError", "Tensor", "get_device", "no_grad", "set_device", "set_random_seed", "use_device"]

# `import tinycnn` and then `tinycnn.optimizers.Adam()`, as with Keras, without loading everything at once.
_SUBMODULES = (
    "architectures", "backend", "callbacks", "datasets", "functional", "gradcheck", "initializers", "layers", "lessons",
    "losses", "models", "notation", "optimizers", "utils",
)  # fmt: skip


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"tinycnn.{name}")
    raise AttributeError(f"module 'tinycnn' has no attribute {name!r}")
