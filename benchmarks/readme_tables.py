"""Writes the README's tables again from the files in benchmarks/results/.

    python benchmarks/readme_tables.py            # rewrites README.md
    python benchmarks/readme_tables.py --check    # changes nothing; status 1 if README.md is not up to date

A table stands between `<!-- table:NAME -->` and `<!-- /table:NAME -->`. There are:
networks: the documented networks, from tinycnn.architectures and results/*/reproduction.json;
training-speed: from results/*/train_frameworks.json.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median

import machine
from tabulate import tabulate

README = Path(__file__).resolve().parent.parent / "README.md"
MARKER = re.compile(r"^<!-- (/?)table:([\w-]+) -->[ \t]*$", re.MULTILINE)
MNIST = "MNIST"


class ReadmeError(ValueError):
    """A README, or a results file, that cannot be used: says where and what is wrong."""


# ---------------------------------------------------------------- the tables


def networks_table(results):
    """What each document says of its network, and what training it here gave, in a column for each device."""
    from tinycnn.architectures import ARCHITECTURES

    files = read_all(results, "reproduction.json")
    measured = []
    for path, content in files:
        by_id = defaultdict(list)
        for row in field(content, "rows", path):
            by_id[field(row, "id", path)].append(row)
        unknown = sorted(set(by_id) - set(ARCHITECTURES))
        if unknown:
            raise ReadmeError(f"{path}: no network is called {unknown[0]!r}; `tinycnn list` shows those there are")
        measured.append({name: accuracy(rows, path) for name, rows in by_id.items()})
    names = [f"measured, {content.get('device', path.parent.name)}" for path, content in files]
    names = names if len(files) > 1 else ["measured"]
    lines = [
        [
            f"`{a.id}`", a.title, f"{a.params.total:,}", "-" if a.accuracy is None else f"{a.accuracy:.4f}",
            *([column.get(a.id, "-") for column in measured] or ["-"]),
        ]
        for a in ARCHITECTURES.values()
    ]  # fmt: skip
    return markdown(lines, ["network", "title", "parameters", "documented", *names], left=2)


def accuracy(rows, path):
    """'0.9925 (20 epochs)'; of several seeds the median and the extremes; other data than MNIST is named."""
    kinds = {(field(row, "data", path), field(row, "epochs", path)) for row in rows}
    texts = []
    for data, epochs in sorted(kinds, key=lambda kind: (kind[0] != MNIST, kind)):
        values = [field(row, "val_acc", path) for row in rows if (row["data"], row["epochs"]) == (data, epochs)]
        text = f"{median(values):.4f}"
        notes = [f"{epochs} epoch{'s' * (epochs != 1)}"]
        if len(values) > 1:
            notes.append(f"{len(values)} seeds: {min(values):.4f} to {max(values):.4f}")
        texts.append(f"{text}{'' if data == MNIST else f' on {data}'} ({', '.join(notes)})")
    return "; ".join(texts)


def training_speed_table(results):
    """Every framework's fastest configuration, on every device that was measured."""
    files = read_all(results, "train_frameworks.json")
    if not files:
        return "Not measured yet: `make bench` measures this machine."
    return "\n\n".join(training_speed(content, path) for path, content in files)


def training_speed(content, path):
    settings, versions = field(content, "settings", path), field(content, "versions", path)
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
            f"{speed['min']:,.0f} to {speed['max']:,.0f}", f"{row['seconds_per_epoch']:.1f}",
            f"{ratio['ratio']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f})" if ratio else "-",
        ])  # fmt: skip
    names = ["network", "framework", "fastest configuration"]
    names += ["images/s", "lowest to highest", "s/epoch", "times PyTorch"]
    used = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    head = (
        f"{field(content, 'device', path)}; batches of {settings['batch']}, {settings['data']}, medians of "
        f"{settings['rounds']} rounds of {settings['steps']} steps; {used}."
    )
    absent = field(content, "absent", path)
    tail = f"\n\nNot measured, because not installed: {', '.join(absent)}." if absent else ""
    return f"{head}\n\n{markdown(lines, names, left=3)}{tail}"


TABLES = {"networks": networks_table, "training-speed": training_speed_table}


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


def render(text, results):
    """The README's text with its tables made anew. Raises ReadmeError for markers that do not match."""
    parts, position, markers = [], 0, list(MARKER.finditer(text))
    for opening, closing in zip(markers[::2], [*markers[1::2], None], strict=False):
        name = opening[2]
        line = text.count("\n", 0, opening.start()) + 1
        if opening[1]:
            raise ReadmeError(f"line {line}: <!-- /table:{name} --> closes a table that is not open")
        if closing is None or not closing[1] or closing[2] != name:
            raise ReadmeError(f"line {line}: <!-- table:{name} --> is not closed by <!-- /table:{name} -->")
        if name not in TABLES:
            raise ReadmeError(f"line {line}: no table is called {name!r}; there are: {', '.join(TABLES)}")
        parts += [text[position : opening.end()], "\n", TABLES[name](results), "\n"]
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
