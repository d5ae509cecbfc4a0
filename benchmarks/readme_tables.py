"""Writes the tables of the README and of docs/ again, from the files in benchmarks/results/ and from the code.

    python benchmarks/readme_tables.py            # rewrites README.md and docs/*.md
    python benchmarks/readme_tables.py --check    # changes nothing; status 1 if one of them is not up to date

A table stands between `<!-- table:NAME -->` and `<!-- /table:NAME -->`. There are:
networks: the documented networks, from tinycnn.architectures and results/*/reproduction/results.json;
beside-keras: from results/*/compare.json;
accuracy-vs-keras: from results/*/accuracy_vs_keras.json;
training-speed: from results/*/train_frameworks.json;
scaling: from results/*/scaling.json;
cudnn: from results/*/conv_cudnn.json and layers_cudnn.json;
step-profile: from results/*/profile_steps.json;
planner: from tinycnn/devices/gpu/fast/cost.json, which fit_cost_model.py makes of results/nvidia-h200/fast_conv.json;
one-kernel, step-paths: from results/emulator/step_paths.json, which step_paths.py counts;
planner-rows: the same times, each layer's quickest one beside what is predicted of it;
fast-kernels, fast-kernels-in-short: from results/nvrtc/fast_compile.json;
keras-layers, keras-model, keras-losses, keras-optimizers, keras-callbacks: what is there, from the code;
keras-names-counted, keras-names: Keras's own names, from tests/data/keras_2_3_1.json and the code;
intrinsics, intrinsics-refused: of CUDA's, from tinycnn/emulator/intrinsics.json;
cuda-functions, cuda-headers, cuda-refused-headers, cuda-refused-names, cuda-programs: what of CUDA the emulator has
and refuses, from the headers, the data and the test programs that say so.
Of networks, beside-keras, training-speed and step-profile there is a short form, NAME-in-short: the rows that people
look for.
"""

import argparse
import inspect
import json
import re
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from statistics import median

import keras_names
import machine
import report
from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# The rows of the short tables: schedule and batch-norm, the smallest, the best documented below 25,000 parameters, the
# best documented of all, and the one that was reconstructed. Of speed, tinycnn's own, which name PyTorch's in a column.
NETWORKS_IN_SHORT = ("go-crazy", "vanilla-15k", "other-1", "models-9", "eip4-2")
FRAMEWORKS_IN_SHORT = ("tinycnn",)
STEPS_IN_SHORT = ("go-crazy", "vanilla-15k", "models-9")
STEP_FILES = 8  # kernel files with a column of their own: those that take the longest
NO_GPU = "No GPU has been measured yet."
MARKER = re.compile(r"^<!-- (/?)table:([\w-]+) -->[ \t]*$", re.MULTILINE)


class ReadmeError(ValueError):
    """A text with tables, or a results file, that cannot be used: says where and what is wrong."""


# ---------------------------------------------------------------- the tables


def networks_table(results, only=None):
    """What each document says of its network, and what training it here gave, in a column for each device.

    only: the names of the rows, all of them if None; likewise below.
    """
    from tinycnn.architectures import ARCHITECTURES, reproduction

    rows = []
    for path in sorted(Path(results).glob("*/reproduction/results.json")):
        try:
            rows += reproduction.read(path)
        except ValueError as error:
            raise ReadmeError(str(error)) from error
    devices = list(dict.fromkeys((row["machine"], row["device"]) for row in rows))
    columns = [reproduced([r for r in rows if (r["machine"], r["device"]) == device]) for device in devices]
    names = [f"reproduced, {machine}" for machine, _ in devices] if len(devices) > 1 else ["reproduced"]
    lines = [
        [
            f"`{a.id}`", a.title, f"{a.params.total:,}", "-" if a.accuracy is None else f"{a.accuracy:.4f}",
            *([column.get(a.id, "-") for column in columns] or ["-"]),
        ]
        for a in ARCHITECTURES.values()
        if only is None or a.id in only
    ]  # fmt: skip
    return markdown(lines, ["network", "title", "parameters", "documented", *names], left=2)


def reproduced(rows):
    """{network: '0.9941 ± 0.0003 (3 seeds, 20 of 20 epochs)'}; data other than all of MNIST is named."""
    from tinycnn.architectures import reproduction_report as report

    texts = {}
    for group in map(report.finished, report.groups(rows)):
        epochs = report.epochs(group)
        notes = [report.seeds(group), f"{epochs} epoch{'s' * (epochs != '1')}", report.other_data(group[0])]
        text = f"{report.accuracy(group)} ({', '.join(filter(None, notes))})"
        texts.setdefault(group[0]["network"], []).append(text)
    return {network: "; ".join(found) for network, found in texts.items()}


def beside_keras(content, path, only=None):
    """How near every network came to the same one in Keras: the largest error as a share of its tolerance."""
    by_network = {}
    for row in field(content, "rows", path):
        by_network.setdefault(field(row, "network", path), {})[f"{row['device']}, {row['dtype']}"] = row
    kinds = list(dict.fromkeys(kind for rows in by_network.values() for kind in rows))
    lines = []
    for network, rows in by_network.items():
        if only is not None and network not in only:
            continue
        cells = [f"{rows[k]['missed']} of {rows[k]['arrays']}, {rows[k]['worst']['share']:.2f}" if k in rows else "-"
                 for k in kinds]  # fmt: skip
        facts = next(iter(rows.values()))
        own = facts["optimizers"][0] if len(facts["optimizers"]) == 1 else f"{len(facts['optimizers'])} kinds"
        lines.append([f"`{network}`", own, f"{facts['parameters']:,}", facts["batch"], facts["steps"], *cells])
    head = f"{field(content, 'device', path)}; {used(content, path)}."
    return f"{head}\n\n{markdown(lines, ['network', 'optimizers', 'parameters', 'batch', 'steps', *kinds], left=2)}"


def accuracy_vs_keras(content, path):
    """What tinycnn and Keras reach with the same recipe, and what a test says of the difference."""
    lines = []
    for row in field(content, "comparisons", path):
        ours, theirs, test = (field(row, name, path) for name in ("tinycnn", "Keras", "test"))
        lines.append([
            f"`{row['network']}`", f"{row['epochs']}", f"{ours['seeds']} and {theirs['seeds']}",
            *[f"{side['mean']:.4f} ± {side['standard_deviation']:.4f}" for side in (ours, theirs)],
            f"{test['difference']:+.4f}", "-" if test["visible"] is None else f"{test['visible']:.4f}",
            row["conclusion"],
        ])  # fmt: skip
    names = ["network", "epochs", "seeds", "tinycnn", "Keras", "difference", "smallest visible", "Welch, at 5 %"]
    device = field(content, "device", path)
    head = f"{device}; all of MNIST, validation accuracy after the last epoch; {used(content, path)}."
    return f"{head}\n\n{markdown(lines, names, left=1)}"


def used(content, path):
    """'python 3.11.7, tinycnn 0.1.0, ...'"""
    return ", ".join(f"{name} {version}" for name, version in field(content, "versions", path).items() if version)


def training_speed(content, path, only=None):
    """Every framework's fastest configuration, on every device that was measured. only: the frameworks' names."""
    settings = field(content, "settings", path)
    ratios = {
        (r["network"], r["framework"], r["configuration"]): r["pairs"] | {"ratio": r["ratio"]}
        for r in field(content, "ratios", path)
    }
    lines = []
    for row in field(content, "rows", path):
        if not field(row, "best", path) or (only is not None and row["framework"] not in only):
            continue
        speed = field(row, "images_per_s", path)
        ratio = ratios.get((row["network"], row["framework"], row["configuration"]))
        lines.append([
            f"`{row['network']}`", row["framework"], row["configuration"], f"{speed['median']:,.0f}",
            f"{speed['min']:,.0f} to {speed['max']:,.0f}", report.short(row["seconds_per_epoch"]),
            f"{ratio['ratio']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})" if ratio else "-",
        ])  # fmt: skip
    names = ["network", "framework", "fastest configuration"]
    names += ["images/s", "lowest to highest", "s/epoch", "times PyTorch"]
    done = sorted({len(row["rounds"]) for row in content["rows"]}) or [settings["rounds"]]
    rounds = f"{done[0]}" if len(done) == 1 else f"{done[0]} to {done[-1]}"
    head = (
        f"{field(content, 'device', path)}; batches of {settings['batch']}, {settings['data']}, medians of "
        f"{rounds} rounds of {settings['steps']} steps; {used(content, path)}."
    )
    absent = {} if only else field(content, "absent", path)
    tail = f"\n\nNot measured, because not installed: {', '.join(absent)}." if absent else ""
    return f"{head}\n\n{markdown(lines, names, left=3)}{tail}{left_out(content)}{reached_table(content, only)}"


def reached_table(content, only):
    """How long it took to reach an accuracy, where that was measured."""
    if not content.get("reached"):
        return ""
    accuracy = f"{content['settings']['reach']['accuracy']:.1%}"
    lines = [
        [
            f"`{row['network']}`", row["framework"], row["configuration"], row["epochs"], f"{row['best_accuracy']:.4f}",
            *(["not reached", "-"] if not row["reached"] else
              [report.short(row["seconds"]), report.short(row["seconds_without_compiling"])]),
        ]
        for row in content["reached"]
        if only is None or row["framework"] in only
    ]  # fmt: skip
    names = ["network", "framework", "configuration", "epochs", "best accuracy"]
    names += [f"seconds to {accuracy}", "without compiling"]
    return f"\n\nUntil the validation accuracy is {accuracy}:\n\n{markdown(lines, names, left=3)}"


def scaling(content, path):
    """How fast several processes train one network, beside one process on one core."""
    from scaling import OVER

    rows = field(content, "rows", path)
    alone = {row["network"]: row for row in rows if (row["ranks"], row["threads"]) == (1, 1)}
    lines = []
    for row in rows:
        speed = field(row, "images_per_s", path)
        times = speed["median"] / alone[row["network"]]["images_per_s"]["median"] if row["network"] in alone else None
        lines.append([
            f"`{row['network']}`", OVER[row["statistics"]] if row["statistics"] else "-", row["ranks"], row["threads"],
            f"{speed['median']:,.0f}", f"{speed['min']:,.0f} to {speed['max']:,.0f}",
            "-" if times is None else f"{times:.2f}", f"{row['bytes_summed']:,.0f}",
        ])  # fmt: skip
    names = ["network", "statistics over", "ranks", "threads of each", "images/s", "lowest to highest"]
    names += ["times one core", "bytes summed a step"]
    head = (
        f"{field(content, 'device', path)}; batches of {content['batch']}, medians of {content['epochs']} epochs of "
        f"{content['steps']} steps; commit {content['commit'] or 'unknown'}; {used(content, path)}."
    )
    return f"{head}\n\n{markdown(lines, names, left=2)}"


def left_out(content):
    """A sentence on what a file lacks because the time was short, or an empty string."""
    missing = content.get("left_out") or []
    if not missing:
        return ""
    some = "; ".join(missing[:3])
    return f"\n\nNot measured, for want of time: {some}{f', and {len(missing) - 3} more' if len(missing) > 3 else ''}."


def cudnn_table(results):
    """How many times as fast as cuDNN each operation is, as geometric means over the shapes of the networks."""
    lines, missing = [], []
    for path, content in read_all(results, "conv_cudnn.json") + read_all(results, "layers_cudnn.json"):
        missing += content.get("left_out") or []
        means = field(content, "geomean", path)
        allowed = means.get("tf32", {})
        for operation, directions in means.get("float32", {}).items():
            for direction, mean in directions.items():
                tf32 = allowed.get(operation, {}).get(direction)
                lines.append([
                    field(content, "device", path), operation, direction, mean["rows"], f"{mean['ratio']:.2f}",
                    f"{tf32['ratio']:.2f}" if tf32 else "-",
                ])  # fmt: skip
    if not lines:
        return NO_GPU
    table = markdown(lines, ["GPU", "operation", "direction", "shapes", "float32", "TF32 allowed"], left=3)
    return table + left_out({"left_out": missing})


def step_profile(content, path, only=None):
    """A training step of each network: launches, microseconds, and where these go, by kernel file.

    only: the networks of the short form, which has no kernel files.
    """
    rows = [row for row in field(content, "rows", path) if only is None or row["network"] in only]
    sums = {row["network"]: {f["file"]: f["us"] for f in row["files"]} for row in rows}
    total = Counter()
    for files in sums.values():
        total.update(files)
    shown = [file for file, _ in total.most_common(STEP_FILES)] if only is None else []
    lines = []
    for row in rows:
        files = sums[row["network"]]
        others = sum(us for file, us in files.items() if file not in shown)
        cells = [f"{files[file]:,.0f}" if file in files else "-" for file in shown]
        recorded = "" if row["recorded"] else " (not recorded)"
        lines.append([
            f"`{row['network']}`", row["launches"], f"{row['us']:,.0f}{recorded}", f"{row['epoch_s']:.2f}", *cells,
            *([] if only else [f"{others:,.0f}"]),
        ])  # fmt: skip
    names = ["network", "launches", "µs a step", "s an epoch", *shown, *([] if only else ["others"])]
    commits = ", ".join(dict.fromkeys(row["commit"] or "unknown" for row in rows))
    kernels = ", ".join(dict.fromkeys(row["path"] for row in rows))
    head = (
        f"{field(content, 'device', path)}; batches of {content['batch']}, an epoch is {content['epoch_images']:,} "
        f"images; commit {commits}, {kernels} kernels; {used(content, path)}."
    )
    failed = "".join(f"\n\n`{network}` failed: {why}." for network, why in content["failed"].items())
    return f"{head}\n\n{markdown(lines, names, left=1)}" + ("" if only else failed + left_out(content))


def planner(results):
    """How far the planner's predictions are off, by kernel."""
    import fit_cost_model

    fitted = fit_cost_model.cost.fitted()
    source, lines = fitted["measured"], fit_cost_model.lines_of(fitted["errors"], 2)
    names = ("kernel", "prediction", "times", "median factor", "worst", "tile within 10 % of the best", "time lost")
    of = f"{source['card']}, {source['date']}, commit {source['commit']}: the kernels of a {source['path']}."
    return f"{of}\n\n{markdown(lines, names, left=2)}"


def one_kernel(results):
    """Which network fits whom, a training step as one kernel; or why not."""
    import step_paths as counted

    return counted.fits_table(results)


def step_paths(results):
    """What a step costs on each path."""
    import step_paths as counted

    return counted.paths_table(results)


def planner_rows(results):
    """For each layer and direction the quickest of the measured times, and what the model predicts of that tile."""
    import fit_cost_model
    from fit_cost_model import cost

    facts, rows = fit_cost_model.read()
    predicted = {row: row.predicted(cost.Coefficients(**cost.fitted()["coefficients"][row.family])) for row in rows}
    best = {}
    for row in rows:
        if row.problem not in best or row.us < best[row.problem].us:
            best[row.problem] = row
    flop = {(r["direction"], r["name"], tuple(r["networks"])): r["flop"] for r in facts["rows"]}
    lines = [
        [
            row.problem[1], row.direction, row.family.split()[0], f"{row.us:.1f}", f"{predicted[row]:.1f}",
            f"{predicted[row] / row.us:.2f}", f"{flop[problem] / row.us / 1e6:.1f}",
        ]
        for problem, row in sorted(best.items(), key=lambda item: (flop[item[0]], item[0][1]))
    ]  # fmt: skip
    told = fit_cost_model.errors({row: predicted[row] for row in best.values()})
    head = (
        f"{facts['card']}, {facts['date']}, commit {facts['commit']}: the kernels of a {facts['path']}. Of these "
        f"{len(lines)} times half are within a factor of {told['median']:.2f} of what is predicted, all within "
        f"{told['worst']:.2f}."
    )
    columns = ("layer", "direction", "kernel", "measured µs", "predicted µs", "predicted / measured", "TFLOP/s")
    return f"{head}\n\n{markdown(lines, columns, left=3)}"


def fast_kernels_in_short(content, path):
    """What NVRTC makes of the kernels of kernels/fast, by architecture and kernel."""
    import fast_compile

    found = {}
    for row in field(content, "rows", path):
        found.setdefault((row["arch"], row["kernel"].split("<")[0]), []).append(row)
    lines = []
    for (arch, kernel), rows in sorted(found.items()):
        shares = sorted(row["loop"][1] / row["loop"][0] for row in rows if row["loop"] and row["loop"][0])
        registers, warps = ([row[name] for row in rows] for name in ("registers", "warps"))
        lines.append([
            arch, kernel, len(rows), f"{min(registers)} to {max(registers)}", sum(row["spills"] for row in rows),
            f"{median(warps):.0%}", f"{median(row['code'] for row in rows) / 1024:.0f} KB",
            *([f"{median(shares):.0%}", f"{shares[0]:.0%} to {shares[-1]:.0%}"] if shares else
              ["no nvdisasm" if rows[0]["loop"] is None else fast_compile.NO_LOOP, "-"]),
        ])  # fmt: skip
    names = ("architecture", "kernel", "kernels", "registers", "bytes spilled", "warps", "code", "FFMA")
    names += ("lowest to highest",)
    return f"{compiled_by(content, path)}\n\n{markdown(lines, names, left=2)}"


def compiled_by(content, path):
    """What was compiled, for which cards, and by what."""
    cards = {row["arch"]: row["card"] for row in content["rows"]}
    of = ", ".join(f"{arch} ({card})" for arch, card in sorted(cards.items()))
    return f"Batches of {field(content, 'batch', path)}, for {of}; commit {content['commit']}; {used(content, path)}."


def fast_kernels(content, path):
    """The same for every layer and direction: a number for each architecture, in their order."""
    import fast_compile

    found = {}
    for row in sorted(field(content, "rows", path), key=lambda row: row["arch"]):
        found.setdefault((row["layer"], row["direction"]), []).append(row)

    def each(rows, text):
        texts = [text(row) for row in rows]
        return texts[0] if len(set(texts)) == 1 else " / ".join(texts)

    lines = [
        [
            layer, direction, each(rows, lambda row: row["kernel"].split("_")[1]),
            each(rows, lambda row: str(row["threads"])), each(rows, lambda row: str(row["registers"])),
            each(rows, lambda row: f"{row['shared'] / 1024:.1f}"), each(rows, lambda row: f"{row['warps']:.0%}"),
            each(rows, lambda row: str(row["spills"])), each(rows, lambda row: f"{row['code'] / 1024:.0f}"),
            each(rows, fast_compile.share_of),
        ]
        for (layer, direction), rows in found.items()
    ]  # fmt: skip
    names = ("layer", "direction", "kernel", "threads", "registers", "shared KB", "warps", "spills", "code KB", "FFMA")
    return f"{compiled_by(content, path)}\n\n{markdown(lines, names, left=3)}"


# ---------------------------------------------------------------- what of Keras is there


def signature(function):
    """['x', 'epochs=1', ...]: a function's or a class's arguments that have names, without their types."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    parameters = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    return [str(p.replace(annotation=p.empty)).replace("<built-in function print>", "print") for p in parameters]


def first_sentence(something):
    text = " ".join((inspect.getdoc(something) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.])\s", text)[0].replace("*", "\\*")  # a product, and not an emphasis


def members_table(names_and_members, what):
    lines = [
        [f"`{name}`", ", ".join(f"`{text}`" for text in signature(member)), first_sentence(member)]
        for name, member in names_and_members
    ]
    return markdown(lines, [what, "arguments", "what it is"], left=3)


def subclasses(module, base):
    """[(name, class)] of a module's public subclasses of `base` that are no bases themselves, as the file has them."""
    found = [
        (name, cls) for name, cls in vars(module).items()
        if inspect.isclass(cls) and issubclass(cls, base) and name == cls.__name__
        and cls.__module__.startswith(module.__name__) and name != "Convolution2D"
    ]  # fmt: skip
    bases = {parent for _, cls in found for parent in cls.__bases__}
    return [(name, cls) for name, cls in found if name[0] != "_" and cls not in bases]


def keras_layers(results):
    from tinycnn import layers

    return members_table([*subclasses(layers, layers.Layer), ("Input", layers.Input)], "layer")


def keras_model(results):
    from tinycnn import models

    names = ("compile", "fit", "evaluate", "predict", "fit_generator", "evaluate_generator", "predict_generator",
             "summary", "save", "save_weights", "load_weights", "to_json", "get_config", "from_config", "get_layer",
             "get_weights", "set_weights", "count_params")  # fmt: skip
    methods = [(f"Model.{name}", getattr(models.Model, name)) for name in names]
    methods = [("Model", models.Model), ("Sequential", models.Sequential), *methods]
    others = [("Sequential.add", models.Sequential.add)]
    others += [(name, getattr(models, name)) for name in ("load_model", "model_from_json")]
    return members_table([*methods, *others], "function")


def keras_losses(results):
    from tinycnn import losses

    return members_table(losses.LOSSES.items(), "loss")


def keras_optimizers(results):
    from tinycnn import optimizers

    return members_table(subclasses(optimizers, optimizers.Optimizer), "optimizer")


def keras_callbacks(results):
    from tinycnn import callbacks

    return members_table(subclasses(callbacks, callbacks.Callback), "callback")


def keras_names_counted(results):
    """How many of Keras's names of each module work, and how many are refused."""
    sorted_names = keras_names.all_sorted()
    groups = list(dict.fromkeys(name.group for name in sorted_names))
    rows = []
    for group in [*groups, None]:
        found = [name for name in sorted_names if group in (None, name.group)]
        works = sum(name.status == "works" for name in found)
        rows.append([f"`{group}`" if group else "all", len(found), works, len(found) - works])
    return markdown(rows, ["of Keras 2.3.1", "names", "work", "are refused by name"], left=1)


def keras_names_listed(results):
    """Every name of Keras's: those that work, with the arguments that are refused, and what to do instead of others."""
    sorted_names, rows = keras_names.all_sorted(), []
    for group in dict.fromkeys(name.group for name in sorted_names):
        found = [name for name in sorted_names if name.group == group]
        for name in found:
            if name.status == "works" and name.refused:
                rows.append([f"`{group}`", f"`{name.name}`", "without " + ", ".join(f"`{a}`" for a in name.refused)])
        plain = ", ".join(f"`{name.name}`" for name in found if name.status == "works" and not name.refused)
        if plain:
            rows.append([f"`{group}`", plain, "works"])
        for remedy in dict.fromkeys(name.remedy for name in found if name.remedy):
            same = ", ".join(f"`{name.name}`" for name in found if name.remedy == remedy)
            rows.append([f"`{group}`", same, f"not there: {remedy}"])
    return markdown(rows, ["of Keras 2.3.1", "names", "here"], left=3)


def listed_intrinsics():
    return json.loads((ROOT / "tinycnn" / "emulator" / "intrinsics.json").read_text(encoding="utf-8"))


def intrinsics(results):
    return in_lines(listed_intrinsics()["works"])


def intrinsics_refused(results):
    instead = {}
    for name, text in listed_intrinsics()["refused"].items():
        instead.setdefault(text, []).append(name)
    return in_lines(instead)


def in_lines(names):
    """{what: names}, in lines: a table of them would be too wide."""
    return "\n".join(f"- {what}: " + " ".join(f"`{name}`" for name in those) for what, those in names.items())


def cuda_functions(results):
    """Those that host.h declares, by what they are about."""
    from tinycnn.emulator import headers

    text = (headers.RUNTIME / "host.h").read_text(encoding="utf-8")
    left = dict.fromkeys(re.findall(r"\b(cuda[A-Z]\w*)\(", text))
    subjects = {
        "symbols": r"\w*Symbol",
        "errors": r"\w*Error",
        "copies": "Memcpy|Memset",
        "memory": "Malloc|Free|HostAlloc|HostRegister|HostUnregister|HostGet|MemGetInfo|MemPrefetch|MemAdvise|Pointer",
        "streams and events": "Stream|Event|LaunchHostFunc",
        "launches": "Launch|Func|Occupancy",
        "the GPU": "",
    }
    rows = []
    for subject, words in subjects.items():
        found = sorted(name for name in left if re.match(f"cuda({words})" if words else "", name))
        left = [name for name in left if name not in found]
        rows.append([subject, ", ".join(f"`{name}`" for name in found)])
    return tabulate(rows, headers=["about", "functions"], tablefmt="pipe")


def cuda_headers(results):
    """The headers, with the first sentence of those that are more than another name of cuda_runtime.h."""
    from tinycnn.emulator import headers

    rows = []
    for name in headers.names():
        if name in headers.ALIASES or name in ("cuda_runtime.h", "small_floats.h"):
            continue
        comment = re.findall(r"^// ?(.*)$", (headers.FOLDER / name).read_text(encoding="utf-8"), re.MULTILINE)
        rows.append([f"`{name}`", " ".join(comment).partition(". ")[0].rstrip(".")])
    rows.append(["`cuda_runtime.h`", "the runtime's functions, below; it need not be included"])
    rows.append([", ".join(f"`{name}`" for name in headers.ALIASES), "the same as `cuda_runtime.h`"])
    return tabulate(rows, headers=["header", "what is there"], tablefmt="pipe")


def cuda_refused_headers(results):
    from tinycnn.emulator import unsupported

    rows = [[f"`{start}`", advice] for start, advice in unsupported.known()["headers"].items()]
    return tabulate(rows, headers=["header that begins with", "instead"], tablefmt="pipe")


def cuda_refused_names(results):
    from tinycnn.emulator import unsupported

    rows = [advice.partition(": ") for advice in unsupported.known()["names"].values() if ": " in advice]
    return tabulate([(what, advice) for what, _, advice in rows], headers=["what", "instead"], tablefmt="pipe")


def cuda_programs(results):
    """The kernels of the programs that the tests run, beside NumPy."""
    from tinycnn.emulator import syntax

    rows = []
    for path in sorted((ROOT / "tests" / "emulator" / "programs").glob("*.cu")):
        text = path.read_bytes()
        comment = re.findall(r"^// ?(.*)$", text.decode().partition("\n#include")[0], re.MULTILINE)
        kernels = ", ".join(f"`{name}`" for name in sorted(syntax.definitions(text).kernels))
        rows.append([f"`{path.name}`", " ".join(comment).partition(". ")[0].rstrip("."), kernels])
    return tabulate(rows, headers=["program", "what it is", "its kernels"], tablefmt="pipe")


def of_every_file(name, table, otherwise):
    """A function of the results' folder: this table of every device's file of this name, or else this sentence."""

    def tables(results, only=None):
        options = {} if only is None else {"only": only}
        return "\n\n".join(table(content, path, **options) for path, content in read_all(results, name)) or otherwise

    return tables


besides = of_every_file(
    "compare.json", beside_keras, "Not measured yet: `python benchmarks/compare_all.py` measures it."
)
steps = of_every_file("profile_steps.json", step_profile, NO_GPU)
speeds = of_every_file("train_frameworks.json", training_speed, "Not measured yet: `make bench` measures this machine.")
NOT_COMPILED = "Not compiled yet: `python benchmarks/fast_compile.py` needs NVRTC, and no GPU."
TABLES = {
    "networks": networks_table,
    "networks-in-short": partial(networks_table, only=NETWORKS_IN_SHORT),
    "beside-keras": besides,
    "beside-keras-in-short": partial(besides, only=NETWORKS_IN_SHORT),
    "accuracy-vs-keras": of_every_file(
        "accuracy_vs_keras.json", accuracy_vs_keras,
        "Not measured yet: `python benchmarks/accuracy_vs_keras.py` measures it.",
    ),
    "training-speed": speeds,
    "training-speed-in-short": partial(speeds, only=FRAMEWORKS_IN_SHORT),
    "scaling": of_every_file(
        "scaling.json", scaling, "Not measured yet: `python benchmarks/scaling.py` measures this machine."
    ),
    "cudnn": cudnn_table,
    "step-profile": steps,
    "step-profile-in-short": partial(steps, only=STEPS_IN_SHORT),
    "planner": planner,
    "one-kernel": one_kernel,
    "step-paths": step_paths,
    "planner-rows": planner_rows,
    "fast-kernels": of_every_file("fast_compile.json", fast_kernels, NOT_COMPILED),
    "fast-kernels-in-short": of_every_file("fast_compile.json", fast_kernels_in_short, NOT_COMPILED),
    "keras-layers": keras_layers,
    "keras-model": keras_model,
    "keras-losses": keras_losses,
    "keras-optimizers": keras_optimizers,
    "keras-callbacks": keras_callbacks, "keras-names-counted": keras_names_counted,
    "keras-names": keras_names_listed,
    "intrinsics": intrinsics,
    "intrinsics-refused": intrinsics_refused,
    "cuda-functions": cuda_functions,
    "cuda-headers": cuda_headers,
    "cuda-refused-headers": cuda_refused_headers,
    "cuda-refused-names": cuda_refused_names,
    "cuda-programs": cuda_programs,
}  # fmt: skip


# ---------------------------------------------------------------- files and markers


def read_all(results, name):
    """[(path, content)] of this file for every device, in the order of the folders' names."""
    found = []
    for path in sorted(Path(results).glob(f"*/{name}")):
        try:
            found.append((path, json.loads(path.read_text(encoding="utf-8"))))
        except ValueError as error:
            raise ReadmeError(f"{path} is not JSON: {error}") from error
    return found


def field(content, name, path):
    if not isinstance(content, dict) or name not in content:
        raise ReadmeError(f"{path} lacks {name!r}; measure again to write it anew")
    return content[name]


def markdown(lines, names, left):
    """A table whose first `left` columns are words and whose others are numbers."""
    alignment = ["left"] * left + ["right"] * (len(names) - left)
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return tabulate(cells, names, tablefmt="pipe", disable_numparse=True, colalign=alignment if cells else None)


def render(text, results, tables=TABLES):
    """A text with its tables made anew. Raises ReadmeError for markers that do not match."""
    parts, position, markers = [], 0, list(MARKER.finditer(text))
    for opening, closing in zip(markers[::2], [*markers[1::2], None], strict=False):
        name = opening[2]
        line = text.count("\n", 0, opening.start()) + 1
        if opening[1]:
            raise ReadmeError(f"line {line}: <!-- /table:{name} --> closes a table that is not open")
        if closing is None or not closing[1] or closing[2] != name:
            raise ReadmeError(f"line {line}: <!-- table:{name} --> is not closed by <!-- /table:{name} -->")
        if name not in tables:
            raise ReadmeError(f"line {line}: no table is called {name!r}; there are: {', '.join(tables)}")
        parts += [text[position : opening.end()], "\n", tables[name](results), "\n"]
        position = closing.start()
    return "".join([*parts, text[position:]])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, default=FILES, help="the files with the markers (README, docs/)")
    parser.add_argument("--results", type=Path, default=machine.RESULTS, metavar="DIR", help="benchmarks/results")
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if one is not up to date")
    options = parser.parse_args(arguments)
    status, tables = 0, 0
    for file in options.files:
        try:
            text = file.read_text(encoding="utf-8")
            new = render(text, options.results)
        except (ReadmeError, OSError) as error:
            print(f"error: {file.name}: {error}", file=sys.stderr)
            return 2
        tables += len(MARKER.findall(text)) // 2
        if new != text and options.check:
            print(f"{file.name} is not up to date: run `make readme`", file=sys.stderr)
            status = 1
        elif new != text:
            machine.write_atomically(file, new)
            print(f"{file.name}: rewritten")
    if not status:
        print(f"{tables} tables, up to date")
    return status


if __name__ == "__main__":
    sys.exit(main())
