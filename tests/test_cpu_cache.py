"""Compiled kernels on disk: kept, checked, compiled again; and processes and threads that want them at once."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tinycnn.devices.cpu import cache, compiler, tiles
from tinycnn.devices.cpu.cook_toom import to_points

COMPILING = "tinycnn: compiling CPU kernels for this network (cached afterwards)\n"
# One kernel and the two functions of the team of threads, in a process of its own.
PROGRAM = """
import numpy as np
from tinycnn.devices.cpu import CpuDevice
print(repr(float(CpuDevice().relu_forward(np.linspace(-1, 1, 9000, dtype="f")).sum(dtype="d"))))
"""


def compute(folder, limits=None, **variables):
    """(what PROGRAM printed, what it said) with its cache in `folder`."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder), "NUMBA_NUM_THREADS": "2", **variables}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, preexec_fn=limits, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stdout, result.stderr


def kept(folder):
    """The files of compiled code."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder with the compiled code of PROGRAM, and what PROGRAM printed."""
    folder = tmp_path_factory.mktemp("compiled")
    printed, said = compute(folder)
    assert said == COMPILING and len(kept(folder)) == 3
    return folder, printed


@pytest.fixture
def copy(filled, tmp_path):
    """A copy of it, which a test may spoil."""
    folder, printed = filled
    for path in kept(folder):
        to = tmp_path / path.relative_to(folder)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())
    return tmp_path, printed


def test_what_was_compiled_is_compiled_once(filled):
    folder, printed = filled
    before = {path: path.stat().st_mtime_ns for path in kept(folder)}
    assert compute(folder) == (printed, "")
    assert {path: path.stat().st_mtime_ns for path in kept(folder)} == before


def flipped(content):
    return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]


@pytest.mark.parametrize(
    "damage",
    [lambda content: b"", lambda content: content[:20], lambda content: content[: len(content) // 2], flipped],
    ids=["empty", "cut within the digest", "cut", "one bit flipped"],
)
def test_a_damaged_file_is_noticed_and_removed(monkeypatch, tmp_path, capsys, damage):
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(cache, "_said", set())
    cache.write("a", bytes(range(256)))
    assert cache.read("a") == bytes(range(256))
    (tmp_path / "a").write_bytes(damage((tmp_path / "a").read_bytes()))
    assert cache.read("a") is None and not (tmp_path / "a").exists()
    assert f"compiled kernels in {tmp_path} were damaged" in capsys.readouterr().err


def test_damaged_files_are_compiled_again_which_is_said_once(copy):
    folder, printed = copy
    whole = kept(folder)
    for path, damage in zip(whole, (flipped, flipped, lambda content: b""), strict=True):
        path.write_bytes(damage(path.read_bytes()))
    got, said = compute(folder)
    assert got == printed
    assert said == f"tinycnn: compiled kernels in {whole[0].parent} were damaged and are compiled again\n" + COMPILING
    assert kept(folder) == whole
    assert compute(folder) == (printed, "")


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
def test_a_full_disk_costs_the_cache_and_not_the_result(filled, tmp_path):
    import resource

    got, said = compute(tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
    assert got == filled[1]
    place = cache.folder().name
    assert said.startswith(COMPILING) and said.count("tinycnn: ") == 2
    assert f"cannot be kept in {tmp_path / 'tinycnn' / 'cpu' / place} (File too large)" in said
    assert "NUMBA_CACHE_DIR" in said and not kept(tmp_path)


def test_a_folder_that_cannot_be_made_costs_the_cache_and_not_the_result(filled, tmp_path):
    (tmp_path / "file").write_text("in the way")
    got, said = compute(tmp_path / "file")
    assert got == filled[1]
    assert f"cannot be kept in {tmp_path / 'file'}" in said and said.count("tinycnn: ") == 2


def test_processes_that_compile_at_once_disturb_nobody(filled, tmp_path):
    results = []
    workers = [threading.Thread(target=lambda: results.append(compute(tmp_path))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [printed for printed, _ in results] == [filled[1]] * 2
    assert compute(tmp_path) == (filled[1], "")
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_a_killed_process_left_is_removed_after_an_hour(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    old, new = tmp_path / "a.old.tmp", tmp_path / "a.new.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 4000,) * 2)
    cache.write("a", b"whole")
    assert not old.exists() and new.exists() and cache.read("a") == b"whole"


def test_the_cache_is_described_by_its_folder_and_size(filled, monkeypatch):
    folder, _ = filled
    monkeypatch.setattr(cache, "base_folder", lambda: folder)
    path, files, size = cache.describe()
    assert (path, files) == (folder, len(kept(folder)))
    assert size == sum(file.stat().st_size for file in kept(folder)) > 0
    monkeypatch.setattr(cache, "base_folder", lambda: Path(folder, "missing"))
    assert cache.describe() == (folder / "missing", 0, 0)


def test_threads_that_compile_at_once_get_the_same_function(monkeypatch, tmp_path):
    """Into an empty cache, and with nothing compiled yet in this process."""
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    monkeypatch.setattr(compiler, "_addresses", {})
    compiled, once = [], compiler._compile
    monkeypatch.setattr(compiler, "_compile", lambda *given: compiled.append(given) or once(*given))
    tiles._address.cache_clear()
    to_points.cache_clear()
    found, start = [], threading.Barrier(4)

    def ask():
        start.wait()
        tile = tiles.choose(1, 7, 8, 0, 8)
        found.append((tiles.forward_tiles(tile, 8), to_points("B", 5)))

    workers = [threading.Thread(target=ask) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(set(found)) == 1 and len(found) == 4
    assert len(compiled) == len(kept(tmp_path)) == 2


def test_without_numba_s_compiler_the_device_names_others():
    program = """
import tinycnn
try:
    tinycnn.set_device("cpu")
except tinycnn.devices.DeviceError as error:
    print(error)
print(tinycnn.set_device("reference").name)
"""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "TINYCNN_DEVICE": "reference"}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    said, works = result.stdout.splitlines()
    assert works == "reference" and not result.stderr
    for word in ("NUMBA_DISABLE_JIT=1", "compiler", "reference", "emulator"):
        assert word in said
