"""docs/reading-path.md names the functions that are on the stack, from fit to a launch and back."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tinycnn.devices import DeviceError

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reading-path.md").read_text(encoding="utf-8")


def told(heading):
    """[(file, function)] of the table below a heading that starts like this."""
    section = re.search(rf"^## {heading}.*?(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)[0]
    rows = re.findall(r"^\| (\d+) \| `(.+?)` \| `(.+?)` \|", section, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, len(rows) + 1))
    return [(file, function) for _, file, function in rows]


def stack():
    """[(file, function)] of tinycnn's functions that are being run, the outermost first."""
    frames, frame = [], sys._getframe(2)
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if ROOT / "tinycnn" in file.parents:
            name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)  # Python 3.10 has no qualified names
            frames.append((file.relative_to(ROOT).as_posix(), name.replace("<locals>.", "")))
        frame = frame.f_back
    return frames[::-1]


@pytest.fixture
def emulator():
    try:
        return tinycnn.get_device("emulator")
    except DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture
def stacks(emulator, monkeypatch):
    return stacks_of_a_step(emulator, monkeypatch)


def stacks_of_a_step(device, monkeypatch):
    """{kernel: its longest stack in a training step of the page's network}; nothing is computed."""
    found = {}

    def launch(file, kernel, *_):
        kernel, frames = kernel.split("<")[0], stack()
        if len(frames) > len(found.get(kernel, ())):
            found[kernel] = frames

    monkeypatch.setattr(device.driver, "launch", launch)
    names = {}
    with tinycnn.use_device("emulator"):
        exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], names)
        x, y = np.zeros((4, 8, 8, 1), np.float32), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
        names["model"].fit(x, y, batch_size=4, epochs=1, verbose=0)
    return found


def same(frames, rows):
    """Whether the page names these frames: in full, or by their last names where Python knows no others."""
    if not hasattr(same.__code__, "co_qualname"):
        rows = [(file, function.split(".")[-1]) for file, function in rows]
    return frames == rows


def test_the_way_forward_is_the_one_that_is_told(stacks):
    frames = stacks["conv2d_forward"]
    assert same(frames, told("Forward")), frames
    assert len(frames) <= 12


def test_the_way_back_is_the_one_that_is_told(stacks):
    frames = stacks["conv2d_backward_filter"]
    backward = [function.split(".")[-1] for _, function in frames].index("backward")
    assert same(frames[backward:], told("Backward")), frames
    assert len(frames[backward:]) <= 8
    assert same(frames[:backward], told("Forward")[:backward])


def test_the_fast_ways_are_the_ones_that_are_told(emulator, monkeypatch):
    with emulator.taking("fast"):
        stacks = stacks_of_a_step(emulator, monkeypatch)
    for kernel, heading in [("conv_small_forward", "Fast, forward"), ("conv_small_backward_filter", "Fast, backward")]:
        rows = told(heading)
        assert same(stacks[kernel][-len(rows) :], rows), stacks[kernel]
    beginning = told("Forward")[:9]
    assert same(stacks["conv_small_forward"][:9], beginning) and told("Fast, forward")[0] == beginning[-1]


def test_no_other_way_is_longer(stacks):
    assert {"conv2d_backward_data", "dense_backward_filter", "adam"} <= set(stacks)
    for frames in stacks.values():
        names = [function.split(".")[-1] for _, function in frames]
        assert len(names) <= 12, frames
        assert "backward" not in names or len(names[names.index("backward") :]) <= 8, frames
