"""Jobs on Dask's workers: the same figures as without, a worker that is killed, Ctrl-C, and what is refused."""

import importlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from tinycnn import command as cli
from tinycnn import datasets
from tinycnn.architectures import ARCHITECTURES, reproduction, reproduction_jobs
from tinycnn.architectures import reproduction_report as report
from tinycnn.command import options

gradcheck = importlib.import_module("tinycnn.command.gradcheck")  # `command.gradcheck` is the command itself
cluster = pytest.importorskip("tinycnn.cluster")
import cluster_jobs  # noqa: E402

del ARCHITECTURES["tiny"]
pytestmark = pytest.mark.usefixtures("reference", "tiny")


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "tiny", cluster_jobs.TINY)


@contextmanager
def two_workers():
    """Their client. They know the tests' modules; not this process starts them, which has run other tests before."""
    tests = Path(__file__).parent
    command = [sys.executable, tests / "two_workers.py"]
    with subprocess.Popen(command, cwd=tests, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        address = started.stdout.readline().strip()
        assert address.startswith("tcp://")
        with cluster.connected(None, address, folders=[str(tests)]) as found:
            yield found
        started.stdin.close()


@pytest.fixture(scope="module")
def client():
    with two_workers() as found:
        yield found


def figures(folder):
    """{seed: its figures}, without the times."""
    rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))["rows"]
    return {row["seed"]: {name: row["history"][name] for name in reproduction.FIGURES} for row in rows}


def table_without_times(folder):
    lines = report.table(reproduction.read(folder / "results.json"), "pipe").splitlines()
    return [[cell.strip() for i, cell in enumerate(line.split("|")) if i not in (9, 10)] for line in lines[2:]]


@pytest.fixture
def alone(tmp_path):
    """The folder of two seeds of four epochs, trained without a cluster."""
    runs = reproduction.plan(["tiny"], 4, 2)
    reproduction.reproduce(runs, datasets.load("synthetic", limit=300), reproduction.Results(tmp_path / "alone"))
    return tmp_path / "alone"


def test_a_job_whose_worker_was_killed_goes_on_at_another_one_to_the_same_bits(
    client, alone, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(reproduction_jobs, "work", cluster_jobs.work_and_be_killed)
    results = reproduction.Results(tmp_path / "out")
    capsys.readouterr()
    data = datasets.load("synthetic", limit=300)
    reproduction_jobs.reproduce(client, reproduction.plan(["tiny"], 4, 2), data, results, "synthetic", 300)
    begun = [tuple(map(int, line.split())) for line in (tmp_path / "out" / "begun").read_text().splitlines()]
    of_seed_1 = [(process, epoch) for seed, process, epoch in begun if seed == 1]
    assert [epoch for _, epoch in of_seed_1] == [0, 1, 2, 2, 3]  # the epoch that was cut off, and not those before it
    processes = list(dict.fromkeys(process for process, _ in of_seed_1))
    assert len(processes) == 2 and os.getpid() not in processes
    assert figures(tmp_path / "out") == figures(alone) and len(figures(alone)) == 2
    assert table_without_times(tmp_path / "out") == table_without_times(alone)
    shown = capsys.readouterr().out.splitlines()
    shown.remove("tiny, seed 1: its worker died; another takes it up")
    assert sorted(line.split("  ")[0] for line in shown) == [
        f"tiny, seed {seed}: epoch {epoch}/4" for seed in (0, 1) for epoch in (1, 2, 3, 4)
    ]
    assert not (tmp_path / "out" / "unfinished").exists() and not results.permit.exists()


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_a_command_without_a_cluster_goes_on(client, alone, tmp_path, monkeypatch):
    tell = reproduction_jobs.Display.tell

    def told(display, rows):
        tell(display, rows)
        raise KeyboardInterrupt

    runs, data = reproduction.plan(["tiny"], 4, 2), datasets.load("synthetic", limit=300)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(reproduction_jobs.Display, "tell", told)
        patch.setattr(reproduction_jobs, "work", cluster_jobs.work)
        reproduction_jobs.reproduce(client, runs, data, reproduction.Results(tmp_path / "out"), "synthetic", 300)
    kept = figures(tmp_path / "out")
    assert any(row["loss"] for row in kept.values())
    for seed, row in kept.items():
        for name, values in row.items():
            assert values == figures(alone)[seed][name][: len(values)]
    # The workers may still be at a batch: they find no permit there, or that of nobody.
    results = reproduction.Results(tmp_path / "out")
    reproduction.reproduce(runs, data, results)
    assert figures(tmp_path / "out") == figures(alone)


def test_what_a_job_raises_is_raised(client):
    done = {}
    with pytest.raises(ValueError, match="two is too much"):
        for number, square in cluster.finished(client, cluster_jobs.fail_on_two, [0, 1, 2]):
            done[number] = square
    assert all(square == number**2 for number, square in done.items())


def test_a_scheduler_that_goes_in_the_middle_is_one_line(capfd):
    with two_workers() as client:
        address = client.scheduler.address
        with pytest.raises(cluster.ClusterError) as gone:
            list(cluster.finished(client, cluster_jobs.kill_the_scheduler, range(3)))
    assert str(gone.value) == f"the scheduler at {address} has gone; start it and this command again"
    assert "Traceback" not in capfd.readouterr().err


def test_finished_epochs_are_looked_for_while_a_scheduler_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER_SECONDS", 0.2)
    os.mkfifo(tmp_path / "go")
    halted, looks, late = tmp_path / "halted", [], []

    def go_on():
        os.kill(int(halted.read_text()), signal.SIGCONT)
        (tmp_path / "go").write_text("done")

    def too_late():
        late.append("nobody looked")
        go_on()

    def look():
        if halted.exists() and not late:
            looks.append("looked")
            if len(looks) == 3:
                in_time.cancel()
                go_on()

    in_time = threading.Timer(60, too_late)
    with two_workers() as client:
        in_time.start()
        assert list(cluster.finished(client, cluster_jobs.stop_the_scheduler, [tmp_path], look)) == [(tmp_path, "done")]
    assert not late


def test_gradients_are_checked_by_workers_as_without(client):
    checks = [gradcheck.Check(name, "reference", "float64") for name in ("relu", "softmax")]
    assert dict(options.shared(client, gradcheck.reports, checks)) == dict(
        options.shared(None, gradcheck.reports, checks)
    )


def test_workers_that_do_not_start_are_one_line():
    """They read the script of whoever starts them once more, and standard input cannot be read twice."""
    script = """
import tinycnn.cluster as cluster
try:
    with cluster.connected(1, None): pass
except cluster.ClusterError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, timeout=300)
    assert done.stdout == "the workers do not start: RuntimeError: Nanny failed to start worker process\n"


# ---------------------------------------------------------------- without workers


def test_all_documented_networks_are_a_target_of_gradcheck():
    assert gradcheck.targets("networks") == list(ARCHITECTURES)


def job_of(folder, limit=300, permit="mine"):
    run = reproduction.Run("tiny", 0, 2)
    row = reproduction.Results(folder).row(run, datasets.load("synthetic", limit=300))
    return reproduction_jobs.Job(run, row, folder, permit, "reference", "float32", "synthetic", limit)


@pytest.mark.parametrize("now", [None, "another's"])
def test_a_job_whose_command_is_gone_stops_at_the_next_batch(tmp_path, now):
    job = job_of(tmp_path)
    if now is not None:
        (tmp_path / ".permit").write_text(now)
    assert reproduction_jobs.work(job) is False
    assert not reproduction_jobs.OneRow(tmp_path).row_file(job.row).exists()
    (tmp_path / ".permit").write_text("mine")
    assert reproduction_jobs.work(job) is True


def test_other_data_at_a_worker_are_an_error(tmp_path):
    job = job_of(tmp_path, limit=200)
    (tmp_path / ".permit").write_text("mine")
    with pytest.raises(ValueError, match="a worker has other data: 200 images of synthetic digits, not 300"):
        reproduction_jobs.work(job)


def test_a_job_that_a_worker_finished_before_it_died_is_not_trained_again(tmp_path, monkeypatch):
    job = job_of(tmp_path)
    (tmp_path / ".permit").write_text("mine")
    assert reproduction_jobs.work(job) is True
    monkeypatch.setattr(reproduction, "fit", None)  # would fail if called
    assert reproduction_jobs.work(job) is True


def test_a_row_names_every_machine_that_trained_it(tmp_path, monkeypatch):
    job = job_of(tmp_path)
    (tmp_path / ".permit").write_text("mine")
    monkeypatch.setattr(reproduction, "machine", lambda device: "the first")
    with monkeypatch.context() as patch:
        patch.setattr(reproduction.ModelCheckpoint, "on_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            reproduction_jobs.work(job)
    monkeypatch.setattr(reproduction, "machine", lambda device: "the second")
    assert reproduction_jobs.work(job) is True
    (row,) = reproduction.read(reproduction_jobs.OneRow(tmp_path).row_file(job.row))
    assert row["machine"] == "the first and the second" and len(row["history"]["loss"]) == 2


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_checkpoint_that_is_ahead_of_its_row_is_not_gone_on_from(tmp_path):
    """Its worker wrote on when nobody waited for it any more: those epochs have no figures."""
    job, path = job_of(tmp_path), tmp_path / "m.safetensors"
    model = reproduction.begin(job.run, job.row, path)
    for epoch, begun in ((1, 1), (2, 0)):
        model.epoch = epoch
        model.save(path)
        assert reproduction.begin(job.run, {**job.row, "history": {"loss": [0.5]}}, path).epoch == begun


def test_a_worker_that_does_not_see_the_folder_is_an_error(tmp_path, monkeypatch):
    """It finds no permit where the command put one, and trains nothing."""
    job, data = job_of(tmp_path), datasets.load("synthetic", limit=300)
    monkeypatch.setattr(cluster, "finished", lambda client, function, jobs, *_: ((job, False) for job in jobs))
    with pytest.raises(cluster.ClusterError, match=r"tiny, seed 0: its worker does not see .*\.permit"):
        reproduction_jobs.reproduce(None, [job.run], data, reproduction.Results(tmp_path), "synthetic", 300)


def test_what_an_earlier_command_left_of_a_finished_training_is_removed(tmp_path, monkeypatch):
    job, kept = job_of(tmp_path), reproduction_jobs.OneRow(tmp_path)
    kept.checkpoint(job.row).parent.mkdir()
    kept.keep({**job.row, "history": {name: [0.5] * job.run.epochs for name in job.row["history"]}})
    monkeypatch.setattr(cluster, "finished", lambda client, function, jobs, *_: iter(jobs))  # none is left
    data = datasets.load("synthetic", limit=300)
    reproduction_jobs.reproduce(None, [job.run], data, reproduction.Results(tmp_path), "synthetic", 300)
    assert not (tmp_path / "unfinished").exists() and len(reproduction.read(tmp_path / "results.json")) == 1


def test_an_epoch_that_diverged_comes_back_from_its_file_and_is_shown(tmp_path, monkeypatch, capsys):
    job, kept = job_of(tmp_path), reproduction_jobs.OneRow(tmp_path)
    figures = {name: [math.nan if "loss" in name else 0.1] * job.run.epochs for name in job.row["history"]}

    def finished(client, function, jobs, look, stop, tell):
        kept.checkpoint(job.row).parent.mkdir()
        kept.keep({**job.row, "history": figures})
        look()
        yield from ()

    monkeypatch.setattr(cluster, "finished", finished)
    data = datasets.load("synthetic", limit=300)
    reproduction_jobs.reproduce(None, [job.run], data, reproduction.Results(tmp_path), "synthetic", 300)
    lines = capsys.readouterr().out.splitlines()
    assert "loss nan" in lines[0] and lines[0].endswith("  diverged")
    (row,) = reproduction.read(tmp_path / "results.json")
    assert math.isnan(row["history"]["loss"][0])


@pytest.mark.parametrize("another", ["another's", None])
def test_a_command_leaves_the_folder_to_one_that_began_later(tmp_path, monkeypatch, another):
    """One with a cluster leaves a permit of its own, one without takes away what is there."""
    job, data = job_of(tmp_path), datasets.load("synthetic", limit=300)
    kept = reproduction_jobs.OneRow(tmp_path)
    figures = {name: [0.5] for name in job.row["history"]}

    def finished(client, function, jobs, look, stop, tell):
        (tmp_path / ".permit").unlink()
        if another:
            (tmp_path / ".permit").write_text(another)
        kept.checkpoint(job.row).parent.mkdir()
        kept.keep({**job.row, "history": figures})
        look()
        yield

    monkeypatch.setattr(cluster, "finished", finished)
    with pytest.raises(cluster.ClusterError, match="another command has begun to train into"):
        reproduction_jobs.reproduce(None, [job.run], data, reproduction.Results(tmp_path), "synthetic", 300)
    assert (tmp_path / ".permit").exists() == bool(another) and kept.row_file(job.row).exists()
    assert reproduction.read(tmp_path / "results.json") == []


@pytest.mark.parametrize("finished", [False, True])
def test_what_workers_left_of_a_row_is_removed_but_for_what_it_goes_on_from(tmp_path, finished):
    job, results = job_of(tmp_path), reproduction.Results(tmp_path)
    kept = reproduction_jobs.OneRow(tmp_path)
    kept.checkpoint(job.row).parent.mkdir()
    kept.checkpoint(job.row).touch()
    kept.row_file(job.row).touch()
    row = {**job.row, "history": {"loss": [0.5] * (1 + finished)}}
    reproduction_jobs.put_away(row, results)
    left = [] if finished else [kept.checkpoint(job.row)]
    assert list(tmp_path.glob("unfinished/*")) == left and (tmp_path / "unfinished").exists() == bool(left)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "2", "--scheduler", "tcp://localhost:1"], "give one of the two"),
        (["--workers", "0"], "--workers"),
        (["--scheduler", "nowhere"], "nowhere"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused_in_one_line(options, words, capsys, tmp_path):
    with pytest.raises(SystemExit) as end:
        cli.main(["reproduce", "tiny", *options, *"--data synthetic --limit 20 --out".split(), str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and words in error and not (tmp_path / "out").exists()


def test_without_dask_the_remedy_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "tinycnn.cluster", None)
    with pytest.raises(SystemExit):
        cli.main(["reproduce", "tiny", "--workers", "2", "--out", str(tmp_path / "out")])
    assert "pip install 'tinycnn[cluster]'" in capsys.readouterr().err
