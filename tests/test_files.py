"""Files that training writes: what stands in the way is said before training, links are followed, JSON stays JSON."""

import json
import math
import os
import subprocess
import sys

import pytest
from small_trainings import compiled, fit, linear, toy

from tinycnn import callbacks, optimizers
from tinycnn.fit import files
from tinycnn.models import load_model

posix = pytest.mark.skipif(os.name != "posix", reason="links, FIFOs and devices as POSIX has them")


@posix
def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "a.bin", tmp_path / "link.bin"
    target.write_bytes(b"old")
    link.symlink_to(target)
    files.write_atomically(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


@posix
def test_a_link_to_nothing_makes_its_target(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "later")
    files.write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "later").read_bytes() == b"new"


@posix
@pytest.mark.parametrize("kind", ["a FIFO", "a device", "a link to a FIFO"])
def test_what_is_no_regular_file_is_refused_and_stays_what_it_is(tmp_path, kind):
    path = tmp_path / "it"
    if kind == "a device":
        path.symlink_to(os.devnull)
    else:
        os.mkfifo(tmp_path / "fifo")
        path = tmp_path / "fifo" if kind == "a FIFO" else path
        if kind == "a link to a FIFO":
            path.symlink_to(tmp_path / "fifo")
    mode = os.stat(path).st_mode
    with pytest.raises(OSError, match="no regular file"):
        files.write_atomically(path, b"x")
    assert os.stat(path).st_mode == mode


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 300, "no/such/folder/file", "."], ids=repr)
def test_names_that_cannot_be_written_are_refused_before_training(float64, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    x, y = toy()
    for callback in (callbacks.JSONLogger(name), callbacks.CSVLogger(name)):
        model = linear()
        with pytest.raises((OSError, ValueError)):
            fit(model, x, y, callbacks=[callback])
        assert model.epochs_trained == 0
    if name != "no/such/folder/file":  # a checkpoint's folder is made
        with pytest.raises((OSError, ValueError)):
            fit(linear(), x, y, callbacks=[callbacks.ModelCheckpoint(name)])
    assert not any(tmp_path.iterdir())


def test_a_checkpoint_s_folder_is_made(float64, tmp_path):
    x, y = toy()
    keep = callbacks.ModelCheckpoint(tmp_path / "a" / "b" / "e{epoch}.safetensors")
    fit(linear(), x, y, epochs=2, callbacks=[keep])
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == ["e1.safetensors", "e2.safetensors"]


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path):
    code = (
        "import os, signal, sys; from tinycnn.fit import files\n"
        "os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL)\n"
        "files.write_atomically(sys.argv[1], b'half')\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, tmp_path / "a.bin"])
    assert killed.returncode != 0 and len(list(tmp_path.iterdir())) == 1
    files.write_atomically(tmp_path / "a.bin", b"whole")
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_what_another_process_is_writing_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(files.os, "getpid", lambda: os.getppid())
    other = files._temporary(tmp_path)
    monkeypatch.undo()
    other.write_bytes(b"not done yet")
    files.write_atomically(tmp_path / "a.bin", b"whole")
    assert other.read_bytes() == b"not done yet"


# ---------------------------------------------------------------- figures that are no numbers any more


def strict(text):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_has_no_nan_and_says_so():
    value = {"loss": math.nan, "acc": 0.5, "rows": [{"x": math.inf}, {"x": 1.0}]}
    plain = {"loss": None, "acc": 0.5, "rows": [{"x": None, "diverged": True}, {"x": 1.0}], "diverged": True}
    assert strict(files.json_text(value)) == plain


def test_logs_and_checkpoints_of_a_training_that_diverged_are_json(float64, tmp_path):
    x, y = toy()
    model = compiled(optimizers.SGD(1e308))
    fit(model, x, y, epochs=3, callbacks=[callbacks.JSONLogger(tmp_path / "log.jsonl")])
    assert math.isnan(model.history.history["loss"][-1])
    last = strict((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert last["loss"] is None and last["diverged"] is True and last["epoch"] == 3
    model.save(tmp_path / "m.safetensors")
    with pytest.warns(UserWarning, match="NaN or infinity"):
        again = load_model(tmp_path / "m.safetensors")
    assert math.isnan(again.history.history["loss"][-1]) and "diverged" not in again.history.history
