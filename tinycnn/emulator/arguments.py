"""What a kernel is launched with: checks arguments against the parameters that the compiler deduced, and packs them.

A GPU launch takes addresses on trust: an int64 array where the kernel reads floats, or a Python float where it wants
an int, gives wrong numbers and no error. Here the types are known, so it is an error.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

DTYPES = {
    "bool": "bool",
    "char": "int8",
    "signed char": "int8",
    "unsigned char": "uint8",
    "short": "int16",
    "unsigned short": "uint16",
    "int": "int32",
    "unsigned": "uint32",
    "long": "int64",
    "unsigned long": "uint64",
    "long long": "int64",
    "unsigned long long": "uint64",
    "float": "float32",
    "double": "float64",
    "pointer": "uint64",
}
BASES = {"float": "float", "int": "int", "uint": "unsigned", "double": "double", "uchar": "unsigned char"}


class LaunchError(ValueError):
    """A launch that cannot be: says which kernel and parameter, what was wanted and what was given."""


class Parameter:
    """One parameter of a kernel, as `Parameter` of kernel_table.h describes it."""

    def __init__(self, described: Any, number: int, name: str):
        self.type = described.type.decode()
        self.size, self.passed = described.size, described.passed
        self.is_pointer, self.is_constant = bool(described.pointer), bool(described.constant)
        self.number, self.name = number, name
        vector = re.fullmatch(r"([a-z]+)[1-4]", self.type)
        self.dtype = DTYPES.get(BASES[vector[1]] if vector and vector[1] in BASES else self.type)
        self.is_vector = bool(vector)

    def __str__(self) -> str:
        text = ("const " if self.is_constant else "") + self.type + ("*" if self.is_pointer else "")
        return f"{text} {self.name}" if self.name else text

    @property
    def wanted(self) -> str:
        """What to pass, in words."""
        if self.is_pointer:
            return f"a NumPy array of {self.dtype}" if self.dtype else "a NumPy array"
        if self.dtype and not self.is_vector:
            return f"np.{self.dtype.replace('bool', 'bool_')}(...)"
        return f"a NumPy structured scalar of {self.passed} bytes"


class Signature:
    """A kernel: its address, and its parameters."""

    def __init__(self, described: Any, names: Mapping[str, Sequence[str]]):
        self.name, self.call = described.name.decode(), described.call
        plain = re.split(r"[<\s]", self.name)[0].split("::")[-1]
        named: Sequence[str] = names.get(plain, ())
        if len(named) != described.count:
            named = [""] * described.count
        self.parameters = [Parameter(described.parameters[i], i + 1, named[i]) for i in range(described.count)]

    def fail(self, parameter: Parameter, got: str) -> NoReturn:
        """Raises LaunchError: what was given is not what the parameter takes."""
        raise LaunchError(
            f"{self.name}: parameter {parameter.number} is `{parameter}`, which takes {parameter.wanted}, not {got}"
        )

    def pack(self, args: Sequence[Any]) -> tuple[ctypes.Array, list[Any]]:
        """(the array of the arguments' addresses that the kernel is called with, what must live as long as it)."""
        if len(args) != len(self.parameters):
            text = ", ".join(map(str, self.parameters))
            raise LaunchError(f"{self.name}({text}) takes {len(self.parameters)} arguments, not {len(args)}")
        alive: list[Any] = []
        addresses: list[int] = []
        for parameter, value in zip(self.parameters, args, strict=True):
            cell = self._pointer(parameter, value) if parameter.is_pointer else self._value(parameter, value)
            alive.append(cell)
            addresses.append(ctypes.addressof(cell))
        return (ctypes.c_void_p * (len(addresses) or 1))(*addresses), alive

    def _pointer(self, parameter: Parameter, array: Any) -> ctypes.c_void_p:
        if array is None:
            return ctypes.c_void_p(0)
        if not isinstance(array, np.ndarray):
            self.fail(parameter, _describe(array))
        if not array.flags.c_contiguous:
            self.fail(parameter, "one that is not C-contiguous")
        if not parameter.is_constant and not array.flags.writeable:
            self.fail(parameter, "a read-only one")
        if parameter.dtype and array.dtype != parameter.dtype and not self._fits(parameter, array):
            self.fail(parameter, _describe(array))
        if parameter.size and array.nbytes % parameter.size:
            self.fail(parameter, f"one of {array.nbytes} bytes, which is no multiple of {parameter.size}")
        address = array.__array_interface__["data"][0]
        if parameter.size > 1 and array.size and address % min(parameter.size & -parameter.size, 16):
            self.fail(parameter, f"one whose address is no multiple of {parameter.size}")
        return ctypes.c_void_p(address)

    @staticmethod
    def _fits(parameter: Parameter, array: np.ndarray) -> bool:
        """Whether an array of another dtype is the same bytes: a struct of float4's size, int8 for char, addresses."""
        if parameter.is_vector:
            return array.dtype.kind == "V" and array.dtype.itemsize == parameter.size
        if parameter.type == "char":
            return array.dtype == "uint8"
        return parameter.type == "pointer" and array.dtype == "int64"

    def _value(self, parameter: Parameter, value: Any) -> ctypes.Array:
        if parameter.dtype and not parameter.is_vector:
            if not isinstance(value, np.generic) or value.dtype != parameter.dtype:
                self.fail(parameter, _describe(value))
        elif not isinstance(value, np.void | np.ndarray) or value.nbytes != parameter.passed:
            self.fail(parameter, _describe(value))  # a struct by value: as CuPy, also an array of one element
        return ctypes.create_string_buffer(value.tobytes(), parameter.passed)


def _describe(value: object) -> str:
    """What was given, in words."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    if isinstance(value, np.generic):
        return f"np.{value.dtype}({value})"
    return f"the Python {type(value).__name__} {value!r}"


def parameter_names(sources: Iterable[Path]) -> dict[str, list[str]]:
    """{kernel: [the names of its parameters]} as far as they can be seen in the source: only for messages."""
    found = {}
    for path in sources:
        text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", path.read_text(errors="replace"), flags=re.DOTALL)
        for match in re.finditer(r"__global__[^;{]*?(\w+)\s*\(((?:[^(){}]|\([^()]*\))*)\)\s*\{", text):
            parts = [part.strip() for part in _split_commas(match[2])] if match[2].strip() else []
            found[match[1]] = [_last_word(part) for part in parts]
    return found


def _last_word(text: str) -> str:
    """The name that a parameter's declaration ends in: "tile" of "float tile[4]"."""
    match = re.search(r"(\w+)\s*(\[[^]]*\])?$", text)
    return match[1] if match else ""


def _split_commas(text: str) -> list[str]:
    """Split at the commas that are not inside < > or ( )."""
    parts, depth = [""], 0
    for character in text:
        depth += {"<": 1, "(": 1, ">": -1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts
