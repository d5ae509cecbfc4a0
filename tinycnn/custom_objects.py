"""What is of one's own, by the names that files have for it: activations, layers, losses and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_objects: dict[str, Any] = {}


def get_custom_objects() -> dict[str, Any]:
    """{name: class or function} of the process, to be changed: names in it are understood wherever Keras's are.

    >>> get_custom_objects().update({"double": lambda x: x * 2.0})
    >>> from tinycnn.layers import Activation
    >>> Activation("double").get_config()["activation"]
    'double'
    >>> get_custom_objects().clear()
    """
    return _objects


@contextmanager
def custom_object_scope(*objects: Mapping[str, Any]) -> Iterator[None]:
    """Inside, these are among them."""
    before = dict(_objects)
    try:
        for found in objects:
            _objects.update(found)
        yield
    finally:
        _objects.clear()
        _objects.update(before)
