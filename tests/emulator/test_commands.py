"""`tinycnn check`, `trace` and `debug`, pointed at a file of one's own."""

import json
import re
import shutil
import subprocess

import pytest
from click.testing import CliRunner

from tinycnn import emulator
from tinycnn.command.check import check
from tinycnn.command.debug import debug
from tinycnn.command.trace import trace

GOOD = """// launch: kernel=copy grid=2 block=64 x=float[100] y=float[100]=0 n=int:100
// launch: kernel=reverse<float> grid=1 block=64 x=float[64] y=float[64]
extern "C" __global__ void copy(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}
template <typename T> __global__ void reverse(const T* x, T* y) {
    __shared__ T tile[64];
    int t = threadIdx.x;
    tile[t] = x[t];
    __syncthreads();
    T value = tile[63 - t];
    y[t] = value;
}
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """good.cu, and bad.cu in which a barrier is missing; the current folder is theirs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.cu").write_text(GOOD)
    (tmp_path / "bad.cu").write_text(GOOD.replace("    __syncthreads();\n", ""))


def run(command, *arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_check_says_that_all_is_well(files):
    done = run(check, "good.cu")
    assert (done.exit_code, done.output) == (0, "2 launches of 2 kernels: 0 reports\n")


def test_check_reports_and_fails(files):
    done = run(check, "bad.cu")
    assert done.exit_code == 1
    assert re.search(r"^bad.cu:\d+: race: reverse<float>: block \(0,0,0\) thread \(\d+,0,0\): ", done.output, re.M)


def test_check_as_json(files):
    done = run(check, "good.cu", "bad.cu::reverse", "--json")
    answer = json.loads(done.output)
    assert done.exit_code == 1 and answer["kernels"] == ["copy", "reverse<float>", "reverse<float>"]
    race = next(report for report in answer["reports"] if report["kind"] == "race")
    assert race.keys() >= {"kind", "kernel", "file", "line", "other_line", "block", "thread", "message"}
    assert (race["file"], {race["line"], race["other_line"]}) == ("bad.cu", {10, 11})


def test_trace_as_text_and_json(files):
    done = run(trace, "good.cu")
    assert done.exit_code == 0 and "accesses of the source, not machine instructions" in done.output
    assert "good.cu:5" in done.output and "'good.cu::NAME': reverse<float>" in done.output
    answer = json.loads(run(trace, "good.cu::reverse", "--json").output)
    assert answer["kernel"] == "reverse<float>"
    (shared,) = [line for line in answer["lines"] if line["space"] == "shared" and line["op"] == "load"]
    assert (shared["line"], shared["bank_conflict_ways"], shared["requests"]) == (12, 1, 2)
    assert not re.search(r"\bm?s\b|second", json.dumps(answer))


def test_debug_prints_a_command(files):
    done = run(debug, "good.cu::reverse", "--thread", "5")
    assert done.exit_code == 0 and done.output.startswith("gdb ") and "replay" in done.output
    assert json.loads(run(debug, "good.cu", "--json").output)["kernel"] == "copy"


@pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")
def test_gdb_stops_in_that_thread(files):
    (launch,) = [launch for launch in emulator.read_launches("good.cu") if launch.kernel == "copy"]
    words = emulator.debug_command("good.cu", launch, block=(1, 0, 0), thread=(7, 0, 0))
    at = words.index("--args")
    words[at:at] = ["-batch", "-ex", "next", "-ex", "print i", "-ex", "next", "-ex", "print x[i] == y[i]"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if "ptrace" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("gdb may not trace processes here")
    assert "$1 = 71" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nothing.cu"], "there is no kernel file nothing.cu"),
        (["good.cu::nothing"], "has no launch of 'nothing'; of: copy, reverse<float>"),
    ],
)
def test_a_target_that_is_not_there(files, arguments, words):
    done = run(check, *arguments)
    assert done.exit_code == 2 and words in done.output


def test_a_file_that_does_not_build_shows_the_compilers_words(files, tmp_path):
    (tmp_path / "broken.cu").write_text(GOOD.replace("y[i] = x[i]", "y[i] = z[i]"))
    done = run(check, "broken.cu")
    assert (
        done.exit_code == 2
        and "broken.cu:5:" in done.output
        and "'z'" in done.output.replace("‘", "'").replace("’", "'")
    )


def test_a_thread_that_is_not_there(files):
    done = run(debug, "good.cu", "--thread", "64")
    assert isinstance(done.exception, emulator.LaunchError) and "there is no thread (64, 0, 0)" in str(done.exception)
