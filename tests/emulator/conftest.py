"""The emulator's tests need what the emulator needs: Linux and a C++ compiler."""

from pathlib import Path

import pytest

from tinycnn import emulator
from tinycnn.emulator import build

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    try:
        build.find_compiler()
    except emulator.CompilerMissing as missing:
        for item in items:
            if HERE in Path(item.fspath).parents:
                item.add_marker(pytest.mark.skip(reason=str(missing)))


def line_of(file, text):
    """The number of the only line of a file that contains this text."""
    lines = [i for i, line in enumerate(Path(file).read_text().splitlines(), 1) if text in line]
    assert len(lines) == 1, f"{text!r} stands on lines {lines} of {file}"
    return lines[0]


@pytest.fixture
def find_line():
    return line_of
