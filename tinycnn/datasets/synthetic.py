"""Digits drawn by the computer, for where MNIST cannot be had. They look like handwriting and are not MNIST.

One digit: dots along the strokes of a glyph (glyphs.py) between two poses -> a random affine map -> a smooth random
displacement of every dot, the elastic distortion of Simard, Steinkraus and Platt, "Best practices for convolutional
neural networks", ICDAR 2003 -> scaled to 20 pixels and centred by mass, as MNIST's digits were -> a round pen over the
dots. Every number of image i is drawn from the counter-based generator at step i, so an image depends on its
seed and its number only, not on how many are drawn with it.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinycnn import philox
from tinycnn.datasets.glyphs import dots

SIDE = 28  # pixels of an image
BOX = 20.0  # pixels of the digit's longer side, pen included
TRAIN, TEST = 60000, 10000  # as many as MNIST has
FIRST_TEST_IMAGE = 2**32  # test images are numbered from here, so that no training set reaches them

BATCH = 128  # images drawn together: their work arrays stay in the processor's cache
NODES = np.arange(0.0, SIDE + 1, 4)  # where the elastic distortion is drawn, in pixels, on both axes
REACH = 4.5  # pixels: the standard deviation of the Gaussian that smooths it
STRETCH = 1.4  # pixels: about how far it moves a dot

# The words of one image: first its own choices, by name, then two for each node of the distortion.
CHOICES = "label style pose width slant1 slant2 turn1 turn2 pen1 pen2 edge pressure waves phase size x y".split()
WORDS = len(CHOICES) + 2 * len(NODES) ** 2

Split = tuple[np.ndarray, np.ndarray]  # images and labels, or x and y
Choice = dict[str, np.ndarray]  # {a name of CHOICES: a number from 0 to 1 for each image, (B,)}


def load(train: int = TRAIN, test: int = TEST, seed: int = 0) -> tuple[Split, Split]:
    """((x_train, y_train), (x_test, y_test)), uint8: images (n, 28, 28) from 0 to 255, labels (n,) from 0 to 9."""
    return digits(train, seed), digits(test, seed, FIRST_TEST_IMAGE)


def digits(n: int, seed: int = 0, first: int = 0) -> Split:
    """Digits number `first` to `first + n` of a seed: images uint8 (n, 28, 28), labels uint8 (n,).

    >>> images, labels = digits(3, seed=1)
    >>> images.shape, labels.tolist()
    ((3, 28, 28), [9, 4, 9])
    """
    images, labels = np.empty((n, SIDE, SIDE), np.uint8), np.empty(n, np.uint8)

    def draw(start: int) -> None:
        part = slice(start, min(start + BATCH, n))
        images[part], labels[part] = _draw(np.arange(part.start, part.stop, dtype=np.uint64) + np.uint64(first), seed)

    with ThreadPoolExecutor() as pool:  # NumPy lets go of the interpreter while it computes
        list(pool.map(draw, range(0, n, BATCH)))
    return images, labels


def _draw(numbers: np.ndarray, seed: int) -> Split:
    """The images (B, 28, 28) and labels (B,) with these numbers (B,)."""
    u = _uniform(numbers, seed)
    choice = dict(zip(CHOICES, u[:, : len(CHOICES)].T, strict=True))
    field = u[:, len(CHOICES) :].reshape(-1, 2, len(NODES), len(NODES))
    labels, x, y = _pose(choice)
    x, y = _affine(x, y, choice)
    radius = _pen(choice)
    longer_side = BOX * (0.9 + 0.1 * choice["size"]) - 2 * radius
    x, y = _placed(x, y, longer_side)
    x, y = _elastic(x, y, field)
    x, y = _placed(x, y, longer_side)
    # A part of a pixel, which centring by whole pixels leaves.
    x, y = x + choice["x"][:, None] - 0.5, y + choice["y"][:, None] - 0.5
    return _centred(_ink(x, y, radius, choice)), labels


def _uniform(numbers: np.ndarray, seed: int) -> np.ndarray:
    """float64 (B, WORDS) in [0, 1): for each image the first words of its own step of the stream."""
    blocks = np.arange(-(-WORDS // 4), dtype=np.uint64)
    words = philox.words(blocks, seed, philox.stream_id(philox.SYNTHETIC), numbers[:, None])
    return philox.unit(words.reshape(len(numbers), -1)[:, :WORDS])


def _normal(choice: Choice, name: str) -> np.ndarray:
    """A standard normal number for each image, (B,), from its two choices of this name."""
    return philox.box_muller(choice[f"{name}1"], choice[f"{name}2"])[0]


def _pose(choice: Choice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels (B,) and dots x, y (B, DOTS): a digit, one of its styles, a place between the style's two poses."""
    first, second, count = dots()
    labels = (10 * choice["label"]).astype(np.int64)
    style = (np.cumsum(count) - count)[labels] + (count[labels] * choice["style"]).astype(np.int64)
    between = (1.2 * choice["pose"] - 0.1)[:, None, None]  # a little beyond the poses, too
    place = first[style] + between * (second[style] - first[style])
    return labels, place[:, :, 0], place[:, :, 1]


def _affine(x: np.ndarray, y: np.ndarray, choice: Choice) -> Split:
    """Wide or narrow, slanted (more often to the right, as in MNIST), turned."""
    width = (0.8 + 0.65 * choice["width"])[:, None]
    slant = (0.12 + 0.2 * _normal(choice, "slant"))[:, None]
    turn = (0.09 * _normal(choice, "turn"))[:, None]
    x = width * x - slant * y
    return np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y


def _pen(choice: Choice) -> np.ndarray:
    """The pen's radius in pixels, (B,): the width of a stroke is twice that."""
    return np.clip(1.35 * np.exp(0.25 * _normal(choice, "pen")), 0.75, 2.1)


def _placed(x: np.ndarray, y: np.ndarray, longer_side: np.ndarray) -> Split:
    """Scaled until the longer side has that many pixels, the mean of the dots in the image's middle."""
    scale = (longer_side / np.maximum(np.ptp(x, axis=1), np.ptp(y, axis=1)))[:, None]
    x, y = (scale * (place - place.mean(axis=1, keepdims=True)) + SIDE / 2 for place in (x, y))
    return x, y


def _elastic(x: np.ndarray, y: np.ndarray, field: np.ndarray) -> Split:
    """Each dot moved by the random vectors (B, 2, nodes, nodes) around it, weighted by a Gaussian of the distance."""
    near_x, near_y = (np.exp(-0.5 * ((place[:, :, None] - NODES) / REACH) ** 2) for place in (x, y))
    move = np.sum((near_y[:, None] @ (field - 0.5)) * near_x[:, None], axis=3)
    # The weights' squares sum to about (reach * sqrt(pi) / spacing)**2, and a uniform number's variance is 1/12.
    strength = STRETCH * np.sqrt(12.0) * (NODES[1] - NODES[0]) / (REACH * np.sqrt(np.pi))
    return x + strength * move[:, 0], y + strength * move[:, 1]


def _ink(x: np.ndarray, y: np.ndarray, radius: np.ndarray, choice: Choice) -> np.ndarray:
    """The pen over the dots: uint8 (B, SIDE, SIDE), 255 within the stroke, 0 outside, grey on its soft edge."""
    # The stroke's half-width swells and thins along its way, as a hand presses more and less.
    along = np.arange(x.shape[1]) / x.shape[1]
    wave = np.cos(2 * np.pi * ((0.5 + choice["waves"])[:, None] * along + choice["phase"][:, None]))
    pressed = radius[:, None] * (1 + 0.2 * choice["pressure"][:, None] * wave)
    lead = radius[:, None] ** 2 - pressed**2

    # distance**2 of every pixel to its nearest dot, a thicker dot counting as nearer. The images lie side by side on
    # the last axis, where NumPy's loops run.
    edge: np.ndarray = 0.6 + 0.7 * choice["edge"]
    x, y, lead, radius, edge = (np.ascontiguousarray(a.T, np.float32) for a in (x, y, lead, radius, edge))
    pixel = np.arange(SIDE, dtype=np.float32)[:, None]
    nearest = np.full((SIDE, SIDE, len(radius)), np.inf, np.float32)
    to_dot = np.empty_like(nearest)
    for k in range(len(x)):
        np.add(((pixel - y[k]) ** 2 + lead[k])[:, None], ((pixel - x[k]) ** 2)[None], out=to_dot)
        np.minimum(nearest, to_dot, out=nearest)
    distance = np.sqrt(np.maximum(nearest, 0))
    ink = np.clip((radius - distance) / edge + np.float32(0.5), 0, 1)
    return np.round(255 * ink).astype(np.uint8).transpose(2, 0, 1)


def _centred(images: np.ndarray) -> np.ndarray:
    """The images moved by whole pixels until their mass is in the middle to within half a pixel, like MNIST's."""
    pixel = np.arange(SIDE)
    mass = images.sum(axis=(1, 2))
    down = np.rint(images.sum(axis=2) @ pixel / mass - SIDE / 2).astype(int)
    right = np.rint(images.sum(axis=1) @ pixel / mass - SIDE / 2).astype(int)
    margin = np.pad(images, ((0, 0), (SIDE, SIDE), (SIDE, SIDE)))
    rows, columns = (SIDE + pixel + move[:, None] for move in (down, right))
    return margin[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
