"""Where compiled kernels are kept: the user's cache folder, and what becomes of a user who has no home."""

from pathlib import Path

import pytest

from tinycnn.devices.cpu import cache as cpu
from tinycnn.devices.gpu.fast import cubins
from tinycnn.devices.gpu.step import run
from tinycnn.emulator import cache as emulator

FOLDERS = {
    cpu.base_folder: "cpu",
    cubins.chosen_folder: "cuda",
    run.chosen_folder: "step",
    emulator.chosen_folder: "emulator",
}


@pytest.fixture(autouse=True)
def no_wishes(monkeypatch):
    for name in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR", "TINYCNN_CUDA_CACHE", "TINYCNN_EMULATOR_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cpu.settings, "CACHE_DIR", "")


@pytest.mark.parametrize("chosen", FOLDERS)
def test_compiled_kernels_are_in_the_user_s_cache_folder(monkeypatch, tmp_path, chosen):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert chosen() == tmp_path / "tinycnn" / FOLDERS[chosen]


@pytest.mark.parametrize("chosen", FOLDERS)
def test_for_a_user_without_a_home_there_is_a_path_that_cannot_be_written(monkeypatch, chosen):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(OSError):
        chosen().mkdir(parents=True)
    assert not Path("~").exists()
