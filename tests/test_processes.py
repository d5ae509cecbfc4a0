"""Processes of tinycnn's own: what they import, whether they hear Ctrl-C, and how they end."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tinycnn
from tinycnn import processes


def said(line, **how):
    return subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True, **how).stdout.strip()


def test_a_process_finds_this_tinycnn_and_imports_nothing_from_its_folder(tmp_path, monkeypatch):
    (tmp_path / "another").mkdir()
    for name in ("json", "signal", "another/tinycnn"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "another"))
    line = processes.python("import tinycnn; print(tinycnn.__file__, sys.argv[1:])", "one", "two")
    assert said(line, cwd=tmp_path) == f"{tinycnn.__file__} ['one', 'two']"
    assert said(processes.command("--version"), cwd=tmp_path).endswith(tinycnn.__version__)


def test_what_is_foreign_is_left_out_where_tinycnn_lies_elsewhere(tmp_path, monkeypatch):
    home = Path(tinycnn.__file__).parent.parent
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(home), *sys.path])
    code = "print(sys.path[:2])"
    assert said(processes.python(code)) == str([str(tmp_path), str(home)])
    assert said(processes.python(code, foreign=tmp_path)).startswith(f"['{home}'")
    assert said(processes.python(code, foreign=home)) == str([str(tmp_path), str(home)])


def test_ctrl_c_is_heard_also_where_a_shell_has_it_ignored():
    def ignore():
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    line = processes.python("print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)")
    assert said(line, preexec_fn=ignore) == "True"


HEARS = """
try:
    print("begun", flush=True)
    signal.pause()
except KeyboardInterrupt:
    sys.exit(7)
"""
DEAF = "signal.signal(signal.SIGINT, signal.SIG_IGN); print('begun', flush=True)\nwhile True: signal.pause()"


@pytest.mark.parametrize("code, status", [(HEARS, 7), (DEAF, -signal.SIGKILL), ("print('begun')", 0)])
def test_a_process_ends_by_ctrl_c_or_by_force(code, status, monkeypatch):
    if code == DEAF:
        monkeypatch.setattr(processes, "END_SECONDS", 0.01)
    with subprocess.Popen(processes.python(code), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "begun\n"
        processes.end(child, 60 if status == 0 else 0)
    assert child.returncode == status

    async def soon():
        child = await asyncio.create_subprocess_exec(*processes.python(code), stdout=asyncio.subprocess.PIPE)
        assert await child.stdout.readline() == b"begun\n"
        if status == 0:
            await child.wait()
        await processes.end_soon(child)
        return child.returncode

    assert asyncio.run(soon()) == status
