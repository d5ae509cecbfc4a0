"""What to run: a launch of a kernel, and how one is described at the head of a student's own .cu file.

    // launch: kernel=copy<float> grid=4 block=256 x=float[1000] y=float[1000]=0 n=int:1000

A line for each launch; a line that ends in a backslash goes on in the next comment line. The words are `kernel`,
`grid` and `block` (one to three numbers, as 4 or 16,16), `shared` (bytes of dynamic shared memory, 0 if not given),
`cooperative` alone (all blocks run at once, and may wait for one another), and then the kernel's parameters, by their
names and in their order:

    x=float[1000]        an array, of random numbers: standard normal for floats, 0 to 99 for the others
    x=float[8,28,28,1]   the same, its extents written as a shape
    x=float[1000]=0      an array full of one value
    x=int[1000]=range    0, 1, 2, ...
    n=int:1000           a number
    b=none               a null pointer

Types are CUDA's: bool, char, unsigned char, short, int, unsigned, long long, unsigned long long (written with _ for the
space), float, double, and float4 and its like for arrays, whose extents then count float4s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.emulator.arguments import BASES, DTYPES, parameter_names
from tinycnn.emulator.build import with_includes

MARK = re.compile(r"^\s*//\s*launch\s*:")
SHAPE_WORDS = ("kernel", "grid", "block", "shared")


class DescriptionError(ValueError):
    """A launch description that cannot be read: names the file, the line and the word."""


@dataclass
class Launch:
    """One launch: what `Module.launch` takes.

    buffers: arrays that the kernel reaches only through a table of pointers. They are known to be in bounds.
    cooperative: whether all blocks run at once, so that they may wait for one another.
    """

    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    args: list[Any]
    shared: int = 0
    buffers: list[np.ndarray] = field(default_factory=list)
    cooperative: bool = False


def describes_launches(path: str | Path) -> bool:
    """Whether there is a launch comment in a .cu file, right or wrong."""
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return any(MARK.match(line) for line in lines)


def read_launches(path: str | Path) -> list[Launch]:
    """The launches that the comments of a .cu file describe; DescriptionError if there are none, or a bad one."""
    path = Path(path)
    parameters = parameter_names(with_includes(path))
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    launches: list[Launch] = []
    number = 0
    while number < len(lines):
        number += 1
        first = number
        if not MARK.match(lines[number - 1]):
            continue
        text = MARK.sub("", lines[number - 1])
        while text.rstrip().endswith("\\") and number < len(lines):
            text = text.rstrip()[:-1] + " " + re.sub(r"^\s*//", "", lines[number])
            number += 1
        try:
            launches.append(parse(text, parameters, seed=len(launches)))
        except DescriptionError as error:
            raise DescriptionError(f"{path}:{first}: {error}") from None
    if not launches:
        raise DescriptionError(
            f"{path} describes no launch; add a comment like"
            " `// launch: kernel=copy grid=4 block=256 x=float[1000] y=float[1000]=0 n=int:1000`"
        )
    return launches


def parse(text: str, parameters: Mapping[str, list[str]] | None = None, seed: int = 0) -> Launch:
    """The Launch that the text after `launch:` describes. parameters: {kernel: its parameters' names} if known."""
    words: dict[str, str] = {}
    args: dict[str, Any] = {}
    cooperative = False
    for word in _words(text):
        if word == "cooperative" and not args:
            cooperative = True
            continue
        name, equals, value = word.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name) or not value:
            raise DescriptionError(f"{word!r} is not of the form name=value")
        if name in words or name in args:
            raise DescriptionError(f"{name!r} is given twice")
        if name in SHAPE_WORDS and not args:
            words[name] = value
        else:
            args[name] = _argument(word, value, np.random.default_rng([seed, len(args)]))
    for needed in ("kernel", "grid", "block"):
        if needed not in words:
            raise DescriptionError(f"{needed}=... is missing, which comes before the kernel's parameters")
    shared = words.get("shared", "0")
    if not shared.isdecimal():
        raise DescriptionError(f"shared={shared} is not a number of bytes")
    grid, block = (_extents(f"{name}={words[name]}", words[name]) for name in ("grid", "block"))
    if max(len(grid), len(block)) > 3:
        raise DescriptionError("grid and block have at most three numbers")
    names = (parameters or {}).get(re.split(r"[<\s]", words["kernel"])[0])
    if names is not None and list(args) != names:
        raise DescriptionError(f"the parameters of {words['kernel']} are {', '.join(names)}; not {', '.join(args)}")
    return Launch(words["kernel"], grid, block, list(args.values()), int(shared), cooperative=cooperative)


def _words(text: str) -> list[str]:
    """Split at spaces that are not inside < > or [ ]."""
    return re.findall(r"(?:<[^>]*>|\[[^]]*\]|\S)+", text)


def _extents(word: str, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise DescriptionError(f"{word}: {text!r} is not a list of numbers greater than 0, like 4 or 16,16")
    return tuple(map(int, parts))


def _argument(word: str, text: str, random: np.random.Generator) -> np.ndarray | np.generic | None:
    if text == "none":
        return None
    array = re.fullmatch(r"(\w+?)\[([^]]*)\](?:=(\S+))?", text)
    scalar = re.fullmatch(r"(\w+):(\S+)", text)
    if scalar and not array:
        return _number(word, _type(word, scalar[1])[0], scalar[2])
    if not array:
        raise DescriptionError(f"{word!r} is neither an array (float[1000]), a number (int:5) nor none")
    dtype, width = _type(word, array[1], vectors=True)
    shape = _extents(word, array[2]) + ((width,) if width > 1 else ())
    if array[3] is None:
        values = random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, 100, shape)
        return np.ascontiguousarray(values.astype(dtype))
    if array[3] == "range":
        return np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    return np.full(shape, _number(word, dtype, array[3]), dtype)


def _type(word: str, name: str, vectors: bool = False) -> tuple[np.dtype, int]:
    """(dtype, how many numbers of it) of a type of CUDA's."""
    name = name.replace("_", " ")
    vector = re.fullmatch(r"([a-z]+)([2-4])", name)
    if vectors and vector and vector[1] in BASES:
        return np.dtype(DTYPES[BASES[vector[1]]]), int(vector[2])
    if name not in DTYPES or name == "pointer":
        raise DescriptionError(f"{word!r}: there is no type {name!r}")
    return np.dtype(DTYPES[name]), 1


def _number(word: str, dtype: np.dtype, text: str) -> np.generic:
    try:
        value = float(text) if dtype.kind == "f" else int(text, 0)
        return dtype.type(value)
    except (ValueError, OverflowError):
        raise DescriptionError(f"{word!r}: {text!r} is not a {dtype}") from None
