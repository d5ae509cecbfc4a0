"""What compares the emulator with a GPU, where there is none: what it calls the same, and which tests it takes."""

import sys
from pathlib import Path

import emulator_beside_gpu
import gpu_kernels
import pytest
import stand_in_cupy

from tinycnn.devices.checks.cases import CASES
from tinycnn.devices.gpu.emulator import EmulatorDevice

FOLDER = Path(emulator_beside_gpu.FOLDER)


def test_lines_are_the_same_but_for_rounding():
    ours = "sum 3 1e-9 nan\nname cudaSuccess 2\nbandwidth 4800\nend\n"
    assert emulator_beside_gpu.differing(ours, "sum 3.00001 0 nan\nname cudaSuccess 2\nbandwidth 4916\nend\n") == []
    theirs = "sum 3.001 1e-9 nan\nname cudaErrorUnknown 2\nbandwidth 4916\n"
    assert emulator_beside_gpu.differing(ours, theirs) == [
        {"emulator": "sum 3 1e-9 nan", "gpu": "sum 3.001 1e-9 nan"},
        {"emulator": "name cudaSuccess 2", "gpu": "name cudaErrorUnknown 2"},
        {"emulator": "end", "gpu": ""},
    ]


def test_what_it_is_to_run_is_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy)
    monkeypatch.syspath_prepend(FOLDER)
    import on_gpu

    text = "".join((FOLDER / name).read_text() for name in emulator_beside_gpu.TESTS)
    assert not [name for name in on_gpu.OF_THE_EMULATOR if f"def {name}(" not in text]
    assert not [name for name in on_gpu.LAUNCHED if f"\ndef {name}(" not in text]
    for words, _ in emulator_beside_gpu.PROGRAMS.values():
        assert not [word for word in words if word.endswith(".cu") and not (FOLDER / "programs" / word).exists()]


@pytest.mark.parametrize("file", ["conv2d", "conv1x1", "dense"])
def test_the_kernels_for_any_shape_are_looked_at_whatever_path_is_usual(monkeypatch, file):
    device, launched = EmulatorDevice(), []
    monkeypatch.setattr(device, "launch", lambda file, *_, **__: launched.append(file))
    device.path = "fast"
    gpu_kernels.general(device, CASES[file])
    assert file in launched and not [name for name in launched if name.startswith("fast/")]
