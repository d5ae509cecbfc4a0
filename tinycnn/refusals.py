"""What Keras 2 has and tinycnn has not, and what to do instead: every refusal by name finds its words here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinycnn.careful import nearest

CHANNELS = "images are (N, H, W, C) here: turn them with x.transpose(0, 2, 3, 1) and leave it out"
CONSTRAINT = "weights are not constrained here: leave it out, or clip them in a callback with set_weights"
REGULARIZER = "there is none for it: leave it out, or use Dropout"
INITIALIZER = "these begin as Keras's default has them: leave it out, or set_weights() afterwards"

# {argument: (values that change nothing, what to do instead)}, of layers of every kind.
ARGUMENTS: dict[str, tuple[tuple, str]] = {
    "data_format": ((None, "channels_last"), CHANNELS),
    "dilation_rate": ((1, (1, 1)), "windows have no holes here: use a larger kernel_size, or strides"),
    "groups": ((1,), "every filter sees all channels here: leave it out, or join several layers by Concatenate"),
    "kernel_regularizer": ((None,), REGULARIZER),
    "bias_regularizer": ((None,), REGULARIZER),
    "activity_regularizer": ((None,), REGULARIZER),
    "beta_regularizer": ((None,), REGULARIZER),
    "gamma_regularizer": ((None,), REGULARIZER),
    "kernel_constraint": ((None,), CONSTRAINT),
    "bias_constraint": ((None,), CONSTRAINT),
    "beta_constraint": ((None,), CONSTRAINT),
    "gamma_constraint": ((None,), CONSTRAINT),
    "beta_initializer": (("zeros", "zero"), INITIALIZER),
    "gamma_initializer": (("ones", "one"), INITIALIZER),
    "moving_mean_initializer": (("zeros", "zero"), INITIALIZER),
    "moving_variance_initializer": (("ones", "one"), INITIALIZER),
    "center": ((True,), "beta is always there: freeze it at 0 with `trainable = False`, or leave it out"),
    "scale": ((True,), "gamma is always there: freeze it at 1 with `trainable = False`, or leave it out"),
    "mode": ((0,), "statistics are those of a channel over the batch: leave it out"),
    "noise_shape": ((None,), "every element is dropped for itself: leave it out"),
    "mask": ((None,), "there are no masks: leave it out"),
    "batch_size": ((None,), "a network takes batches of any size: leave it out, and give batch_size to fit()"),
    "sparse": ((False,), "arrays are dense here: leave it out"),
    "input_tensor": ((None,), "begin with Input(shape=...)"),
    "tensor": ((None,), "begin with Input(shape=...)"),
    "input_length": ((None,), "there are no sequences: give input_shape="),
    "input_dtype": ((None, "float32"), "the device says what it computes in: choose it with tinycnn.use_device"),
    "renorm": ((False,), "leave it out"),
    "fused": ((None, True, False), "leave it out"),
}


def argument(owner: str, name: str, value: Any, known: Sequence[str]) -> None:
    """Nothing where the value changes nothing; else TypeError that says what to do. known: the arguments there are."""
    if name not in ARGUMENTS:
        raise TypeError(f"{owner} has no argument {name!r}; {nearest(name, known)}")
    harmless, remedy = ARGUMENTS[name]
    if isinstance(value, list):
        value = tuple(value)
    if not any(value is h or (type(value) is type(h) and value == h) for h in harmless):
        raise TypeError(f"{owner}({name}={value!r}) is not there: {remedy}")
