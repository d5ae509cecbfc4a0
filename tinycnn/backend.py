"""What the documents use of `keras.backend`."""

from __future__ import annotations

from tinycnn.devices import current_device
from tinycnn.session import clear_session

__all__ = ["clear_session", "floatx", "image_data_format"]


def image_data_format() -> str:
    """Images are (N, H, W, C), always."""
    return "channels_last"


def floatx() -> str:
    """The precision of the current device: 'float32' or 'float64'."""
    return current_device().dtype
