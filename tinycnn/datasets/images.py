"""Reading one image for a network: a picture file, or one of an IDX file."""

from __future__ import annotations

import gzip
from os import PathLike

import numpy as np

Image = tuple[np.ndarray, str]  # float32 (1, H, W, 1), and what was done to it


def read_image(path: str | PathLike, shape: tuple[int, ...], index: int = 0) -> Image:
    """The image at `path` as float32 (1, H, W, 1) in [0, 1] for a network that takes `shape` (H, W, 1).

    Returns (image, how): `how` says what was done to it. An IDX file, gzipped or not, gives image number
    `index`. A picture is made grey and scaled; where it is light on its border it is taken for dark writing on
    paper and inverted, because the digits of MNIST are white on black.
    Raises ValueError for a file that is neither, or an index past its end.
    """
    if shape[2] != 1:
        raise ValueError(f"{path} is grey, but the network takes {shape[2]} channels")
    if is_idx(path):
        return from_idx(path, shape, index)
    return from_picture(path, shape)


def is_idx(path: str | PathLike) -> bool:
    """Whether a file begins like IDX does: two zero bytes and the code of unsigned bytes."""
    with open(path, "rb") as file:
        head = file.read(4)
    if head[:2] == b"\x1f\x8b":
        try:
            with gzip.open(path) as file:
                head = file.read(4)
        except (OSError, EOFError):
            return False
    return head[:3] == b"\x00\x00\x08"


def from_idx(path: str | PathLike, shape: tuple[int, ...], index: int) -> Image:
    from tinycnn.datasets.idx import read_idx

    images = read_idx(path)
    images = images[None] if images.ndim == 2 else images
    if images.ndim != 3 or images.shape[1:] != shape[:2]:
        raise ValueError(f"{path} holds arrays of shape {images.shape}, not images of {shape[0]}x{shape[1]}")
    if index >= len(images):
        raise ValueError(f"{path} has {len(images)} images, 0 to {len(images) - 1}; there is no image {index}")
    return images[index][None, :, :, None].astype(np.float32) / 255, f"image {index} of {len(images)}"


def from_picture(path: str | PathLike, shape: tuple[int, ...]) -> Image:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            size = picture.size
            # Transparent pictures are drawn on paper.
            layers = picture.convert("RGBA")
            grey = Image.alpha_composite(Image.new("RGBA", size, "white"), layers).convert("L")
            grey = grey.resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise ValueError(f"{path} is neither a picture that can be read nor an IDX file") from error
    values = np.asarray(grey, dtype=np.float32) / 255
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    dark_on_light = border.mean() > 0.5
    how = f"{size[0]}x{size[1]} picture{', inverted' if dark_on_light else ''}"
    return (1 - values if dark_on_light else values)[None, :, :, None], how
