"""`tinycnn check`, `trace` and `debug`, pointed at a file of one's own."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tinycnn import emulator, kernels
from tinycnn.command import doctor
from tinycnn.command.check import check
from tinycnn.command.debug import debug
from tinycnn.command.kernels import kernels as kernels_command
from tinycnn.command.targets import find
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


def test_a_check_of_one_file_does_not_make_the_launches_of_all(files, monkeypatch):
    monkeypatch.setattr("tinycnn.command.check.own_targets", lambda: pytest.fail("all files were asked for"))
    assert run(check, "good.cu").exit_code == 0


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


def test_check_ends_what_does_not_end(files, tmp_path):
    (tmp_path / "spin.cu").write_text(
        '// launch: kernel=spin grid=2 block=8\nextern "C" __global__ void spin() {\n    for (;;) {}\n}\n'
    )
    done = run(check, "spin.cu", "--seconds", "0.5")  # within which the kernel begins, on a busy machine too
    assert done.exit_code == 1 and "0.5 seconds" in done.output and done.output.endswith(": 1 report\n")
    assert done.output.startswith("spin.cu:3: endless: spin: block (0,0,0) thread (0,0,0): ")
    assert run(check, "spin.cu", "--seconds", "0").exit_code == 2


def test_doctor_names_the_cache_its_size_and_how_to_empty_it(files, tmp_path, monkeypatch):
    monkeypatch.setenv("TINYCNN_EMULATOR_CACHE", str(tmp_path / "kept here"))
    run(check, "good.cu")
    (tmp_path / "kept here" / "not ours.txt").write_text("")
    cpu, emulated = (cache for cache in doctor.caches() if cache["device"] in ("cpu", "emulator"))
    assert (cpu["device"], emulated["device"]) == ("cpu", "emulator") and Path(cpu["folder"]).name == "cpu"
    built = [path for path in (tmp_path / "kept here").iterdir() if path.suffix in (".so", ".o")]
    assert (emulated["files"], emulated["bytes"]) == (len(built), sum(path.stat().st_size for path in built))
    subprocess.run(emulated["emptied_by"], shell=True, check=True)
    assert [path.name for path in (tmp_path / "kept here").iterdir()] == ["not ours.txt"]
    done = run(doctor.doctor)
    assert emulated["emptied_by"] in done.output and cpu["folder"] in done.output


def test_trace_as_text_and_json(files):
    done = run(trace, "good.cu")
    assert done.exit_code == 0 and "accesses of the source, not machine instructions" in done.output
    assert "good.cu:5" in done.output and "'good.cu::NAME': reverse<float>" in done.output
    answer = json.loads(run(trace, "good.cu::reverse", "--json").output)
    assert answer["kernel"] == "reverse<float>"
    (shared,) = [line for line in answer["lines"] if line["space"] == "shared" and line["op"] == "load"]
    assert (shared["line"], shared["bank_conflict_ways"], shared["requests"]) == (12, 1, 2)
    assert not re.search(r"\bm?s\b|second", json.dumps(answer))


@pytest.mark.parametrize("command", [check, trace])
@pytest.mark.parametrize("target", ["good.cu", "relu"])
def test_what_is_for_a_whole_program_is_refused_of_a_kernel(files, command, target):
    for words, named in (
        (["-D", "N=1"], "--define"), (["-I", "."], "--include"), (["--gpu", "a100"], "--gpu"),
        (["--", "5"], "what stands after --"),
    ):  # fmt: skip
        done = run(command, target, *words)
        assert done.exit_code == 2 and not done.stdout
        assert f"{named} is for a whole program, whose file has a main" in done.stderr
    assert "there is no kernel file" in run(command, "gone.cu", "-D", "N=1").stderr


def test_the_trace_of_a_program_takes_no_shape(files, tmp_path):
    (tmp_path / "whole.cu").write_text("int main() { return 0; }\n")
    done = run(trace, "whole.cu", "--shape", "4")
    assert done.exit_code == 2 and "--shape is for tinycnn's own kernels; a program says its shapes" in done.stderr


def test_gdb_s_command_is_printed_or_started(files, monkeypatch):
    monkeypatch.setattr(os, "execvp", lambda *words: pytest.fail("gdb is started"))
    done = run(debug, "good.cu", "--start", "--json")
    assert done.exit_code == 2 and "--json prints the command that --start starts: give one of the two" in done.stderr


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
        (["ladder/1_naiv"], "there is no kernel file ladder/1_naiv; did you mean ladder/1_naive?"),
        (["batchnom"], "there is no kernel 'batchnom'; did you mean batchnorm?"),
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


# ---------------------------------------------------------------- tinycnn's own kernels


@pytest.mark.parametrize(
    "target, name, kernel",
    [
        ("relu", "relu", None),
        ("relu_forward", "relu", "relu_forward"),
        ("relu::relu_backward", "relu", "relu_backward"),
        ("ladder/1_naive", "ladder/1_naive", None),
        ("1_naive", "ladder/1_naive", None),
        ("ladder/2_coalesced::conv2d_backward_data", "ladder/2_coalesced", "conv2d_backward_data"),
        ("2_coalesced::conv2d_backward_filter", "ladder/2_coalesced", "conv2d_backward_filter"),
    ],
)
def test_an_installed_kernel_is_found_by_its_name(files, target, name, kernel):
    path, launches = find(target)
    assert path == kernels.path(name)
    names = {launch.kernel.split("<")[0] for launch in launches}
    assert names == ({kernel} if kernel else {k.split("<")[0] for k in kernels.instances(name, "float")})


def test_a_step_of_the_ladder_is_traced_from_any_folder(files):
    done = run(trace, "ladder/1_naive", "--blocks", "1")
    assert done.exit_code == 0 and "1_naive.cu:" in done.output
    assert "'ladder/1_naive::NAME': conv2d_backward_data, conv2d_backward_filter" in done.output


@pytest.mark.parametrize(
    "target, words",
    [
        ("relu.cu", "no kernel file relu.cu; tinycnn's own is called relu"),
        ("ladder/9_magic", "no kernel file ladder/9_magic"),
        ("magic", "no kernel 'magic'; the files are: activations, add"),
    ],
)
def test_a_name_that_is_not_there_shows_what_is(files, target, words):
    done = run(check, target)
    assert done.exit_code == 2 and words in " ".join(done.output.split())


def test_the_shipped_kernels_are_listed(files):
    done = run(kernels_command)
    assert done.exit_code == 0
    for name in kernels.NAMES:
        assert re.search(rf"^{name} +\w.*\.$", done.output, re.M), name
    assert [row["name"] for row in json.loads(run(kernels_command, "--json").output)] == list(kernels.NAMES)


def test_the_shipped_kernels_are_copied_out_to_be_read_and_broken(files, tmp_path):
    assert run(kernels_command, "-o", "mine").exit_code == 0
    copies = {path.relative_to(tmp_path / "mine") for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    wanted = [path for suffix in ("cu", "cuh", "md") for path in kernels.FOLDER.rglob(f"*.{suffix}")]
    assert copies == {path.relative_to(kernels.FOLDER) for path in wanted}
    for path in copies:
        assert (tmp_path / "mine" / path).read_bytes() == (kernels.FOLDER / path).read_bytes()
    for target in ("mine/softmax_crossentropy.cu", "mine/ladder/1_naive.cu"):
        done = run(check, target)
        assert done.exit_code == 0 and done.output.endswith(": 0 reports\n"), done.output


def test_a_copy_that_was_broken_is_reported_with_the_launches_of_tinycnn_s_own(files, tmp_path):
    run(kernels_command, "-o", "mine")
    header = tmp_path / "mine" / "common.cuh"
    barrier = "        __syncthreads();  // before the next 16 overwrite these\n"
    assert header.read_text().count(barrier) == 1
    header.write_text(header.read_text().replace(barrier, "\n"))
    done = run(check, "mine/conv1x1.cu::conv1x1_backward_filter")
    assert done.exit_code == 1 and re.search(r"^mine/common.cuh:\d+: race: conv1x1_backward_filter<", done.output, re.M)


def test_a_copy_with_only_some_of_the_kernels_runs_those(files, tmp_path):
    (tmp_path / "relu.cu").write_text("template <typename T> __global__ void relu_forward(const T* x) {}\n")
    assert {launch.kernel for launch in find("relu.cu")[1]} == {"relu_forward<float>", "relu_forward<double>"}


def test_a_file_of_the_same_name_with_other_kernels_describes_its_launches(files, tmp_path):
    (tmp_path / "relu.cu").write_text('extern "C" __global__ void mine(float* x) {}\n')
    done = run(check, "relu.cu")
    assert isinstance(done.exception, emulator.DescriptionError) and "add a comment like" in str(done.exception)
    (tmp_path / "relu.cu").write_text(
        "// launch: kernel=relu_forward grid=1 block=1\n__global__ void relu_forward() {}\n"
    )
    assert [launch.grid for launch in find("relu.cu")[1]] == [(1,)]


def test_copying_never_writes_over_a_file_that_differs(files, tmp_path):
    run(kernels_command, "-o", "mine")
    changed = {name: tmp_path / "mine" / name for name in ("relu.cu", "ladder/1_naive.cu")}
    for path in changed.values():
        path.write_text("mine\n")
    (tmp_path / "mine" / "dense.cu").unlink()
    done = run(kernels_command, "-o", "mine")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        f"tinycnn: mine/{name} is there already and differs: nothing was copied" for name in changed
    ]
    assert all(path.read_text() == "mine\n" for path in changed.values())
    assert not (tmp_path / "mine" / "dense.cu").exists()
    for path in changed.values():
        path.unlink()
    assert run(kernels_command, "-o", "mine").exit_code == 0 and (tmp_path / "mine" / "dense.cu").exists()


# ---------------------------------------------------------------- kernels that end their process

FAULT = """#include <stdio.h>
#include <stdlib.h>
OUTSIDE
// launch: kernel=fault grid=1 block=32 y=float[32]=0 n=int:32
extern "C" __global__ void fault(float* y, int n) {
    y[threadIdx.x] = 1;
    INSIDE
}
"""


def fault(tmp_path, inside="", outside=""):
    (tmp_path / "fault.cu").write_text(FAULT.replace("INSIDE", inside).replace("OUTSIDE", outside))
    return "fault.cu"


RAISE = 'extern "C" __attribute__((visibility("default"))) int raise(int);'
EAT = """char* kept[999];
struct Eater { Eater() { for (char*& p : kept) p = (char*)malloc(1 << 28), p[0] = 1; } } eater;"""
DEEP = "int deep(int n) { volatile int a[99] = {n}; return deep(a[0] + 1) + a[n % 99]; }"
CRASHES = [
    ("abort();", "", "an abort()"),
    ("((void (*)())n)();", "", "a segmentation fault"),
    ("y[5] = n / (n - 32);", "", "an integer division by 0"),
    ("y[5] = deep(n);", DEEP, "a recursion"),
    ("__builtin_trap();", "", "a __builtin_trap()"),
]
ENDS = [
    ("exit(0);", "", "ended its process, with status 0"),
    ("", 'struct Flood { Flood() { for (;;) puts("again"); } } flood;', "printed more than 1 MiB"),
    ("raise(19);", RAISE, "had not ended after 7 seconds"),  # SIGSTOP; twice --seconds, and five
    ("", EAT, "memory it did not get"),
]  # fmt: skip


@pytest.mark.parametrize("inside, outside, words", CRASHES, ids=[words for _, _, words in CRASHES])
def test_a_kernel_that_crashes_is_a_line_with_its_block_and_thread(files, tmp_path, inside, outside, words):
    """And the next file is checked, too."""
    done = run(check, fault(tmp_path, f"if (threadIdx.x == 5) {inside}", outside), "good.cu", "--json")
    (report,) = json.loads(done.stdout)["reports"]
    assert done.exit_code == 1 and report["kind"] == "crash" and words in report["message"]
    assert (report["file"], report["block"], report["thread"]) == ("fault.cu", [0, 0, 0], [5, 0, 0])
    text = (tmp_path / "fault.cu").read_text().splitlines()[report["line"] - 1]
    assert inside in text or (outside and outside in text)


@pytest.mark.parametrize("inside, outside, words", ENDS, ids=[words for _, _, words in ENDS])
def test_a_kernel_that_ends_its_process_is_a_line_and_not_the_end_of_the_command(
    files, tmp_path, inside, outside, words
):
    done = run(check, fault(tmp_path, inside, outside), "good.cu", "--json", "--seconds", "1")
    answer = json.loads(done.stdout)
    assert done.exit_code == 1 and answer["kernels"] == ["fault", "copy", "reverse<float>"]
    (report,) = answer["reports"]
    assert (report["kind"], report["file"], report["line"]) == ("ended", "fault.cu", None) and words in report[
        "message"
    ]
    assert report["kernel"] == ("fault" if inside else "the build")


def test_the_line_of_a_kernel_that_ends_its_process(files, tmp_path):
    done = run(check, fault(tmp_path, "exit(3);"))
    assert done.stdout.splitlines() == [
        "fault.cu: ended: fault: it ended its process, with status 3",
        "1 launch of 1 kernel: 1 report",
    ]


def test_the_line_of_an_assertion_that_does_not_hold(files, tmp_path):
    """With and without the header."""
    for header in ("", "#include <assert.h>"):
        done = run(check, fault(tmp_path, "assert(threadIdx.x != 7 || y == nullptr);", header))
        assert done.exit_code == 1 and ": trap: fault: block (0,0,0) thread (7,0,0): the assertion " in done.stdout
        assert "`threadIdx.x != 7 || y == nullptr` does not hold" in done.stdout


def test_the_trace_of_a_kernel_with_a_fault_is_a_line_too(files, tmp_path):
    for inside, words in (
        ("abort();", "an abort()"),
        ("y[n] = 1;", "`tinycnn check` tells which"),
        ("for (;;) {}", "0.5 s"),
    ):
        seconds = ("--seconds", "0.5") if "for" in inside else ()  # the others end by themselves
        done = run(trace, fault(tmp_path, inside), *seconds)
        assert done.exit_code == 1 and not done.stdout and len(done.stderr.splitlines()) == 1 and words in done.stderr
        done = run(trace, "fault.cu", *seconds, "--json")
        answer = json.loads(done.stdout)
        assert done.exit_code == 1 and answer["kernel"] == "fault" and words in answer["error"]


def test_an_array_is_printed_when_asked_for(files, tmp_path):
    done = run(check, fault(tmp_path, "y[3] = 2.5f;".replace("y[3]", "if (threadIdx.x == 3) y[3]")), "--print", "y")
    assert done.exit_code == 0 and "fault: y = [1.  1.  1.  2.5 1. " in done.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["fault.cu", "--print", "z"], "no launch has an argument of this name; there are: n, y"),
        (["relu", "--print", "y"], "--print is for kernel files of yours"),
        (["--print", "y"], "for kernel files of yours"),
        (["program.cu", "--print", "y"], "for kernel files of yours"),
    ],
)  # fmt: skip
def test_an_array_that_cannot_be_printed_is_refused(files, tmp_path, arguments, words):
    fault(tmp_path, "y[0] = 1;")
    (tmp_path / "program.cu").write_text("int main() { return 0; }\n")
    done = run(check, *arguments)
    assert done.exit_code == 2 and words in " ".join(done.stderr.split())


def test_what_a_kernel_prints_is_kept_apart_from_what_the_command_says(files, tmp_path):
    done = run(check, fault(tmp_path, 'if (threadIdx.x == 0) puts("hello");'), "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["reports"] == [] and done.stderr == "hello\n"


def test_a_kernel_of_tinycnn_s_own_needs_no_process_of_its_own(files, monkeypatch):
    monkeypatch.setattr("tinycnn.limited.run", lambda *arguments: pytest.fail("a child was started"))
    assert run(check, "relu::relu_forward").exit_code == 0
    assert run(trace, "ladder/1_naive", "--blocks", "1").exit_code == 0
