"""The source files of a whole program, and what of them is compiled in their place.

A file with launches, or with kernels that limit theirs, is rewritten (syntax.py), and so is one that includes such a
file: the compiler sees copies, whose includes lead to copies, and which say of every line where it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tinycnn.emulator import syntax

INCLUDE = re.compile(rb'^([ \t]*#[ \t]*include[ \t]*)(["<])([^">\n]+)[">]', re.MULTILINE)
_NEEDS_PARSING = re.compile(rb"<<<|__global__")
_MAIN = re.compile(rb"\bmain\s*\(")
_LAUNCHES = re.compile(rb"<<[ \t]*<")


class Sources(NamedTuple):
    """Files of one's own: those that are compiled, and all that they include, with their contents."""

    paths: tuple[Path, ...]
    folders: tuple[Path, ...]  # of -I
    contents: dict[Path, bytes]

    @property
    def places(self) -> tuple[Path, ...]:
        """Where the compiler looks for what is not beside the file that includes it."""
        return (*self.folders, *(path.parent for path in self.paths))

    def included(self, file: Path) -> Iterator[tuple[re.Match[bytes], Path]]:
        """The lines of a file that include another one of these, and which."""
        for match in INCLUDE.finditer(self.contents[file]):
            if (other := find(match, file, self.places)) in self.contents:
                yield match, other

    @property
    def has_main(self) -> bool:
        """Whether one of them defines main."""
        return any(_defines_main(text) for text in self.contents.values())


def _defines_main(text: bytes) -> bool:
    if not _MAIN.search(text):
        return False
    # What the parser cannot make sense of, the compiler is to tell.
    return "main" in syntax.definitions(text).functions or syntax.parse(text).has_error


def find(include: re.Match[bytes], file: Path, elsewhere: Sequence[Path]) -> Path:
    """The file that is included, among one's own; an empty Path if it is none of them."""
    name = include[3].decode(errors="replace")
    places = ([file.parent] if include[2] == b'"' else []) + list(elsewhere)
    return next((path.resolve() for folder in places if (path := folder / name).is_file()), Path())


def read(paths: Sequence[Path], folders: Sequence[Path] = ()) -> Sources:
    """Read these files and what they include. Raises OSError for what is not there."""
    sources = Sources(tuple(path.resolve() for path in paths), tuple(folder.resolve() for folder in folders), {})
    waiting = list(sources.paths)
    while waiting:
        file = waiting.pop()
        if file in sources.contents:
            continue
        sources.contents[file] = file.read_bytes()
        found = (find(match, file, sources.places) for match in INCLUDE.finditer(sources.contents[file]))
        waiting += [other for other in found if other != Path()]
    return sources


def rewritten(sources: Sources, folder: Path) -> dict[Path, Path]:
    """{file: what to compile in its place}: copies, written to a folder, of those that cannot stay as they are."""
    parsed = [syntax.definitions(text) for text in sources.contents.values() if _NEEDS_PARSING.search(text)]
    kernels = frozenset[str]().union(*(found.kernels for found in parsed))
    deduced = frozenset[str]().union(*(found.deduced for found in parsed))
    # The same kernel, defined for two types in two files, is as overloaded as in one.
    texts = {
        file: syntax.rewrite(text, kernels, deduced)
        for file, text in sources.contents.items()
        if _LAUNCHES.search(text) or any(name.encode() in text for name in kernels)
    }
    changed = {file for file, text in texts.items() if text != sources.contents[file]}
    while True:  # until nothing that is included by a copy's includer is left
        more = {f for f in sources.contents if any(other in changed for _, other in sources.included(f))} - changed
        if not more:
            break
        changed |= more
    copies = {file: folder / f"{number}-{file.name}" for number, file in enumerate(sorted(changed))}
    for file, copy in copies.items():
        text = texts.get(file, sources.contents[file])
        for match, other in sources.included(file):
            text = text.replace(match[0], match[1] + f'"{copies.get(other, other)}"'.encode(), 1)
        copy.write_bytes(f'#line 1 "{file}"\n'.encode() + text)
    return copies
