"""What the tables share: results files, their fields, and how a table is written."""

import json
from pathlib import Path

from tabulate import tabulate

NO_GPU = "No GPU has been measured yet."


class ReadmeError(ValueError):
    """A text with tables, or a results file, that cannot be used: says where and what is wrong."""


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


def used(rows, path):
    """'python 3.11.7, tinycnn 0.1.0 and 0.2.0, ...': all versions with which these rows were measured."""
    found = {}
    for row in rows:
        for name, version in field(row, "versions", path).items():
            found.setdefault(name, {})[version] = None
    return ", ".join(f"{name} {' and '.join(filter(None, each))}" for name, each in found.items() if any(each))


def left_out(content):
    """A sentence on what a file lacks because the time was short, or an empty string."""
    missing = content.get("left_out") or []
    if not missing:
        return ""
    some = "; ".join(missing[:3])
    return f"\n\nNot measured, for want of time: {some}{f', and {len(missing) - 3} more' if len(missing) > 3 else ''}."


def markdown(lines, names, left):
    """A table whose first `left` columns are words and whose others are numbers."""
    alignment = ["left"] * left + ["right"] * (len(names) - left)
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in lines]
    return tabulate(cells, names, tablefmt="pipe", disable_numparse=True, colalign=alignment if cells else None)


def of_every_file(name, table, otherwise):
    """A function of the results' folder: this table of every device's file of this name, or else this sentence."""

    def tables(results, only=None):
        options = {} if only is None else {"only": only}
        return "\n\n".join(table(content, path, **options) for path, content in read_all(results, name)) or otherwise

    return tables
