"""What Keras has under this name: the ImageDataGenerator, what its `flow` returns, and pictures as arrays."""

import sys
from typing import Any

from tinycnn import refusals
from tinycnn.preprocessing.augmentation import ImageDataGenerator
from tinycnn.preprocessing.iterators import DirectoryIterator, Iterator, NumpyArrayIterator
from tinycnn.preprocessing.pictures import array_to_img, img_to_array, load_img

__all__ = [
    "DirectoryIterator", "ImageDataGenerator", "Iterator", "NumpyArrayIterator", "array_to_img", "img_to_array",
    "load_img",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
