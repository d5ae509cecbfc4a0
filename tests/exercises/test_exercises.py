"""Every exercise: its solution is accepted, its start is not, and each mutant of its solution fails where it should."""

import re
from pathlib import Path

import numpy as np
import oracles
import pytest

from tinycnn import emulator
from tinycnn.devices.checks import compile_gate
from tinycnn.exercises import NAMES, convolution, load
from tinycnn.exercises.judge import judge, stage_names
from tinycnn.exercises.stages import BUILDS, CLEAN, COUNTS, HIDDEN, POINTS, VISIBLE

ROOT = Path(__file__).resolve().parents[2]
EXERCISES = {name: load(name) for name in NAMES}
KERNELS = [name for name in NAMES if EXERCISES[name].kind == "cuda"]
every = pytest.mark.parametrize("name", NAMES)


def mutants():
    """(exercise, mutant): the first of each stage of each exercise, and the rest as slow."""
    for name, exercise in EXERCISES.items():
        seen = set()
        for mutant in exercise.mutants():
            marks = [pytest.mark.slow] * (mutant.stage in seen or mutant.name == "endless")
            seen.add(mutant.stage)
            yield pytest.param(name, mutant, marks=marks, id=f"{name}-{mutant.name}")


def failed(exercise, text):
    """The name of the stage that a text fails at; None where it passes."""
    stage = judge(exercise, f"submission{exercise.suffix}", text).failed
    return stage and stage.name


@every
def test_the_solution_passes(need, name):
    exercise = need(name)
    verdict = judge(exercise, f"solution{exercise.suffix}", exercise.text("solution"))
    assert verdict and verdict.score == verdict.of, verdict.failed
    for stage in verdict.stages:
        assert stage.passed is True and not stage.message
        if stage.name == COUNTS:
            assert stage.counts.keys() == {goal.what for goal in exercise.goals}


@every
def test_what_is_handed_out_builds_and_does_not_pass(need, name):
    exercise = need(name)
    assert failed(exercise, exercise.text("start")) in (VISIBLE, COUNTS)


@pytest.mark.parametrize("name, mutant", list(mutants()))
def test_a_mutant_is_rejected_at_its_stage(need, name, mutant):
    assert failed(need(name), mutant.text) == mutant.stage


@every
def test_there_are_mutants_enough(name):
    exercise = EXERCISES[name]
    found = exercise.mutants()
    assert len(found) >= 8 and len({mutant.text for mutant in found}) == len(found)
    assert len({mutant.name for mutant in found}) == len(found)
    stages = {mutant.stage for mutant in found}
    assert VISIBLE in stages and stages <= set(stage_names(exercise)) and (COUNTS in stages) == bool(exercise.goals)


def test_together_the_mutants_reach_every_stage():
    assert {mutant.stage for e in EXERCISES.values() for mutant in e.mutants()} == {
        BUILDS, VISIBLE, HIDDEN, CLEAN, COUNTS,
    }  # fmt: skip


@pytest.mark.parametrize("name", KERNELS)
def test_the_check_has_nothing_against_the_solution_s_own_launch(need, name):
    exercise = need(name)
    launches = emulator.read_launches(exercise.file("solution"))
    assert [launch.kernel for launch in launches] == [exercise.function]
    assert emulator.check(exercise.file("solution"), launches) == []


@pytest.mark.parametrize("name", KERNELS)
def test_what_is_handed_out_can_be_traced_as_its_task_says(need, name):
    exercise = need(name)
    (start,) = emulator.read_launches(exercise.file("start"))
    (solution,) = emulator.read_launches(exercise.file("solution"))
    assert (start.grid, start.block, start.shared) == (solution.grid, solution.block, solution.shared)
    if exercise.goals and name not in ("guard", "barrier", "backward_data", "backward_filter"):  # unfinished, or a race
        assert emulator.trace(exercise.file("start"), start).lines


@every
def test_the_shapes_are_all_different_and_small(name):
    exercise = EXERCISES[name]
    shapes = [*exercise.visible, *exercise.hidden]
    sizes = [tuple(shape.sizes.values()) for shape in shapes]
    assert len(set(sizes)) == len(sizes) >= 4
    for shape in shapes:
        assert shape.suspicion and exercise.checked(shape.sizes, "it") == shape.sizes
    assert (exercise.counted is not None) == bool(exercise.goals)


@every
def test_a_shape_gives_the_same_numbers_every_time(name):
    exercise = EXERCISES[name]
    sizes = exercise.visible[0].sizes
    first, again = exercise.at(sizes), exercise.at(sizes)
    if exercise.kind == "gradient":
        pairs = zip([*first.inputs, first.want], [*again.inputs, again.want], strict=True)
    else:
        pairs = zip(first.launch.args, again.launch.args, strict=True)
        for output in first.outputs:
            assert np.isnan(first.launch.args[output.argument]).all()
            assert first.launch.args[output.argument].shape == output.want.shape == output.bound.shape
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


@every
def test_the_task_says_what_is_judged(name):
    exercise = EXERCISES[name]
    task, start = exercise.text("task.md"), exercise.text("start")
    assert task.startswith(f"# {exercise.title}\n")
    assert re.search(rf"\b{exercise.function}\(", start)
    assert exercise.parameters == re.findall(
        r"(\w+)[,)]", re.search(rf"\b{exercise.function}\((.*?)\)", start, re.DOTALL)[0]
    )


# ---------------------------------------------------------------- what is right


@pytest.mark.parametrize("shape", [*EXERCISES["padding"].visible, *EXERCISES["padding"].hidden], ids=str)
def test_the_convolution_that_decides_is_that_of_the_tests(shape):
    conv, rng = convolution.Conv.of(shape.sizes), np.random.default_rng(0)
    x, w = rng.standard_normal((conv.N, conv.H, conv.W, conv.C)), rng.standard_normal((conv.R, conv.S, conv.C, conv.K))
    dy = rng.standard_normal((conv.N, conv.P, conv.Q, conv.K))
    stride, padding = (conv.stride_h, conv.stride_w), ((conv.top, conv.bottom), (conv.left, conv.right))
    want = (
        oracles.conv2d(x, w, 0, stride, padding),
        oracles.conv2d_data_gradient(dy, w, x.shape, stride, padding),
        oracles.conv2d_filter_gradient(x, dy, (conv.R, conv.S), stride, padding),
    )
    got = (
        convolution.forward(conv, x, w),
        convolution.backward_data(conv, dy, w),
        convolution.backward_filter(conv, x, dy),
    )
    for (values, magnitude), right in zip(got, want, strict=True):
        np.testing.assert_allclose(values, right, atol=1e-12)
        assert (np.abs(values) <= magnitude + 1e-12).all()


@pytest.mark.parametrize("file", ["start", "solution"])
@pytest.mark.parametrize("name", KERNELS)
def test_what_is_written_here_compiles_for_a_gpu_too(nvrtc, name, file):
    exercise = EXERCISES[name]
    log, lowered = compile_gate.compile_log(exercise.text(file), exercise.file(file).name, [exercise.function], "sm_75")
    (row,) = compile_gate.rows_of(log, lowered, exercise.file(file).name, "sm_75")
    assert row.kernel == exercise.function and not row.spills


def test_the_page_lists_every_exercise_and_every_stage_with_its_points():
    page = (ROOT / "docs" / "exercises.md").read_text(encoding="utf-8")
    tables = [
        re.findall(r"^\| `(\w+)` \|.*?\|(?: (\d) \|)?$", part, re.MULTILINE) for part in page.split("## For students")
    ]
    assert tables == [[(name, "") for name in NAMES], [(name, str(points)) for name, points in POINTS.items()]]
