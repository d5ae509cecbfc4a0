"""The benchmark scripts: what they count and translate, and the tables they write. Nothing is timed here."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tinycnn import architectures, layers, models

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import contenders  # noqa: E402
import machine  # noqa: E402
import networks  # noqa: E402
import readme_tables  # noqa: E402
import report  # noqa: E402
import train_frameworks  # noqa: E402


@pytest.fixture
def reference():
    with tinycnn.use_device("reference") as device:
        yield device


# ---------------------------------------------------------------- what is counted


@pytest.mark.parametrize(
    ("network", "parameters", "multiply_adds", "megaflop"),
    [("go-crazy", 13_880, 1_846_192, 10.93), ("models-1", 646_410, 4_328_704, 25.05)],
)
def test_the_cost_of_a_network_is_counted_from_its_shapes(reference, network, parameters, multiply_adds, megaflop):
    (described,) = report.describe([network])
    assert described["parameters"] == parameters
    assert described["multiply_adds"] == multiply_adds
    assert described["flop"] / 1e6 == pytest.approx(megaflop, abs=0.005)


def test_no_data_gradient_is_counted_before_the_first_parameters(reference):
    x = layers.Input((6, 6, 2))
    a = layers.Conv2D(3, 1)(layers.Dropout(0.5)(x))  # 6*6*3*2 = 216 multiply-adds
    b = layers.Conv2D(1, 3, padding="same")(x)  # 6*6*1*3*3*2 = 648
    y = layers.Dense(2)(layers.Flatten()(layers.Concatenate()([a, b])))  # 144*2 = 288
    model = models.Model(x, y)
    assert [row[1:] for row in networks.multiply_adds(model)] == [(216, False), (648, False), (288, True)]
    assert networks.training_flop(model) == 2 * (2 * 216 + 2 * 648 + 3 * 288)


# ---------------------------------------------------------------- translation


def every_kind_of_layer():
    """A graph with unequal strides and padding, batch-norm before and after Flatten, and branches."""
    x = layers.Input((9, 8, 2))
    a = layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same", activation="relu")(x)
    b = layers.Conv2D(3, (2, 4), strides=(2, 1), padding="same", use_bias=False)(x)
    y = layers.BatchNormalization(momentum=0.9)(layers.Concatenate()([a, b]))
    y = layers.MaxPooling2D((2, 3), strides=(1, 2), padding="same")(layers.Activation("relu")(y))
    y = layers.BatchNormalization()(layers.Dropout(0.3)(layers.Flatten()(layers.Conv2D(4, 2)(y))))
    y = layers.BatchNormalization()(layers.Dense(6, activation="relu")(y))
    return models.Model(x, layers.Activation("softmax")(layers.Dense(5)(y)))


def network(name):
    """The model with every weight, the moving statistics too, moved off its initial value."""
    model = every_kind_of_layer() if name == "every kind of layer" else architectures.build(name)
    rng = np.random.default_rng(7)
    model.set_weights([w + rng.uniform(0, 0.1, w.shape).astype(np.float32) for w in model.get_weights()])
    return model, rng.random((5, *model.input.shape), np.float32)


NETWORKS = pytest.mark.parametrize("name", ["go-crazy", "models-1", "every kind of layer"])


@NETWORKS
@pytest.mark.parametrize("layout", ["channels-first", "channels-last"])
def test_the_torch_module_computes_what_tinycnn_computes(reference, name, layout):
    torch = pytest.importorskip("torch")
    import peer_torch

    model, x = network(name)
    module = peer_torch.to_torch(model).to(memory_format=peer_torch.LAYOUTS[layout]).eval()
    assert peer_torch.count_params(module) == model.count_params()
    with torch.no_grad():
        got = torch.softmax(module(peer_torch.resident(x, layout)), dim=1).numpy()
    np.testing.assert_allclose(got, model.predict(x), atol=1e-4, equal_nan=False)


def test_torch_computes_in_the_layout_that_was_asked_for(reference):
    torch = pytest.importorskip("torch")
    import peer_torch

    model, x = network("go-crazy")
    for layout, memory_format in peer_torch.LAYOUTS.items():
        module = peer_torch.to_torch(model).to(memory_format=memory_format)
        features = module[0](peer_torch.resident(x, layout)[torch.tensor([2, 0])])
        assert features.is_contiguous(memory_format=memory_format)


@NETWORKS
def test_the_keras_model_computes_what_tinycnn_computes(reference, name):
    pytest.importorskip("keras")
    import peer_keras

    model, x = network(name)
    translated = peer_keras.to_keras(model)
    assert translated.count_params() == model.count_params()
    np.testing.assert_allclose(translated.predict(x, verbose=0), model.predict(x), atol=1e-4, equal_nan=False)


@pytest.mark.parametrize(
    ("framework", "module", "options"),
    [
        ("tinycnn", "numpy", {"device": "reference"}),
        ("PyTorch", "torch", {"threads": 1, "layout": "channels-last"}),
        ("Keras on JAX", "keras", {}),
    ],
)
def test_every_trainer_learns(reference, monkeypatch, framework, module, options):
    pytest.importorskip(module)
    monkeypatch.setattr(architectures, "build", lambda name: learner())
    x = np.random.default_rng(0).random((64, 8, 8, 1), np.float32)
    y = (x.mean(axis=(1, 2, 3)) > 0.5).astype(np.int64)
    threads = threads_of_torch() if module == "torch" else None
    try:
        epoch, parameters = contenders.make_trainer(framework, "learner", x, y, 16, dict(options))
        losses = [epoch() for _ in range(8)]
    finally:
        if threads:
            sys.modules["torch"].set_num_threads(threads)
    assert parameters == learner().count_params()
    assert losses[-1] < losses[0]


def learner():
    x = layers.Input((8, 8, 1))
    features = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, activation="relu")(x))
    model = models.Model(x, layers.Dense(2, activation="softmax")(layers.Flatten()(features)))
    model.compile(tinycnn.optimizers.Adam(0.01), metrics=["accuracy"])
    return model


def threads_of_torch():
    import torch

    return torch.get_num_threads()


# ---------------------------------------------------------------- the script


def test_a_dry_run_names_networks_and_contenders_and_writes_nothing(tmp_path, capsys):
    assert train_frameworks.main(["--dry-run", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for expected in ("go-crazy", "13,880", "10.93", "models-1", "646,410", "25.05", "tinycnn, cpu"):
        assert expected in text
    assert not list(tmp_path.iterdir())


def test_an_unknown_network_is_refused_by_name(capsys):
    assert train_frameworks.main(["--dry-run", "--networks", "no-such-network"]) == 1
    assert "no-such-network" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_named_with_its_remedy(monkeypatch, capsys):
    monkeypatch.setattr(machine, "installed", lambda module: module not in ("torch", "keras"))
    assert train_frameworks.main(["--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "absent: PyTorch, which needs: pip install torch" in text
    assert "absent: Keras on JAX, which needs: pip install keras\n" in text
    assert "absent: Keras on torch, which needs: pip install keras torch" in text


def test_workers_have_their_own_thread_counts_and_no_gpu(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "7")
    for contender in contenders.contenders():
        variables = contenders.environment(contender)
        assert variables["CUDA_VISIBLE_DEVICES"] == "" and "NUMBA_NUM_THREADS" not in variables
        assert variables.get("OMP_NUM_THREADS") == (
            str(contender.options["threads"]) if contender.framework == "PyTorch" else None
        )


def test_a_contender_that_fails_is_named_with_its_log(tmp_path):
    contender = contenders.Contender("tinycnn", "broken", {"device": "no-such-device"}, (), {})
    np.savez(tmp_path / "data.npz", x=np.zeros((1, 28, 28, 1)), y=np.zeros(1))
    with train_frameworks.Worker(contender, "go-crazy", tmp_path / "data.npz", tmp_path) as worker:
        with pytest.raises(train_frameworks.ContenderError, match="(?s)tinycnn, broken.*no-such-device"):
            worker.answer()


def test_workers_end_when_the_benchmark_is_interrupted(tmp_path):
    contender = contenders.contenders()[0]
    np.savez(tmp_path / "data.npz", x=np.zeros((1, 28, 28, 1)), y=np.zeros(1))
    with pytest.raises(KeyboardInterrupt):
        with train_frameworks.Worker(contender, "go-crazy", tmp_path / "data.npz", tmp_path) as worker:
            raise KeyboardInterrupt
    with pytest.raises(ProcessLookupError):
        os.kill(worker.process.pid, 0)


def test_speeds_and_ratios_come_from_the_rounds():
    fast = contenders.Contender("tinycnn", "cpu", {}, (), {})
    slow, best = (contenders.Contender("PyTorch", name, {}, (), {}) for name in ("slow", "best"))
    seconds = {fast: [1, 1, 2], slow: [8, 8, 8], best: [4, 2, 4]}
    measured = {c: [{"seconds": s, "loss": 0.1} for s in times] for c, times in seconds.items()}
    rows = report.rows_of("go-crazy", measured, images=400, flop=10)
    assert [row["images_per_s"]["median"] for row in rows] == [400, 50, 100]
    assert rows[0]["images_per_s"] == {"median": 400, "min": 200, "max": 400, "spread": 0.5}
    assert rows[0]["seconds_per_epoch"] == 150
    assert [row["best"] for row in rows] == [True, False, True]
    ratio = report.ratios_of(rows)[0]
    assert ratio["to"] == "PyTorch, best" and ratio["ratio"] == 4
    assert ratio["pairs"] == {"median": 2, "min": 2, "max": 4, "spread": 1}
    assert "4.00" in report.table(rows, report.ratios_of(rows))


# ---------------------------------------------------------------- the README's tables


def readme(tmp_path, *names):
    path = tmp_path / "README.md"
    tables = "\n".join(f"before {n}\n<!-- table:{n} -->\nold\n<!-- /table:{n} -->\nafter" for n in names)
    path.write_text(f"# Title\n{tables}\n", encoding="utf-8")
    return path


def tables(path, tmp_path, *options):
    return readme_tables.main([str(path), "--results", str(tmp_path / "results"), *options])


def write_result(tmp_path, device, name, content):
    folder = tmp_path / "results" / device
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def reproduction(network, accuracy, data="MNIST", epochs=20, seed=0):
    return {"id": network, "val_acc": accuracy, "epochs": epochs, "data": data, "seed": seed}


def test_without_results_the_networks_stand_there_with_dashes(tmp_path):
    path = readme(tmp_path, "networks", "training-speed")
    assert tables(path, tmp_path) == 0
    text = path.read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("| `go-crazy`")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["`go-crazy`", architectures.ARCHITECTURES["go-crazy"].title, "13,880", "0.9919", "-"]
    assert "Not measured yet" in text and "old" not in text
    assert text.startswith("# Title\nbefore networks\n<!-- table:networks -->\n") and text.endswith("-->\nafter\n")


def test_measured_accuracies_stand_beside_the_documented_ones(tmp_path):
    rows = [reproduction("go-crazy", 0.993, seed=0), reproduction("go-crazy", 0.9921, seed=1)]
    rows += [reproduction("models-1", 0.97, data="synthetic digits", epochs=1)]
    write_result(tmp_path, "some-cpu", "reproduction.json", {"device": "some CPU", "rows": rows})
    path = readme(tmp_path, "networks")
    assert tables(path, tmp_path) == 0
    text = path.read_text(encoding="utf-8")
    assert "0.9926 (20 epochs, 2 seeds: 0.9921 to 0.9930)" in text
    assert "0.9700 on synthetic digits (1 epoch)" in text


def test_the_speed_table_shows_each_frameworks_best(tmp_path):
    cpu, torch_1, torch_2 = (
        contenders.Contender(f, c, {}, (), {}) for f, c in (("tinycnn", "cpu"), ("PyTorch", "one"), ("PyTorch", "two"))
    )
    seconds = {cpu: 1, torch_1: 4, torch_2: 2}
    measured = {c: [{"seconds": s, "loss": 0.1}] * 3 for c, s in seconds.items()}
    rows = report.rows_of("go-crazy", measured, images=7680, flop=10)
    content = {
        "device": "some CPU, 2 cores",
        "versions": {"tinycnn": "0.1.0", "keras": None},
        "settings": {"batch": 128, "data": "MNIST", "rounds": 3, "steps": 60},
        "absent": {"Keras on JAX": ["keras"]},
        "rows": rows,
        "ratios": report.ratios_of(rows),
    }
    write_result(tmp_path, "some-cpu", "train_frameworks.json", content)
    path = readme(tmp_path, "training-speed")
    assert tables(path, tmp_path) == 0
    text = path.read_text(encoding="utf-8")
    assert "some CPU, 2 cores; batches of 128, MNIST" in text and "tinycnn 0.1.0" in text
    assert "7,680" in text and "3,840" in text and "1,920" not in text
    assert "2.00 (2.00 to 2.00)" in text
    assert "Not measured, because not installed: Keras on JAX." in text


def test_check_fails_for_old_tables_and_changes_nothing(tmp_path, capsys):
    path = readme(tmp_path, "networks")
    before = path.read_bytes()
    assert tables(path, tmp_path, "--check") == 1
    assert path.read_bytes() == before and "make readme" in capsys.readouterr().err
    assert tables(path, tmp_path) == 0
    assert tables(path, tmp_path, "--check") == 0
    write_result(tmp_path, "some-cpu", "reproduction.json", {"rows": [reproduction("go-crazy", 0.9)]})
    assert tables(path, tmp_path, "--check") == 1
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["README.md"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table:networks -->\n", "not closed"),
        ("<!-- table:networks -->\n<!-- table:networks -->\n", "not closed"),
        ("a\n<!-- /table:networks -->\n", "line 2: .*not open"),
        ("<!-- table:nonsense -->\n<!-- /table:nonsense -->\n", "there are: networks, training-speed"),
    ],
)
def test_markers_that_do_not_match_are_refused(tmp_path, text, message):
    with pytest.raises(readme_tables.ReadmeError, match=message):
        readme_tables.render(text, tmp_path)


def test_a_damaged_results_file_is_named(tmp_path, capsys):
    path = readme(tmp_path, "networks")
    write_result(tmp_path, "some-cpu", "reproduction.json", {"rows": [{"id": "go-crazy", "val_acc": 0.9}]})
    before = path.read_bytes()
    assert tables(path, tmp_path) == 2
    assert "reproduction.json lacks 'data'" in capsys.readouterr().err
    assert path.read_bytes() == before
