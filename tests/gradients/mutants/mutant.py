"""What a mutant is."""

from typing import NamedTuple

GRADCHECK, CHECK, TEST = "gradcheck", "check", "test"
FUNCTIONAL = "tinycnn/functional"
CPU = "tinycnn/devices/cpu"


class Mutant(NamedTuple):
    """file: from the repository's root; device, operation: where the fault has to show; why: what is broken.

    tool: who has to notice. GRADCHECK is `tinycnn gradcheck operation --device device`. CHECK is `tinycnn check
    operation`, for faults that may well give the right numbers: a missing barrier, an access behind an array's end.
    TEST is a test of our own, operation its name: at equal maxima there is no gradient that differences could find.
    """

    name: str
    file: str
    old: str
    new: str
    device: str
    operation: str
    why: str
    tool: str = GRADCHECK
