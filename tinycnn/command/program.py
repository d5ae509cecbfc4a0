"""A network of one's own, from a Python file: `mynet.py:model`. The file is its user's code, and runs as such."""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import click

from tinycnn.activations import own_of
from tinycnn.careful import nearest
from tinycnn.layers import Layer
from tinycnn.models import Model

NAMED = re.compile(r"(?P<path>.+\.py)(?::(?P<name>[^:]*))?")


class Program(NamedTuple):
    """A Python file that was run, and the name after its colon."""

    text: str
    path: str
    module: ModuleType
    name: str | None

    def network(self) -> Model:
        """The model that is meant: of this name, or the only one there is. A function without arguments may make it.

        Uncompiled it is compiled as a network from a notation is. Raises UsageError where there is none.
        """
        found = self.named() if self.name else self.only_one()
        if callable(found) and not isinstance(found, Model):
            found = called(found, self.path)
        if not isinstance(found, Model):
            raise click.UsageError(f"{self.text} is a {type(found).__name__}, and no Model or Sequential")
        if found.optimizer is None:
            found.compile("adam", "categorical_crossentropy")
        if found.loss is None:
            raise click.UsageError(f"{self.text} is trained by add_loss() alone, and not by labels: call its fit()")
        found.metrics = ["acc"]
        found.recipe = found.recipe or {"architecture": self.text, "batch_size": 128, "epochs": 12, "schedule": None}
        return found

    def named(self) -> Any:
        try:
            return getattr(self.module, self.name or "")
        except AttributeError:
            there = [name for name in vars(self.module) if not name.startswith("_")]
            raise click.UsageError(f"{self.path} has no {self.name!r}; {nearest(self.name or '', there)}") from None

    def only_one(self) -> Model:
        models = {name: value for name, value in vars(self.module).items() if isinstance(value, Model)}
        if len({id(model) for model in models.values()}) != 1:
            example = next(iter(models), "model")
            there = f"has the networks {', '.join(models)}" if models else "has no network"
            raise click.UsageError(f"{self.path} {there}: say which is meant, as {self.path}:{example}")
        return next(iter(models.values()))

    def objects(self, network: Model) -> dict[str, Any]:
        """The custom objects of a saved `network` of this file: the classes of layers that the file defines or imports,
        and the network's activations."""
        values = vars(self.module).values()
        classes = {v.__name__: v for v in values if isinstance(v, type) and issubclass(v, Layer)}
        return {**classes, **own_of(network.layers)}


def is_named(text: str) -> bool:
    """Whether a command's argument is a Python file, with or without a name after it."""
    return NAMED.fullmatch(text) is not None


def file_of(text: str) -> str:
    """The file that is read of a command's argument: without the name after a Python file."""
    match = NAMED.fullmatch(text)
    return match["path"] if match else text


def run(text: str) -> Program:
    """Run the file of `mynet.py:model`. Raises UsageError where it is missing or fails, naming the line."""
    match = NAMED.fullmatch(text)
    assert match is not None
    path, name = match["path"], match["name"]
    if not Path(path).is_file():
        raise click.UsageError(f"{path}: there is no such file")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(Path(path).resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # what lies beside the file can be imported, as where Python runs it
    sys.modules.setdefault(spec.name, module)  # where dataclasses, for one, look for the module of a class
    called(lambda: spec.loader.exec_module(module), path)
    return Program(text, path, module, name or None)


def called(function: Any, path: str) -> Any:
    """What a function of the file returns. Raises UsageError, with the file's own line, where it fails."""
    try:
        return function()
    except SystemExit as stop:
        raise click.UsageError(f"{path} ended itself, by exit({stop.code!r})") from None
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if same_file(frame.filename, path)]
        if isinstance(error, SyntaxError) and error.filename and same_file(error.filename, path):
            lines = [error.lineno]
        where = f", line {lines[-1]}" if lines else ""
        said = error.msg if isinstance(error, SyntaxError) else error
        raise click.UsageError(f"{path}{where}: {type(error).__name__}: {said}") from error


def same_file(name: str, path: str) -> bool:
    return Path(name).exists() and Path(name).samefile(path)
