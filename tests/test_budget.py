"""What the benchmarks do within a budget of seconds. Nothing is timed."""

import re
import sys

import budget as budgets
import conv_cudnn
import gpu_check
import ladder
import machine
import profile_steps
import pytest
import train_frameworks

import tinycnn
from tinycnn.devices import DeviceError


def test_a_rehearsal_takes_what_fits_in_order_and_names_the_rest():
    budget = budgets.Budget(10, rehearsal=True)
    seconds = {"a": 4, "b": 9, "c": 5, "d": 1, "e": 1}
    assert list(budget.within(seconds, str, seconds.get)) == ["a", "c", "d"]
    assert budget.left_out == ["b", "e"] and budget.left() == 0
    assert "10 s" in budget.report() and "(2): b; e" in budget.report()


def test_estimates_are_corrected_by_what_was_taken_but_not_by_the_first_alone(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(budgets.time, "perf_counter", lambda: clock[0])
    budget, taken = budgets.Budget(60), []
    for item in budget.within("abcdefgh", str, lambda item: 1):
        clock[0] += 20 if item == "a" else 10  # ten times as long as estimated
        taken.append(item)
    # After a and b the lower median of 1, 20 and 10 is 10; after d 10 s are left, which one more takes.
    assert "".join(taken) == "abcde" and budget.left_out == ["f", "g", "h"]


def test_without_a_budget_everything_fits():
    budget = budgets.Budget()
    assert list(budget.within("abc", str, lambda item: 1e9)) == ["a", "b", "c"]
    assert not budget.limited and budget.report() == ""


@pytest.mark.parametrize("text", ["0", "-3", "inf", "nan", "soon"])
def test_what_is_no_number_of_seconds_is_refused(text, capsys):
    with pytest.raises(SystemExit) as refused:
        profile_steps.main(["--dry-run", "--budget", text])
    assert refused.value.code == 2 and "--budget" in capsys.readouterr().err


@pytest.mark.parametrize(
    "script, options, wanted",
    [
        (conv_cudnn, [], ["22x22x72 * 7x7 -> 38", "28x28x32 * 3x3 -> 64", "26x26x12 * 3x3 -> 20"]),
        (ladder, [], ["second layer of go-crazy, forward", "layer of models-1, forward", "breakdown-2, forward"]),
        (
            train_frameworks,
            ["--device", "cuda", "--networks", "go-crazy"],
            ["tinycnn, cuda, fast; PyTorch, CUDA graph, channels-last; JAX, epoch"],
        ),
    ],
)
def test_a_rehearsed_budget_has_the_important_first_and_names_what_is_left_out(
    script, options, wanted, capsys, monkeypatch
):
    monkeypatch.setattr(machine, "installed", lambda module: True)
    assert script.main(["--dry-run", "--budget", "70", *options]) == 0
    text = capsys.readouterr().out
    kept, left_out = text.split("left out, for 70 s are too short", 1)
    places = [kept.index(part) for part in wanted]
    assert places == sorted(places) and left_out


# ---------------------------------------------------------------- gpu_check.py


@pytest.fixture
def commands(monkeypatch):
    """The commands that gpu_check.py would have run, all of which succeed."""
    found = []

    def command(words, seconds):
        found.append((words, seconds))
        return 0, "1 passed"

    monkeypatch.setattr(gpu_check, "command", command)
    return found


def test_the_check_gives_its_benchmarks_a_share_and_leaves_out_what_does_not_fit(commands, monkeypatch, capsys):
    try:
        tinycnn.get_device("emulator")
    except DeviceError as error:
        pytest.skip(f"no emulator: {error}")
    words = ["gpu_check.py", "--device", "emulator", "--budget", "60", "--steps", "tests", "profile", "conv", "ladder"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(budgets.time, "perf_counter", lambda: 0.0)
    gpu_check.main()
    scripts = [next(word for word in words if word.endswith(".py")) for words, _ in commands]
    assert scripts == [f"benchmarks/{name}.py" for name in ("profile_steps", "conv_cudnn", "ladder")]
    shares = [float(words[words.index("--budget") + 1]) for words, _ in commands]
    assert shares == [20, 30, 60]  # none of these took any time
    for (words, seconds), share in zip(commands, shares, strict=True):
        assert "--dry-run" in words and share < seconds < gpu_check.BENCHMARK_SECONDS
    assert "left out, for 60 s are too short (1): tests" in capsys.readouterr().out


# Tests of a device that a GPU need not run: they compare with Keras, or look at texts and pictures.
NOT_ON_A_GPU = {"test_keras", "test_keras_spellings", "test_compare", "test_readme", "test_pictures"}


def test_what_has_a_device_is_run_on_a_gpu():
    folder = gpu_check.ROOT / "tests"
    files = [*folder.glob("test_*.py"), *folder.glob("gradients/test_*.py")]
    having = {
        file.relative_to(folder).with_suffix("").as_posix()
        for file in files
        if re.search(r"^def test_\w+\([^)]*\bdevice\b", file.read_text(), re.MULTILINE)
    }
    assert having - set(gpu_check.SUITE) == NOT_ON_A_GPU


def test_what_was_not_run_does_not_read_as_passed():
    absent = {"passed": True, "absent": "no GPU is used"}
    assert gpu_check.verdict(absent) == "not run: no GPU is used"
    assert gpu_check.verdict({"passed": True, "tests": {"passed": True}}) == "passed"
    assert gpu_check.verdict({"passed": True, "tests": {"passed": True}, "times": absent}) == (
        "passed, but for what was not run: no GPU is used"
    )
    rows = [{"counted": 3, "absent": None}, {"counted": None, "absent": "a warning\nno kernel\n"}]
    assert gpu_check.verdict({"passed": True, "kernels": rows}) == "passed, but for what was not run: no kernel"
    assert gpu_check.verdict({"passed": False, "kernels": rows}) == "FAILED"


def test_without_a_budget_the_check_gives_none(commands, monkeypatch):
    gpu_check.benchmark(machine.RESULTS, "conv_cudnn")("cuda")
    ((words, seconds),) = commands
    assert "--budget" not in words and seconds == gpu_check.BENCHMARK_SECONDS
