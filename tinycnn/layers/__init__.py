"""The layers, with the face that Keras gives them, in the files that Keras 2 has them in."""

import sys
from typing import Any

from tinycnn import refusals
from tinycnn.layers.advanced_activations import ELU, LeakyReLU, ReLU, Softmax
from tinycnn.layers.base import Input, InputLayer, Layer, Symbol, Weighted
from tinycnn.layers.convolutional import Conv2D, Conv2DTranspose, Convolution2D, UpSampling2D, ZeroPadding2D
from tinycnn.layers.core import Activation, Dense, Dropout, Flatten, Lambda, Reshape
from tinycnn.layers.merge import Add, Concatenate, add, concatenate
from tinycnn.layers.normalization import BatchNormalization
from tinycnn.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D

MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
Convolution2DTranspose = Deconvolution2D = Deconv2D = Conv2DTranspose
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D

__all__ = [
    "ELU",
    "Activation",
    "Add",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Deconv2D",
    "Deconvolution2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "Input",
    "InputLayer",
    "Lambda",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "MaxPooling2D",
    "ReLU",
    "Reshape",
    "Softmax",
    "Symbol",
    "UpSampling2D",
    "Weighted",
    "ZeroPadding2D",
    "add",
    "concatenate",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    return refusals.attribute(sys.modules[__name__], name)
