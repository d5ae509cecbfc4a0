"""What is of one's own, by the names that files have for it: activations, layers, losses and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_objects: dict[str, Any] = {}
_scope: ContextVar[Mapping[str, Any]] = ContextVar("scope", default={})  # noqa: B039  (nobody changes it)


def get_custom_objects() -> dict[str, Any]:
    """{name: class or function} of the process, to be changed: such a name is understood wherever Keras's are, and goes
    before them.

    >>> get_custom_objects().update({"double": lambda x: x * 2.0})
    >>> from tinycnn.layers import Activation
    >>> Activation("double").get_config()["activation"]
    'double'
    >>> get_custom_objects().clear()
    """
    return _objects


@contextmanager
def custom_object_scope(*objects: Mapping[str, Any]) -> Iterator[None]:
    """Inside, these are among them, for this thread."""
    inside = dict(_scope.get())
    for found in objects:
        inside.update(found)
    token = _scope.set(inside)
    try:
        yield
    finally:
        _scope.reset(token)


def all_custom_objects() -> dict[str, Any]:
    """Those of the process and of the scopes around."""
    return {**_objects, **_scope.get()}
