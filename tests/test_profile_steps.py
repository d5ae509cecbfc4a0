"""The profile of training steps, on a stand-in for a GPU. Nothing is timed for its time's sake."""

import itertools
import json
import sys
from types import SimpleNamespace

import machine
import numpy as np
import profile_steps
import pytest
import stand_in_cupy
import tables_of_results
import train_frameworks
from benchmark_inputs import learner, readme, tables

import tinycnn
from tinycnn import architectures, devices
from tinycnn.devices.gpu import cuda


@pytest.fixture
def emulated():
    """The device `emulator`."""
    try:
        return tinycnn.get_device("emulator", "float32")
    except devices.DeviceError as error:
        pytest.skip(f"no emulator: {error}")


def test_networks_come_in_order_of_importance_each_once():
    names = profile_steps.in_order()
    assert names[:3] == ["go-crazy", "vanilla-15k", "models-9"] and names[-1] == "models-10"
    assert sorted(names) == sorted(architectures.ARCHITECTURES)
    with pytest.raises(ValueError, match="no-such"):
        profile_steps.in_order(["no-such-network"])


def test_times_are_summed_by_file_as_medians_over_passes():
    passes = [[("a", "a1", 1e-6 * t), ("b", "b1", 9e-6), ("a", "a2", 1e-6)] for t in (1, 2, 30)]
    rows = [{"file": "b", "launches": 1, "us": 9}, {"file": "a", "launches": 2, "us": 3}]
    assert profile_steps.summed(passes) == [{**row, "us": pytest.approx(row["us"])} for row in rows]
    assert [row["kernel"] for row in profile_steps.kernels_of(passes)] == ["b1", "a1", "a2"]


def test_the_dry_run_counts_the_launches_of_a_step_and_runs_none(emulated, capsys):
    assert profile_steps.main(["--dry-run", "--networks", "go-crazy", "models-10", "--budget", "10"]) == 0
    first, left_out = capsys.readouterr().out.splitlines()
    assert "go-crazy" in first and "launches: batchnorm" in first and "conv2d" in first
    assert "models-10" in left_out


@pytest.fixture
def on_a_stand_in(emulated, monkeypatch, tmp_path):
    """Runs the script on a small network and a stand-in for a GPU; returns (exit status, the results' content)."""
    monkeypatch.setitem(sys.modules, "cupy", stand_in_cupy)
    monkeypatch.setattr(cuda, "driver_version", lambda: (13, 0))
    monkeypatch.delitem(devices._made, ("cuda", "float32"), raising=False)
    for name, value in {"BATCH": 3, "MOST_STEPS": 12, "FEWEST_STEPS": 2, "ROUND_SECONDS": 0}.items():
        monkeypatch.setattr(profile_steps, name, value)
    monkeypatch.setattr(architectures, "build", lambda name: learner())
    monkeypatch.setenv("TINYCNN_COMMIT", "abc1234")
    machine.commit.cache_clear()
    rng = np.random.default_rng(0)

    def some_data(count):
        x, y = rng.random((count, 8, 8, 1), np.float32), rng.integers(0, 2, count)
        return train_frameworks.Data(x, y, x, y, "noise")

    monkeypatch.setattr(profile_steps, "training_data", some_data)
    monkeypatch.setattr(profile_steps, "STEPS_AHEAD", 1)

    def run(*options):
        status = profile_steps.main(["--results", str(tmp_path / "results"), *options])
        (file,) = tmp_path.glob("results/*/profile_steps*.json")
        return status, json.loads(file.read_text(encoding="utf-8"))

    yield run
    machine.commit.cache_clear()
    devices._made.pop(("cuda", "float32"), None)


@pytest.mark.parametrize("by", ["general", "fast"])
def test_a_step_is_profiled_recorded_with_its_launches_by_file(on_a_stand_in, tmp_path, by):
    status, content = on_a_stand_in("--networks", "go-crazy", "vanilla-15k", "--path", by)
    assert status == 0 and content["left_out"] == [] and content["failed"] == {}
    assert [row["network"] for row in content["rows"]] == ["vanilla-15k", "go-crazy"]  # as they are documented
    for row in content["rows"]:
        assert row["recorded"] and row["why_not_recorded"] is None and row["us"] > 0 and len(row["rounds_us"]) == 3
        assert row["epoch_s"] == pytest.approx(469 * row["us"] / 1e6)  # batches of 128 of 60,000 images
        assert row["launches"] == sum(file["launches"] for file in row["files"])
        assert ("conv2d" in {file["file"] for file in row["files"]}) == (by == "general")
        assert (row["commit"], row["path"], row["device"]) == ("abc1234", by, "cuda")
        assert row["card"] == content["device"] == "NVIDIA H200 (stand-in)"
        assert row["versions"]["tinycnn"] == tinycnn.__version__
    path = readme(tmp_path, "step-profile" if by == "general" else "step-profile-fast", "step-profile-in-short")
    assert tables(path, tmp_path) == 0
    long, short = path.read_text(encoding="utf-8").split("before step-profile-in-short")
    assert f"commit abc1234, {by} kernels" in long and "conv" in long and "others" in long
    assert ("`go-crazy`" in short) == (by == "fast") and "conv" not in short  # what cuda takes where none is named


def test_networks_that_are_measured_again_replace_their_rows_and_a_failure_is_named(on_a_stand_in, monkeypatch):
    found = []
    for seconds, names in ((0.5, ("go-crazy", "cn-1")), (2.0, ("go-crazy",))):  # that a look at the clock takes
        ticks = itertools.count()
        clock = SimpleNamespace(perf_counter=lambda ticks=ticks, seconds=seconds: seconds * next(ticks))
        monkeypatch.setattr(profile_steps, "time", clock)
        found.append(on_a_stand_in("--networks", *names)[1])
    (old, kept), (new, same) = (content["rows"] for content in found)
    assert kept == same and old["network"] == new["network"] == "go-crazy"
    assert old["us"] == pytest.approx(0.5e6 / old["steps"]) and new["us"] == pytest.approx(2e6 / new["steps"])

    def build(name):
        raise MemoryError("the GPU has no room")

    monkeypatch.setattr(architectures, "build", build)
    status, content = on_a_stand_in("--networks", "cn-1", "models-9")
    assert status == 1 and set(content["failed"]) == {"cn-1", "models-9"}
    assert "no room" in content["failed"]["cn-1"]
    assert [row["network"] for row in content["rows"]] == ["go-crazy", "cn-1"]


def test_a_profile_of_few_networks_says_what_was_left_out():
    row = {
        "network": "go-crazy", "launches": 5, "us": 1234.5, "recorded": False, "epoch_s": 0.58, "commit": None,
        "path": "general", "versions": {"tinycnn": "0"}, "files": [{"file": "conv2d", "launches": 5, "us": 7}],
    }  # fmt: skip
    content = {
        "device": "a GPU", "batch": 128, "epoch_images": 60_000, "rows": [row],
        "failed": {"cn-1": "why"}, "left_out": ["models-10"],
    }  # fmt: skip
    text = tables_of_results.step_profile(content, "a file")
    assert "1,234 (not recorded)" in text and "commit unknown" in text and "`cn-1` failed: why." in text
    assert text.endswith("Not measured, for want of time: models-10.")


def test_without_a_gpu_it_says_so_in_a_line_and_exits_with_2(capsys, monkeypatch):
    monkeypatch.setattr(cuda, "driver_version", lambda: None)
    monkeypatch.delitem(devices._made, ("cuda", "float32"), raising=False)
    assert profile_steps.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "needs an NVIDIA GPU" in line and line.endswith("--dry-run counts launches without one")


def test_the_commit_is_what_the_environment_or_git_says_or_unknown(monkeypatch, tmp_path):
    machine.commit.cache_clear()
    monkeypatch.setenv("TINYCNN_COMMIT", "1234567")
    assert machine.commit() == "1234567"
    machine.commit.cache_clear()
    monkeypatch.delenv("TINYCNN_COMMIT")
    monkeypatch.setenv("PATH", str(tmp_path))  # no git there
    assert machine.commit() is None
    machine.commit.cache_clear()
