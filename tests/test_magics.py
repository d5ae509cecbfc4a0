"""`%%tinycnn`: a cell is a file, and what is shown of it is what the command shows of that file."""

import html
import os
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest
from browser import MISSING, Browser, chromium
from click.testing import CliRunner
from lesson_pages import need_the_emulator

import tinycnn
from tinycnn import exercises, magics, processes
from tinycnn.command.main import cli

COPY = """\
// launch: kernel=copy grid=4 block=256 x=float[1000] y=float[1000] n=int:1000
__global__ void copy(const float* x, float* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[i];
}
"""
UNGUARDED = COPY.replace("if (i < n) ", "")


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """IPython with the extension loaded, in an empty folder."""
    interactive = pytest.importorskip("IPython.core.interactiveshell", reason="IPython is missing: .[notebook]")
    monkeypatch.chdir(tmp_path)
    shell = interactive.InteractiveShell.instance()
    shell.run_line_magic("load_ext", "tinycnn")
    yield shell
    shell.run_line_magic("reset", "-f")
    shell.extension_manager.unload_extension("tinycnn")
    shell.extension_manager.loaded.discard("tinycnn")
    interactive.InteractiveShell.clear_instance()


@pytest.fixture
def cell(shell, capfd):
    """cell(line, text): (what is printed, what is printed on stderr) of a cell."""

    def run(line, text=COPY):
        assert shell.run_cell(f"%%tinycnn {line}\n{text}").success
        return capfd.readouterr()

    return run


def of_the_command(*words):
    return CliRunner().invoke(cli, words).output


# ---------------------------------------------------------------- the commands


@pytest.mark.parametrize("text", [COPY, UNGUARDED], ids=["right", "wrong"])
@pytest.mark.parametrize("command", ["check", "check --json", "trace", "trace --blocks 1"])
def test_a_cell_shows_what_the_command_shows_of_its_file(cell, command, text):
    need_the_emulator()
    shown = cell(f"{command} -o mine.cu", text)
    assert Path("mine.cu").read_text(encoding="utf-8") == text
    name, *options = command.split()
    assert shown.out == of_the_command(name, "mine.cu", *options) and not shown.err
    assert cell(command, text).out == shown.out.replace("mine.cu", "cell.cu")


def test_a_cell_that_is_a_program_is_run_with_its_arguments(cell):
    need_the_emulator()
    text = """#include <cstdio>
__global__ void count(int* x) { atomicAdd(x, 1); }
int main(int argc, char** argv) {
    int* x;
    cudaMallocManaged(&x, sizeof(int));
    *x = argc;
    count<<<2, 5>>>(x);
    printf("%s %d\\n", argv[1], *x);
}
"""
    assert cell("run -- -v", text).out == "-v 12\n"
    assert cell("run -- ::x", text).out == "::x 12\n"


def test_what_is_not_kept_leaves_nothing(cell, tmp_path):
    need_the_emulator()
    assert "1 launch of 1 kernel: 0 reports" in cell("check").out
    assert list(tmp_path.iterdir()) == []


def test_of_several_kernels_one_can_be_named(cell):
    need_the_emulator()
    two = COPY + COPY.replace("copy", "again")
    assert cell("trace", two).out.startswith("copy\n")
    assert cell("trace ::again", two).out.startswith("again\n")


@pytest.mark.parametrize("name", ["guard", "swish_gradient"])  # one in CUDA, one in Python
def test_a_cell_is_judged_as_its_file_is(cell, name):
    exercise = exercises.load(name)
    if exercise.suffix == ".cu":
        need_the_emulator()
    for part, passed in (("solution", True), ("start", False)):
        Path(f"cell{exercise.suffix}").write_text(exercise.text(part), encoding="utf-8")
        want = of_the_command("judge", f"cell{exercise.suffix}", "--exercise", name)
        assert ("not reached" not in want) == passed
        assert cell(f"judge --exercise {name}", exercise.text(part)).out == want


@pytest.mark.parametrize("text", [COPY, UNGUARDED], ids=["right", "wrong"])
def test_a_lesson_is_a_page_in_a_frame_that_may_do_nothing_outside(shell, text):
    need_the_emulator()
    from IPython.utils.capture import capture_output

    with capture_output() as captured:
        shell.run_cell(f"%%tinycnn lesson -o mine.cu\n{text}")
    assert captured.stdout == "" and captured.stderr == ""
    (output,) = captured.outputs
    attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', output.data["text/html"]))
    assert attributes["sandbox"] == "allow-scripts"
    of_the_command("lesson", "mine.cu", "-o", "pages")
    assert html.unescape(attributes["srcdoc"]) == Path("pages/mine.html").read_text(encoding="utf-8")


def test_the_page_plays_in_its_frame(shell, tmp_path):
    """Its buttons move it, nothing goes wrong, and nothing is asked for."""
    need_the_emulator()
    if chromium() is None:
        pytest.skip(MISSING)
    from IPython.utils.capture import capture_output

    with capture_output() as captured:
        shell.run_cell(f"%%tinycnn lesson\n{COPY}")
    page = f"<!doctype html><title>A notebook</title>{captured.outputs[0].data['text/html']}"
    (tmp_path / "host.html").write_text(page, encoding="utf-8")
    browser = Browser(tmp_path / "chromium")
    try:
        browser.open("host.html")
        frame = browser.frame()
        click = "document.querySelector('[data-do={}]').click(); document.querySelector('input[type=range]').value"
        assert [browser.run(click.format(to), **frame) for to in ("last", "first", "next")] == ["31", "0", "1"]
        assert browser.said == [] and browser.asked == []
    finally:
        browser.close()


def test_a_line_is_the_command_and_shows_a_page_that_it_makes(shell, capfd):
    shell.run_line_magic("tinycnn", "exercise list")
    assert capfd.readouterr().out == of_the_command("exercise", "list")
    shell.run_line_magic("tinycnn", "exercise new guard -o handout")
    assert Path("handout/start.cu").read_bytes() == exercises.load("guard").file("start").read_bytes()
    shell.run_line_magic("tinycnn", "lesson list")
    assert capfd.readouterr().out.endswith(of_the_command("lesson", "list"))
    shell.run_line_magic("tinycnn", "lesson tiles -o pages")
    assert Path("pages/tiles.html").is_file() and "html" not in capfd.readouterr().out


def test_of_several_pages_none_is_shown(tmp_path, monkeypatch, capsys):
    for name in ("a.html", "b.html"):
        (tmp_path / name).touch()
    monkeypatch.setattr(magics, "lines_of", lambda words, folder: iter(["a.html\n", "b.html\n"]))
    monkeypatch.setattr(magics, "show_page", lambda page: pytest.fail(f"{page} is shown"))
    magics.show(["lesson", "all"], str(tmp_path))
    assert capsys.readouterr().out == "a.html\nb.html\n"


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train", "%%tinycnn is followed by run, check, trace, judge or lesson, not by 'train'"),
        ("-o mine.cu", "%%tinycnn is followed by run, check, trace, judge or lesson"),
        ("judge", "Missing option '--exercise'"),
        ("judge --exercise guar", "did you mean guard?"),
        ("judge ::copy --exercise guard", "Got unexpected extra argument (::copy)"),
        ("check -o mine.py", "-o mine.py: the file of this cell ends in .cu"),
        ("judge --exercise swish_gradient -o mine.cu", "-o mine.cu: the file of this cell ends in .py"),
        ("check -o nowhere/mine.cu", "there is no folder"),
        ("check -o folder.cu", "cannot write folder.cu: it is a folder"),
        ("check -o", "Option '-o' requires an argument"),
        ("check 'mine", "No closing quotation"),
    ],
)
def test_what_cannot_be_is_one_line(cell, line, said):
    Path("folder.cu").mkdir()
    shown = cell(line)
    assert shown.err.startswith("tinycnn: ") and said in shown.err and shown.err.count("\n") == 1
    assert shown.out == "" and list(Path().iterdir()) == [Path("folder.cu")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("check --nope", "No such option '--nope'"),
        ("trace ::cpy", "cell.cu has no launch of 'cpy'; of: copy"),
        ("trace other.cu", "of kernels one is traced at a time"),
    ],
)
def test_what_the_command_refuses_is_its_line(cell, line, said):
    shown = cell(line)
    assert shown.out.startswith("tinycnn: ") and said in shown.out and shown.out.count("\n") == 1 and not shown.err


@pytest.mark.parametrize("command", ["check", "trace", "lesson", "judge --exercise guard"])
def test_a_kernel_that_ends_its_process_does_not_end_the_notebook_s(cell, shell, command):
    need_the_emulator()
    deadly = COPY.replace("copy", "relu").replace("if (i < n)", "__builtin_trap();")
    shown = cell(command, deadly)
    words = "A page" if command == "lesson" else "an illegal instruction"  # which stands on the page
    assert words in shown.out and "Traceback" not in shown.out + shown.err
    assert shell.run_cell("1 + 1").result == 2


def test_a_command_that_is_given_up_ends_what_it_runs(monkeypatch):
    """What it runs holds a pipe of ours open, as long as it lives."""
    program = """
import subprocess, sys
child = subprocess.Popen(["sleep", "600"], pass_fds=[int(sys.argv[1])], start_new_session=True)
try:
    print("begun", flush=True)
    child.wait()
finally:
    child.kill()
"""
    monkeypatch.setattr(processes, "command", lambda *words: processes.python(program, *words))
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    started = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda words, **how: started(words, **how, pass_fds=[writing]))
    lines = magics.lines_of([str(writing)], None)
    assert next(lines) == "begun\n"
    os.close(writing)
    lines.close()
    assert select.select([reading], [], [], 30)[0] and os.read(reading, 1) == b""
    os.close(reading)


def test_without_ipython_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'tinycnn[notebook]'")):
        tinycnn.load_ipython_extension(None)


def test_importing_tinycnn_imports_neither_ipython_nor_the_magic():
    program = "import sys, tinycnn; print({'IPython', 'click', 'tinycnn.magics'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"
