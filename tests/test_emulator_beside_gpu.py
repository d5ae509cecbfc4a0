"""What compares the emulator with a GPU, where there is none: what it calls the same, and which tests it takes."""

import os
import subprocess
import sys
from pathlib import Path

import emulator_beside_gpu
import gpu_kernels
import pytest

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


@pytest.mark.parametrize(("ends", "differ"), [((3, "one 1\n"), False), ((3, "two 1\n"), True), ((0, "one 1\n"), True)])
def test_programs_print_and_end_alike(monkeypatch, ends, differ):
    """Where neither prints anything, they still end in the same way or not."""
    compiled = []

    def command(words, seconds, folder):
        if words[0] == "nvcc":
            compiled.append([word for word in words if word.endswith(".cu")])
            return 0, ""
        return (3, "one 1\ntinycnn: a remark\n") if "tinycnn" in words else ends

    monkeypatch.setattr(emulator_beside_gpu, "command", command)
    monkeypatch.setattr(emulator_beside_gpu.shutil, "which", lambda name: name)
    found = emulator_beside_gpu.programs("h200")
    assert found["passed"] is not differ
    assert {bool(row["differing"]) for row in found["programs"]} == {differ}
    assert all((FOLDER / "programs" / file).exists() for files in compiled for file in files) and compiled


def test_of_the_emulators_tests_those_of_cuda_are_taken(tmp_path):
    (tmp_path / "cupy.py").write_text("")  # nothing is asked of it before a test runs
    path = os.pathsep.join([str(tmp_path), str(FOLDER)])
    words = [sys.executable, "-m", "pytest", "-p", "on_gpu", "--collect-only", *emulator_beside_gpu.TESTS]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stdout + done.stderr
    taken = {line.split("::")[1].split("[")[0] for line in done.stdout.splitlines() if "::" in line}
    assert {"test_votes", "test_to_the_last_bit", "test_blocks_that_wait_for_one_another"} <= taken
    for name in ("test_what_would_hang_or_be_undefined_on_a_gpu_is_an_error", "test_nothing_is_both"):
        assert name not in taken and name in "".join((FOLDER / file).read_text() for file in emulator_beside_gpu.TESTS)


@pytest.mark.parametrize("file", ["conv2d", "conv1x1", "dense"])
def test_the_kernels_for_any_shape_are_looked_at_whatever_path_is_usual(monkeypatch, file):
    device, launched = EmulatorDevice(), []
    monkeypatch.setattr(device, "launch", lambda file, *_, **__: launched.append(file))
    device.path = "fast"
    gpu_kernels.general(device, CASES[file])
    assert file in launched and not [name for name in launched if name.startswith("fast/")]
