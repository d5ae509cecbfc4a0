"""Reading one image for a network: a picture file, or one of an IDX file.

The digits of MNIST are light ink on black, from 0 to 1, and fill their image. A picture is brought to that in steps,
each a function here: decoded, by its own bit depth and turned as its camera was held; its transparent parts filled;
scaled; and inverted where it is dark ink on light paper. A network that takes colours gets them as they are.
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from tinycnn.datasets.idx import is_magic, opened, read_idx

if TYPE_CHECKING:
    from PIL.Image import Image

# What Pillow may open. It knows many more, and of some of them only how to start another program.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
CONTRAST = 0.2  # the least that the lightest and the darkest pixel must be apart; MNIST's are 1 apart


def read_image(path: str | PathLike, shape: tuple[int, ...], index: int | None = None) -> tuple[np.ndarray, str]:
    """One image for a network, from a picture file or an IDX file.

    Args:
        path: a PNG, JPEG, BMP, GIF, TIFF, WebP or PPM picture, or an IDX file, gzipped or not.
        shape: what the network takes, (H, W, 1), or (H, W, 3) in colour. index: which image of an IDX file, from 0;
            None is the first.

    Shapes:
        -> float32 (1, H, W, C), from 0 to 1.

    Returns:
        (image, how): `how` says what was done to it. A grey picture is scaled; where it is light on its border it is
        taken for dark writing on paper and inverted. One in colour is scaled.

    Raises:
        ValueError: naming the file, where it cannot be read, is neither, is damaged, or has no contrast; for an index
            past its end, or of a picture; for a network that takes neither grey nor colours.
    """
    with opened(path) as file:
        idx = is_magic(file.read(4))
    if shape[2] != 1 and (idx or shape[2] != 3):
        raise ValueError(f"{path} is {'grey' if idx else 'a picture'}, but the network takes {shape[2]} channels")
    if not idx and index is not None:
        raise ValueError(f"{path} is a picture, and has no image {index}: --index is for IDX files")
    if shape[2] == 3:
        return in_colour(path, shape)
    return from_idx(path, shape, index or 0) if idx else from_picture(path, shape)


def from_idx(path: str | PathLike, shape: tuple[int, ...], index: int) -> tuple[np.ndarray, str]:
    images = read_idx(path)
    images = images[None] if images.ndim == 2 else images
    if images.ndim != 3 or images.shape[1:] != shape[:2]:
        raise ValueError(f"{path} holds arrays of shape {images.shape}, not images of {shape[0]}x{shape[1]}")
    if not 0 <= index < len(images):
        raise ValueError(f"{path} has {len(images)} images, 0 to {len(images) - 1}; there is no image {index}")
    return images[index][None, :, :, None].astype(np.float32) / 255, f"image {index} of {len(images)}"


def from_picture(path: str | PathLike, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    grey, alpha = decoded(opened_picture(path), path)
    values = scaled(on_paper(grey, alpha), shape)
    if np.ptp(values) < CONTRAST:
        raise ValueError(
            f"{path} has no contrast: at {shape[0]}x{shape[1]} pixels it is of one shade. Crop it to the digit, "
            "or draw with a thicker pen"
        )
    border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    dark_on_light = border.mean() > 0.5
    how = f"{grey.shape[1]}x{grey.shape[0]} picture{', inverted' if dark_on_light else ''}"
    return (1 - values if dark_on_light else values)[None, :, :, None], how


def in_colour(path: str | PathLike, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """float32 (1, H, W, 3) of a picture, and what was done to it. What is transparent becomes white."""
    from PIL import Image, ImageOps

    given = opened_picture(path)
    if given.mode[0] in "IF":  # of 16 bits, which are grey, and which Pillow would cut off at 255
        grey, alpha = decoded(given, path)
        values = scaled(grey * alpha + (1 - alpha), shape)
        return np.repeat(values[None, :, :, None], 3, axis=3), f"{grey.shape[1]}x{grey.shape[0]} picture, grey"
    picture = ImageOps.exif_transpose(given).convert("RGBA")
    paper = Image.new("RGBA", picture.size, "white")
    small = Image.alpha_composite(paper, picture).convert("RGB").resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    return np.asarray(small, np.float32)[None] / 255, f"{picture.width}x{picture.height} picture, in colour"


def opened_picture(path: str | PathLike) -> Image:
    """The picture in a file, all of it in memory. Raises ValueError for what is none, or is damaged."""
    from PIL import Image, UnidentifiedImageError

    with open(path, "rb") as file:
        try:
            picture = Image.open(file, formats=FORMATS)
            picture.load()
        except UnidentifiedImageError:
            kinds = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
            raise ValueError(
                f"{path} is neither an IDX file nor a picture of the kinds that are read: {kinds}"
            ) from None
        except Exception as error:  # each of Pillow's decoders stumbles in its own way
            raise ValueError(f"{path} is a damaged picture: {error or type(error).__name__}. Save it again") from error
    return picture


def decoded(picture: Image, path: str | PathLike) -> tuple[np.ndarray, np.ndarray]:
    """(grey, alpha) of a picture, upright: float32 (H, W) from 0, black or transparent, to 1. Raises ValueError."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(picture)
    if upright.mode[0] not in "IF":  # 8 bits, or fewer
        colours = np.asarray(upright.convert("RGBA"), np.float32)
        grey = np.asarray(upright.convert("RGB").convert("L"), np.float32)
        return grey / 255, colours[..., 3] / 255
    values, clear = np.asarray(upright, np.float32), upright.info.get("transparency")
    grey = values / np.float32(1 if upright.mode == "F" else 65535)
    if not (np.isfinite(grey).all() and grey.min() >= 0 and grey.max() <= 1):
        raise ValueError(f"{path} has pixels beyond 16 bits, or beyond 0 to 1. Save it as a PNG of 8 or 16 bits")
    return grey, np.float32(1) * (values != clear)


def on_paper(grey: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The picture without transparency.

    Ink on nothing gets paper that it stands out from. A page with ink on it, transparent only at its corners or edges,
    goes on as it is.
    """
    seen = grey[alpha > 0.5]
    if alpha.min() == 1 or not seen.size:
        return grey * alpha
    is_page = alpha.mean() > 0.5 and np.ptp(seen) > 0.5
    paper = np.median(seen) if is_page else float((grey * alpha).sum() < 0.5 * alpha.sum())
    return grey * alpha + np.float32(paper) * (1 - alpha)


def scaled(grey: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) of the network, from 0 to 1."""
    from PIL import Image

    picture = Image.fromarray(grey).resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    return np.asarray(picture).clip(0, 1)  # Lanczos swings a little beyond both
