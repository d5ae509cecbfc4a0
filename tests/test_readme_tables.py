"""The tables of the README and of docs/ are those of the result files and of the code."""

import json
from statistics import median

import contenders
import machine
import pytest
import readme_tables
import report
import tables_of_results
from benchmark_inputs import readme, tables
from tables_shared import ReadmeError

from tinycnn import architectures


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
    title = architectures.ARCHITECTURES["go-crazy"].title
    assert cells == ["`go-crazy`", title, "13,880", "0.9919 (last)", *["-"] * 6]
    assert "Not measured yet" in text and "old" not in text
    assert text.startswith("# Title\nbefore networks\n<!-- table:networks -->\n") and text.endswith("-->\nafter\n")


def test_reproduced_accuracies_stand_beside_the_documented_ones(tmp_path):
    rows = [reproduced("go-crazy", 0.993, seed=0), reproduced("go-crazy", 0.9922, seed=1)]
    rows += [reproduced("breakdown-1", 0.99), reproduced("models-1", 0.97, epochs=1, images=512)]
    write_reproduction(tmp_path, rows)
    path = readme(tmp_path, "networks")
    assert tables(path, tmp_path) == 0
    cells = {line[0]: line[3:] for line in cells_of(path) if line}
    mean = "0.9926 ± 0.0006"
    assert cells["`go-crazy`"] == ["0.9919 (last)", mean, mean, "-0.0007, below all", "2", "20 of 20", "some CPU"]
    assert cells["`breakdown-1`"][-3:] == ["1", "20", "some CPU"]  # no document says how many
    assert cells["`models-1`"][-2] == "1 of 13, 512 images of MNIST"


def test_every_network_that_differs_from_its_document_is_explained_or_said_not_to_be(tmp_path):
    recipe = [reproduced(name, 0.99 + 0.0002 * seed, seed) for name in ("other-4", "other-1") for seed in (0, 1)]
    within = [reproduced("go-crazy", accuracy, seed) for seed, accuracy in enumerate((0.9910, 0.9930))]
    write_reproduction(tmp_path, [*recipe, *within, reproduced("other-3", 0.98)])  # one seed has no outside
    changed = reproduced("other-4", 0.9945) | {"explanation": "no shuffling"}
    rows = [row for row in recipe if row["network"] == "other-4"]  # which --explain has borrowed
    write_result(tmp_path, "some-cpu/reproduction/explanations", "results.json", {"rows": [*rows, changed]})
    path = readme(tmp_path, "explanations-in-short", "explanations")
    assert tables(path, tmp_path) == 0
    short, long = path.read_text(encoding="utf-8").split("before explanations\n")
    first, second = [line for line in short.splitlines() if line.startswith("- `")]
    assert first.startswith("- `other-1`: nothing that was tried") and "not been tried to the end" in first
    assert second.startswith("- `other-4`: the gap is closed by: no shuffling (by one seed, which goes past it)")
    heads = [line for line in long.splitlines() if line.startswith("some CPU. ")]
    assert [head.split()[2] for head in heads] == ["other-1:", "other-4:"]
    (line,) = [line for line in long.split("other-4: the document")[1].splitlines() if "the recipe as it is" in line]
    assert line.split("|")[3].strip() == "2"  # seeds, each counted once


def test_of_several_machines_those_stand_there_that_trained_the_longest(tmp_path):
    rows = [reproduced("go-crazy", 0.98, epochs=5), reproduced("go-crazy", 0.99)]
    rows += [reproduced("go-crazy", 0.91, epochs=40, images=512), {**reproduced("go-crazy", 0.9, 21), "epochs": 100}]
    write_reproduction(tmp_path, [*rows, reproduced("vanilla", 0.97, epochs=7)])
    other = [{**reproduced(name, 0.991), "machine": "some GPU"} for name in ("go-crazy", "vanilla")]
    write_result(tmp_path, "some-gpu/reproduction", "results.json", {"rows": other})
    path = readme(tmp_path, "networks")
    assert tables(path, tmp_path) == 0
    trained = [(line[0], line[4], line[-1]) for line in cells_of(path) if line and "some" in line[-1]]
    assert trained == [
        ("`vanilla`", "0.9910", "some GPU"), ("`go-crazy`", "0.9900", "some CPU"), ("`go-crazy`", "0.9910", "some GPU"),
    ]  # fmt: skip


def test_the_short_table_of_networks_has_the_rows_that_are_named(tmp_path):
    write_reproduction(tmp_path, [reproduced("go-crazy", 0.993), reproduced("breakdown-1", 0.99)])
    path = readme(tmp_path, "networks", "networks-in-short")
    assert tables(path, tmp_path) == 0
    long, short = path.read_text(encoding="utf-8").split("before networks-in-short")
    rows = [line for line in short.splitlines() if line.startswith("| `")]
    assert {row.split("`")[1] for row in rows} == set(tables_of_results.NETWORKS_IN_SHORT)
    assert {row.replace(" ", "") for row in rows} < {row.replace(" ", "") for row in long.splitlines()}


def test_the_tables_of_keras_s_face_are_read_from_the_code(tmp_path):
    kinds = ("layers", "model", "losses", "optimizers", "callbacks")
    path = readme(tmp_path, *(f"keras-{kind}" for kind in kinds))
    assert tables(path, tmp_path) == 0
    rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    arguments = {row.split("|")[1].strip(): row.split("|")[2] for row in rows}
    assert {"`Conv2D`", "`Model.fit`", "`categorical_crossentropy`", "`Adadelta`", "`ModelCheckpoint`"} <= set(
        arguments
    )
    assert not {"`Layer`", "`Optimizer`", "`Callback`", "`Watching`"} & set(arguments)  # what users do not make
    assert "`rate`" in arguments["`Dropout`"] and "`epochs=1`" in arguments["`Model.fit`"]
    assert "self" not in arguments["`Model.fit`"]


def test_the_speed_table_shows_each_frameworks_best(tmp_path):
    cpu, torch_1, torch_2 = (
        contenders.Contender(f, c, {}, (), {}) for f, c in (("tinycnn", "cpu"), ("PyTorch", "one"), ("PyTorch", "two"))
    )
    seconds = {cpu: 1, torch_1: 4, torch_2: 2}
    measured = {c: [{"seconds": s, "loss": 0.1}] * 3 for c, s in seconds.items()}
    rows = report.rows_of("go-crazy", measured, images=7680, flop=10)
    for row, version in zip(rows, ("0.2.0", "0.1.0", "0.1.0"), strict=True):  # of two runs
        row["versions"] = {"tinycnn": version, "keras": None}
    content = {
        "device": "some CPU, 2 cores",
        "settings": {"batch": 128, "data": "MNIST", "rounds": 3, "steps": 60},
        "absent": {"Keras on JAX": ["keras"], "PyTorch": ["torch"]},
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
    assert "some CPU, 2 cores; batches of 128, MNIST" in text and "steps; tinycnn 0.2.0 and 0.1.0.\n" in text
    assert "7,680" in text and "3,840" in text and "1,920" not in text
    assert "2.00 (2.00 to 2.00)" in text and "one round" not in text
    assert "Until the validation accuracy is 99.4%:" in text
    reached = [cell.strip() for cell in text.splitlines()[-3].split("|")[1:-1]]
    assert reached == ["`go-crazy`", "tinycnn", "cpu", "2", "0.9950", "3.2", "0.500"]
    assert "Not measured, because not installed: Keras on JAX." in text
    path = readme(tmp_path, "training-speed-in-short")
    assert tables(path, tmp_path) == 0
    text = path.read_text(encoding="utf-8")
    assert "7,680" in text and "2.00 (2.00 to 2.00)" in text and "| PyTorch" not in text
    for row in content["rows"]:
        row["rounds"] = row["rounds"][:1]
    write_result(tmp_path, "some-cpu", "train_frameworks.json", content)
    assert tables(path, tmp_path) == 0
    text = path.read_text(encoding="utf-8")
    assert "one round" in text and "2.00 |" in text and "to 2.00" not in text


def test_a_gpu_s_table_holds_geometric_means_and_says_when_there_are_none(tmp_path):
    path = readme(tmp_path, "cudnn")
    assert tables(path, tmp_path) == 0
    assert "No GPU has been measured yet." in path.read_text(encoding="utf-8")
    dropout = {"forward": {"ratio": 2, "rows": 9}}
    means = {"float32": {"conv2d": {"forward": {"ratio": 1.234, "rows": 120}}, "dropout": dropout}}
    means["tf32"] = {"conv2d": {"forward": {"ratio": 0.5, "rows": 120}}}
    measured = [{"operation": "conv2d", "commit": "abc"}] * 2 + [{"operation": "dropout", "commit": None}]
    write_result(tmp_path, "a-gpu", "conv_cudnn.json", {"device": "a GPU", "geomean": means, "rows": measured})
    assert tables(path, tmp_path) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in path.read_text(encoding="utf-8").splitlines()]
    assert ["a GPU", "conv2d", "forward", "float32", "abc", "120", "1.23"] in rows
    assert ["a GPU", "conv2d", "forward", "TF32 allowed", "abc", "120", "0.50"] in rows
    assert ["a GPU", "dropout", "forward", "float32", "unknown", "9", "2.00"] in rows


def cells_of(path):
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in path.read_text(encoding="utf-8").splitlines()]


def test_measured_layers_stand_beside_their_predictions(tmp_path):
    """The quickest of the times in the results file, and what cost.json's coefficients give."""
    path = readme(tmp_path, "planner-rows")
    assert tables(path, tmp_path) == 0
    measured = json.loads((machine.RESULTS / "nvidia-h200" / "fast_tiles.json").read_text())["rows"]
    ways = {(row["name"], row["direction"] + " behind a ReLU" * row["masked"]): row for row in measured}
    rows = [row for row in cells_of(path) if tuple(row[:2]) in ways]
    assert len(rows) > 60 and {networks for row in rows for networks in ways[row[0], row[1]]["networks"]} > {"go-crazy"}
    factors = []
    for name, way, _, us, predicted, factor, tflops in rows:
        row = ways[name, way]
        best = min(tried["us"] for tried in row["tried"])
        assert us == f"{best:.1f}"
        assert float(predicted) / float(us) == pytest.approx(float(factor), rel=0.03)
        assert float(tflops) == pytest.approx(row["flop"] / best / 1e6, abs=0.06)
        factors.append(max(float(factor), 1 / float(factor)))
    told = f"half are within a factor of {median(factors):.2f} of what is predicted, all within {max(factors):.2f}"
    assert told in path.read_text(encoding="utf-8")


def test_the_compiled_kernels_stand_there_by_architecture_and_by_layer(tmp_path):
    path = readme(tmp_path, "fast-kernels", "fast-kernels-in-short")
    assert tables(path, tmp_path) == 0
    assert "Not compiled yet: `python benchmarks/fast_compile.py` needs NVRTC" in path.read_text(encoding="utf-8")
    common = {"threads": 64, "shared": 2048, "warps": 0.25, "spills": 0, "code": 4096}
    forward = common | {"layer": "8x8x4 * 3x3 -> 4", "direction": "forward"}
    rows = [
        forward
        | {"card": "h200", "arch": "sm_90", "kernel": "conv_gemm_forward<A>", "registers": 90, "loop": [50, 40]},
        forward | {"card": "t4", "arch": "sm_75", "kernel": "conv_gemm_forward<A>", "registers": 80, "loop": [50, 25]},
        common
        | {
            "layer": "5 -> 3",
            "direction": "backward_data",
            "card": "t4",
            "arch": "sm_75",
            "registers": 40,
            "loop": [0, 0],
        }
        | {"kernel": "conv_small_backward_data<A>"},
    ]
    content = {"batch": 128, "commit": "abc", "versions": {"nvidia-cuda-nvrtc": "13.5", "nvdisasm": None}, "rows": rows}
    write_result(tmp_path, "nvrtc", "fast_compile.json", content)
    assert tables(path, tmp_path) == 0
    found = cells_of(path)
    shared = ["64", "80 / 90", "2.0", "25%", "0", "4", "50% / 80%"]
    assert ["8x8x4 * 3x3 -> 4", "forward", "gemm", *shared] in found
    assert ["5 -> 3", "backward_data", "small", "64", "40", "2.0", "25%", "0", "4", "unrolled"] in found
    assert ["sm_90", "conv_gemm_forward", "1", "90 to 90", "0", "25%", "4 KB", "80%", "80% to 80%"] in found
    assert "for sm_75 (t4), sm_90 (h200); commit abc; nvidia-cuda-nvrtc 13.5." in path.read_text(encoding="utf-8")
    for row in rows:
        row["loop"] = None
    write_result(tmp_path, "nvrtc", "fast_compile.json", content)
    assert tables(path, tmp_path) == 0
    assert ["8x8x4 * 3x3 -> 4", "forward", "gemm", *shared[:-1], "no nvdisasm"] in cells_of(path)


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


def test_every_file_is_looked_at_and_the_old_ones_are_named(tmp_path, capsys):
    old, new = readme(tmp_path, "networks"), tmp_path / "page.md"
    new.write_text("no table\n", encoding="utf-8")
    assert readme_tables.main([str(new), str(old), "--results", str(tmp_path), "--check"]) == 1
    assert "README.md" in (error := capsys.readouterr().err) and "page.md" not in error
    assert readme_tables.main([str(new), str(old), "--results", str(tmp_path)]) == 0
    assert readme_tables.main([str(new), str(old), "--results", str(tmp_path), "--check"]) == 0


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
    with pytest.raises(ReadmeError, match=message):
        readme_tables.render(text, tmp_path)


def test_a_damaged_results_file_is_named(tmp_path, capsys):
    path = readme(tmp_path, "networks")
    write_reproduction(tmp_path, [{"network": "go-crazy", "val_acc": 0.9}])
    before = path.read_bytes()
    assert tables(path, tmp_path) == 2
    assert "results.json is damaged (rows/0: 'seed' is a required property)" in capsys.readouterr().err
    assert path.read_bytes() == before
