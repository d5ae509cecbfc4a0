"""The README's example prints what it says, and its tables and those of docs/ stand as results and code say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow_on("emulator", "reference-float64")
def test_the_example_prints_what_is_shown(device, capsys):
    code, printed = re.search(r"```python\n(.*?)```\s*```\n(.*?)```", README, re.DOTALL).groups()
    exec(code, {})
    got, shown = ([float(n) for n in re.findall(r"[\d.]+", text)] for text in (capsys.readouterr().out, printed))
    assert got == pytest.approx(shown, abs=0.03)  # the last digits differ between processors


def test_the_tables_are_those_of_the_results():
    check = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "readme_tables.py", "--check"], capture_output=True, text=True
    )
    assert check.returncode == 0, check.stdout + check.stderr
