"""Checkpoints: when writing one fails, the old file is left, and no other."""

import errno
import os
import resource
import signal

import pytest
from saved_trainings import fit

from tinycnn.fit import checkpoint
from tinycnn.models import load_model


def only_the_old_file(path, data):
    assert path.read_bytes() == data
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_new_checkpoint_replaces_the_old_one_and_leaves_nothing_else(saved, path):
    old = path.read_bytes()
    fit(saved, 2)
    saved.save(path)
    assert path.read_bytes() != old
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert load_model(path).epoch == 2


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(saved, path, call, monkeypatch):
    data = path.read_bytes()
    fit(saved, 2)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    if call == "write":
        real = os.fdopen

        def fdopen(*arguments, **options):
            file = real(*arguments, **options)

            class Full:
                def __enter__(self):
                    return self

                def __exit__(self, *error):
                    file.close()

                def write(self, data):
                    file.write(data[: len(data) // 2])
                    full()

                def __getattr__(self, name):
                    return getattr(file, name)

            return Full()

        monkeypatch.setattr(checkpoint.os, "fdopen", fdopen)
    else:
        monkeypatch.setattr(checkpoint.os, call, full)
    with pytest.raises(OSError, match="No space left"):
        saved.save(path)
    monkeypatch.undo()
    only_the_old_file(path, data)
    assert load_model(path).epoch == 1


def test_a_file_size_limit_leaves_the_old_file_and_no_other(saved, path):
    """The real thing: the kernel refuses the write half way."""
    data = path.read_bytes()
    fit(saved, 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(data) // 2, hard))
    try:
        with pytest.raises(OSError):
            saved.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    only_the_old_file(path, data)


def test_an_interrupt_while_writing_leaves_the_old_file_and_no_other(saved, path, monkeypatch):
    data = path.read_bytes()

    def interrupted(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        saved.save(path)
    only_the_old_file(path, data)


def test_a_place_that_cannot_be_written_to_is_an_error_that_names_it(saved, tmp_path):
    with pytest.raises(OSError, match="missing"):
        saved.save(tmp_path / "missing" / "model.safetensors")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        saved.save(tmp_path / "file" / "model.safetensors")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every folder")
def test_a_folder_without_write_permission_is_an_error(saved, path):
    data = path.read_bytes()
    path.parent.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            saved.save(path)
    finally:
        path.parent.chmod(0o755)
    only_the_old_file(path, data)


def test_a_checkpoint_is_readable_by_those_whom_the_umask_lets(saved, path):
    before = os.umask(0o027)
    try:
        saved.save(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640
