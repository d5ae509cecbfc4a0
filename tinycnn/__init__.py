"""tinycnn: convolutional networks from autograd down to hand-written CUDA kernels, for learning how they work."""

import importlib
from typing import Any

from tinycnn import arithmetic, moved, refusals  # noqa: F401 (arithmetic puts the operators on Tensor)
from tinycnn.devices import DeviceError, get_device, set_device, use_device
from tinycnn.session import set_random_seed
from tinycnn.tensor import Tensor, no_grad

__version__ = "0.2.0"
__all__ = ["DeviceError", "Tensor", "get_device", "no_grad", "set_device", "set_random_seed", "use_device"]

moved.install()
refusals.install()

# `import tinycnn` and then `tinycnn.optimizers.Adam()`, as with Keras, without loading everything at once.
_SUBMODULES = (
    "activations", "architectures", "backend", "callbacks", "datasets", "fit", "functional", "gradcheck",
    "initializers", "layers", "losses", "metrics", "models", "optimizers", "pictures", "preprocessing", "regularizers",
    "utils",
)  # fmt: skip


# `keras.Sequential`, and the modules that say what to do instead.
_NAMES = {"Input": "layers", "Model": "models", "Sequential": "models"}
_ABSENT = {name for name in (*refusals.MODULES, *refusals.ELSEWHERE_NAMED) if "." not in name}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES or name in _ABSENT:
        return importlib.import_module(f"tinycnn.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(f"tinycnn.{_NAMES[name]}"), name)
    raise AttributeError(f"module 'tinycnn' has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext tinycnn` calls in IPython and in notebooks: the magic `%%tinycnn` is there from then on."""
    importlib.import_module("tinycnn.magics").load(shell)
