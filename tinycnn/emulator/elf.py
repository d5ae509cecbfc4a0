"""The variables and functions of a built kernel file, from its symbol table, which pyelftools reads.

Shared memory is thread-local storage in the emulator, so a kernel's shared arrays are the TLS symbols of the file, and
its dynamic ones (`extern __shared__`) are those that the object file leaves undefined.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

KINDS = ("STT_OBJECT", "STT_TLS", "STT_FUNC")  # of symbols


class Symbol(NamedTuple):
    """A variable or a function of an object file or shared object."""

    name: str
    value: int  # its address, or its offset in thread-local storage
    size: int
    is_tls: bool
    is_function: bool
    defined: bool
    writable: bool  # it may change, after the file is loaded


def symbols(path: str | Path) -> list[Symbol]:
    """The variables, thread-local or not, and the functions in the symbol table of an object file or shared object.

    Raises elftools.common.exceptions.ELFError for what is no such file.
    """
    found = []
    with open(path, "rb") as file:
        elf = ELFFile(file)
        sections = [section.name for section in elf.iter_sections()]
        for table in elf.iter_sections("SHT_SYMTAB"):
            assert isinstance(table, SymbolTableSection)
            for symbol in table.iter_symbols():
                kind = symbol["st_info"]["type"]
                if kind in KINDS:
                    place = symbol["st_shndx"]  # a word where it is in no section
                    writable = isinstance(place, int) and sections[place] in (".data", ".bss")
                    own = kind == "STT_TLS", kind == "STT_FUNC", place != "SHN_UNDEF", writable
                    found.append(Symbol(symbol.name, symbol["st_value"], symbol["st_size"], *own))
    return found


def variables(path: str | Path) -> list[Symbol]:
    """Those of them that are variables. Raises as `symbols` does."""
    return [symbol for symbol in symbols(path) if not symbol.is_function]


def owner(symbol: str) -> str:
    """The symbol of the function that a variable is local to: _Z9transposePKfPf for _ZZ9transposePKfPfE4tile."""
    name = plain_name(symbol)
    local, _, _ = symbol.rpartition(f"E{len(name)}{name}")
    function = local.removeprefix("_ZZ")
    if function == local:
        return ""
    c = re.fullmatch(r"(\d+)(\w+)", function)  # of extern "C", where the name alone stands
    return c[2] if c and int(c[1]) == len(c[2]) else f"_Z{function}"


def function_name(symbol: str) -> str:
    """The name in the source of a function's symbol: `transpose` for _Z9transposePKfPf."""
    name, rest = symbol, re.sub(r"^_ZN?L?", "", symbol)
    while symbol.startswith("_Z") and (length := re.match(r"(\d+)", rest)):
        name, rest = rest[length.end() :][: int(length[1])], rest[length.end() + int(length[1]) :]
    return name


def plain_name(symbol: str) -> str:
    """The name in the source of a C++ symbol: `tile` for _ZZ9transposePKfPfE4tile."""
    if not symbol.startswith("_Z"):
        return symbol
    # A mangled name ends in <length><name>, of a template in I...E, and for a variable of a function perhaps in
    # _<number>. Before it stands the E that ends the function's name, which tells it from a part of a name that only
    # looks like it.
    found = []
    for match in re.finditer(r"(?=(\d+)([A-Za-z_]))", symbol):
        start, length = match.end(1), int(match[1])
        if start + length <= len(symbol) and re.fullmatch(r"(I\w+E)?E?(_\d+|__\d+_)?", symbol[start + length :]):
            found.append((symbol[match.start() - 1] != "E", match.start(), symbol[start : start + length]))
    return min(found)[2] if found else symbol
