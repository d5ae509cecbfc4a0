"""Reads the symbol table of an ELF file: just enough to find the variables of a built kernel file.

Shared memory is thread-local storage in the emulator, so a kernel's shared arrays are the TLS symbols of the file, and
its dynamic ones (`extern __shared__`) are those that the object file leaves undefined.
"""

import re
import struct
from typing import NamedTuple

SYMBOL_TABLE = 2  # sh_type
OBJECT, TLS = 1, 6  # the kinds of symbols that are variables


class Symbol(NamedTuple):
    name: str
    value: int  # its address, or its offset in thread-local storage
    size: int
    is_tls: bool
    defined: bool


def variables(path):
    """The variables, thread-local or not, in the symbol table of an object file or shared object."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{path} is no 64-bit little-endian ELF file")
    (offset,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, offset + i * size) for i in range(count)]
    found = []
    for _, kind, _, _, start, length, link, *_ in sections:
        if kind != SYMBOL_TABLE:
            continue
        names = sections[link][4]
        for name, info, _, section, value, extent in struct.iter_unpack("<IBBHQQ", data[start : start + length]):
            if info & 15 in (OBJECT, TLS):
                text = data[names + name : data.index(b"\0", names + name)].decode()
                found.append(Symbol(text, value, extent, info & 15 == TLS, section != 0))
    return found


def plain_name(symbol):
    """The name in the source of a C++ symbol: `tile` for _ZZ9transposePKfPfE4tile."""
    if not symbol.startswith("_Z"):
        return symbol
    # A mangled name ends in <length><name>, and for a variable of a function perhaps in _<number>. Before it stands the
    # E that ends the function's name, which tells it from a part of a name that only looks like it.
    found = []
    for match in re.finditer(r"(?=(\d+)([A-Za-z_]))", symbol):
        start, length = match.end(1), int(match[1])
        if start + length <= len(symbol) and re.fullmatch(r"E?(_\d+|__\d+_)?", symbol[start + length :]):
            found.append((symbol[match.start() - 1] != "E", match.start(), symbol[start : start + length]))
    return min(found)[2] if found else symbol
