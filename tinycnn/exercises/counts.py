"""What the goals of exercises count, in a trace (tinycnn/emulator/tracing.py)."""

from __future__ import annotations

from tinycnn.emulator import Trace
from tinycnn.emulator.tracing import Line


def lines(trace: Trace, space: str = "", array: str = "", op: str = "") -> list[Line]:
    """The trace's lines, of one memory, one array and one kind of access where these are given."""
    return [
        line for line in trace.lines
        if space in ("", line.space) and array in ("", line.array) and op in ("", line.op)
    ]  # fmt: skip


def sectors_per_request(trace: Trace, array: str) -> float:
    """Over all requests for an array in global memory."""
    found = lines(trace, "global", array)
    return sum(line.sectors for line in found) / max(1, sum(line.requests for line in found))


def numbers(trace: Trace, space: str, array: str = "", op: str = "") -> int:
    """How many numbers of 4 bytes threads asked for, those of all lanes counted."""
    return sum(line.lanes * line.bytes_per_lane for line in lines(trace, space, array, op)) // 4


def atomics(trace: Trace) -> int:
    """How many there are, in global and in shared memory."""
    return sum(line.lanes for line in lines(trace, op="atomic"))


def bank_conflict_ways(trace: Trace) -> float:
    """Of the line of shared memory that has the most."""
    return max((line.bank_conflict_ways or 1.0 for line in lines(trace, "shared")), default=1.0)
