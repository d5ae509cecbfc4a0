"""Writes the README's tables again from the files in benchmarks/results/.

    python benchmarks/readme_tables.py            # rewrites README.md
    python benchmarks/readme_tables.py --check    # changes nothing; status 1 if README.md is not up to date

A table stands between `<!-- table:NAME -->` and `<!-- /table:NAME -->`. There are:
networks: the documented networks, from tinycnn.architectures and results/*/reproduction/results.json;
beside-keras: from results/*/compare.json;
accuracy-vs-keras: from results/*/accuracy_vs_keras.json;
training-speed: from results/*/train_frameworks.json;
cudnn: from results/*/conv_cudnn.json and layers_cudnn.json.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import machine
import report
from tabulate import tabulate

README = Path(__file__).resolve().parent.parent / "README.md"
MARKER = re.compile(r"^<!-- (/?)table:([\w-]+) -->[ \t]*$", re.MULTILINE)


class ReadmeError(ValueError):
    """A README, or a results file, that cannot be used: says where and what is wrong."""


# ---------------------------------------------------------------- the tables


def networks_table(results):
    """What each document says of its network, and what training it here gave, in a column for each device."""
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


def beside_keras(content, path):
    """How near every network came to the same one in Keras: the largest error as a share of its tolerance."""
    by_network = {}
    for row in field(content, "rows", path):
        by_network.setdefault(field(row, "network", path), {})[f"{row['device']}, {row['dtype']}"] = row
    kinds = list(dict.fromkeys(kind for rows in by_network.values() for kind in rows))
    lines = []
    for network, rows in by_network.items():
        cells = [f"{rows[k]['missed']} of {rows[k]['arrays']}, {rows[k]['worst']['share']:.2f}" if k in rows else "-"
                 for k in kinds]  # fmt: skip
        facts = next(iter(rows.values()))
        own = facts["optimizers"][0] if len(facts["optimizers"]) == 1 else "all five"
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


def training_speed(content, path):
    """Every framework's fastest configuration, on every device that was measured."""
    settings = field(content, "settings", path)
    ratios = {
        (r["network"], r["framework"], r["configuration"]): r["pairs"] | {"ratio": r["ratio"]}
        for r in field(content, "ratios", path)
    }
    lines = []
    for row in field(content, "rows", path):
        if not field(row, "best", path):
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
    head = (
        f"{field(content, 'device', path)}; batches of {settings['batch']}, {settings['data']}, medians of "
        f"{settings['rounds']} rounds of {settings['steps']} steps; {used(content, path)}."
    )
    absent = field(content, "absent", path)
    tail = f"\n\nNot measured, because not installed: {', '.join(absent)}." if absent else ""
    return f"{head}\n\n{markdown(lines, names, left=3)}{tail}{reached_table(content)}"


def reached_table(content):
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
    ]  # fmt: skip
    names = ["network", "framework", "configuration", "epochs", "best accuracy"]
    names += [f"seconds to {accuracy}", "without compiling"]
    return f"\n\nUntil the validation accuracy is {accuracy}:\n\n{markdown(lines, names, left=3)}"


def cudnn_table(results):
    """How many times as fast as cuDNN each operation is, as geometric means over the shapes of the networks."""
    lines = []
    for path, content in read_all(results, "conv_cudnn.json") + read_all(results, "layers_cudnn.json"):
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
        return "No GPU has been measured yet."
    return markdown(lines, ["GPU", "operation", "direction", "shapes", "float32", "TF32 allowed"], left=3)


def of_every_file(name, table, otherwise):
    """A function of the results' folder: this table of every device's file of this name, or else this sentence."""

    def tables(results):
        return "\n\n".join(table(content, path) for path, content in read_all(results, name)) or otherwise

    return tables


TABLES = {
    "networks": networks_table,
    "beside-keras": of_every_file(
        "compare.json", beside_keras, "Not measured yet: `python benchmarks/compare_all.py` measures it."
    ),
    "accuracy-vs-keras": of_every_file(
        "accuracy_vs_keras.json", accuracy_vs_keras,
        "Not measured yet: `python benchmarks/accuracy_vs_keras.py` measures it.",
    ),
    "training-speed": of_every_file(
        "train_frameworks.json", training_speed, "Not measured yet: `make bench` measures this machine."
    ),
    "cudnn": cudnn_table,
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
    """A README's text with its tables made anew. Raises ReadmeError for markers that do not match."""
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
    parser.add_argument("readme", nargs="?", type=Path, default=README, help="the file with the markers (README.md)")
    parser.add_argument("--results", type=Path, default=machine.RESULTS, metavar="DIR", help="benchmarks/results")
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if it is not up to date")
    options = parser.parse_args(arguments)
    try:
        text = options.readme.read_text(encoding="utf-8")
        new = render(text, options.results)
    except (ReadmeError, OSError) as error:
        print(f"error: {options.readme.name}: {error}", file=sys.stderr)
        return 2
    if new == text:
        print(f"{options.readme.name}: {len(MARKER.findall(text)) // 2} tables, up to date")
        return 0
    if options.check:
        print(f"{options.readme.name} is not up to date: run `make readme`", file=sys.stderr)
        return 1
    machine.write_atomically(options.readme, new)
    print(f"{options.readme.name}: rewritten")
    return 0


if __name__ == "__main__":
    sys.exit(main())
