"""Keras 2's public names, sorted into what works here and what is refused by name; docs/keras.md counts them."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tinycnn import layers, models, refusals
from tinycnn.layers import keras1

FILE = Path(__file__).parents[1] / "tests" / "data" / "keras_2_3_1.json"
CLASSES = {"Layer": layers.Layer, "Model": models.Model, "Sequential": models.Sequential}
BY_POSITION = {("Layer", "call")}  # which nobody calls but a model


class Name(NamedTuple):
    """A name of Keras's. status: 'works' or 'refused'; refused: those of its arguments that are, where it works."""

    group: str
    name: str
    status: str
    remedy: str
    refused: tuple[str, ...] = ()


class Unsorted(Exception):
    """A name, or an argument, that neither works nor is refused by name."""


def names() -> dict[str, Any]:
    """{module or class: {name: [arguments]}} of Keras 2.3.1, and 'modules'."""
    return {key: value for key, value in json.loads(FILE.read_text(encoding="utf-8")).items() if key != "about"}


def sort_name(group: str, name: str, arguments: list[str]) -> Name:
    """Where a name belongs. Raises Unsorted."""
    if group in CLASSES:
        thing = inspect.getattr_static(CLASSES[group], name, None)
        if thing is None and name not in vars(CLASSES[group]) and not has_attribute(group, name):
            return Name(group, name, "refused", remedy_of(group, name))
        if not inspect.isfunction(thing):
            return Name(group, name, "works", "")
    else:
        try:
            thing = getattr(importlib.import_module(f"tinycnn.{group}"), name)
        except AttributeError as error:
            raise Unsorted(f"{group}.{name}: {error}") from None
        if isinstance(thing, refusals.NotHere):
            return Name(group, name, "refused", refused_by(thing).split(": ", 1)[1])
    refused = tuple(a for a in arguments if not takes(thing, group, name, a))
    return Name(group, name, "works", "", refused)


def has_attribute(group: str, name: str) -> bool:
    """Whether an instance has it, whose class does not say so."""
    thing = (
        layers.Flatten(input_shape=(2, 2, 1))
        if group == "Layer"
        else models.Sequential([layers.Flatten(input_shape=(2, 2, 1))])
    )
    return name in vars(thing)


def remedy_of(group: str, name: str) -> str:
    """What an instance says when it is asked for an attribute that there is not. Raises Unsorted."""
    thing = layers.Flatten() if group == "Layer" else models.Sequential()
    try:
        getattr(thing, name)
    except AttributeError as error:
        if "is not there: " in str(error):
            return str(error).split("is not there: ")[1]
    raise Unsorted(f"{group}.{name}")


def refused_by(thing: Callable) -> str:
    """What it says when it is called. Raises Unsorted where that is not a refusal."""
    try:
        thing()
    except TypeError as error:
        if "is not there: " in str(error):
            return str(error)
    raise Unsorted(repr(thing))


def takes(thing: Any, group: str, name: str, argument: str) -> bool:
    """Whether an argument works; False where it is refused by name. Raises Unsorted."""
    parameters = inspect.signature(thing).parameters
    is_layer = inspect.isclass(thing) and issubclass(thing, layers.Layer)
    if argument in parameters or any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        return True
    if (is_layer or thing is layers.Input) and argument in keras1.COMMON:
        return True
    if (group, name) in BY_POSITION:
        return True
    if argument in getattr(thing, "defaults", ()):  # it is taken where it is Keras's default
        return False
    inside = thing.__init__ if inspect.isclass(thing) else thing
    if is_layer or hasattr(inside, "refuses") or any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        try:
            refusals.argument(name, argument, object(), [])
        except TypeError as error:
            if "is not there: " in str(error):
                return False
    raise Unsorted(f"{group}.{name}({argument})")


def all_sorted() -> list[Name]:
    """Every name of the file. Raises Unsorted."""
    return [
        sort_name(group, name, arguments)
        for group, found in names().items()
        if group != "modules"
        for name, arguments in found.items()
    ]
