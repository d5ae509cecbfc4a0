"""Small helpers with Keras's names."""

from tinycnn.session import set_random_seed
from tinycnn.utils import data_utils, np_utils
from tinycnn.utils.data_utils import Sequence
from tinycnn.utils.np_utils import to_categorical

__all__ = ["Sequence", "data_utils", "np_utils", "set_random_seed", "to_categorical"]
