"""Small helpers with Keras's names."""

import sys
from typing import Any

from tinycnn import refusals
from tinycnn.custom_objects import custom_object_scope, get_custom_objects
from tinycnn.session import set_random_seed
from tinycnn.utils import data_utils, np_utils
from tinycnn.utils.data_utils import Sequence
from tinycnn.utils.np_utils import to_categorical
from tinycnn.utils.vis_utils import plot_model

__all__ = [
    "Sequence", "custom_object_scope", "data_utils", "get_custom_objects", "np_utils", "plot_model", "set_random_seed",
    "to_categorical",
]  # fmt: skip

CustomObjectScope = custom_object_scope
plot = plot_model  # Keras 1's name


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
