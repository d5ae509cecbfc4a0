"""Pictures as arrays, and arrays as pictures, with Keras's names. Pillow reads and scales them."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tinycnn.careful import nearest
from tinycnn.datasets.images import opened_picture

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
CHANNELS = {"grayscale": 1, "rgb": 3, "rgba": 4}
DEEP = ("I;16", "I;16B", "I")  # grey of more than 8 bits, which stays so
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")


def one_of(value: str, names: Sequence[str], what: str) -> str:
    """`value`, one of `names`. Raises ValueError that says what there is."""
    if value not in names:
        raise ValueError(f"no {what} is called {value!r}; {nearest(str(value), list(names))}")
    return value


def channels_last(data_format: str | None) -> None:
    """Raises ValueError for an order of axes that is not (H, W, C)."""
    if data_format not in (None, "channels_last"):
        raise ValueError(f"data_format={data_format!r} is not there: images are channels_last, (N, H, W, C)")


def load_img(
    path: str | PathLike, grayscale: bool = False, color_mode: str = "rgb", target_size: Sequence[int] | None = None,
    interpolation: str = "nearest",
) -> Image:  # fmt: skip
    """A picture of Pillow's from a file.

    Args:
        color_mode: 'rgb', 'rgba' or 'grayscale', which `grayscale=True` means too. target_size: (rows, columns).
        interpolation: how it is scaled: 'nearest', 'bilinear', 'bicubic', 'lanczos', 'box' or 'hamming'.

    Raises:
        ValueError: for what is none of these, or is no picture, or a damaged one. OSError: where it cannot be read.
    """
    from PIL import Image

    mode = MODES["grayscale" if grayscale else one_of(color_mode, list(MODES), "color_mode")]
    one_of(interpolation, INTERPOLATIONS, "interpolation")
    picture = opened_picture(path)
    if not (mode == "L" and picture.mode in DEEP):
        picture = picture.convert(mode)
    if target_size is not None and picture.size != (target_size[1], target_size[0]):
        picture = picture.resize((target_size[1], target_size[0]), Image.Resampling[interpolation.upper()])
    return picture


def img_to_array(img: Image | ArrayLike, data_format: str | None = None, dtype: str = "float32") -> np.ndarray:
    """A picture as numbers (H, W, C), as they are in it: from 0 to 255 for 8 bits."""
    channels_last(data_format)
    array = np.asarray(img).astype(dtype)
    if array.ndim not in (2, 3):
        raise ValueError(f"a picture has two axes, or three with its channels, not the shape {array.shape}")
    return array[..., None] if array.ndim == 2 else array


def array_to_img(x: ArrayLike, data_format: str | None = None, scale: bool = True) -> Image:
    """Numbers (H, W, C) as a picture of Pillow's, of 1, 3 or 4 channels.

    scale: whether the smallest number becomes 0 and the largest 255; else they are from 0 to 255 already.
    """
    from PIL import Image

    channels_last(data_format)
    array = np.array(x, np.float32)
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"a picture is made of an array (H, W, C) of 1, 3 or 4 channels, not of shape {array.shape}")
    if scale:
        array -= array.min()
        array *= 255 / (array.max() or 1)
    bytes_ = array.astype(np.uint8)
    return Image.fromarray(bytes_[..., 0] if array.shape[2] == 1 else bytes_)
