"""The values that a launch comment gives to a kernel's parameters: what stands behind the = of a word (launches.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tinycnn.emulator.arguments import BASES, DTYPES

UNSET = "unset"
OTHER_NAMES = {
    "size_t": "unsigned long", "int8_t": "signed char", "uint8_t": "unsigned char", "int16_t": "short",
    "uint16_t": "unsigned short", "int32_t": "int", "uint32_t": "unsigned", "int64_t": "long long",
    "uint64_t": "unsigned long long", "unsigned_int": "unsigned",
}  # fmt: skip


class DescriptionError(ValueError):
    """A launch description that cannot be read: names the file, the line and the word."""


def extents(word: str, text: str) -> tuple[int, ...]:
    """One or more numbers greater than 0, as 4 or 16,16."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise DescriptionError(f"{word}: {text!r} is not a list of numbers greater than 0, like 4 or 16,16")
    return tuple(map(int, parts))


def array_of(word: str, text: str, random: np.random.Generator, folder: Path) -> np.ndarray | None:
    """The array that a text like float[1000]=0 describes, or None for a text that describes none."""
    described = re.fullmatch(r"(\w+?)\[([^]]*)\](?:[=:](\S+|\[[^]]*\]))?", text)
    if described is None:
        return None
    dtype, width = _type(word, described[1], vectors=True)
    shape = extents(word, described[2]) + ((width,) if width > 1 else ())
    value = described[3] or "random"
    if value == "random":
        values = random.standard_normal(shape) if dtype.kind == "f" else random.integers(0, 100, shape)
        return np.ascontiguousarray(values.astype(dtype))
    if value in ("range", "ramp"):
        return np.arange(np.prod(shape)).astype(dtype).reshape(shape)
    if value.endswith(".npy"):
        return _loaded(word, folder / value, dtype, shape)
    if value.startswith("["):
        numbers = [number(word, dtype, part.strip()) for part in value.strip("[]").split(",")]
        if len(numbers) != np.prod(shape):
            raise DescriptionError(f"{word!r} has {len(numbers)} values for {np.prod(shape)} elements")
        return np.array(numbers, dtype).reshape(shape)
    plain = {"ones": "1", "zeros": "0", UNSET: "0"}.get(value, value)
    return np.full(shape, number(word, dtype, plain), dtype)


def is_unset(text: str) -> bool:
    """Whether an array is said to be as cudaMalloc leaves it."""
    return bool(re.search(rf"\][=:]{UNSET}$", text))


def has_no_value(text: str) -> bool:
    """Whether it is an array of which nothing is said but its type and its extents."""
    return bool(re.fullmatch(r"\w+\[[^]]*\]", text))


def _loaded(word: str, path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The array of a .npy file, which is to have this type and as many elements."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DescriptionError(f"{word!r}: {path} cannot be read: {error}") from None
    if values.dtype != dtype or values.size != np.prod(shape):
        raise DescriptionError(f"{word!r}: {path} has {values.size} elements of {values.dtype}")
    return np.ascontiguousarray(values).reshape(shape)


def by_value(word: str, text: str) -> np.generic | np.ndarray | None:
    """A number (int:5), a vector (float4:1,2,3,4), a dim3 or a struct ({int:1,float:2}); None for another text."""
    if text.startswith("{") and text.endswith("}"):
        members = [by_value(word, part) for part in re.findall(r"\w+:[^,]+(?:,[^,:]+(?=,|$))*", text[1:-1])]
        if not members or any(member is None for member in members):
            raise DescriptionError(f"{word!r} is not a struct like {{int:1,float:2.5}}")
        layout = np.dtype([(f"m{i}", np.asarray(m).dtype) for i, m in enumerate(members)], align=True)
        return np.array([tuple(np.asarray(m).item() for m in members)], layout)
    described = re.fullmatch(r"(\w+):(\S+)", text)
    if described is None:
        return None
    name, value = described[1], described[2]
    vector = ("unsigned", 3) if name == "dim3" else _vector(name)
    if vector is None:
        return number(word, _type(word, name)[0], value)
    numbers = [number(word, np.dtype(DTYPES[vector[0]]), part) for part in value.split(",")]
    if name == "dim3":
        numbers += [np.uint32(1)] * (3 - len(numbers))
    if len(numbers) != vector[1]:
        raise DescriptionError(f"{word!r} has {len(numbers)} numbers for a {name}")
    return np.array(numbers)


def pointer_into(word: str, text: str, known: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """An array that is known by its name, or what is left of it behind some elements: in, or in+3."""
    described = re.fullmatch(r"([A-Za-z_]\w*)(?:\+(\d+))?", text)
    if described is None or described[1] not in known:
        return None
    array, skipped = known[described[1]], int(described[2] or 0)
    if skipped >= array.size:
        raise DescriptionError(f"{word!r}: {described[1]} has {array.size} elements")
    return array.reshape(-1)[skipped:] if skipped else array


def number(word: str, dtype: np.dtype, text: str) -> np.generic:
    """A number of this type."""
    try:
        value = float(text) if dtype.kind == "f" else int(text, 0)
        return dtype.type(value)
    except (ValueError, OverflowError):
        raise DescriptionError(f"{word!r}: {text!r} is not a {dtype}") from None


def _vector(name: str) -> tuple[str, int] | None:
    """('float', 4) for float4."""
    vector = re.fullmatch(r"([a-z]+)([2-4])", name)
    return (BASES[vector[1]], int(vector[2])) if vector and vector[1] in BASES else None


def _type(word: str, name: str, vectors: bool = False) -> tuple[np.dtype, int]:
    """(dtype, how many numbers of it) of a type of CUDA's."""
    vector = _vector(name)
    if vectors and vector:
        return np.dtype(DTYPES[vector[0]]), vector[1]
    name = OTHER_NAMES.get(name, name.replace("_", " "))
    if name not in DTYPES or name == "pointer":
        raise DescriptionError(f"{word!r}: there is no type {name!r}")
    return np.dtype(DTYPES[name]), 1
