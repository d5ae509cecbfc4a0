"""Tables of what was measured, from the files in benchmarks/results/:

networks: the documented networks, from tinycnn.architectures and results/*/reproduction/results.json;
explanations: of their differences, from results/*/reproduction/explanations/results.json and those;
beside-keras: from results/*/compare.json;
accuracy-vs-keras: from results/*/accuracy_vs_keras.json;
training-speed: from results/*/train_frameworks.json;
scaling: from results/*/scaling.json;
cudnn: from results/*/conv_cudnn.json and layers_cudnn.json;
step-profile: from results/*/profile_steps.json; step-profile-fast: from results/*/profile_steps_fast.json.
Of networks, beside-keras, training-speed and step-profile there is a short form, NAME-in-short: the rows that people
look for.
"""

from collections import Counter
from functools import partial
from pathlib import Path

import report
from tables_shared import NO_GPU, ReadmeError, field, left_out, markdown, of_every_file, read_all, used

# The rows of the short tables: schedule and batch-norm, the smallest, the best documented below 25,000 parameters, the
# best documented of all, and the one that was reconstructed. Of speed, tinycnn's own, which name PyTorch's in a column.
NETWORKS_IN_SHORT = ("go-crazy", "vanilla-15k", "other-1", "models-9", "eip4-2")
FRAMEWORKS_IN_SHORT = ("tinycnn",)
STEPS_IN_SHORT = ("go-crazy", "vanilla-15k", "models-9")
STEP_FILES = 8  # kernel files with a column of their own: those that take the longest


def networks_table(results, only=None):
    """What each document says of its network, and what training it gave: where it was trained the longest.

    only: the names of the rows, all of them if None; likewise below.
    """
    from tinycnn.architectures import ARCHITECTURES, reproduction_report

    rows = reproduction_rows(results, "reproduction/results.json")
    names = ["network", "title", "parameters", *reproduction_report.ACCURACIES, "seeds", "epochs", "machine"]
    lines = []
    for a in ARCHITECTURES.values():
        if only is not None and a.id not in only:
            continue
        head = [f"`{a.id}`", a.title, f"{a.params.total:,}"]
        groups = longest([row for row in rows if row["network"] == a.id])
        lines += [head + reproduced(group) for group in groups]
        if not groups:
            lines.append([*head, reproduction_report.documented(a), *["-"] * (len(names) - 4)])
    return markdown(lines, names, left=2)


def reproduction_rows(results, name):
    """The rows of such a file of every machine."""
    from tinycnn.architectures import reproduction

    try:
        return [row for path in sorted(Path(results).glob(f"*/{name}")) for row in reproduction.read(path)]
    except ValueError as error:
        raise ReadmeError(str(error)) from error


def longest(rows):
    """Those of the groups of a network's rows that come nearest to its recipe, on whichever machine: all of the data,
    trained to an end, and of the documented epochs the most."""
    from tinycnn.architectures import get
    from tinycnn.architectures import reproduction_report as report

    def nearness(group):
        epochs = len(group[0]["history"]["val_acc"])
        documented = get(group[0]["network"]).recipe.epochs
        return not report.other_data(group[0]), epochs == group[0]["epochs"], min(epochs, documented)

    groups = [report.finished(group) for group in report.groups(rows)]
    return [group for group in groups if nearness(group) == max(map(nearness, groups))]


def reproduced(rows):
    """What trainings of one network in the same way gave; data other than all of MNIST is named."""
    from tinycnn.architectures import reproduction_report as report

    epochs = ", ".join(filter(None, (report.epochs(rows), report.other_data(rows[0]))))
    return [*report.accuracies(rows), f"{len(rows)}", epochs, rows[0]["machine"]]


NOT_EXPLAINED = "Not trained yet: `tinycnn reproduce NAME --explain` does it."


def explained(results):
    """[(machine, network, its rows)] of the networks that differ from their documents, or that were looked into."""
    from tinycnn.architectures import ARCHITECTURES
    from tinycnn.architectures.explanation_report import differs

    def by_network(name):
        found = {}
        for row in reproduction_rows(results, name):
            found.setdefault((row["machine"], row["network"]), []).append(row)
        return found

    recipe = by_network("reproduction/results.json")
    tried = by_network("reproduction/explanations/results.json")  # which has the recipe's rows too
    found = {key: rows for key, rows in recipe.items() if differs(key[1], rows)}
    found |= {key: rows for key, rows in tried.items() if any(row.get("explanation") for row in rows)}
    order = list(ARCHITECTURES)
    return sorted(((*key, rows) for key, rows in found.items()), key=lambda one: (one[0], order.index(one[1])))


def explanations_table(results):
    """What was tried for each network, and whether it comes to the documented accuracy."""
    from tinycnn.architectures.explanation_report import report

    texts = [f"{machine}. {report(network, rows, 'pipe')}" for machine, network, rows in explained(results)]
    return "\n\n".join(texts) or NOT_EXPLAINED


def explanations_in_short(results):
    """What came of it, in a sentence for each network."""
    from tinycnn.architectures.explanation_report import conclusion, found

    lines = [f"- `{name}`: {conclusion(name, found(name, rows))}" for _, name, rows in explained(results)]
    return "\n".join(lines) or NOT_EXPLAINED


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
    head = f"{field(content, 'device', path)}; {used(content['rows'], path)}."
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
    device, versions = field(content, "device", path), used(field(content, "rows", path), path)
    head = f"{device}; all of MNIST, validation accuracy after the last epoch; {versions}."
    return f"{head}\n\n{markdown(lines, names, left=1)}"


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
        several = len(row["rounds"]) > 1
        lines.append([
            f"`{row['network']}`", row["framework"], row["configuration"], row.get("commit") or "unknown",
            f"{speed['median']:,.0f}", f"{speed['min']:,.0f} to {speed['max']:,.0f}" if several else "one round",
            report.short(row["seconds_per_epoch"]), "-" if ratio is None else times(ratio, several),
        ])  # fmt: skip
    names = ["network", "framework", "fastest configuration", "commit"]
    names += ["images/s", "lowest to highest", "s/epoch", "times PyTorch"]
    done = sorted({len(row["rounds"]) for row in content["rows"]}) or [settings["rounds"]]
    rounds = f"{done[0]}" if len(done) == 1 else f"{done[0]} to {done[-1]}"
    steps = " or ".join(str(n) for n in sorted({row.get("steps", settings["steps"]) for row in content["rows"]}))
    head = (
        f"{field(content, 'device', path)}; batches of {settings['batch']}, {settings['data']}, medians of "
        f"{rounds} rounds of {steps} steps; {used(content['rows'], path)}."
    )
    found = {row["framework"] for row in content["rows"]}  # in one of a file's runs, perhaps, and not in another
    absent = [] if only else [name for name in field(content, "absent", path) if name not in found]
    tail = f"\n\nNot measured, because not installed: {', '.join(absent)}." if absent else ""
    return f"{head}\n\n{markdown(lines, names, left=4)}{tail}{left_out(content)}{reached_table(content, only)}"


def times(ratio, several):
    """'1.40 (1.39 to 1.41)', of several rounds; '1.40' of one."""
    return f"{ratio['ratio']:.2f}" + (f" ({ratio['min']:.2f} to {ratio['max']:.2f})" if several else "")


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
        f"{content['steps']} steps; commit {content['commit'] or 'unknown'}; {used([content], path)}."
    )
    return f"{head}\n\n{markdown(lines, names, left=2)}"


PRECISIONS = {"float32": "float32", "tf32": "TF32 allowed"}


def cudnn_table(results):
    """How many times as fast as cuDNN each operation is, as geometric means over the shapes of the networks."""
    lines, missing = [], []
    for path, content in read_all(results, "conv_cudnn.json") + read_all(results, "layers_cudnn.json"):
        missing += content.get("left_out") or []
        means = field(content, "geomean", path)
        commits = {(row["operation"], row.get("commit") or "unknown"): None for row in field(content, "rows", path)}
        for precision, operations in means.items():
            for operation, directions in operations.items():
                of = ", ".join(commit for name, commit in commits if name == operation)
                for direction, mean in directions.items():
                    cells = [operation, direction, PRECISIONS[precision], of, mean["rows"], f"{mean['ratio']:.2f}"]
                    lines.append([field(content, "device", path), *cells])
    if not lines:
        return NO_GPU
    table = markdown(lines, ["GPU", "operation", "direction", "numbers", "commit", "shapes", "times cuDNN"], left=5)
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
        f"images; commit {commits}, {kernels} kernels; {used(rows, path)}."
    )
    failed = "".join(f"\n\n`{network}` failed: {why}." for network, why in content["failed"].items())
    return f"{head}\n\n{markdown(lines, names, left=1)}" + ("" if only else failed + left_out(content))


besides = of_every_file(
    "compare.json", beside_keras, "Not measured yet: `python benchmarks/compare_all.py` measures it."
)
steps = of_every_file("profile_steps.json", step_profile, NO_GPU)
speeds = of_every_file("train_frameworks.json", training_speed, "Not measured yet: `make bench` measures this machine.")
TABLES = {
    "networks": networks_table,
    "explanations": explanations_table,
    "explanations-in-short": explanations_in_short,
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
    "step-profile-fast": of_every_file("profile_steps_fast.json", step_profile, NO_GPU),
    "step-profile-in-short": of_every_file(
        "profile_steps_fast.json", partial(step_profile, only=STEPS_IN_SHORT), NO_GPU
    ),
}  # fmt: skip
