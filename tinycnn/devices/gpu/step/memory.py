"""Who lies where in a block's shared memory, by lifetimes: what is never needed at the same time shares its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tinycnn.devices.gpu.grid import round_up

WORD = 4  # bytes
UNIT = 4  # words: every place begins at a multiple of 16 bytes
BANKS = 32


@dataclass(eq=False)
class Place:
    """An array in shared memory: `size` words, of which the first `lead` are zeros that belong to its edge.

    born, dies: the first and the last stage that touches it. at: where its numbers begin.
    """

    name: str
    size: int
    lead: int = 0
    shape: tuple[int, int, int] | None = None  # (C, H, W) of planes
    pitch: int = 0
    plane: int = 0
    what: str = ""
    born: int = 0
    dies: int = 0
    begin: int = field(default=-1)

    @property
    def at(self) -> int:
        """Where the numbers begin, behind the lead."""
        return self.begin + self.lead

    @property
    def end(self) -> int:
        return self.begin + self.size

    def shares(self, other: Place) -> bool:
        """Whether a word of this one is a word of that one."""
        return self.begin < other.end and other.begin < self.end

    def meets(self, other: Place) -> bool:
        """Whether both are needed at some time."""
        return self.born <= other.dies and other.born <= self.dies

    @property
    def gap(self) -> int:
        """Zeros behind each row."""
        return self.lead


def planes(name: str, shape: tuple[int, int, int], gap: int, what: str, padded: bool = True) -> Place:
    """An image of `shape` (H, W, C), with so many zeros at the edges of its rows at least.

    A row's pitch is odd; a plane is padded, where there is room for it, so that the first eight rows of four planes lie
    in as many banks as can be, which is how the gradient of a filter reads them.
    """
    H, W, C = shape
    if H * W == 1 and not gap:
        return Place(name, C, 0, (C, 1, 1), 1, 1, what)
    pitch = (W + gap) | 1
    sizes = range(H * pitch, H * pitch + (BANKS if padded else 1))
    plane = min(sizes, key=lambda size: (-banks(pitch, size), size))
    return Place(
        name, pitch - W + C * plane if gap else C * plane, pitch - W if gap else 0, (C, H, W), pitch, plane, what
    )


def banks(pitch: int, plane: int) -> int:
    """How many banks the first numbers of eight rows of four planes lie in."""
    return len({(c * plane + h * pitch) % BANKS for c in range(4) for h in range(8)})


def lay_out(places: Sequence[Place]) -> int:
    """Give every place its `begin`, the largest first, each as low as those that it meets let it; the words in use."""
    done: list[Place] = []
    for place in sorted(places, key=lambda one: (-one.size, one.born, one.name)):
        begin = 0
        for other in sorted((o for o in done if o.meets(place)), key=lambda one: one.begin):
            if begin + place.size <= other.begin:
                break
            begin = max(begin, round_up(other.end, UNIT))
        place.begin = begin
        done.append(place)
    return max((place.end for place in places), default=0)


def needed_at_once(places: Sequence[Place]) -> int:
    """The words of the stage that needs most: no way to lay them out takes less."""
    return max(sum(p.size for p in places if p.born <= stage <= p.dies) for stage in {p.born for p in places})
