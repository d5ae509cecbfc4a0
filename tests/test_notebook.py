"""The notebook of docs/ is run from its first cell to its last, and shows what its text promises."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
from lesson_pages import need_the_emulator

from tinycnn import exercises

NOTEBOOK = Path(__file__).resolve().parent.parent / "docs" / "tinycnn.ipynb"
THREADS, OUTPUTS, WIDTH, FILTER, SECTOR = 6 * 128, 26 * 26, 28, 3, 8  # of its kernel; a sector in floats


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What each cell shows, by the beginning of its code, in a folder of its own; and of a reader's own cell."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is missing, which runs the notebook: .[test]")
    need_the_emulator()
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    own = "%%tinycnn judge --exercise guard\n" + exercises.load("guard").text("solution")
    notebook.cells.append(nbformat.v4.new_code_cell(own))
    folder = str(tmp_path_factory.mktemp("notebook"))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": folder}}).execute()
    return [(cell.source, cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]


def texts(shown, beginning):
    """What the cells that begin so print, one text each."""
    found = [
        "".join(output.get("text", "") for output in outputs) for source, outputs in shown if beginning in source[:60]
    ]
    assert found
    return found


def test_it_is_kept_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_nothing_is_refused_and_nothing_raises(shown):
    for source, outputs in shown:
        assert all(output.output_type != "error" for output in outputs), source
        refused = any("tinycnn: " in output.get("text", "") for output in outputs)
        assert not (refused and "%tinycnn" in source), source


def test_the_kernel_has_no_fault_and_the_one_without_its_guard_has_that_of_the_threads_to_spare(shown):
    right, wrong = texts(shown, "%%tinycnn check")
    assert right == "1 launch of 1 kernel: 0 reports\n"
    # The first to look behind the image: its last tap, in row p + 2 and column q + 2.
    reads = [(i // 26 + FILTER - 1) * WIDTH + i % 26 + FILTER - 1 for i in range(THREADS)]
    first = next(i for i, place in enumerate(reads) if place >= WIDTH * WIDTH)
    assert f"out-of-bounds: conv: block ({first // 128},0,0) thread ({first % 128},0,0)" in wrong


def test_the_trace_counts_the_sectors_that_rows_and_columns_touch(shown):
    """Warp by warp and tap by tap, from the places alone."""
    counted = [float(re.search(r"global load +x +(\d+) +(\S+)", text)[2]) for text in texts(shown, "%%tinycnn trace")]
    i = np.arange(THREADS).reshape(-1, 32)
    for across, down, count in ((i % 26, i // 26, counted[0]), (i // 26, i % 26, counted[1])):
        sectors = [
            len({place // SECTOR for place in warp[ours].tolist()})
            for r in range(FILTER)
            for s in range(FILTER)
            for warp, ours in zip((down + r) * WIDTH + across + s, i < OUTPUTS, strict=True)
            if ours.any()
        ]
        assert count == pytest.approx(np.mean(sectors), abs=0.005)


def test_the_lesson_is_shown_as_a_page(shown):
    ((_, outputs),) = [one for one in shown if one[0].startswith("%%tinycnn lesson")]
    assert outputs[0].data["text/html"].startswith("<iframe ")


def test_the_network_learns(shown):
    (text,) = texts(shown, "from tinycnn import datasets")
    assert float(re.search(r"right: (\S+)% of 600 digits", text)[1]) > 80


def test_the_exercise_is_begun_with_a_fault_and_solved_by_who_mends_it(shown):
    begun, solved = texts(shown, "%%tinycnn judge")
    assert begun.startswith("guard: 7 of 12 points\n") and "relu.cu:6: out-of-bounds" in begun
    assert solved.startswith("guard: 12 of 12 points\n")


def test_it_installs_what_it_is_given(tmp_path, monkeypatch):
    """The first cell, with a name between its quotes: one package, by its whole path, and nothing by name alone."""
    interactive = pytest.importorskip("IPython.core.interactiveshell", reason="IPython is missing: .[notebook]")
    first = next(
        "".join(cell["source"])
        for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    )
    assert ast.literal_eval(first.splitlines()[0].removeprefix("SOURCE = ")) == ""
    monkeypatch.chdir(tmp_path)
    shell, asked = interactive.InteractiveShell(), []
    shell.register_magic_function(asked.append, "line", "pip")
    assert shell.run_cell(first).success and asked == []
    assert shell.run_cell(first.replace('""', '"a.whl"', 1)).success
    assert asked == [f'install --quiet "{tmp_path / "a.whl"}[notebook]"']
