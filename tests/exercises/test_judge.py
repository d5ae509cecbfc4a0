"""`tinycnn judge`, `exercise` and `grade`: what they say, what they keep to themselves, and how they end."""

import csv
import io
import json
import os
import re

import pytest
from click.testing import CliRunner

import tinycnn
from tinycnn import limited
from tinycnn.command.judge import exercise, grade, judge
from tinycnn.emulator import CompilerMissing
from tinycnn.exercises import NAMES, load
from tinycnn.exercises.grade import grade as grade_all
from tinycnn.exercises.grade import read_shapes
from tinycnn.exercises.judge import judge as judged
from tinycnn.exercises.refused import refused
from tinycnn.exercises.stages import POINTS

pytestmark = pytest.mark.usefixtures("guard")
GUARD = load("guard")
SOLUTION = GUARD.text("solution")
WORK = "if (i < n) y[i] = x[i] > 0 ? x[i] : 0;"
SECRET = "[[shape]]\nn = 3733\n"


@pytest.fixture
def guard(need, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return need("guard")


def run(command, *arguments):
    return CliRunner().invoke(command, [str(a) for a in arguments])


def with_work(text, before=""):
    """The solution, with another line for what a thread does."""
    assert SOLUTION.count(WORK) == 1
    return before + SOLUTION.replace(WORK, text)


# ---------------------------------------------------------------- judge


def test_a_solution_is_accepted(tmp_path):
    (tmp_path / "mine.cu").write_text(SOLUTION)
    done = run(judge, "mine.cu", "--exercise", "guard")
    assert done.exit_code == 0 and done.output.startswith("guard: 12 of 12 points\n") and "failed" not in done.output
    done = run(judge, "mine.cu", "--exercise", "guard", "--json")
    answer = json.loads(done.output)
    assert done.exit_code == 0 and answer.keys() == {"exercise", "score", "of", "stages", "version"}
    assert (answer["exercise"], answer["score"], answer["of"]) == ("guard", 12, 12)
    assert [stage["name"] for stage in answer["stages"]] == ["builds", "visible", "hidden", "clean", "counts"]
    assert answer["stages"][-1]["counts"] == {"sectors a request of x": 4.0, "sectors a request of y": 4.0}
    assert answer["version"] == tinycnn.__version__


def test_parameters_may_have_other_names(guard):
    other = re.sub(r"\bx\b(?!;| \*| \+)", "input", SOLUTION)
    assert "const float* input" in other and judged(guard, "mine.cu", other)


def test_the_first_wrong_place_is_shown_with_what_was_expected_and_the_shape(tmp_path):
    (tmp_path / "mine.cu").write_text(with_work("if (i < n) y[i] = i == 130 ? 7 : x[i] > 0 ? x[i] : 0;"))
    done = run(judge, "mine.cu", "--exercise", "guard")
    case = GUARD.at({"n": 256})
    want = max(float(case.launch.args[0][130]), 0.0)
    assert done.exit_code == 1 and done.output.startswith("guard: 1 of 12 points\n")
    assert "wrong on 3 of 3 shapes. At n=256, where every thread has work:" in done.output
    assert f"y[130] is 7, not {want:.6g}; 1 of 256 are wrong" in done.output
    assert done.output.count("not reached") == 3


def test_a_fault_that_explains_wrong_numbers_is_named_beside_them(guard):
    message = judged(guard, "mine.cu", with_work("if (i < n) y[i + 1] = x[i] > 0 ? x[i] : 0;")).failed.message
    assert "y[0] is still NaN, as before the launch" in message
    assert "the check says: mine.cu:6: out-of-bounds: relu: block (1,0,0) thread (127,0,0)" in message


def test_each_fault_is_told_once_and_three_of_them_at_most(guard):
    spare = "".join(f"\n    if (i == n + {k}) y[i] = 0;" for k in range(5))
    failed = judged(guard, "mine.cu", with_work(WORK + spare)).failed
    *shown, rest = failed.message.splitlines()
    assert failed.name == "clean" and rest == "... 2 more"
    assert [line.partition(" relu: block (7,0,0) ")[0] for line in shown] == [
        f"mine.cu:{line}: out-of-bounds:" for line in (7, 8, 9)
    ]


@pytest.mark.parametrize(
    "work, words",
    [
        ("if (i < n) y[i] = 0;", "all of y is 0"),
        ("", "nothing of y was written"),
        ("if (i < n && i % 2) y[i] = x[i] > 0 ? x[i] : 0;", "were never written"),
        ("if (i < n) y[i] = x[i] > 0 ? 2 * x[i] : 0;", "all of these are 2 times what is right"),
    ],
)
def test_what_many_faults_look_like_is_said(guard, work, words):
    assert words in judged(guard, "mine.cu", with_work(work)).failed.message


def test_a_sum_may_be_added_up_in_any_order_but_not_less_exactly(need):
    """The bound comes from the numbers: what a loop over channels from the last to the first makes of them is right."""
    padding = need("padding")
    solution = padding.text("solution")
    backwards = solution.replace("for (int c = 0; c < C; c++)", "for (int c = C - 1; c >= 0; c--)")
    halves = solution.replace("float sum = 0;", "float sum = 0; const float scale = 1 + 2e-4f;").replace(
        "K + k] = sum;", "K + k] = scale * sum;"
    )
    assert backwards != solution and judged(padding, "mine.cu", backwards)
    assert judged(padding, "mine.cu", halves).failed.name == "visible"


MEMORY = """char* kept[999];
struct Eater { Eater() { for (char*& p : kept) p = (char*)malloc(1 << 28), p[0] = 1; } } eater;
"""


HIDING = "#define GLUE(a, b) a##b\n__attribute__((GLUE(no_sani, tize_thread))) "


@pytest.mark.parametrize(
    "text, stage, words",
    [
        (with_work("abort();"), "visible", "at n=256: an abort()"),
        (with_work("if (n != 1024) " + WORK), "visible", "At n=1024, where the counts are taken:\ny[0] is still NaN"),
        (with_work("exit(0);"), "visible", "ended its process, with status 0"),
        (with_work("for (;;) y[i] = 1;"), "visible", "had not ended after 10 seconds"),
        (with_work("if (n == 2047) abort();" + WORK), "hidden", "an abort()"),
        (with_work(WORK, MEMORY), "builds", "memory it did not get"),
        (with_work(WORK, "struct Out { Out() { exit(0); } } out;\n"), "builds", "ended its process, with status 0"),
        (with_work(WORK, '#include "other.h"\n'), "builds", "the file includes another"),
        (with_work(WORK, '#inc\\\nlude "other.h"\n'), "builds", "the file includes another"),
        (with_work(WORK, '/**/ # include_next "other.h"\n'), "builds", "the file includes another"),
        (with_work(WORK, 'asm(".incbin \\"other.h\\"");\n'), "builds", "inline assembly"),
        (with_work(WORK, "__attribute__((no_sanitize_thread)) "), "builds", "names what belongs to the emulator"),
        (with_work(WORK, "#define HIDE CUDASIM_UNHOOKED\n"), "builds", "names what belongs to the emulator"),
        (with_work(WORK, HIDING), "builds", "pastes names together with ##"),
        (with_work("if (i < n) y[i] = z[i];"), "builds", "mine.cu:6:"),
        ("", "builds", "there is no kernel relu; asked for is relu(const float* x, float* y, int n)"),
        (" " * (2**20 + 1), "builds", "more than 1 MiB"),
    ],
)  # fmt: skip
def test_whatever_a_submission_does_ends_in_a_stage_that_failed(guard, text, stage, words):
    verdict = judged(guard, "mine.cu", text)
    assert verdict.failed.name == stage and words in verdict.failed.message
    reached = [s.name for s in verdict.stages if s.passed is not None]
    assert verdict.score == sum(POINTS[name] for name in reached[:-1])
    assert "/tmp" not in verdict.failed.message


INCLUDES = [
    "// /*\n#include <x>\n// */", '#inc\\ \t\nlude "x"', 'const char* s = "/*";\n#include <x>\n// */',
    "\ufeff#include <x>",
    "int a = 1'0 + '/*'[0];\n#include <x>\n// */", 'auto s = R"x()" /* )x";\n#include <x>\n// */', "#/**/include <x>",
]  # fmt: skip


@pytest.mark.parametrize("before", INCLUDES)
def test_an_include_is_found_however_it_is_written(before):
    assert "the file includes another" in refused(GUARD, with_work(WORK, before + "\n"))


@pytest.mark.parametrize(
    "before", ["/* \n#include <x>\n*/", "// \\\n#include <x>", 'auto s = R"(\n#include <x>\n)";', "int a = 1'000;"]
)
def test_what_only_looks_like_an_include_is_none(before):
    assert not refused(GUARD, with_work(WORK, before + "\n"))


@pytest.mark.parametrize("before", ["\0#include <x>", "// \r/*\n#include <x>\n// */"])
def test_what_compilers_read_in_different_ways_is_refused(before):
    assert "which compilers read in different ways" in refused(GUARD, with_work(WORK, before + "\n"))


@pytest.mark.parametrize("name, stage", [("guard", "counts"), ("padding", "clean")])
def test_what_is_hidden_from_the_check_is_noticed(need, monkeypatch, name, stage):
    hiding = "#define GLUE(a, b) a##b\n__attribute__((GLUE(no_sani, tize_thread)))\n__global__"
    text = need(name).text("solution").replace("__global__", hiding)
    monkeypatch.setattr("tinycnn.exercises.judge.refused", lambda *_: "")
    failed = judged(load(name), "mine.cu", text).failed
    assert failed.name == stage and "numbers of x need a load, and the trace has seen 0" in failed.message


def test_a_crash_is_a_line_and_a_failed_stage_in_json(tmp_path):
    (tmp_path / "mine.cu").write_text(with_work("abort();"))
    done = run(judge, "mine.cu", "--exercise", "guard")
    assert done.exit_code == 1 and "at n=256: an abort(): a failed assert, or memory it did not get" in done.output
    done = run(judge, "mine.cu", "--exercise", "guard", "--json")
    stages = json.loads(done.output)["stages"]
    assert done.exit_code == 1 and [stage["passed"] for stage in stages] == [True, False, None, None, None]


def test_a_flood_of_output_and_what_is_printed_do_not_reach_the_verdict(guard):
    flood = with_work(WORK, 'struct Flood { Flood() { for (;;) puts("flood"); } } flood;\n')
    verdict = judged(guard, "mine.cu", flood)
    assert verdict.failed.message == "it printed more than 1 MiB"
    talk = with_work('if (i == 0) printf("n is %d\\n", n);' + WORK)
    assert judged(guard, "mine.cu", talk) and "n is" not in json.dumps(judged(guard, "mine.cu", talk).as_json())


def test_what_cannot_be_judged_ends_with_status_2(tmp_path):
    for arguments, words in (
        (("no.cu", "--exercise", "guard"), "No such file"),
        (("mine.cu", "--exercise", "gard"), "no exercise 'gard'; did you mean guard?"),
        (("mine.cu", "--exercise", "swish_gradient"), "swish_gradient is an exercise in .py, and mine.cu is not"),
        (("folder.cu", "--exercise", "guard"), "folder.cu is not a regular file"),
    ):
        (tmp_path / "mine.cu").write_text(SOLUTION)
        (tmp_path / "folder.cu").mkdir(exist_ok=True)
        done = run(judge, *arguments)
        assert done.exit_code != 0 and words in done.output + str(done.exception), done.output
        assert done.exit_code == 2 or isinstance(done.exception, (OSError, ValueError))  # which main makes 2 of


def test_without_a_compiler_nothing_is_judged(guard, folder, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    for call in (lambda: judged(guard, "mine.cu", SOLUTION), lambda: grade_all(guard, folder)):
        with pytest.raises(CompilerMissing, match="no-such-compiler"):
            call()


# ---------------------------------------------------------------- in Python


def test_an_exception_is_told_by_its_line(need):
    swish = need("swish_gradient")
    wrong = swish.text("solution").replace("return dx, dslope", "return dx, dslope + missing")
    line = wrong.splitlines().index("        return dx, dslope + missing") + 1
    message = judged(swish, "mine.py", wrong).failed.message
    assert f"mine.py:{line}: NameError: name 'missing' is not defined" in message


def test_a_wrong_gradient_is_told_by_gradcheck(need):
    swish = need("swish_gradient")
    failed = judged(swish, "mine.py", swish.text("start")).failed
    assert failed.name == "visible" and "x (1, 3): wrong, at x[0," in failed.message


def test_the_solution_cannot_be_imported(need):
    swish = need("swish_gradient")
    failed = judged(swish, "mine.py", "from tinycnn.exercises.swish_gradient.solution import swish\n").failed
    assert failed.name == "builds" and "mine.py:1: ModuleNotFoundError" in failed.message


def test_only_ones_own_way_back_counts(need):
    swish = need("swish_gradient")
    failed = judged(swish, "mine.py", "def swish(x, slope):\n    return x / (1.0 + (-slope * x).exp())\n").failed
    assert failed.name == "visible" and "output_of('swish', ...)" in failed.message


PATCHES = """
import tinycnn.exercises.answers
import tinycnn.exercises.compare
import tinycnn.gradcheck
from tinycnn.exercises import answers, compare

tinycnn.gradcheck.gradcheck = tinycnn.gradcheck.pair = lambda *_, **__: True
compare.difference = answers.difference = lambda *_: ""
answers.wrong_with = lambda *_: None
"""


@pytest.mark.parametrize("name", ["numba_maxpool", "swish_gradient"])
def test_what_a_submission_does_to_the_judge_in_its_own_process_changes_nothing(need, name):
    verdict = judged(need(name), "mine.py", load(name).text("start") + PATCHES)
    assert verdict.failed.name == "visible"


@pytest.mark.parametrize("said", ["{}", "3", "{'arrays': 3}", "{'arrays': []}", "{'raised': 3, 'line': 'x'}"])
def test_an_answer_that_is_none_is_a_failed_stage(need, said):
    forged = f"\nfrom tinycnn.exercises import in_python\nin_python.GradientRunner.run = lambda *_: {said}\n"
    failed = judged(need("swish_gradient"), "mine.py", load("swish_gradient").text("solution") + forged).failed
    assert failed.name == "visible" and "it wrote where only the answer belongs" in failed.message


def test_an_input_written_over_is_told(need):
    swish = need("swish_gradient")
    wrong = swish.text("solution").replace("    return output_of", "    x.data[...] = 0\n    return output_of")
    failed = judged(swish, "mine.py", wrong).failed
    assert failed.name == "visible" and "x was written over; to be written is y" in failed.message


def test_of_a_hidden_shape_nothing_is_told_by_the_name_of_an_exception(need):
    swish = need("swish_gradient")
    telling = swish.text("solution").replace(
        "    device, of =",
        "    if x.shape == (5, 1):\n        raise type(f'rows_{x.shape[0]}', (Exception,), {})()\n    device, of =",
    )
    failed = judged(swish, "mine.py", telling).failed
    line = telling.splitlines().index("        raise type(f'rows_{x.shape[0]}', (Exception,), {})()") + 1
    assert failed.name == "hidden"
    assert failed.message == (
        f"wrong on 1 of 3 shapes (mine.py:{line}: an exception of its own): where there is one column"
    )


def test_of_a_hidden_shape_nothing_is_told_by_the_status_of_a_process(guard):
    failed = judged(guard, "mine.cu", with_work("if (n == 2047) exit(77);" + WORK)).failed
    assert failed.name == "hidden" and failed.message == "it ended its process"


@pytest.mark.parametrize(
    "work, words",
    [
        (
            "y[n, p, q, c] = largest\n    y[0, 0, 0, 0] = y[0, 0, 0, 0]",
            "threads 0 and 1 of the grid both write y[0,0,0,0]",
        ),
        ("y[n, p, q, c] = largest\n    if i == 0:\n        y[0] = y[0]", "both write y[0,0,0,1]"),
        ("y.flat[i] = largest", "no thread was seen to write y[0,0,0,0]"),
    ],
)
def test_who_writes_what_in_a_kernel_in_python_is_seen(need, work, words):
    maxpool = need("numba_maxpool")
    text = maxpool.text("solution").replace("y[n, p, q, c] = largest", work)
    failed = judged(maxpool, "mine.py", text).failed
    assert failed.name == "visible" and words in failed.message


@pytest.mark.parametrize("work", ["y[n][p, q, c] = largest", "y.ravel()[i] = largest", "y[n, p, q, c] += largest"])
def test_a_number_may_be_written_through_a_part_and_twice_by_its_thread(need, work):
    maxpool = need("numba_maxpool")
    text = maxpool.text("solution").replace("y[n, p, q, c] = largest", f"y[n, p, q, c] = 0\n    {work}")
    assert judged(maxpool, "mine.py", text)


# ---------------------------------------------------------------- exercise


def test_the_exercises_are_listed():
    done = run(exercise, "list")
    assert done.exit_code == 0 and all(name in done.output for name in NAMES)
    assert [row["name"] for row in json.loads(run(exercise, "list", "--json").output)] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_hand_out_is_whole_and_has_nothing_of_the_solution(name, tmp_path):
    found = load(name)
    assert run(exercise, "new", name, "-o", "hand out").exit_code == 0
    files = sorted(path.name for path in (tmp_path / "hand out").rglob("*"))
    assert files == sorted(["task.md", f"start{found.suffix}"])
    given = [line.strip() for file in files for line in (tmp_path / "hand out" / file).read_text().splitlines()]
    start = {line.strip() for line in found.text("start").splitlines()}
    kept_back = [line.strip() for line in found.text("solution").splitlines() if line.strip() not in start]
    assert kept_back
    for line in kept_back:
        if line != "}":
            assert not any(line in text for text in given), line


def test_a_hand_out_is_never_written_over_a_file_that_differs(tmp_path):
    assert run(exercise, "new", "guard", "-o", "out").exit_code == 0
    (tmp_path / "out" / "start.cu").write_text("mine\n")
    (tmp_path / "out" / "task.md").unlink()
    done = run(exercise, "new", "guard", "-o", "out")
    assert done.exit_code != 0 and "out/start.cu: there already, and differs; nothing was written" in done.output
    assert (tmp_path / "out" / "start.cu").read_text() == "mine\n" and not (tmp_path / "out" / "task.md").exists()


# ---------------------------------------------------------------- grade


@pytest.fixture
def folder(tmp_path):
    """Submissions of all kinds."""
    place = tmp_path / "all"
    for name, text in {
        "anna/start.cu": SOLUTION,
        "ben b/=1+1.cu": GUARD.text("start"),
        "carl.cu": with_work(WORK.replace("i < n", "i < n && i < 1024")),
        "dora.cu": with_work("if (i < n) y[i] = z[i];"),
        "emil.cu": with_work('if (i == 0) printf("secret %d\\n", n); if (n > 3000) abort();' + WORK),
        "fay.cu": with_work("if (i < n) y[i] = n == 3733 && i == 3001 ? n : x[i] > 0 ? x[i] : 0;"),
        "gus.cu": with_work(WORK.replace("i < n", "i < n + (n > 3000)")),
        "notes.txt": "no submission",
        ".hidden.cu": "no submission",
        ".git/kept.cu": "no submission",
    }.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    (place / "binary.cu").write_bytes(bytes(range(256)))
    (place / "link.cu").symlink_to("anna/start.cu")
    os.mkfifo(place / "pipe.cu")
    (tmp_path / "secret.toml").write_text(SECRET)
    return place


def test_every_file_gets_its_own_mark_and_the_secret_shape_stays_secret(folder):
    arguments = (folder, "--exercise", "guard", "--shapes", "secret.toml")
    done = run(grade, *arguments, "--csv")
    assert done.exit_code == 0, done.output
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(done.output))}
    assert {file: int(row["score"]) for file, row in rows.items()} == {
        "anna/start.cu": 12, "ben b/=1+1.cu": 1, "binary.cu": 0, "carl.cu": 4, "dora.cu": 0, "emil.cu": 4, "fay.cu": 4,
        "gus.cu": 7, "link.cu": 0, "pipe.cu": 0,
    }  # fmt: skip
    assert list(rows) == sorted(rows)
    assert rows["anna/start.cu"]["sectors a request of x"] == "4.0" and rows["anna/start.cu"]["message"] == ""
    assert "an abort()" in rows["emil.cu"]["message"]
    assert rows["fay.cu"]["message"] == "wrong on 1 of 1 shapes (wrong numbers)"
    assert rows["gus.cu"]["message"] == "on a hidden shape: gus.cu:6: out-of-bounds"
    texts = [done.output, run(grade, *arguments).output, run(grade, *arguments, "--json").output]
    for text in texts:
        assert "3733" not in text and "secret" not in text and "3001" not in text
    assert [row["file"] for row in json.loads(texts[2])] == list(rows)


def test_a_file_that_could_not_be_judged_has_no_mark_and_the_rest_have_theirs(folder, monkeypatch):
    def judge_but_one(exercise, file, text, hidden):
        if file == "dora.cu":
            raise limited.JobError("dora.cu could not be judged: a child ended before it began")
        return judged(exercise, file, text, hidden)

    monkeypatch.setattr("tinycnn.exercises.grade.judge", judge_but_one)
    done = run(grade, folder, "--exercise", "guard", "--csv")
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(done.output))}
    assert done.exit_code == 2 and rows["anna/start.cu"]["score"] == "12"
    assert rows["dora.cu"]["score"] == rows["dora.cu"]["builds"] == "" and rows["dora.cu"]["of"] == "12"
    assert rows["dora.cu"]["message"] == "dora.cu could not be judged: a child ended before it began"


def test_grading_twice_gives_the_same_bytes(folder):
    arguments = (folder, "--exercise", "guard", "--json")
    assert run(grade, *arguments).stdout_bytes == run(grade, *arguments).stdout_bytes


def test_no_cell_is_a_formula(tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "=cmd.cu").write_text("")
    (tmp_path / "all" / "-1.cu").write_text(with_work("y[i] = z[i];"))
    _, minus, equals = csv.reader(io.StringIO(run(grade, "all", "--exercise", "guard", "--csv").output))
    assert (minus[0], equals[0]) == ("'-1.cu", "'=cmd.cu") and minus[-1].startswith("'-1.cu")


def test_a_teacher_s_hint_is_shown_to_who_fails_there(folder, tmp_path):
    (tmp_path / "secret.toml").write_text(SECRET + 'hint = "there are more than 3000"\n')
    done = run(grade, folder, "--exercise", "guard", "--shapes", "secret.toml", "--json")
    (row,) = [row for row in json.loads(done.output) if row["file"] == "fay.cu"]
    assert row["stages"][2]["message"] == "wrong on 1 of 1 shapes (wrong numbers): where there are more than 3000"


@pytest.mark.parametrize(
    "text, words",
    [
        ("[[shape]]\nn = 0\n", "shape 1: n is a whole number from 1 to 131072, not 0"),
        ("[[shape]]\nn = 5\n[[shape]]\nm = 5\n", "shape 2 has m; the sizes of guard are n"),
        ("[[shape]]\nn = true\n", "not True"),
        ("[[shape]]\n", "shape 1 has no n"),
        ("[[shape]]\nn = 5\nhint = 3\n", "the hint is a text, not 3"),
        ("n = 5\n", "it consists of tables [[shape]], each with: n"),
        ("[[shape]\n", "secret.toml: "),
    ],
)
def test_a_file_of_shapes_that_is_wrong_is_refused_by_name(guard, tmp_path, text, words):
    (tmp_path / "secret.toml").write_text(text)
    with pytest.raises(ValueError, match="secret.toml") as error:
        read_shapes(guard, tmp_path / "secret.toml")
    assert words in str(error.value)


def test_sizes_that_do_not_go_together_are_refused(need, tmp_path):
    padding = need("padding")
    sizes = "\n".join(f"{name} = {1 if least else 0}" for name, least in padding.sizes.items()).replace(
        "R = 1", "R = 3"
    )
    (tmp_path / "secret.toml").write_text(f"[[shape]]\n{sizes}\n")
    with pytest.raises(ValueError, match="shape 1: filters of 3 x 1 do not fit into the padded image"):
        read_shapes(padding, tmp_path / "secret.toml")


def test_a_folder_without_submissions_is_refused(tmp_path):
    (tmp_path / "none").mkdir()
    done = run(grade, "none", "--exercise", "guard")
    assert isinstance(done.exception, ValueError) and "none has no file that ends in .cu" in str(done.exception)
    assert isinstance(run(grade, "nowhere", "--exercise", "guard").exception, OSError)
