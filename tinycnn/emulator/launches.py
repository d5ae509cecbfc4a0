"""What to run: a launch of a kernel, and how one is described at the head of a student's own .cu file.

    // launch: kernel=copy<float> grid=4 block=256 x=float[1000] y=float[1000]=0 n=int:1000

A line for each launch; a line that ends in a backslash goes on in the next comment line. The words are `kernel`,
`grid` and `block` (one to three numbers, as 4 or 16,16), `shared` (bytes of dynamic shared memory, 0 if not given),
`cooperative` alone (all blocks run at once, and may wait for one another), and then the kernel's parameters, by their
names and in their order:

    x=float[1000]            an array, of random numbers: standard normal for floats, 0 to 99 for the others. One that
                             the kernel writes counts as unset (below) where its parameter is no pointer to const
    x=float[8,28,28,1]       the same, its extents written as a shape
    x=float[1000]=0          an array full of one value; also ones, zeros, and random as above
    x=int[1000]=range        0, 1, 2, ...; ramp is the same
    x=float[3]=[1,2.5,-1]    these values
    x=float[1000]=some.npy   those of a file beside the .cu file
    y=float[1000]=unset      as cudaMalloc leaves it: to read there what nobody has written is reported
    x=in+3                   a pointer to the fourth element of `in`, an array of a word before it or an earlier launch
    y=y                      the array y of an earlier launch, as that has left it
    n=int:1000               a number
    v=float4:1,2,3,4         a vector by value; also dim3:4,2
    p={int:1,float:2.5}      a struct by value, member by member
    b=none                   a null pointer

A word that is no parameter is an array for others to point into or, where the file has a __constant__ or __device__
variable of that name, what that holds: w=float[9]=ramp.

Types are CUDA's: bool, char, unsigned char, short, int, unsigned, long long, unsigned long long (written with _ for the
space), size_t, int8_t and its like, float, double, and float4 and its like for arrays, whose extents count float4s.

    expect=y:2*x+1           what an array is to be afterwards: a formula over the arrays as they were, in NumPy (np),
                             a list or a .npy file; may stand several times
    tolerance=1e-4           how far it may be off, absolutely and relatively: 1e-5 if not given
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tinycnn.emulator import sources
from tinycnn.emulator.arguments import parameter_names
from tinycnn.emulator.values import (
    DescriptionError,
    array_of,
    by_value,
    extents,
    has_no_value,
    is_unset,
    number,
    pointer_into,
)

MARK = re.compile(r"^\s*//\s*launch\s*:")
SHAPE_WORDS = ("kernel", "grid", "block", "shared")
LAST_WORDS = ("expect", "tolerance")
TOLERANCE = 1e-5


@dataclass
class Expected:
    """What an array is to be after a launch: a formula over the arrays as they were, a list or a .npy file."""

    array: str
    text: str
    folder: Path

    def value(self, arrays: Mapping[str, Any]) -> Any:
        """Raises DescriptionError for what cannot be computed."""
        try:
            if self.text.endswith(".npy"):
                return np.load(self.folder / self.text, allow_pickle=False)
            return np.asarray(eval(self.text, {"np": np, "__builtins__": {"abs": abs, "sum": sum}}, dict(arrays)))
        except Exception as error:
            raise DescriptionError(f"expect={self.array}:{self.text}: {type(error).__name__}: {error}") from None


@dataclass
class Launch:
    """One launch: what `Module.launch` takes.

    buffers: arrays that the kernel reaches only through a table of pointers. They are known to be in bounds.
    cooperative: whether all blocks run at once, so that they may wait for one another.
    within: arrays that arguments are parts of, by name: the kernel may go to all of them.
    variables: what __constant__ and __device__ variables of the file hold.
    unset: those of the arrays that are as cudaMalloc leaves them.
    no_value: {name: its word} of the arguments that a comment says no value of, like {"y": "y=float[1000]"}.
    expected, tolerance: what is to come out. line: where the comment stands.
    goes_on: whether the launch changes its arrays, for those that follow.
    """

    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    args: list[Any]
    shared: int = 0
    buffers: list[np.ndarray] = field(default_factory=list)
    cooperative: bool = False
    within: dict[str, np.ndarray] = field(default_factory=dict)
    variables: dict[str, np.ndarray] = field(default_factory=dict)
    unset: list[np.ndarray] = field(default_factory=list)
    no_value: dict[str, str] = field(default_factory=dict)
    expected: list[Expected] = field(default_factory=list)
    tolerance: float = TOLERANCE
    line: int = 0
    goes_on: bool = False
    names: list[str] = field(default_factory=list)  # of the arguments, where a comment gave them


def describes_launches(path: str | Path) -> bool:
    """Whether there is a launch comment in a .cu file, right or wrong."""
    lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    return any(MARK.match(line) for line in lines)


def read_launches(path: str | Path) -> list[Launch]:
    """The launches that the comments of a .cu file describe; DescriptionError if there are none, or a bad one."""
    path = Path(path)
    files = sources.read([path]).contents
    parameters = parameter_names(files)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    variables = variable_names(files)
    launches: list[Launch] = []
    known: dict[str, np.ndarray] = {}
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
            launches.append(parse(text, parameters, len(launches), path.parent, known, variables))
        except DescriptionError as error:
            raise DescriptionError(f"{path}:{first}: {error}") from None
        launches[-1].line = first
    for i, launch in enumerate(launches):
        launch.goes_on = any(
            np.may_share_memory(a, b) for a in _arrays(launch) for later in launches[i + 1 :] for b in _arrays(later)
        )
    if not launches:
        raise DescriptionError(
            f"{path} describes no launch; add a comment like"
            " `// launch: kernel=copy grid=4 block=256 x=float[1000] y=float[1000]=0 n=int:1000`"
        )
    return launches


def _arrays(launch: Launch) -> list[np.ndarray]:
    return [a for a in launch.args if isinstance(a, np.ndarray)]


def variable_names(files: Iterable[Path]) -> set[str]:
    """The __constant__ and __device__ variables that can be seen in the source."""
    found = set()
    for path in files:
        text = path.read_text(errors="replace")
        found |= set(re.findall(r"__(?:constant|device)__[^;(){}=]*?\b(\w+)\s*(?:\[[^;{}]*\])?\s*[;=]", text))
    return found


def parse(
    text: str, parameters: Mapping[str, list[str]] | None = None, seed: int = 0, folder: Path = Path(),
    known: dict[str, np.ndarray] | None = None, variables: Collection[str] = (),
) -> Launch:  # fmt: skip
    """The Launch that the text after `launch:` describes.

    parameters: {kernel: its parameters' names} if known. folder: of .npy files. known: the arrays of earlier launches
    by name, to which those of this one are added. variables: names of __constant__ and __device__ variables.
    """
    known = {} if known is None else known
    words: dict[str, str] = {}
    args: dict[str, Any] = {}
    launch = Launch("", (), (), [])
    for word in _words(text):
        if word == "cooperative" and not args:
            launch.cooperative = True
            continue
        name, equals, value = word.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name) or not value:
            raise DescriptionError(f"{word!r} is not of the form name=value")
        if name == "expect":
            array, _, wanted = value.partition(":")
            launch.expected.append(Expected(array, wanted, folder))
            continue
        if name in words or name in args:
            raise DescriptionError(f"{name!r} is given twice")
        if (name in SHAPE_WORDS and not args) or name in LAST_WORDS:
            words[name] = value
        else:
            args[name] = _argument(word, value, np.random.default_rng([seed, len(args)]), folder, known)
            if isinstance(args[name], np.ndarray) and is_unset(value):
                launch.unset.append(args[name])
            if has_no_value(value):
                launch.no_value[name] = word
            if isinstance(args[name], np.ndarray) and not value.startswith("{"):
                known[name] = args[name]
    for needed in ("kernel", "grid", "block"):
        if needed not in words:
            raise DescriptionError(f"{needed}=... is missing, which comes before the kernel's parameters")
    shared = words.get("shared", "0")
    if not shared.isdecimal():
        raise DescriptionError(f"shared={shared} is not a number of bytes")
    launch.kernel, launch.shared = words["kernel"], int(shared)
    launch.grid, launch.block = (extents(f"{name}={words[name]}", words[name]) for name in ("grid", "block"))
    if max(len(launch.grid), len(launch.block)) > 3:
        raise DescriptionError("grid and block have at most three numbers")
    if "tolerance" in words:
        launch.tolerance = float(number("tolerance", np.dtype("float64"), words["tolerance"]))
    names = (parameters or {}).get(re.split(r"[<\s]", words["kernel"])[0])
    if names is not None:
        for name in [name for name in args if name not in names]:
            if not isinstance(args[name], np.ndarray):
                break
            into = launch.variables if name in variables else launch.within
            into[name] = args.pop(name)
        if list(args) != names:
            raise DescriptionError(f"the parameters of {words['kernel']} are {', '.join(names)}; not {', '.join(args)}")
    launch.names, launch.args = list(args), list(args.values())
    for one in launch.expected:
        if not isinstance(args.get(one.array), np.ndarray):
            raise DescriptionError(f"expect={one.array}:...: the parameters have no array {one.array!r}")
    return launch


def _words(text: str) -> list[str]:
    """Split at spaces that are not inside < >, [ ], ( ) or { }."""
    return re.findall(r"(?:<[^>]*>|\[[^]]*\]|\([^()]*\)|\{[^}]*\}|\S)+", text)


def _argument(
    word: str, text: str, random: np.random.Generator, folder: Path, known: Mapping[str, np.ndarray]
) -> np.ndarray | np.generic | None:
    if text == "none":
        return None
    for found in (array_of(word, text, random, folder), pointer_into(word, text, known), by_value(word, text)):
        if found is not None:
            return found
    raise DescriptionError(f"{word!r} is neither an array (float[1000]), a number (int:5) nor none")
