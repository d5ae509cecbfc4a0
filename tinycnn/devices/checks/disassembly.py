"""A kernel's machine instructions, by NVIDIA's disassembler, and which part of its inner loop multiplies.

nvdisasm comes with a CUDA toolkit, and in the wheel `triton`. It needs no GPU.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

FMAS = ("FFMA", "DFMA")  # multiply and add, in float and in double
TOOLKIT = Path("/usr/local/cuda")
IN_TRITON = Path("backends", "nvidia", "bin")


class NvdisasmMissing(RuntimeError):
    """The disassembler cannot be had: says what brings it."""


class DisassemblyError(RuntimeError):
    """Code that nvdisasm refuses, or an answer that is not understood."""


def find_nvdisasm() -> Path:
    """nvdisasm on the PATH, of a CUDA toolkit, or of an installed triton. Raises NvdisasmMissing with the remedy."""
    if on_path := shutil.which("nvdisasm"):
        return Path(on_path)
    toolkits = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), TOOLKIT]
    folders = [Path(folder, "bin") for folder in toolkits if folder]
    triton = importlib.util.find_spec("triton")
    folders += [Path(place) / IN_TRITON for place in (triton and triton.submodule_search_locations) or ()]
    for folder in folders:
        if found := shutil.which("nvdisasm", path=str(folder)):
            return Path(found)
    raise NvdisasmMissing(
        "nvdisasm, NVIDIA's disassembler, is neither on the PATH nor in a CUDA toolkit nor in an installed triton: "
        "pip install triton"
    )


def release(nvdisasm: Path) -> str:
    """Its version, as '12.8'."""
    told = subprocess.run([nvdisasm, "--version"], capture_output=True, text=True, timeout=60).stdout
    found = re.search(r"release (\d+\.\d+)", told)
    return found[1] if found else "unknown"


# ---------------------------------------------------------------- a listing


class Instruction(NamedTuple):
    """One of a kernel's instructions."""

    address: int
    operation: str  # without its modifiers, as 'FFMA'
    conditional: bool  # whether a predicate may leave it out
    target: int | None  # where it jumps to, if it does

    @property
    def ends_a_path(self) -> bool:
        """Whether what follows it is not reached through it."""
        return not self.conditional and (self.target is not None or self.operation in ("EXIT", "RET", "BRX", "JMX"))


SECTION = re.compile(r"^\.text\.(\w+):$")
LABEL = re.compile(r"^(\.L_\w+):$")
LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][A-Z0-9_]*)(\S*)\s*([^;]*);")
JUMPS = ("BRA", "JMP")
TO = re.compile(r"`\((\.L_\w+)\)")


def disassemble(nvdisasm: Path, code: bytes) -> dict[str, list[Instruction]]:
    """{kernel's name in the code: its instructions} of an ELF file. Raises DisassemblyError."""
    with tempfile.TemporaryDirectory(prefix="tinycnn-") as folder:
        file = Path(folder, "kernel.cubin")
        file.write_bytes(code)
        done = subprocess.run([nvdisasm, "-c", file], capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise DisassemblyError(f"{nvdisasm}: status {done.returncode}\n{done.stderr}")
    return read(done.stdout)


def read(text: str) -> dict[str, list[Instruction]]:
    """The same from what nvdisasm prints. Raises DisassemblyError for a jump to a place that is not in it."""
    listings: dict[str, list[tuple[re.Match[str], str | None]]] = {}
    labels: dict[str, int] = {}
    waiting: list[str] = []  # labels whose instruction comes next
    lines: list[tuple[re.Match[str], str | None]] = []
    for line in text.splitlines():
        if match := SECTION.match(line):
            lines = listings.setdefault(match[1], [])
        elif match := LABEL.match(line):
            waiting.append(match[1])
        elif match := LINE.match(line):
            labels.update(dict.fromkeys(waiting, int(match[1], 16)))
            waiting.clear()
            to = TO.search(match[5]) if match[3] in JUMPS else None
            lines.append((match, to and to[1]))
    try:
        return {
            name: [instruction(match, None if to is None else labels[to]) for match, to in found]
            for name, found in listings.items()
        }
    except KeyError as error:
        raise DisassemblyError(f"nvdisasm names no place {error}") from None


def instruction(line: re.Match[str], target: int | None) -> Instruction:
    """That of a line. A jump may be conditional by an operand too, as `BRA P0, `(.L_x_1)`."""
    asked = line[2] or (target is not None and line[5].split("`")[0].strip())
    return Instruction(int(line[1], 16), line[3], bool(asked), target)


# ---------------------------------------------------------------- loops


class Loop(NamedTuple):
    """A loop's instructions, once through, with those of all ways that there are through it."""

    instructions: tuple[Instruction, ...]

    def count(self, *operations: str) -> int:
        """How many of them are of these operations."""
        return sum(one.operation in operations for one in self.instructions)

    @property
    def fmas(self) -> int:
        """How many multiply and add."""
        return self.count(*FMAS)

    @property
    def share(self) -> float:
        """The part of the instructions that multiply and add."""
        return self.fmas / len(self.instructions)


class Flow:
    """Which instruction may follow which: `blocks` of them without a jump but at the end, and who comes after whom."""

    def __init__(self, listing: Sequence[Instruction]):
        starts = {listing[0].address, *(one.target for one in listing if one.target is not None)}
        self.blocks: list[list[Instruction]] = []
        fresh = True
        for one in listing:
            if fresh or one.address in starts:
                self.blocks.append([])
            self.blocks[-1].append(one)
            fresh = one.target is not None or one.ends_a_path
        at = {block[0].address: number for number, block in enumerate(self.blocks)}
        self.after: list[list[int]] = []
        for number, block in enumerate(self.blocks):
            last = block[-1]
            following = [] if last.target is None else [at[last.target]]
            if not last.ends_a_path and number + 1 < len(self.blocks):
                following.append(number + 1)
            self.after.append(following)

    @cached_property
    def before(self) -> list[list[int]]:
        """For each block those that it may follow."""
        found: list[list[int]] = [[] for _ in self.blocks]
        for number, following in enumerate(self.after):
            for other in following:
                found[other].append(number)
        return found

    @cached_property
    def dominators(self) -> list[set[int]]:
        """For each block those that every way to it leads through, itself included; none for what nothing leads to."""
        reached, open_ends = {0}, [0]
        while open_ends:
            for number in self.after[open_ends.pop()]:
                if number not in reached:
                    reached.add(number)
                    open_ends.append(number)
        found = [set(reached) if number in reached else set() for number in range(len(self.blocks))]
        found[0], changed = {0}, True
        while changed:
            changed = False
            for number in sorted(reached - {0}):
                ways = [found[other] for other in self.before[number] if other in reached]
                now = set.intersection(*ways) | {number}
                changed |= now != found[number]
                found[number] = now
        return found

    def loops(self) -> dict[int, set[int]]:
        """{block at its head: all blocks of it}: a jump back to a block that every way to the jump leads through."""
        found: dict[int, set[int]] = {}
        for number, following in enumerate(self.after):
            for head in set(following) & self.dominators[number]:
                body, open_ends = found.setdefault(head, {head}), [number]
                while open_ends:
                    if (other := open_ends.pop()) not in body:
                        body.add(other)
                        open_ends += [way for way in self.before[other] if self.dominators[way]]
        return found


def inner_loop(listing: Sequence[Instruction]) -> Loop | None:
    """Of the loops without another one in them, the one with the most multiply-adds; None where none has any."""
    flow = Flow(listing)
    found = flow.loops()
    innermost = [body for head, body in found.items() if not any(other in body for other in found if other != head)]
    loops = [Loop(tuple(one for number in sorted(body) for one in flow.blocks[number])) for body in innermost]
    best = max(loops, key=lambda loop: loop.fmas, default=None)
    return best if best and best.fmas else None
