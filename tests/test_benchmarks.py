"""The benchmark scripts: what they count and translate, and the tables they write. Nothing is timed here."""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import tinycnn
from tinycnn import architectures, layers, models, notation, optimizers
from tinycnn.datasets import Dataset

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import accuracy_vs_keras  # noqa: E402
import contenders  # noqa: E402
import machine  # noqa: E402
import networks  # noqa: E402
import readme_tables  # noqa: E402
import reconstruct_dropout  # noqa: E402
import report  # noqa: E402
import train_frameworks  # noqa: E402
from trainer import Trainer  # noqa: E402


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
def test_the_jax_functions_compute_what_tinycnn_computes(reference, name):
    jax = pytest.importorskip("jax")
    import peer_jax

    model, x = network(name)
    with jax.default_matmul_precision("highest"):
        logits, _ = peer_jax.logits_of(model, *peer_jax.weights_of(model), x, None, False)
    np.testing.assert_allclose(jax.nn.softmax(logits), model.predict(x), atol=1e-4, equal_nan=False)


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
        ("JAX", "jax", {"scan": False}),
        ("JAX", "jax", {"scan": True}),
    ],
)
def test_every_trainer_learns(reference, monkeypatch, framework, module, options):
    pytest.importorskip(module)
    monkeypatch.setattr(architectures, "build", lambda name: learner())
    x = np.random.default_rng(0).random((64, 8, 8, 1), np.float32)
    y = (x.mean(axis=(1, 2, 3)) > 0.5).astype(np.int64)
    threads = threads_of_torch() if module == "torch" else None
    try:
        trainer, schedule = contenders.make_trainer(framework, "learner", x, y, 24, options)
        losses = [trainer.epoch() for _ in range(12)]
        assert losses[-1] < losses[0] and schedule(2) == 0.25
        right, wrong = trainer.validation(x, y), trainer.validation(x, 1 - y)
        assert right() > 0.6 and right() + wrong() == pytest.approx(1)
        trainer.set_rate(0.0)
        before = right()
        trainer.epoch()
        assert right() == before
    finally:
        if threads:
            sys.modules["torch"].set_num_threads(threads)
    assert trainer.parameters == learner().count_params()


@pytest.mark.parametrize(
    "optimizer", [optimizers.Adam(0.01), optimizers.SGD(0.1, 0.9, True), optimizers.SGD(0.1), optimizers.Adadelta(1.0)]
)
def test_the_jax_optimizers_take_tinycnn_s_steps(reference, optimizer):
    jax = pytest.importorskip("jax")
    import peer_jax

    model, rng = learner(), np.random.default_rng(0)
    model.optimizer = type(optimizer)(**optimizer.options())
    make_state, update = peer_jax.optimizer_of(model)
    ours = tinycnn.Tensor(rng.standard_normal(5), requires_grad=True)
    theirs = ours.numpy().copy()
    state = make_state(theirs)
    for step in range(1, 6):
        gradient = rng.standard_normal(5).astype(np.float32)
        ours.grad = tinycnn.Tensor(gradient)
        model.optimizer.apply([ours])
        changes, state = update(model.optimizer.learning_rate, float(step), state, gradient)
        theirs = theirs + jax.device_get(changes)
    np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-4, atol=1e-6, equal_nan=False)


def learner():
    x = layers.Input((8, 8, 1))
    features = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, activation="relu")(x))
    model = models.Model(x, layers.Dense(2, activation="softmax")(layers.Flatten()(features)))
    model.compile(optimizers.Adam(0.01), metrics=["accuracy"])
    model.recipe = {"schedule": ["inverse_time", 0.5, 0.5]}
    return model


def threads_of_torch():
    import torch

    return torch.get_num_threads()


# ---------------------------------------------------------------- the script


def test_a_dry_run_names_networks_and_contenders_and_writes_nothing(tmp_path, capsys):
    assert train_frameworks.main(["--dry-run", "--results", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for expected in ("go-crazy", "13,880", "10.93", "models-1", "646,410", "25.05", "models-9", "cn-1", "tinycnn, cpu"):
        assert expected in text
    assert not list(tmp_path.iterdir())


def test_a_dry_run_for_a_gpu_names_other_networks_and_contenders(monkeypatch, capsys):
    monkeypatch.setattr(machine, "installed", lambda module: True)
    assert train_frameworks.main(["--dry-run", "--device", "cuda"]) == 0
    text = capsys.readouterr().out
    for expected in ("cn-3", "tinycnn, cuda", "CUDA graph, channels-last", "compile, channels-first", "JAX, epoch"):
        assert expected in text


def test_without_a_gpu_the_benchmark_says_so_and_exits_with_2(monkeypatch, capsys):
    monkeypatch.setattr("tinycnn.devices.cuda.driver_version", lambda: None)
    assert train_frameworks.main(["--device", "cuda", "--networks", "go-crazy"]) == 2
    assert "needs an NVIDIA GPU" in capsys.readouterr().err


@pytest.mark.parametrize("framework, module", [("PyTorch", "torch"), ("JAX", "jax"), ("Keras on JAX", "keras")])
def test_a_peer_that_finds_no_gpu_says_what_mends_it(reference, framework, module):
    pytest.importorskip(module)
    options = {"device": "cuda", **({"layout": "channels-last"} if framework == "PyTorch" else {})}
    with pytest.raises(RuntimeError, match="no GPU: pip install"):
        contenders.make_trainer(framework, "go-crazy", np.zeros((1, 28, 28, 1)), np.zeros(1), 1, options)


def trainer_of(accuracies):
    """A trainer whose validation accuracies are these, and the learning rates that it was given."""
    rates, found = [], iter(accuracies)
    return Trainer(lambda: 0.5, lambda x, y: lambda: next(found), rates.append, 1), rates


def test_training_to_an_accuracy_stops_there_and_follows_the_schedule():
    trainer, rates = trainer_of([0.8, 0.9, 0.995, 0.999])
    answer = contenders.reach(trainer, lambda epoch: 1 / (1 + epoch), None, None, 0.99, epochs=10, seconds=1000)
    assert answer["reached"] and [e["accuracy"] for e in answer["epochs"]] == [0.8, 0.9, 0.995]
    assert rates == [1, 1 / 2, 1 / 3]


@pytest.mark.parametrize("limits, done", [({"epochs": 2, "seconds": 1000}, 2), ({"epochs": 9, "seconds": -1}, 1)])
def test_training_to_an_accuracy_gives_up(limits, done):
    trainer, _ = trainer_of([0.5] * 9)
    answer = contenders.reach(trainer, None, None, None, 0.99, **limits)
    assert not answer["reached"] and len(answer["epochs"]) == done


def test_seconds_to_an_accuracy_are_told_with_and_without_compiling():
    def answer(reached):
        epochs = [{"seconds": seconds, "accuracy": found} for seconds, found in ((9, 0.7), (1, 0.9), (1, 0.8))]
        return {"reached": reached, "epochs": epochs}

    fast, never = (contenders.Contender("tinycnn", name, {}, (), {}) for name in ("fast", "never"))
    rows = report.reach_rows("go-crazy", {fast: answer(True), never: answer(False)})
    assert (rows[0]["seconds"], rows[0]["seconds_without_compiling"], rows[0]["best_accuracy"]) == (11, 3, 0.9)
    assert rows[1]["seconds"] is None and "not reached" in report.reach_table(rows, 0.994)


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


def test_on_a_gpu_workers_compute_in_float32_and_see_the_gpu(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for contender in contenders.contenders("cuda"):
        variables = contenders.environment(contender)
        assert variables["NVIDIA_TF32_OVERRIDE"] == "0" and "CUDA_VISIBLE_DEVICES" not in variables


def small_data(tmp_path):
    """A file of four images for workers."""
    x, y = np.random.default_rng(0).random((4, 28, 28, 1), np.float32), np.arange(4)
    train_frameworks.Data(x, y, x, y, "small").save(tmp_path / "data.npz")
    return tmp_path / "data.npz"


def test_a_contender_that_fails_is_named_with_its_log(tmp_path):
    contender = contenders.Contender("tinycnn", "broken", {"device": "no-such-device"}, (), {})
    small_data(tmp_path)
    with train_frameworks.Worker(contender, "go-crazy", tmp_path / "data.npz", tmp_path) as worker:
        with pytest.raises(train_frameworks.ContenderError, match="(?s)tinycnn, broken.*no-such-device"):
            worker.answer()


def test_a_peer_that_cannot_start_is_left_out_and_tinycnn_is_not(tmp_path):
    ours = contenders.Contender("tinycnn", "reference", {"device": "reference"}, (), {})
    broken = contenders.Contender("JAX", "broken", {"no_such_option": 1}, (), {})
    data = small_data(tmp_path)
    arguments = 1, 2, data, tmp_path  # a round of warm-up, two that count
    measured, failed = train_frameworks.measure("go-crazy", 13_880, [ours, broken], *arguments)
    assert len(measured[ours]) == 2 and list(measured) == [ours]
    assert list(failed) == [broken] and "no_such_option" in failed[broken]
    answers = train_frameworks.measure_reach("go-crazy", [ours], data, tmp_path)
    assert 0 <= answers[ours]["epochs"][-1]["accuracy"] <= 1
    wrong = contenders.Contender("tinycnn", "broken", {"device": "no-such-device"}, (), {})
    with pytest.raises(train_frameworks.ContenderError, match="no-such-device"):
        train_frameworks.measure("go-crazy", 13_880, [wrong, ours], *arguments)


def test_workers_end_when_the_benchmark_is_interrupted(tmp_path):
    contender = contenders.contenders()[0]
    small_data(tmp_path)
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


# ---------------------------------------------------------------- accuracy against Keras


def test_the_test_is_welchs():
    pytest.importorskip("scipy")
    test = accuracy_vs_keras.welch([1, 2, 3], [2, 4, 6, 8])
    # Means 2 and 5, variances 1 and 20/3, so the squared errors 1/3 and 5/3 and Welch's 4.0755 degrees of freedom.
    freedom = 2**2 / ((1 / 3) ** 2 / 2 + (5 / 3) ** 2 / 3)

    def tail(t):
        """The probability of more than t on either side, by adding Student's density up."""
        x = np.linspace(-t, t, 200_001)
        density = (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
        scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
        return 1 - scale * (x[1] - x[0]) * (density.sum() - density[0])

    assert test["difference"] == -3
    assert test["p"] == pytest.approx(tail(3 / math.sqrt(2)), abs=1e-6)
    assert tail(test["visible"] / math.sqrt(2)) == pytest.approx(0.05, abs=1e-6)


def test_the_conclusion_follows_from_the_test():
    pytest.importorskip("scipy")
    for ours, theirs, words in (
        ([0.99, 0.991, 0.992], [0.99, 0.992, 0.991], "no difference can be seen (p = 1.00)"),
        ([0.99, 0.991, 0.992], [0.95, 0.951, 0.952], "they differ (p = "),
        ([0.99, 0.99], [0.99, 0.99], "not tested: no spread"),
    ):
        assert accuracy_vs_keras.conclusion(accuracy_vs_keras.welch(ours, theirs)).startswith(words)


def accuracy_rows(network, framework, accuracies, epochs=3):
    facts = {"network": network, "framework": framework, "epochs": epochs, "data": "MNIST"}
    return [{**facts, "seed": seed, "val_acc": value} for seed, value in enumerate(accuracies)]


def test_only_trainings_of_the_same_kind_are_compared():
    pytest.importorskip("scipy")
    rows = accuracy_rows("go-crazy", "tinycnn", [0.98, 0.99]) + accuracy_rows("go-crazy", "Keras", [0.97, 0.98, 0.99])
    rows += accuracy_rows("go-crazy", "tinycnn", [0.1, 0.2], epochs=1) + accuracy_rows("other-1", "Keras", [0.1, 0.2])
    (row,) = accuracy_vs_keras.compare(rows)
    assert (row["network"], row["epochs"]) == ("go-crazy", 3)
    assert row["tinycnn"] == {
        "seeds": 2,
        "mean": pytest.approx(0.985),
        "standard_deviation": pytest.approx(0.005**0.5 / 10),
    }
    assert row["Keras"] == {"seeds": 3, "mean": pytest.approx(0.98), "standard_deviation": pytest.approx(0.01)}


@pytest.mark.parametrize("framework", ["tinycnn", "Keras"])
def test_both_frameworks_train_by_the_recipe_from_seeds_of_their_own(reference, monkeypatch, framework):
    pytest.importorskip("keras")
    rates = []

    def schedule(epoch):
        rates.append(epoch)
        return 0.01 / (1 + epoch)

    def build(name):
        model = learner()
        model.recipe = {"batch_size": 16, "schedule": None}
        return model

    monkeypatch.setattr(accuracy_vs_keras, "build", build)
    monkeypatch.setattr(accuracy_vs_keras, "schedule_function", lambda _: schedule)
    x = np.random.default_rng(0).random((48, 8, 8, 1), np.float32)
    y = (x.mean(axis=(1, 2, 3)) > 0.5).astype(np.int64)
    data = Dataset(x, y, x[:16], y[:16], 2, "noise", "here")
    first, again, other = (accuracy_vs_keras.train("learner", framework, data, 2, seed) for seed in (0, 0, 1))
    assert rates == [0, 1] * 3
    assert first["history"] == again["history"] != other["history"]
    assert len(first["history"]["val_loss"]) == 2 and first["val_loss"] == first["history"]["val_loss"][-1]
    assert (first["network"], first["framework"], first["epochs"], first["data"]) == ("learner", framework, 2, "noise")


def test_what_was_trained_is_not_trained_again(monkeypatch, tmp_path, capsys):
    pytest.importorskip("scipy")
    trained = []

    def train(name, framework, data, epochs, seed):
        trained.append((name, framework, seed))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return accuracy_rows(name, framework, [0.9 + 0.01 * seed] * (seed + 1))[seed]

    monkeypatch.setattr(accuracy_vs_keras, "train", train)
    monkeypatch.setattr(accuracy_vs_keras.datasets, "load", lambda: Dataset(*[None] * 4, 10, "MNIST", "nowhere"))
    arguments = ["go-crazy", "--seeds", "2", "--results", str(tmp_path / "results")]
    with pytest.raises(KeyboardInterrupt):
        accuracy_vs_keras.main(arguments)
    accuracy_vs_keras.main(arguments)
    wanted = [("go-crazy", framework, seed) for seed in (0, 1) for framework in ("tinycnn", "Keras")]
    assert trained == [*wanted[:3], *wanted[2:]]
    assert "tinycnn 0.9050 ± 0.0071, Keras 0.9050 ± 0.0071: no difference can be seen" in capsys.readouterr().out
    path = readme(tmp_path, "accuracy-vs-keras")
    assert tables(path, tmp_path) == 0
    (line,) = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| `go-crazy`")]
    assert [cell.strip() for cell in line.strip("|").split("|")] == [
        "`go-crazy`", "3", "2 and 2", "0.9050 ± 0.0071", "0.9050 ± 0.0071", "+0.0000", "0.0304",
        "no difference can be seen (p = 1.00)",
    ]  # fmt: skip


# ---------------------------------------------------------------- the dropout of eip4-2


def test_the_dropout_that_was_chosen_is_one_of_those_that_were_tried(reference):
    chosen = notation.notation(architectures.build("eip4-2"))
    tried = {
        notation.notation(notation.parse(reconstruct_dropout.network(*c))): c for c in reconstruct_dropout.CANDIDATES
    }
    assert tried[chosen] == ("every batch-norm", 0.1)
    assert len(tried) == len(reconstruct_dropout.CANDIDATES)


def test_the_distance_from_the_log_is_that_of_its_gap_between_training_and_validation():
    log = architectures.ARCHITECTURES["eip4-2"].history
    nearer = {"acc": [log["acc"][0] + 0.02, log["acc"][1]], "val_acc": [log["val_acc"][0], log["val_acc"][1] + 0.01]}
    assert reconstruct_dropout.distance(nearer) == pytest.approx((0.02 + 0.01) / 2)


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


def reproduced(network, accuracy, seed=0, epochs=20, images=60_000):
    """A row as `tinycnn reproduce` keeps it."""
    history = {name: [accuracy] * epochs for name in ("loss", "acc", "val_loss", "val_acc", "seconds", "cpu_seconds")}
    how = {"data": "MNIST", "images": images, "device": "cpu", "machine": "some CPU"}
    return {"network": network, "seed": seed, "epochs": epochs, **how, "history": history}


def write_reproduction(tmp_path, rows):
    write_result(tmp_path, "some-cpu/reproduction", "results.json", {"rows": rows})


def test_without_results_the_networks_stand_there_with_dashes(tmp_path):
    path = readme(tmp_path, "networks", "training-speed")
    assert tables(path, tmp_path) == 0
    text = path.read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("| `go-crazy`")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["`go-crazy`", architectures.ARCHITECTURES["go-crazy"].title, "13,880", "0.9919", "-"]
    assert "Not measured yet" in text and "old" not in text
    assert text.startswith("# Title\nbefore networks\n<!-- table:networks -->\n") and text.endswith("-->\nafter\n")


def test_reproduced_accuracies_stand_beside_the_documented_ones(tmp_path):
    rows = [reproduced("go-crazy", 0.993, seed=0), reproduced("go-crazy", 0.9922, seed=1)]
    rows += [reproduced("breakdown-1", 0.99), reproduced("models-1", 0.97, epochs=1, images=512)]
    write_reproduction(tmp_path, rows)
    path = readme(tmp_path, "networks")
    assert tables(path, tmp_path) == 0
    text = path.read_text(encoding="utf-8")
    assert "0.9926 ± 0.0006 (2 seeds, 20 of 20 epochs)" in text
    assert "0.9900 (1 seed, 20 epochs)" in text  # no document says how many
    assert "0.9700 (1 seed, 1 of 13 epochs, 512 images of MNIST)" in text


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
    epochs = [{"seconds": seconds, "accuracy": found} for seconds, found in ((3.0, 0.99), (0.25, 0.995))]
    content["settings"]["reach"] = {"accuracy": 0.994}
    content["reached"] = report.reach_rows("go-crazy", {cpu: {"reached": True, "epochs": epochs}})
    write_result(tmp_path, "some-cpu", "train_frameworks.json", content)
    path = readme(tmp_path, "training-speed")
    assert tables(path, tmp_path) == 0
    text = path.read_text(encoding="utf-8")
    assert "some CPU, 2 cores; batches of 128, MNIST" in text and "tinycnn 0.1.0" in text
    assert "7,680" in text and "3,840" in text and "1,920" not in text
    assert "2.00 (2.00 to 2.00)" in text
    assert "Until the validation accuracy is 99.4%:" in text
    reached = [cell.strip() for cell in text.splitlines()[-3].split("|")[1:-1]]
    assert reached == ["`go-crazy`", "tinycnn", "cpu", "2", "0.9950", "3.2", "0.500"]
    assert "Not measured, because not installed: Keras on JAX." in text


def test_a_gpu_s_table_holds_geometric_means_and_says_when_there_are_none(tmp_path):
    path = readme(tmp_path, "cudnn")
    assert tables(path, tmp_path) == 0
    assert "No GPU has been measured yet." in path.read_text(encoding="utf-8")
    dropout = {"forward": {"ratio": 2, "rows": 9}}
    means = {"float32": {"conv2d": {"forward": {"ratio": 1.234, "rows": 120}}, "dropout": dropout}}
    means["tf32"] = {"conv2d": {"forward": {"ratio": 0.5, "rows": 120}}}
    write_result(tmp_path, "a-gpu", "conv_cudnn.json", {"device": "a GPU", "geomean": means})
    assert tables(path, tmp_path) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in path.read_text(encoding="utf-8").splitlines()]
    assert ["a GPU", "conv2d", "forward", "120", "1.23", "0.50"] in rows
    assert ["a GPU", "dropout", "forward", "9", "2.00", "-"] in rows


def test_check_fails_for_old_tables_and_changes_nothing(tmp_path, capsys):
    path = readme(tmp_path, "networks")
    before = path.read_bytes()
    assert tables(path, tmp_path, "--check") == 1
    assert path.read_bytes() == before and "make readme" in capsys.readouterr().err
    assert tables(path, tmp_path) == 0
    assert tables(path, tmp_path, "--check") == 0
    write_reproduction(tmp_path, [reproduced("go-crazy", 0.9)])
    assert tables(path, tmp_path, "--check") == 1
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["README.md"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table:networks -->\n", "not closed"),
        ("<!-- table:networks -->\n<!-- table:networks -->\n", "not closed"),
        ("a\n<!-- /table:networks -->\n", "line 2: .*not open"),
        (
            "<!-- table:nonsense -->\n<!-- /table:nonsense -->\n",
            "there are: networks, ",
        ),
    ],
)
def test_markers_that_do_not_match_are_refused(tmp_path, text, message):
    with pytest.raises(readme_tables.ReadmeError, match=message):
        readme_tables.render(text, tmp_path)


def test_a_damaged_results_file_is_named(tmp_path, capsys):
    path = readme(tmp_path, "networks")
    write_reproduction(tmp_path, [{"network": "go-crazy", "val_acc": 0.9}])
    before = path.read_bytes()
    assert tables(path, tmp_path) == 2
    assert "results.json is damaged (KeyError('history'))" in capsys.readouterr().err
    assert path.read_bytes() == before
