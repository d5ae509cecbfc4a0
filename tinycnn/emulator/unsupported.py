"""Says of a program that does not build which part of CUDA it is that the emulator does not support, and where.

A compiler knows nothing of CUDA: it says of a name that it was not declared, and of a header that it is not there. What
of that is CUDA's is in unsupported.json, with what to write in its place; all else is the program's own.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tinycnn.emulator import syntax
from tinycnn.emulator.compiler import BuildError, refused, working
from tinycnn.emulator.sources import Sources

FILE = Path(__file__).with_name("unsupported.json")
PTX = "inline PTX"
MOST = 5  # are told
_INSTRUCTION = re.compile(
    rb'"(?:[\s{]|\\[nt]|\.reg[^;]*;|@!?%?\w+)*([a-z][\w.:]*)'
)  # the first: names of registers are none

_ERROR = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<text>.*)$", re.MULTILINE)
_MISSING = re.compile(r"^(?P<name>\S+): No such file or directory|^'(?P<clangs>\S+)' file not found")
_NAME = re.compile(r"[‘'](?:[\w:<>]*::)?(\w+)(?:[<(][^’']*)?[’']")
# What is no part of something that the emulator has: of a namespace, or of a class, as each compiler says it.
_PART = re.compile(
    r"[‘'](?P<part>\w+)[^’']*[’'] (?:is not a member of|in namespace) [‘'](?P<whole>[\w:]+)"
    r"|no (?:member|template|type) named '(?P<part_2>\w+)[^']*' in (?:namespace )?'(?P<whole_2>[\w:]+)"
    r"|[‘'](?:const )?(?:class |struct )?(?P<whole_3>[\w:]+)[^’']*[’'] has no member named [‘'](?P<part_3>\w+)"
)
_OURS = re.compile(r"(cooperative_groups|cg|cuda|nvcuda)(::.*)?|cuda[A-Z]\w*")
_UNDEFINED = re.compile(r"undefined (?:reference to|symbol:?) [`'‘]?([^'’\n(]*)")
_ASSEMBLER = re.compile(r"Assembler messages|constraint|[‘']asm[’']|unrecognized instruction|inline asm")


class Unsupported(BuildError):
    """A program that uses what the emulator does not support: a line for each, with its place."""

    def in_one_line(self) -> str:
        """The first of them."""
        return self.message.splitlines()[0]


@functools.cache
def known() -> dict[str, Any]:
    """What is refused, {headers: {beginning: advice}, names: {pattern: advice}, ptx: {beginning: advice}}: the first
    that fits counts."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def header_advice(name: str) -> str | None:
    """What to do without a header of NVIDIA's; None for another."""
    return next((advice for start, advice in known()["headers"].items() if name.startswith(start)), None)


def name_advice(name: str) -> str | None:
    """What to do without something of CUDA's, '' where nothing is known; None for a name that is not CUDA's, or that
    the emulator has."""
    if name in working():
        return None
    if name in refused():  # an intrinsic
        return refused()[name]
    return next((advice for names, advice in known()["names"].items() if re.fullmatch(names, name)), None)


def explained(error: BuildError, sources: Sources) -> BuildError:
    """The error again, as Unsupported where it is about what the emulator does not have."""
    found = list(dict.fromkeys(_found(error.log, sources)))
    return Unsupported("\n".join(found[:MOST])) if found else error


def _found(log: str, sources: Sources) -> Iterator[str]:
    if _ASSEMBLER.search(log):
        yield from _inline_ptx(sources)
    for declared in dict.fromkeys(_UNDEFINED.findall(log)):  # with its result, if it is a template's
        name = re.sub(r"<.*", "", declared).split()[-1].rpartition("::")[2]
        if advice := name_advice(name):
            yield _line(_place_of(name, sources), name, advice)
        else:
            yield f"{name} is declared, but none of the files defines it: those that do are to be named too"
    told = set()
    for error in _ERROR.finditer(log):
        place = f"{shown(Path(error['file']))}:{error['line']}"
        if missing := _MISSING.search(error["text"]):
            name = missing["name"] or missing["clangs"]
            advice = header_advice(name)
            if advice is None:
                yield f"{place}: there is no {name}; -I DIR names a folder to look for it"
            else:
                yield _line(place, f"<{name}>", advice)
            continue
        if syntax.IN_A_KERNEL in error["text"]:
            yield _line(place, "a launch in a kernel", "dynamic parallelism: launch it from the host")
            continue
        part, whole = _part(error["text"])
        if _OURS.fullmatch(whole) and name_advice(part) is None and _is_used(part, sources):
            yield _line(place, f"{whole}::{part}", "")
            continue
        for name in _NAME.findall(error["text"].partition("; did you mean")[0]):
            advice = name_advice(name)
            if advice is not None and name not in told and _is_used(name, sources):
                told.add(name)
                yield _line(place, name, advice)
                break


def _part(text: str) -> tuple[str, str]:
    """(a name, what has no part of this name), both '' where an error says no such thing."""
    found = _PART.search(text)
    if not found:
        return "", ""
    return next((found[f"part{n}"], found[f"whole{n}"]) for n in ("", "_2", "_3") if found[f"part{n}"])


def _line(place: str, name: str, advice: str) -> str:
    return f"{place}: {name} is not supported by the emulator" + (f": {advice}" if advice else "")


def _is_used(name: str, sources: Sources) -> bool:
    """Whether the program says it, and does not define it itself."""
    word = re.compile(rb"\b" + name.encode() + rb"\b")
    return any(word.search(text) for text in sources.contents.values())


def _place_of(name: str, sources: Sources) -> str:
    """Where the program says it first."""
    word = re.compile(rb"\b" + name.encode() + rb"\b")
    for file, text in sources.contents.items():
        if found := word.search(text):
            return f"{shown(file)}:{text.count(bytes([10]), 0, found.start()) + 1}"
    return str(shown(sources.paths[0]))


def _inline_ptx(sources: Sources) -> Iterator[str]:
    for file, text in sources.contents.items():
        if b"asm" not in text:
            continue
        for node in syntax.walk(syntax.parse(text)):
            if node.type == "gnu_asm_expression" and (words := _INSTRUCTION.search(node.text or b"")):
                instruction = words[1].decode()
                advice = next(advice for start, advice in known()["ptx"].items() if instruction.startswith(start))
                yield _line(f"{shown(file)}:{node.start_point[0] + 1}", f"{PTX} ({instruction})", advice)


def shown(file: Path) -> str:
    """A path as short as it can be told from here."""
    try:
        return str(file.relative_to(Path.cwd()))
    except ValueError:
        return str(file)
