"""The random numbers by which one image is changed."""

from __future__ import annotations

import numpy as np

from tinycnn import philox

# What is drawn for one image, a number from 0 to 1 each, in this order.
DRAWN = "theta tx tx_sign ty ty_sign shear zx zy horizontal vertical channel brightness".split()


def drawn(seed: int, steps: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1), float64 (B, len(DRAWN)): those of image number steps[i], a uint64."""
    blocks = np.arange(-(-len(DRAWN) // 4), dtype=np.uint64)
    words = philox.words(blocks, seed, philox.stream_id(philox.AUGMENTATION), steps[:, None])
    return philox.unit(words.reshape(len(steps), -1)[:, : len(DRAWN)])
