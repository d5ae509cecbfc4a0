"""benchmarks/scaling.py: what it measures, its rows, and their table."""

import pytest
import scaling
import tables_of_results


def test_the_cores_are_shared_among_the_ranks(monkeypatch):
    monkeypatch.setattr(scaling.machine, "cores", lambda: 4)
    want = [(1, 1, "part"), (1, 4, "part"), (2, 2, "part"), (2, 2, "whole"), (8, 1, "part"), (8, 1, "whole")]
    assert scaling.configurations([1, 2, 8]) == want


def test_the_table_shows_speeds_beside_one_core(tmp_path):
    answers = [{"seconds": [1.0, 2.0, 4.0], "bytes_summed": 0, "loss": 2.3}]
    rows = [scaling.row_of("go-crazy", (1, 1, "part"), answers)]
    answers = [{"seconds": [1.0], "bytes_summed": 56_304, "loss": 2.3}]
    rows.append(scaling.row_of("go-crazy", (2, 1, "whole"), answers))
    images = scaling.BATCH * scaling.STEPS
    assert rows[0]["images_per_s"] == {"median": images / 2, "min": images / 4, "max": images}
    facts = {"device": "a processor", "versions": {"tinycnn": "1"}, "commit": "abc", "batch": 128, "epochs": 3}
    table = tables_of_results.scaling({**facts, "steps": 12, "rows": rows}, "scaling.json").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table[-2:]]
    assert cells[0] == ["`go-crazy`", "-", "1", "1", "768", "384 to 1,536", "1.00", "0"]
    assert cells[1] == ["`go-crazy`", "the whole batch", "2", "1", "1,536", "1,536 to 1,536", "2.00", "56,304"]


@pytest.mark.slow
def test_two_real_ranks_add_up_the_gradients_of_all_weights_and_a_few_figures():
    pytest.importorskip("mpi4py", reason="mpi4py, of the extra mpi, is not installed")
    answer = scaling.measure("vanilla-15k", 2, 1, "part", steps=1, epochs=1)
    # The gradients in float32, and in float64 the loss and the right answers: this network normalises nothing.
    assert answer["bytes_summed"] == 4 * 10_524 + 8 * 2
    assert len(answer["seconds"]) == 1 and answer["loss"] == pytest.approx(2.303, abs=0.05)
