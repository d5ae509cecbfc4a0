"""What `make test` takes of many tests that are alike."""

import re
from pathlib import Path

import pytest
from sampled import EVERY, not_taken

FILES = {path.name: path.read_text(encoding="utf-8") for path in Path(__file__).parent.rglob("test_*.py")}


@pytest.mark.parametrize("family", EVERY)
def test_a_family_is_there(family):
    file, name = family.split("::")
    assert re.search(rf"^def {name}\(", FILES[file], re.MULTILINE)


def test_every_nth_is_taken_from_the_first_on():
    family = next(iter(EVERY))

    class Item:
        def __init__(self, place, slow=False):
            self.place, self.slow = place, slow
            self.path, self.originalname = Path(family.split("::")[0]), family.split("::")[1]

        def get_closest_marker(self, name):
            return self.slow

    items = [Item(0), Item(1), Item("slow", slow=True), Item(2), Item(3), Item(4)]
    left = {item.place for item in not_taken(items)}
    assert left == {place for place in range(5) if place % EVERY[family]}
