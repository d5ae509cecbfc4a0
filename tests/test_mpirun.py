"""`mpirun -n N tinycnn train` with real processes: what one process gives, who prints, and a rank that is killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinycnn.fit import checkpoint

pytest.importorskip("mpi4py", reason="mpi4py, of the extra mpi, is not installed")
BIN = Path(sys.executable).parent
NETWORK = "CN(4,5,strides=3)->BN()->DP(0.1)->MP(2,2)->FL()->DN(10)"
WORDS = [*f"train {NETWORK} --device reference --data synthetic --limit 130 --batch-size 32 --optimizer sgd".split()]
WORDS += ["--batchnorm", "whole"]


def mpirun(size, *words, program=("-m", "tinycnn")):
    """What `mpirun -n size python -m tinycnn ...` came to."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [BIN / "mpirun", "-n", str(size), sys.executable, *program, *WORDS, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


def alone(*words):
    done = subprocess.run(
        [sys.executable, "-m", "tinycnn", *WORDS, *map(str, words)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


def figures(path):
    """[[epoch, loss, acc, val_loss, val_acc] of each line of a log]"""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [[row[name] for name in ("epoch", "loss", "acc", "val_loss", "val_acc")] for row in rows]


def test_two_processes_train_as_one_and_the_first_prints(tmp_path):
    alone("--epochs", 2, "--log", tmp_path / "alone")
    done = mpirun(2, "--epochs", 2, "--log", tmp_path / "log", "--save", tmp_path / "run.safetensors")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert [line[:9] for line in done.stdout.splitlines() if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"]
    assert "2 ranks" in done.stdout and "statistics over the whole batch" in done.stdout
    for got, want in zip(figures(tmp_path / "log"), figures(tmp_path / "alone"), strict=True):
        assert got == pytest.approx(want, rel=1e-5)
    assert json.loads((tmp_path / "log").read_text().splitlines()[0])["ranks"] == 2
    assert checkpoint.read(tmp_path / "run.safetensors")[0]["ranks"] == 2


@pytest.mark.slow
def test_a_killed_rank_ends_all_in_one_line_more_and_another_number_of_ranks_goes_on(tmp_path):
    save = tmp_path / "run.safetensors"
    alone("--epochs", 4, "--log", tmp_path / "alone")
    killer = (str(Path(__file__).parent / "killed_rank.py"), "3")
    done = mpirun(2, "--epochs", 4, "--save", save, "--log", tmp_path / "log", program=killer)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line.startswith("tinycnn:")]
    assert len(said) == 1 and f"{save} holds epoch 2, and --resume goes on from it" in said[0], done.stderr
    done = mpirun(3, "--epochs", 4, "--save", save, "--resume", "--log", tmp_path / "rest")
    assert done.returncode == 0, done.stderr
    wanted = figures(tmp_path / "alone")
    assert figures(tmp_path / "log") == [pytest.approx(row, rel=1e-5) for row in wanted[:2]]
    assert figures(tmp_path / "rest") == [pytest.approx(row, rel=1e-5) for row in wanted]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch-size", "1"], "2 ranks cannot share a batch of 1"),
        (["--save", "/nowhere/run.safetensors"], "there is no folder /nowhere"),
        (["--device", "numba"], "the numba device trains in one process"),
    ],
)
def test_what_no_rank_can_do_is_said_once(words, said):
    done = mpirun(2, *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and said in done.stderr, done.stderr
