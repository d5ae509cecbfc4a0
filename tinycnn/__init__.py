"""tinycnn: convolutional networks from the autograd engine down to hand-written CUDA kernels, for learning how they work."""

from tinycnn import arithmetic  # puts the operators on Tensor
from tinycnn.devices import DeviceError, get_device, set_device, use_device
from tinycnn.session import set_random_seed
from tinycnn.tensor import Tensor, no_grad

__version__ = "0.1.0"
__all__ = ["DeviceError", "Tensor", "get_device", "no_grad", "set_device", "set_random_seed", "use_device"]
