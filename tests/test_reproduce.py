"""`tinycnn reproduce`: what it trains, how it goes on after an interruption, and the table and curves it makes."""

import json
import platform
from dataclasses import replace

import numpy as np
import pytest

import tinycnn
from tinycnn import command as cli
from tinycnn import datasets
from tinycnn.architectures import (
    ARCHITECTURES,
    Architecture,
    Params,
    UnknownNetwork,
    reproduction,
    reproduction_jobs,
)
from tinycnn.architectures import reproduction_report as report
from tinycnn.architectures.catalogue import OPEN, SCHEDULED_ADAM
from tinycnn.callbacks import ModelCheckpoint
from tinycnn.fit import loop as training

FIGURES = ("loss", "acc", "val_loss", "val_acc")


pytestmark = pytest.mark.usefixtures("reference")


@pytest.fixture
def tiny(monkeypatch):
    """A network among the documented ones that is trained in no time, with all that a resumed training must restore."""
    layers = "CN(4,5,strides=3)->BN()->DP(0.1)->MP(2,2)->FL()->DN(10)"
    made = Architecture("tiny", "Tiny", layers, SCHEDULED_ADAM, Params(770, 762, 8), accuracy=0.9)
    monkeypatch.setitem(ARCHITECTURES, "tiny", made)
    return "tiny"


@pytest.fixture
def command(capsys, tmp_path, tiny):
    """command("tiny", ...) -> (exit status, standard output, standard error), on 300 images into tmp_path/out."""

    def call(*arguments, out=tmp_path / "out"):
        with pytest.raises(SystemExit) as end:
            fixed = ["--data", "synthetic", "--limit", "300", "--out", str(out)]
            cli.main(["reproduce", *[str(a) for a in arguments], *fixed])
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return call


def rows_in(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))["rows"]


def row(network, accuracies, seed=0, epochs=20, **facts):
    """A row that ends at the last of these accuracies; every epoch took 60 s, 90 s of them of processors."""
    figures = {name: list(accuracies) for name in FIGURES}
    times = {"seconds": [60] * len(accuracies), "cpu_seconds": [90] * len(accuracies)}
    how = {"data": "MNIST", "images": 60_000, "device": "cpu", "machine": "some CPU, 2 cores", **facts}
    return {"network": network, "seed": seed, "epochs": epochs, **how, "history": {**figures, **times}}


def cells(rows):
    """{network: {header: cell}}"""
    lines = [report.line(group) for group in report.groups(rows)]
    return {line[0]: dict(zip(report.HEADERS, line, strict=True)) for line in lines}


# ---------------------------------------------------------------- what is trained


def test_all_networks_come_from_the_smallest_on_and_one_seed_before_the_next():
    runs = reproduction.plan(seeds=2)
    sizes = [ARCHITECTURES[run.network].params.total for run in runs[:27]]
    assert len({run.network for run in runs[:27]}) == 27 and sizes == sorted(sizes)
    assert [run.seed for run in runs] == [0] * 27 + [1] * 27
    assert [run.network for run in runs[:27]] == [run.network for run in runs[27:]]


def test_named_networks_keep_their_order_and_train_as_long_as_is_documented_or_asked_for():
    runs = reproduction.plan(["models-1", "breakdown-3", "models-1"])
    assert [(run.network, run.epochs) for run in runs] == [("models-1", 13), ("breakdown-3", 100)]
    assert [run.epochs for run in reproduction.plan(["models-1"], epochs=4)] == [4]


def test_the_device_that_is_named_computes(command, tiny, tmp_path):
    with tinycnn.use_device("cpu"):
        assert command(tiny, "--epochs", 1, "--device", "reference")[0] == 0
    assert [r["device"] for r in rows_in(tmp_path / "out")] == ["reference"]


def test_what_a_device_has_to_say_about_its_times_is_said(command, tiny, reference, monkeypatch):
    assert "note:" not in command(tiny, "--epochs", 1)[1]
    monkeypatch.setattr(reference, "remark", "times of an abacus", raising=False)
    assert "note: times of an abacus\n" in command(tiny, "--epochs", 2)[1]


def test_a_run_trains_by_the_recipe_as_train_does(command, tmp_path):
    log = tmp_path / "log"
    with pytest.raises(SystemExit):
        cli.main(f"train tiny --epochs 2 --limit 300 --data synthetic --log {log}".split())
    wanted = [json.loads(line) for line in log.read_text().splitlines()]
    status, _, error = command("tiny", "--epochs", 2, "--seeds", 2)
    assert status == 0, error
    first, second = rows_in(tmp_path / "out")
    assert [first[name] for name in ("network", "seed", "epochs", "images")] == ["tiny", 0, 2, 300]
    assert {name: first["history"][name] for name in FIGURES} == {
        name: [round(epoch[name], 6) for epoch in wanted] for name in FIGURES
    }
    assert second["seed"] == 1 and second["history"]["loss"] != first["history"]["loss"]


# ---------------------------------------------------------------- going on


def interrupt(monkeypatch, owner, epoch):
    """Ctrl-C when `owner` is told that this epoch, counted from 0, is over."""
    original = owner.on_epoch_end

    def on_epoch_end(self, number, logs=None):
        if number == epoch:
            raise KeyboardInterrupt
        original(self, number, logs)

    monkeypatch.setattr(owner, "on_epoch_end", on_epoch_end)


# Before an epoch is in the results; and after it is there, but not in the checkpoint yet.
@pytest.mark.parametrize("owner", [reproduction.Keeper, ModelCheckpoint])
@pytest.mark.parametrize("epoch", [0, 1])
def test_an_interrupted_training_goes_on_to_the_same_figures(command, tmp_path, monkeypatch, owner, epoch):
    whole = tmp_path / "whole"
    assert command("tiny", "--epochs", 3, out=whole)[0] == 0
    with monkeypatch.context() as patch:
        interrupt(patch, owner, epoch)
        status, out, error = command("tiny", "--epochs", 3)
    assert status == 130 and error.count("\n") == 1 and "interrupted" in error and "Traceback" not in error
    assert len(list((tmp_path / "out" / "unfinished").iterdir())) == epoch
    status, out, _ = command("tiny", "--epochs", 3)
    assert status == 0 and "Epoch 3/3" in out and ("Epoch 1/3" in out) == (epoch == 0)
    (got,), (wanted,) = rows_in(tmp_path / "out"), rows_in(whole)
    for name in FIGURES:
        assert len(wanted["history"][name]) == 3 and got["history"][name] == wanted["history"][name]
    assert len(got["history"]["seconds"]) == len(got["history"]["cpu_seconds"]) == 3
    assert not (tmp_path / "out" / "unfinished").exists()


def test_what_is_finished_is_not_trained_again(command, tmp_path, monkeypatch):
    assert command("tiny", "--epochs", 1)[0] == 0
    before = rows_in(tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", None)  # would fail if called
        status, out, _ = command("tiny", "--epochs", 1)
    assert status == 0 and "finished already" in out and "1 of 20" in out
    assert rows_in(tmp_path / "out") == before


def test_every_row_keeps_the_versions_by_which_it_was_trained(command, tiny, tmp_path):
    """An older file says them once for all of its rows."""
    older, own, folder = {"python": "3.10.0", "tinycnn": "0.1.0"}, {"tinycnn": "0.1.5"}, tmp_path / "out"
    folder.mkdir()
    rows = [row("go-crazy", [0.9], epochs=1), row("other-1", [0.9], epochs=1, versions=own)]
    file = {"versions": older, "rows": rows}
    (folder / "results.json").write_text(json.dumps(file), encoding="utf-8")
    assert command(tiny, "--epochs", 1)[0] == 0
    assert command(tiny, "--epochs", 1)[0] == 0  # which trains nothing
    first, second, third = rows_in(folder)
    assert first["versions"] == older and second["versions"] == own
    assert third["versions"].items() >= {"python": platform.python_version(), "tinycnn": tinycnn.__version__}.items()


def test_two_commands_may_train_into_one_folder(tiny, tmp_path, capsys):
    data = datasets.load("synthetic", limit=20)
    first, second = (reproduction.Results(tmp_path) for _ in range(2))
    here = {"data": data.name, "images": 20, "device": "reference"}
    begun = row("go-crazy", [0.5], epochs=2)
    first.keep(begun)
    second.keep(row(tiny, [0.9], epochs=1, **here))
    second.keep(row("go-crazy", [], epochs=2))  # the same training as the first's, and behind it
    first.keep(row("go-crazy", [0.6, 0.7], seed=1, epochs=2))
    found = {(r["network"], r["seed"]): r["history"]["val_acc"] for r in rows_in(tmp_path)}
    assert found == {("go-crazy", 0): [0.5], ("tiny", 0): [0.9], ("go-crazy", 1): [0.6, 0.7]}
    assert begun in first.rows and "tiny" in (tmp_path / "table.md").read_text(encoding="utf-8")
    second.keep(row(tiny, [0.8], seed=1, epochs=1, **here))
    reproduction.reproduce([reproduction.Run(tiny, 1, 1)], data, first)  # what the other has finished since
    assert capsys.readouterr().out == "tiny, seed 1: finished already\n"


def test_what_a_worker_has_left_is_read_once_and_again_when_it_is_written_again(tmp_path, monkeypatch):
    """Who hands out a hundred jobs looks twice a second."""
    results, read, opened = reproduction.Results(tmp_path), reproduction.read, []
    monkeypatch.setattr(reproduction, "read", lambda path: opened.append(path.stem) or read(path))
    kept = reproduction_jobs.OneRow(tmp_path)
    (tmp_path / "unfinished").mkdir()
    for name in ("go-crazy", "other-1"):
        kept.keep(row(name, [0.5], epochs=2))
    assert len(results.take_in()) == 2 and len(opened) == 2
    assert results.take_in() == [] and len(opened) == 2
    kept.keep(row("other-1", [0.5, 0.6], epochs=2))
    (news,) = results.take_in()
    assert news["history"]["val_acc"] == [0.5, 0.6] and len(opened) == 3


def test_other_epochs_other_data_and_other_devices_are_runs_of_their_own(tmp_path):
    data = datasets.load("synthetic", limit=20)
    fewer = datasets.load("synthetic", limit=10)
    results = reproduction.Results(tmp_path)
    kept = results.row(reproduction.Run("go-crazy", 0, 2), data)
    results.keep(kept)
    assert results.row(reproduction.Run("go-crazy", 0, 2), data) is kept
    others = [
        results.row(reproduction.Run("go-crazy", 0, 3), data),
        results.row(reproduction.Run("go-crazy", 1, 2), data),
        results.row(reproduction.Run("go-crazy", 0, 2), fewer),
    ]
    with tinycnn.use_device("cpu"):
        others.append(results.row(reproduction.Run("go-crazy", 0, 2), data))
    assert all(other is not kept for other in others)
    assert len({results.checkpoint(other) for other in [kept, *others]}) == 5


def test_a_plan_says_how_long_it_takes_by_the_epochs_that_are_finished(command, tmp_path):
    here = {"data": "synthetic digits", "images": 300, "device": "reference"}
    results = reproduction.Results(tmp_path / "out")
    results.keep(row("tiny", [0.5], epochs=3, **here))
    status, out, _ = command("tiny", "--epochs", 3, "--seeds", 2, "--dry-run")
    lines = [line.split() for line in out.splitlines()]
    assert status == 0 and ["tiny", "0", "-", "1", "of", "3", "2.0"] in lines
    assert ["tiny", "1", "-", "0", "of", "3", "3.0"] in lines and out.endswith(
        ", 5 minutes by the finished epochs here\n"
    )
    status, out, _ = command("tiny", "go-crazy", "--epochs", 3, "--dry-run")  # of another nothing is known
    assert ["go-crazy", "0", "-", "0", "of", "3", "?"] in [line.split() for line in out.splitlines()]
    assert out.endswith("5 epochs left\n") and rows_in(tmp_path / "out") == results.rows


@pytest.mark.filterwarnings("error:.*log.*")
def test_a_training_that_diverges_is_told_and_is_left_out_of_the_means(command, monkeypatch, tmp_path):
    assert command("tiny", "--epochs", 2)[0] == 0
    fast = replace(OPEN, optimizer="sgd", learning_rate=1e30)
    monkeypatch.setitem(ARCHITECTURES, "tiny", replace(ARCHITECTURES["tiny"], recipe=fast))
    for _ in range(2):  # trained, and finished already
        status, out, error = command("tiny", "--epochs", 2, "--seeds", 2)
        assert status == 3
        assert error.endswith("tinycnn: tiny, seed 1: diverged, the loss is no number any more\n")
        assert "1 of 2 diverged" in out and "nan" not in out.split("network")[-1]
    text = (tmp_path / "out" / "results.json").read_text()
    assert "NaN" not in text and "null" in text
    (tmp_path / "out" / "results.json").unlink()
    status, out, error = command("tiny", "--epochs", 2)
    assert status == 3 and "1 of 1 diverged" in out, error


# ---------------------------------------------------------------- what is refused


def test_an_unknown_network_is_refused_before_anything_is_written(command, tmp_path):
    status, _, error = command("go-crazy", "go-crasy")
    assert status == 2 and error.count("\n") == 1 and "did you mean go-crazy" in error
    assert not (tmp_path / "out").exists()
    with pytest.raises(UnknownNetwork):
        reproduction.plan(["resnet"])


def test_an_out_that_is_a_file_is_refused(command, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, error = command("go-crazy", out=tmp_path / "file")
    assert status == 2 and error.count("\n") == 1 and "file" in error


def test_a_folder_that_takes_no_files_is_refused_before_training(command, monkeypatch, tmp_path):
    def refuse(path, data):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(reproduction, "write_atomically", refuse)
    monkeypatch.setattr(training, "fit", None)  # would fail if called
    status, _, error = command("go-crazy")
    assert status == 2 and error.count("\n") == 1 and "results.json: Permission denied" in error


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"rows": [{}]}',
        '{"rows": [{"network": "nonsense"}]}',
        json.dumps({"rows": [{"network": "go-crazy", "history": {}}]}),
        json.dumps({"rows": [{k: v for k, v in row("go-crazy", [0.5]).items() if k != "machine"}]}),
        json.dumps({"rows": [row("go-crazy", ["0.5"])]}),
        json.dumps({"rows": [row("go-crazy", [0.5], images="many")]}),
    ],
)
def test_damaged_results_are_named_and_left_as_they_are(command, tmp_path, text):
    path = tmp_path / "out" / "results.json"
    path.parent.mkdir()
    path.write_text(text)
    status, _, error = command("go-crazy")
    assert status == 2 and error.count("\n") == 1 and "results.json is damaged" in error and "move it away" in error
    assert path.read_text() == text


def test_a_damaged_checkpoint_is_named(command, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, reproduction.Keeper, 1)
        assert command("tiny", "--epochs", 2)[0] == 130
    (path,) = (tmp_path / "out" / "unfinished").iterdir()
    path.write_bytes(b"nonsense")
    status, _, error = command("tiny", "--epochs", 2)
    assert status == 2 and error.count("\n") == 1 and path.name in error


# ---------------------------------------------------------------- the table and the curves


def test_the_table_shows_mean_and_standard_deviation_beside_what_is_documented():
    rows = [row("go-crazy", [0.5] * 19 + [end], seed) for seed, end in enumerate((0.99, 0.992, 0.997))]
    line = cells(rows)["go-crazy"]
    # the mean is 0.993; the deviations -0.003, -0.001, 0.004 give sqrt(26e-6 / 2) = 0.0036
    assert (line["last epoch"], line["seeds"]) == ("0.9930 ± 0.0036", "3")
    assert (line["parameters"], line["documented"], line["epochs"]) == ("13,880", "0.9919 (last)", "20 of 20")
    assert line["difference"] == "-0.0011, within"
    assert (line["minutes"], line["CPU minutes"], line["remarks"]) == ("20.0", "30.0", "")


def test_one_seed_has_no_spread_and_what_is_not_documented_is_a_dash():
    line = cells([row("vanilla", [0.9, 0.98], epochs=2)])["vanilla"]
    assert (line["documented"], line["last epoch"], line["difference"]) == ("-", "0.9800", "-")
    assert (line["seeds"], line["epochs"]) == ("1", "2 of 20")


def test_the_best_epoch_of_each_seed_stands_beside_the_last():
    line = cells(
        [row("go-crazy", log, seed, 3) for seed, log in enumerate(([0.9, 0.994, 0.99], [0.992, 0.99, 0.991]))]
    )["go-crazy"]
    assert line["best epoch"] == "0.9930 ± 0.0014"


@pytest.mark.parametrize(
    ("network", "ends", "best", "said"),
    [
        ("go-crazy", [0.9930], 0.995, "-0.0011"),  # documented is 0.9919; one seed has no range
        ("go-crazy", [0.9930, 0.9950], 0.995, "-0.0021, below all"),
        ("go-crazy", [0.99186, 0.99189], 0.995, "+0.0000, within"),  # to the document's four digits
        ("other-1", [0.9930, 0.9940], 0.995, "+0.0008, above all"),  # its log says that 0.9943 is the last
        ("breakdown-1", [0.9902, 0.9912], 0.9920, "+0.0013, above all (best: within)"),  # no log: it may be the best
        ("breakdown-1", [0.9902, 0.9912], 0.9915, "+0.0013, above all (best: above all)"),
        ("breakdown-1", [0.9902, 0.9922], 0.9950, "+0.0008, within"),
    ],
)
def test_the_table_says_where_the_documented_accuracy_lies(network, ends, best, said):
    rows = [row(network, [best, end], seed, epochs=2) for seed, end in enumerate(ends)]
    assert cells(rows)[network]["difference"] == said


def test_a_document_may_give_its_best_epoch(monkeypatch):
    log = ARCHITECTURES["go-crazy"].history["val_acc"]
    made = replace(ARCHITECTURES["go-crazy"], accuracy=max(log))
    monkeypatch.setitem(ARCHITECTURES, "go-crazy", made)
    assert made.accuracy_of == "best" and max(log) != log[-1]
    assert cells([row("go-crazy", [0.9])])["go-crazy"]["documented"] == "0.9945 (best)"


def test_it_says_which_epoch_of_its_log_the_document_gives():
    said = {a.accuracy_of for a in ARCHITECTURES.values() if a.history}
    assert said == {"last", "last and best", "neither"} and ARCHITECTURES["cn-3"].accuracy_of == "neither"
    assert cells([row("breakdown-1", [0.9])])["breakdown-1"]["documented"] == "0.9920 (no log)"
    assert cells([row("eip4-2", [0.9])])["eip4-2"]["documented"] == "0.9934 (last and best)"


def test_the_table_says_what_the_documents_leave_open():
    rows = [row(name, [0.9]) for name in ("breakdown-1", "breakdown-3", "essentia", "eip4-2", "other-1", "other-4")]
    remarks = {name: line["remarks"].removesuffix("; unfinished") for name, line in cells(rows).items()}
    assert remarks["breakdown-1"] == "not documented: Adam 0.001, batch 128, 20 epochs" == remarks["essentia"]
    assert remarks["breakdown-3"] == "not documented: Adam 0.001, batch 128"
    assert remarks["eip4-2"] == "not documented: Adam 0.001, batch 128; widths and dropout reconstructed"
    assert remarks["other-4"] == "not documented: batch 64, 20 epochs"
    assert remarks["other-1"] == "unfinished"
    epochs = {name: line["epochs"] for name, line in cells(rows).items()}
    assert (epochs["breakdown-1"], epochs["breakdown-3"], epochs["eip4-2"]) == ("1", "1 of 100", "1 of 20")


def test_an_unfinished_training_is_shown_only_while_there_is_no_finished_one():
    unfinished, finished = row("go-crazy", [0.5] * 7), row("go-crazy", [0.9] * 20, seed=1)
    line = cells([unfinished])["go-crazy"]
    assert (line["last epoch"], line["epochs"], line["remarks"]) == ("0.5000", "7 of 20", "unfinished")
    line = cells([unfinished, finished])["go-crazy"]
    assert (line["last epoch"], line["seeds"]) == ("0.9000", "1")


def test_other_data_than_the_documented_is_named():
    assert cells([row("go-crazy", [0.9] * 20, images=512)])["go-crazy"]["remarks"] == "512 images of MNIST"


def test_every_machine_has_a_table_of_its_own(tmp_path):
    rows = [row("go-crazy", [0.91] * 20), row("go-crazy", [0.92] * 20, machine="some GPU", device="cuda")]
    report.write_table(rows, tmp_path)
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    first, second = text.split("\n## ")[1:]
    assert first.startswith("some CPU, 2 cores") and "0.9100" in first and "0.9200" not in first
    assert second.startswith("some GPU") and "0.9200" in second


@pytest.mark.parametrize(("network", "documented"), [("go-crazy", 1), ("breakdown-1", 0)])
def test_the_curves_of_all_seeds_are_drawn_over_the_documented_log(tmp_path, network, documented):
    rows = [row(network, [0.9, 0.95], seed) for seed in range(3)] + [row("models-1", [0.1])]
    figure = report.draw(rows, network, tmp_path)
    assert (tmp_path / f"{network}.png").read_bytes().startswith(b"\x89PNG")
    assert figure.get_suptitle().startswith(f"{network} on 60,000 images of MNIST, seeds 0, 1, 2")
    for axes, kind in zip(figure.axes, ("loss", "acc"), strict=True):
        drawn = [line.get_ydata() for line in axes.get_lines()]
        assert len(drawn) == 2 * (3 + documented)
        assert sum(np.array_equal(values, [0.9, 0.95]) for values in drawn) == 6
        if documented:
            log = ARCHITECTURES[network].history
            for name in (kind, f"val_{kind}"):
                assert sum(np.array_equal(values, log[name]) for values in drawn) == 1


def test_the_folder_has_table_and_curves_that_refer_to_each_other(command, tmp_path):
    status, out, _ = command("tiny", "--epochs", 1)
    text = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    assert status == 0 and "300 images of synthetic digits" in text and "300 images of synthetic digits" in out
    assert "![tiny](tiny.png)" in text and (tmp_path / "out" / "tiny.png").exists()
