"""What Keras has under this name: the ImageDataGenerator, what its `flow` returns, and pictures as arrays."""

from tinycnn.preprocessing.augmentation import ImageDataGenerator
from tinycnn.preprocessing.iterators import DirectoryIterator, Iterator, NumpyArrayIterator
from tinycnn.preprocessing.pictures import array_to_img, img_to_array, load_img

__all__ = [
    "DirectoryIterator", "ImageDataGenerator", "Iterator", "NumpyArrayIterator", "array_to_img", "img_to_array",
    "load_img",
]  # fmt: skip
