"""The CUDA kernels a second time, in Python: one file for each .cu file, with the same names and the same threads.

Read the two side by side: `relu_forward` of relu.py is `relu_forward` of relu.cu. What differs between the languages:

* `template <typename T, int TILE>` is a function of T and TILE that defines the kernel and returns it: see template in
  common.py.
* A pointer is a one-dimensional array: `x + offset` is the slice `x[offset:]`, `*p` is `p[0]`.
* Integers are 64 bits wide where C++ says which. An index below 0 would count from the end, as everywhere in Python, so
  the compiled code looks at the sign of every index that it cannot prove to be positive.
* No 16-byte loads: where C++ moves four neighbours at once (load4), a thread moves the same four one by one.
* No warp shuffles: Numba's simulator has no warps. Shared memory and a barrier take their place, and since all threads
  of a block have to reach a barrier, a thread without work goes on instead of returning.

Installed as tinycnn.kernels.numba. Nothing here imports numba.cuda before the first kernel is asked for.
"""

import importlib
import re

from numba import float32, float64, int32, int64, uint8

TYPES = {"float": float32, "double": float64, "int": int32, "long long": int64, "unsigned char": uint8}
BOOLEANS = {"true": True, "false": False}


def parameter(text):
    """A template's argument in Python: 'float', '4' or 'true'."""
    return TYPES.get(text) or (BOOLEANS[text] if text in BOOLEANS else int(text))


def instance(file, name):
    """The kernel of `file` that C++ calls `name`, as 'conv2d_forward<float, 4, true>'."""
    function, parameters = re.fullmatch(r"(\w+)<(.+)>", name).groups()
    module = importlib.import_module(f"{__name__}.{file}")
    return getattr(module, function)(*map(parameter, parameters.split(", ")))
