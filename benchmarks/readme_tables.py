"""Writes the tables of the README and of docs/ again, from the files in benchmarks/results/ and from the code.

    python benchmarks/readme_tables.py            # rewrites README.md and docs/*.md
    python benchmarks/readme_tables.py --check    # changes nothing; status 1 if one of them is not up to date

A table stands between `<!-- table:NAME -->` and `<!-- /table:NAME -->`. Which there are stands in the files that make
them, tables_of_*.py, and in this program's --help.
"""

import argparse
import re
import sys
from pathlib import Path

import machine
import tables_of_cuda
import tables_of_keras
import tables_of_kernels
import tables_of_results
from tables_shared import ReadmeError

ROOT = Path(__file__).resolve().parent.parent
FILES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MARKER = re.compile(r"^<!-- (/?)table:([\w-]+) -->[ \t]*$", re.MULTILINE)
SUBJECTS = (tables_of_results, tables_of_kernels, tables_of_keras, tables_of_cuda)
TABLES = {name: table for subject in SUBJECTS for name, table in subject.TABLES.items()}


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
    parser = argparse.ArgumentParser(
        description="\n".join([__doc__, *(subject.__doc__ for subject in SUBJECTS)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
