"""The `tinycnn` command as its users run it: what it prints, what it refuses, and how it ends."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import LISTEN
from PIL import Image

import tinycnn
from tinycnn.callbacks import ModelCheckpoint
from tinycnn.datasets import synthetic
from tinycnn.datasets.idx import write_idx
from tinycnn.fit.progress import Progress
from tinycnn.layers import Dense, Flatten, Input, UpSampling2D
from tinycnn.losses import SparseCategoricalCrossentropy
from tinycnn.models import Model, Sequential, load_model

pytestmark = pytest.mark.usefixtures("reference")  # the command sets the current device; it is put back

TINY = "CN(4,(5,5),strides=(3,3))->BN()->DP(0.1)->MP(2,2)->FL()->DN(10)"


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A folder with 300 training and 60 test digits as IDX files."""
    folder = tmp_path_factory.mktemp("digits")
    for prefix, first, count in (("train", 0, 300), ("t10k", 10_000, 60)):
        images, labels = synthetic.digits(count, first=first)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return folder


@pytest.fixture
def trained(run, digits, tmp_path):
    """A network that was trained for one epoch, saved."""
    path = tmp_path / "trained.safetensors"
    status, _, error = run("train", TINY, "--data", digits, "--epochs", 1, "--save", path)
    assert status == 0, error
    return path


# ---------------------------------------------------------------- facts


def test_list_has_every_documented_network(run):
    status, out, _ = run("list", "--json")
    rows = json.loads(out)
    assert status == 0 and len(rows) == 27
    assert {"id": "go-crazy", "params": 13880, "documented_accuracy": 0.9919}.items() <= {
        k: v for row in rows if row["id"] == "go-crazy" for k, v in row.items()
    }.items()
    assert set(rows[0]) == {"id", "title", "params", "documented_accuracy"}


def test_list_is_a_table_for_people(run):
    _, out, _ = run("list")
    assert "go-crazy" in out and "13,880" in out and "0.9919" in out


def test_summary_gives_layers_and_counts(run):
    status, out, _ = run("summary", "vanilla-15k", "--json")
    facts = json.loads(out)
    assert status == 0
    assert facts["params"] == {"total": 10524, "trainable": 10524, "non_trainable": 0}
    assert facts["layers"][0] == {"type": "Conv2D", "output_shape": [26, 26, 8], "params": 80, "receptive_field": 3}
    # 3, 5, 5 (1x1), then pooling: 6 with neighbours 2 apart, and four windows 3, 3, 3, 3 and one of 4
    assert [layer["receptive_field"] for layer in facts["layers"]][:9] == [3, 5, 5, 6, 10, 14, 18, 22, 28]


def test_summary_of_a_notation_shows_formulas(run):
    status, out, _ = run("summary", "CN(8,(3,3))->MP(2,2)->FL()->DN(10)")
    assert status == 0
    assert "3x3x1x8 + 8 = 80" in out and "Total params: 13,610" in out


def test_summary_of_a_large_network_draws_no_weights(run, monkeypatch):
    monkeypatch.setattr("tinycnn.philox.random_bits", None)  # would fail if called
    status, out, _ = run("summary", "models-10", "--json")
    assert status == 0 and json.loads(out)["params"]["total"] == 37987722


def test_doctor_reports_devices_and_remedies(run):
    status, out, _ = run("doctor", "--json")
    facts = json.loads(out)
    assert status == 0
    assert {"name": "reference", "usable": True, "reason": None} in facts["devices"]
    for part in facts["parts"]:
        assert part["found"] or part["remedy"]
    status, out, _ = run("doctor")
    assert status == 0 and f"emptied by {facts['times']['emptied_by']}" in out


TOO_NEW = """
import importlib.metadata, sys, numpy
installed = importlib.metadata.version
importlib.metadata.version = lambda name: "99.0" if name == "numpy" else installed(name)
numpy.__version__ = "99.0"
from tinycnn.command import main
main(sys.argv[1:])
"""


def with_numpy_too_new(*arguments):
    """(exit status, stdout, stderr) of the command beside a NumPy that the installed Numba refuses."""
    done = subprocess.run([sys.executable, "-c", TOO_NEW, *arguments], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def test_a_numpy_that_numba_refuses_is_told_with_the_command_that_mends_it():
    status, out, err = with_numpy_too_new("doctor", "--json")
    assert (status, err) == (0, "")
    facts = json.loads(out)
    (numpy,) = (part for part in facts["parts"] if part["name"] == "NumPy")
    assert numpy["found"] == "99.0" and "pip install 'numpy<" in numpy["remedy"]
    devices = {device["name"]: device for device in facts["devices"]}
    assert devices["reference"]["usable"] and not devices["cpu"]["usable"]
    assert numpy["remedy"] in devices["cpu"]["reason"]
    assert "emulator" in [cache["device"] for cache in facts["caches"]]

    status, _, err = with_numpy_too_new("train", TINY)
    assert status == 2 and err == f"tinycnn: {devices['cpu']['reason']}\n"
    assert with_numpy_too_new("gradcheck", "relu", "--device", "reference")[0] == 0


# ---------------------------------------------------------------- training and what follows


def test_train_logs_an_object_an_epoch_and_says_which_data_it_was(run, digits, tmp_path):
    log = tmp_path / "log.jsonl"
    status, out, _ = run("train", TINY, "--data", digits, "--epochs", 2, "--batch-size", 50, "--lr", 0.01, "--log", log)
    assert status == 0
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    for row in rows:
        assert list(row) == ["epoch", "loss", "acc", "val_loss", "val_acc", "lr", "seconds", "data", "device", "path"]
        assert row["lr"] == 0.01 and row["data"] == digits.name
    assert digits.name in out.splitlines()[-1] and f"{rows[-1]['val_acc']:.4f}" in out.splitlines()[-1]


def test_the_same_seed_gives_the_same_log_and_another_seed_another(run, digits, tmp_path):
    logs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        log = tmp_path / name
        run("train", TINY, "--data", digits, "--epochs", 2, "--seed", seed, "--log", log)
        logs.append([{**json.loads(line), "seconds": 0} for line in log.read_text().splitlines()])
    assert logs[0] == logs[1] != logs[2]


def test_train_uses_the_documented_recipe(run, digits, tmp_path):
    log = tmp_path / "log"
    status, out, _ = run("train", "go-crazy", "--data", digits, "--limit", 64, "--epochs", 2, "--log", log)
    assert status == 0 and "Adam" in out
    assert [json.loads(line)["lr"] for line in log.read_text().splitlines()] == [0.003, 0.0022744503]


def test_another_optimizer_leaves_the_documented_schedule(run, digits, tmp_path):
    log = tmp_path / "log"
    run("train", "go-crazy", "--data", digits, "--limit", 64, "--epochs", 2, "--log", log, "--optimizer", "sgd")
    assert [json.loads(line)["lr"] for line in log.read_text().splitlines()] == [0.01, 0.01]


def test_a_saved_training_goes_on_as_if_never_interrupted(run, digits, tmp_path):
    whole, halves = tmp_path / "whole.safetensors", tmp_path / "halves.safetensors"
    log = tmp_path / "log"
    common = ("train", TINY, "--data", digits, "--seed", 5)
    run(*common, "--epochs", 4, "--save", whole)
    run(*common, "--epochs", 2, "--save", halves)
    assert run(*common, "--epochs", 4, "--save", halves, "--resume", "--log", log)[0] == 0
    for one, other in zip(load_model(whole).get_weights(), load_model(halves).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [json.loads(line)["epoch"] for line in log.read_text().splitlines()] == [1, 2, 3, 4]


def test_how_long_is_asked_anew_and_how_is_kept(run, digits, tmp_path):
    save, common = tmp_path / "run.safetensors", ("--data", digits, "--limit", 64)
    run("train", "go-crazy", *common, "--epochs", 1, "--lr", 0.01, "--batch-size", 32, "--save", save)
    recipe = load_model(save).recipe
    assert (recipe["epochs"], recipe["batch_size"], recipe["schedule"][1]) == (20, 32, 0.01)
    status, out, _ = run("train", save, *common)
    assert status == 0 and "Epoch 2/20" in out and "Epoch 20/20" in out and "batches of 32" in out


def test_a_file_can_be_trained_further(run, digits, trained):
    status, out, _ = run("train", trained, "--data", digits, "--epochs", 2)
    assert status == 0 and "Epoch 2/2" in out and "Epoch 1/2" not in out


def test_a_finished_training_has_no_accuracy_on_data_that_it_never_saw(run, digits, trained, tmp_path):
    files = [tmp_path / name for name in ("log", "curves.png")]
    options = ("--data", "synthetic", "--limit", 50, "--epochs", 1, "--log", files[0], "--plot", files[1])
    status, out, _ = run("train", trained, *options)
    assert status == 0 and "already trained for 1 epoch; ask for more with --epochs" in out
    assert "accuracy" not in out and "synthetic" not in out
    assert not any(file.exists() for file in files)


def test_resume_begins_where_there_is_no_file(run, digits, tmp_path):
    path = tmp_path / "new.safetensors"
    assert run("train", TINY, "--data", digits, "--epochs", 1, "--save", path, "--resume")[0] == 0
    assert path.exists()


def test_evaluate_agrees_with_the_training(run, digits, tmp_path):
    path, log = tmp_path / "m.safetensors", tmp_path / "log"
    run("train", TINY, "--data", digits, "--epochs", 1, "--save", path, "--log", log)
    status, out, _ = run("evaluate", path, "--data", digits, "--json")
    facts, row = json.loads(out), json.loads(log.read_text())
    assert status == 0
    assert facts["acc"] == row["val_acc"] and facts["loss"] == pytest.approx(row["val_loss"], rel=1e-6)
    assert facts["images"] == 60 and facts["data"] == digits.name


def test_predict_reads_idx_and_pictures_alike(run, digits, trained, tmp_path):
    images, _ = synthetic.digits(1, first=10_003)
    white_on_black, black_on_white = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(images[0]).save(white_on_black)
    Image.fromarray(255 - images[0]).save(black_on_white)
    index = ("predict", trained, digits / "t10k-images-idx3-ubyte.gz", "--index", 3, "--json")
    results = [json.loads(run(*index)[1])]
    results += [json.loads(run("predict", trained, p, "--json")[1]) for p in (white_on_black, black_on_white)]
    for result in results:
        assert sum(result["probabilities"]) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(result["probabilities"], results[0]["probabilities"], atol=1e-5)
        assert result["class"] == int(np.argmax(result["probabilities"]))


def test_predict_gives_probabilities_of_a_network_that_ends_in_logits_and_refuses_one_that_ends_in_images(
    run, refused, digits, tmp_path
):
    image = digits / "t10k-images-idx3-ubyte.gz"
    network = Sequential([Flatten(input_shape=(28, 28, 1)), Dense(10)])
    network.compile("sgd", SparseCategoricalCrossentropy(from_logits=True))
    network.save(tmp_path / "logits.safetensors")
    found = json.loads(run("predict", tmp_path / "logits.safetensors", image, "--json")[1])
    assert sum(found["probabilities"]) == pytest.approx(1, abs=1e-5) and min(found["probabilities"]) > 0
    larger = Sequential([UpSampling2D(2, input_shape=(28, 28, 1))])
    larger.save(tmp_path / "larger.safetensors")
    assert "ends with shape (56, 56, 1), and not in classes" in refused(
        "predict", tmp_path / "larger.safetensors", image
    )


def test_networks_of_other_forms_are_refused_by_name(refused, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, image = Input((28, 28, 1)), digits / "t10k-images-idx3-ubyte.gz"
    flat = Flatten()(x)
    networks = {
        "flat": Sequential([Dense(10, activation="softmax", input_shape=(784,))]),
        "two": Model(x, [Dense(10, activation="softmax")(flat), Dense(2, activation="softmax")(flat)]),
        "number": Sequential([Flatten(input_shape=(28, 28, 1)), Dense(1)]),
        "sigmoid": Sequential([Flatten(input_shape=(28, 28, 1)), Dense(3, activation="sigmoid")]),
    }
    for name, network in networks.items():
        if name != "two":
            network.compile("sgd", "mse")
        network.save(f"{name}.safetensors")
    of_two, of_flat, of_others = "1 inputs and 2 outputs", "shape (None, 784), and not images", "no softmax at its end"
    for command, name, words in [
        (["predict"], "flat", of_flat), (["predict"], "two", of_two), (["predict"], "number", of_others),
        (["predict"], "sigmoid", of_others), (["compare"], "two", of_two), (["compare"], "sigmoid", of_others),
        (["plan"], "two", of_two), (["plan"], "flat", of_flat),
    ]:  # fmt: skip
        others = [image] if command == ["predict"] else []
        assert words in refused(*command, f"{name}.safetensors", *others)


def test_pictures_are_written(run, digits, trained, tmp_path):
    image = digits / "t10k-images-idx3-ubyte.gz"
    curves, matrix, maps = (tmp_path / f"{name}.png" for name in ("curves", "matrix", "maps"))
    assert run("train", TINY, "--data", digits, "--epochs", 2, "--plot", curves)[0] == 0
    assert run("evaluate", trained, "--data", digits, "--plot", matrix)[0] == 0
    assert run("predict", trained, image, "--plot", maps)[0] == 0
    for path in (curves, matrix, maps):
        with Image.open(path) as picture:
            assert min(picture.size) > 200


def test_curves_say_what_was_trained_on_what(run, digits, monkeypatch, tmp_path):
    titles = []
    monkeypatch.setattr("tinycnn.pictures.plot_history", lambda *_, title, **__: titles.append(title))
    for data in (digits, "synthetic"):
        options = ("--data", data, "--limit", 100, "--epochs", 1, "--seed", 3, "--plot", tmp_path / "curves.png")
        assert run("train", TINY, *options)[0] == 0
    on = [title.split(" on ")[1] for title in titles]
    assert on == [f"100 images of {digits.name}, seed 3", "100 images of synthetic digits, seed 3"]


def test_filters_are_drawn(run, refused, trained, tmp_path):
    picture = tmp_path / "filters.png"
    status, out, _ = run("filters", trained, "-o", picture)
    assert status == 0 and out.startswith(f"{picture}: conv2d_") and "4 filters of 5x5 over 1 channel" in out
    with Image.open(picture) as drawn:
        assert min(drawn.size) > 100
    assert "no layer is called 'conv'" in refused("filters", trained, "-o", picture, "--layer", "conv")
    assert ".png" in refused("filters", trained, "-o", tmp_path / "filters.txt")
    assert "--output" in refused("filters", trained)


# ---------------------------------------------------------------- what is refused


def test_an_unknown_network_is_refused_with_the_nearest_name(refused):
    assert "go-crazy" in refused("summary", "go-crasy")


@pytest.mark.parametrize("notation", ["CN(8", "XX(3)", "CN(8)->->FL()", "CN(-1)", "CN(8,(3,3),strides=(0,1))"])
def test_a_wrong_notation_is_refused(refused, notation):
    refused("summary", notation)


def test_a_layer_past_the_image_is_named(refused):
    error = refused("train", "MP(14,14)->CN(8,(3,3))->FL()->DN(10)", "--data", "synthetic", "--limit", 10)
    assert "Negative dimension size caused by subtracting 3 from 2 for conv2d_1" in error


def test_missing_and_broken_data_are_refused(refused, digits, tmp_path):
    assert "nowhere" in refused("train", TINY, "--data", tmp_path / "nowhere")
    for name in os.listdir(digits):
        (tmp_path / name).write_bytes((digits / name).read_bytes())
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-7])
    assert "train-labels-idx1-ubyte" in refused("train", TINY, "--data", tmp_path)


@pytest.mark.parametrize("option", ["--save", "--log", "--plot"])
def test_an_unwritable_path_is_refused_before_training(refused, digits, tmp_path, option):
    missing = tmp_path / "missing" / "file.png"
    assert "missing" in refused("train", TINY, "--data", digits, option, missing)
    assert "folder" in refused("train", TINY, "--data", digits, option, tmp_path)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a folder that nobody can write to: /proc")
def test_a_folder_that_takes_no_files_is_refused_before_training(run, digits):
    status, out, error = run("train", TINY, "--data", digits, "--save", "/proc/run.safetensors")
    assert status == 2 and "/proc/run.safetensors" in error and "Epoch" not in out


def test_a_picture_of_no_known_kind_is_refused_before_training(refused, digits, tmp_path):
    error = refused("train", TINY, "--data", digits, "--plot", tmp_path / "curves.xyz")
    assert "curves.xyz" in error


@pytest.mark.parametrize(
    "options",
    ["--epochs 0", "--batch-size -3", "--lr 0", "--lr x", "--optimizer adamw", "--device tpu", "--seed -1",
     "--limit 0", "--resume", "--no-such-option", "--lr nan", "--lr inf", "--save a --log a", "--save ./a --log a"],
)  # fmt: skip
def test_wrong_options_are_refused(refused, digits, options):
    refused("train", TINY, "--data", digits, *options.split())


def test_what_is_read_or_written_by_another_option_is_not_written_over(refused, run, digits, trained, tmp_path):
    program, picture = tmp_path / "mynet.py", tmp_path / "digit.png"
    program.write_text(
        "from tinycnn.layers import Dense, Flatten\nfrom tinycnn.models import Sequential\n"
        "model = Sequential([Flatten(input_shape=(28, 28, 1)), Dense(10, activation='softmax')])\n"
    )
    Image.fromarray(synthetic.digits(1)[0][0]).save(picture)
    link = tmp_path / "link"
    link.symlink_to(trained)
    before = [path.read_bytes() for path in (program, picture, trained)]
    fixed = ("--data", digits, "--epochs", 2)
    assert "the network and --log both name" in refused("train", trained, *fixed, "--log", trained)
    assert "the network and --log" in refused("train", link, *fixed, "--save", tmp_path / "other", "--log", trained)
    assert "the network and --save" in refused("train", f"{program}:model", *fixed, "--save", program)
    assert "--log and --plot" in refused("train", TINY, *fixed, "--log", picture, "--plot", picture)
    assert "--data and --log" in refused("train", TINY, "--data", picture, "--log", picture)
    assert "IMAGE and --plot" in refused("predict", trained, picture, "--plot", picture)
    assert before == [path.read_bytes() for path in (program, picture, trained)]
    assert run("train", trained, *fixed, "--save", trained)[0] == 0


def test_no_command_of_that_name(refused):
    refused("trian")


def test_files_that_are_no_checkpoints_are_refused(refused, digits, tmp_path, trained):
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"no weights here")
    assert "garbage.safetensors" in refused("evaluate", garbage, "--data", digits)
    assert "nothing.safetensors" in refused("evaluate", tmp_path / "nothing.safetensors", "--data", digits)
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(trained.read_bytes()[:-10])
    assert "cut.safetensors" in refused("train", cut, "--data", digits)


def test_a_saved_training_of_another_network_is_not_gone_on_with(refused, digits, trained):
    error = refused("train", "CN(3)->FL()->DN(10)", "--data", digits, "--save", trained, "--resume")
    assert "another network" in error
    assert "seed" in refused("train", TINY, "--data", digits, "--save", trained, "--resume", "--seed", 9)
    assert "Adam" in refused("train", TINY, "--data", digits, "--save", trained, "--resume", "--optimizer", "sgd")


def test_predict_refuses_what_is_no_image(refused, digits, trained, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("seven")
    assert "notes.txt" in refused("predict", trained, text)
    assert "60 images" in refused("predict", trained, digits / "t10k-images-idx3-ubyte.gz", "--index", 60)
    assert "nothing.png" in refused("predict", trained, tmp_path / "nothing.png")


# ---------------------------------------------------------------- as a process of its own


def test_a_full_disk_ends_the_training_in_one_line_and_keeps_the_old_file(digits, trained):
    before = trained.read_bytes()
    script = (
        "import resource, signal, sys\n"
        "from tinycnn.command import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "main(sys.argv[1:])\n"
    )
    arguments = [
        "train",
        str(trained),
        "--epochs",
        "2",
        "--data",
        str(digits),
        "--save",
        str(trained),
        "--device",
        "reference",
    ]
    ended = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stderr.startswith("tinycnn: ") and ended.stderr.count("\n") == 1
    assert trained.name in ended.stderr
    assert trained.read_bytes() == before
    assert not list(trained.parent.glob("*.tmp"))


def test_ctrl_c_says_how_to_go_on(digits, tmp_path):
    save = tmp_path / "run.safetensors"
    script = LISTEN + "from tinycnn.command import main; main()"
    command = [sys.executable, "-c", script, "train", TINY, "--data", str(digits), "--epochs", "100000"]
    with subprocess.Popen(
        [*command, "--save", str(save), "--device", "reference"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith("Epoch 3/"):  # the files of the first two epochs are written
                process.send_signal(signal.SIGINT)
                break
        _, error = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in error and "--resume" in error and str(save) in error
    assert load_model(save).epoch >= 2


def interrupted_at_its_checkpoint(monkeypatch, run, epoch, *arguments):
    """What is said of a training that Ctrl-C ends as it is about to write the checkpoint of this epoch."""
    write = ModelCheckpoint.on_epoch_end

    def interrupted(self, number, logs=None):
        if number + 1 == epoch:
            raise KeyboardInterrupt
        write(self, number, logs)

    with monkeypatch.context() as patch:
        patch.setattr(ModelCheckpoint, "on_epoch_end", interrupted)
        status, _, error = run("train", *arguments)
    assert status == 130
    return error


def test_ctrl_c_counts_what_is_saved_and_what_an_earlier_training_saved(run, digits, trained, tmp_path, monkeypatch):
    other, fixed = tmp_path / "other.safetensors", ("--data", digits, "--epochs", 9)
    error = interrupted_at_its_checkpoint(monkeypatch, run, 1, TINY, *fixed, "--save", other)
    assert "after 0 finished epochs" in error and "--resume" not in error
    error = interrupted_at_its_checkpoint(monkeypatch, run, 3, TINY, *fixed, "--save", other)
    assert "after 2 finished epochs" in error and f"{other} holds epoch 2, --resume" in error
    for network in (TINY, trained):
        error = interrupted_at_its_checkpoint(
            monkeypatch, run, 2, network, *fixed, "--save", trained, *["--resume"] * (network == TINY)
        )
        assert "after 1 finished epoch;" in error and f"{trained} holds epoch 1, --resume goes on" in error
    error = interrupted_at_its_checkpoint(monkeypatch, run, 2, trained, *fixed, "--save", tmp_path / "new.safetensors")
    assert "after 1 finished epoch" in error and "holds" not in error


def test_import_is_light():
    """Importing tinycnn brings none of the heavy packages."""
    script = (
        "import sys, tinycnn; print([m for m in ('numba', 'matplotlib', 'cupy', 'pooch', 'click') if m in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


# ---------------------------------------------------------------- kernels


@pytest.fixture
def compiler():
    """The emulator's compiler, or a skip that says what is missing."""
    try:
        tinycnn.get_device("emulator")
    except tinycnn.DeviceError as error:
        pytest.skip(str(error))


def test_check_passes_our_kernels_and_finds_the_fault_in_another(run, compiler, tmp_path):
    assert run("check", "dropout")[0] == 0
    path = tmp_path / "copy.cu"
    path.write_text(
        "// launch: kernel=copy grid=4 block=256 x=float[1000] y=float[1000]\n"
        "__global__ void copy(const float* x, float* y) {\n"
        "    y[blockIdx.x * blockDim.x + threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];\n"
        "}\n"
    )
    status, out, _ = run("check", path, "--json")
    (report, *_) = json.loads(out)["reports"]
    assert status == 1
    assert (report["kind"], report["line"]) == ("out-of-bounds", 3)
    assert (report["block"], report["thread"]) == ([3, 0, 0], [232, 0, 0])


def test_an_emulated_training_says_that_its_times_mean_nothing(run, compiler, digits):
    status, out, _ = run("train", TINY, "--data", digits, "--limit", 64, "--epochs", 1, "--device", "emulator")
    assert status == 0 and "emulated" in out


# ---------------------------------------------------------------- manners


def test_a_run_that_diverged_says_so_and_has_an_exit_status_of_its_own(run, digits, tmp_path):
    path, log = tmp_path / "lost.safetensors", tmp_path / "log.jsonl"
    words = ("train", TINY, "--optimizer", "sgd", "--lr", "1e30", "--data", digits, "--epochs", 2)
    status, _, error = run(*words, "--save", path, "--log", log)
    assert status == 3 and "diverged" in error.splitlines()[-1] and "--lr" in error.splitlines()[-1]
    last = json.loads(log.read_text().splitlines()[-1], parse_constant=pytest.fail)
    assert last["loss"] is None and last["diverged"]
    image = digits / "t10k-images-idx3-ubyte.gz"
    for command in (("evaluate", path, "--data", digits, "--json"), ("predict", path, image)):
        status, out, error = run(*command)
        assert status == 3 and "diverged" in error.splitlines()[-1]
        assert "NaN" not in out


@pytest.mark.parametrize("option", ["--save", "--log"])
@pytest.mark.parametrize("name", ["", "x" * 300, "/dev/null"], ids=["no name", "a long one", "a device"])
def test_files_that_cannot_be_written_are_refused_before_training(refused, digits, option, name):
    assert "cannot write" in refused("train", TINY, "--data", digits, option, name)


def test_what_a_name_holds_does_not_move_the_cursor(run):
    status, _, error = run("train", "\x1b[2Jnetwork")
    assert status == 2 and "\x1b" not in error and "\\x1b[2Jnetwork" in error


@pytest.mark.parametrize("lines", [0, 1], ids=["at once", "after a line"])
@pytest.mark.parametrize("arguments", [["summary", "DP(0.1)->" * 700 + "FL()->DN(10)"], ["list"], ["--help"]])
def test_a_reader_that_goes_away_is_no_error(arguments, lines):
    """Of more than a pipe holds, which is 64 KB, and of less."""
    code = f"from tinycnn.command import main; main({arguments})"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        for _ in range(lines):
            process.stdout.readline()
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait() == 0 and error == b""


def test_a_terminal_without_columns_is_wide_enough(digits):
    code = f"from tinycnn.command import main; main(['train', {TINY!r}, '--epochs', '1', '--data', {str(digits)!r}])"
    environment = {**os.environ, "COLUMNS": "0", "LINES": "0", "TINYCNN_DEVICE": "reference"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


def test_the_advice_where_memory_is_short_names_options_that_the_command_has(run, monkeypatch):
    def too_much(*arguments, **options):
        raise MemoryError("8 TB")

    monkeypatch.setattr("tinycnn.fit.summary.rows", too_much)
    status, _, error = run("summary", TINY)
    assert status == 2 and "out of memory (8 TB)" in error and "--batch-size" not in error
    monkeypatch.setattr("tinycnn.datasets.load", too_much)
    status, _, error = run("train", TINY)
    assert status == 2 and "a smaller --batch-size or --limit" in error


# ---------------------------------------------------------------- speed


def test_the_first_batch_of_its_size_is_left_out_of_the_speed():
    progress = Progress(0, 0, 1, 300)
    with progress:
        with progress.compiling(100):
            progress.compiling_began -= 10  # as if it had taken ten seconds
        for _ in range(3):
            progress.advance(100, lambda: (0, 0))
    assert progress.speed(12) == pytest.approx(100, rel=0.01)  # 200 images in 2 seconds
    alone = Progress(0, 0, 1, 100)
    with alone.compiling(100):
        pass
    alone.advance(100, lambda: (0, 0))
    assert alone.speed(4) == 25  # there is no other batch to tell by
