"""Foreign code in a child process: whatever it does, its parent gets an answer."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tinycnn import emulator, limited


@pytest.fixture(autouse=True)
def jobs(monkeypatch):
    """The child finds what its parent finds."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def run(name, limits=None, **arguments):
    return limited.run(f"limited_jobs:{name}", arguments, limits)


def test_what_a_job_yields_comes_back_in_its_order():
    assert run("countdown", first=3) == ([3, 2, 1, 0], "", "the start", "")


@pytest.mark.parametrize(
    "what, words",
    [
        ("sleeping", "had not ended after 0.3 seconds"),
        ("leaving", "ended its process, with status 0"),
        ("crashing", "a segmentation fault"),
        ("flooding", "printed more than 1 MiB"),
    ],
)
def test_what_ends_a_child_is_told_with_what_it_was_at(what, words):
    outcome = run("at_something", what=what)
    assert outcome.values == ["before"] and outcome.during == what and words in outcome.ended
    assert len(outcome.printed) <= limited.FLOOD_KEPT and outcome.printed.startswith("flood" * (what == "flooding"))


def test_a_child_that_waits_for_a_core_has_more_time(monkeypatch):
    """As if the machine were busy for all of the first second, which is longer than the child may sleep."""
    began = time.monotonic()
    monkeypatch.setattr(limited, "waited", lambda pid: min(time.monotonic() - began, 1.0))
    outcome = run("at_something", what="sleeping")
    assert "had not ended after 0.3 seconds" in outcome.ended and time.monotonic() - began > 1.0


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that says it")
def test_how_long_a_process_has_waited_for_a_core_is_known_and_of_none_it_is_0():
    known, child = limited.waited(os.getpid()), subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert 0 <= known <= limited.waited(os.getpid()) and limited.waited(child.pid) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no limit on memory")
def test_a_child_that_takes_too_much_memory_is_ended():
    outcome = run("at_something", limited.Limits(memory=2**30), what="eating")
    assert outcome.ended == "it wanted more than 1 GiB of memory" and outcome.values == ["before"]


def test_a_child_writes_no_larger_file_than_it_may(tmp_path):
    limits = limited.Limits(file=2**20)
    with pytest.raises(OSError, match="File too large"):
        run("write", limits, path=str(tmp_path / "large"), size=2**20 + 1)
    assert run("write", limits, path=str(tmp_path / "fits"), size=2**20).values == ["written"]


def test_what_a_job_raises_is_raised_here():
    with pytest.raises(emulator.BuildError) as error:
        run("fail", kind="build")
    assert (
        error.value.log == "line 1: error: no" and error.value.in_one_line() == "x.cu does not build: line 1: error: no"
    )
    with pytest.raises(ValueError, match="no such"):
        run("fail", kind="value")
    with pytest.raises(limited.JobError, match="Odd: odd"):
        run("raise_of_its_own")


@pytest.mark.parametrize(
    "text, times",
    [('{"value": "forged"}\n', 1), ("no answer\n", 1), ("x" * 2**20, 17)],
    ids=["forged", "none", "endless"],
)
def test_what_foreign_code_writes_to_the_answer_is_no_answer(text, times):
    outcome = run("write_everywhere", text=text, times=times)
    assert outcome.values == ["before"] and outcome.ended == "it wrote where only the answer belongs"


def is_running(pid):
    """Whether a process is there, and not only its number, which nobody has asked for yet."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_what_a_child_has_started_ends_with_it():
    outcome = run("with_a_child_that_stays")
    assert outcome.ended == "it ended its process, with status 3"
    deadline = time.monotonic() + 60
    while is_running(outcome.values[0]):
        assert time.monotonic() < deadline


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("signal", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_ends_with_a_parent_that_is_killed(signal):
    places = [str(Path(__file__).parent), *sys.path]
    code = f"import sys; sys.path[:] = {places}; from tinycnn import limited; "
    code += "limited.run('limited_jobs:stay', {}, same_output=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.send_signal(signal)
        assert parent.wait() == -signal
        try:
            deadline = time.monotonic() + 60
            while is_running(child):
                assert time.monotonic() < deadline
        finally:
            if is_running(child):
                os.kill(child, 9)


def test_a_thread_that_a_job_leaves_behind_holds_nothing_up():
    assert run("with_a_thread_that_stays").values == ["done"]


def test_what_a_job_prints_is_kept_apart_from_what_it_yields():
    outcome = run("talk")
    assert outcome.values == [[""]] and outcome.printed == "printed\non both\n"


def test_a_child_imports_nothing_from_the_folder_that_it_is_started_in(tmp_path, monkeypatch):
    for name in ("json", "tinycnn", "limited_jobs"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    assert run("countdown", first=1) == ([1, 0], "", "the start", "")


def test_children_may_be_started_from_several_threads():
    outcomes = {}
    threads = [
        threading.Thread(target=lambda n=n: outcomes.update({n: run("countdown", first=n).values})) for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {0: [0], 1: [1, 0], 2: [2, 1, 0]}
