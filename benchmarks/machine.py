"""What a results file says about where it was measured, and how it is written."""

import importlib.util
import json
import os
import re
import subprocess
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

import tinycnn
from tinycnn.fit import files
from tinycnn.utils.hardware import cores, device, gpu, versions

__all__ = ["RESULTS", "commit", "cores", "device", "gpu", "installed", "now", "provenance"]
__all__ += ["rows_before", "slug", "text_with_lines", "versions", "write_atomically", "write_json"]

RESULTS = Path(__file__).resolve().parent / "results"


def slug(text):
    """A folder's name: 'amd-epyc-9654-96-core-processor-2-cores'."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def installed(module):
    return importlib.util.find_spec(module) is not None


@cache
def commit():
    """The commit that is measured, short: $TINYCNN_COMMIT, or what git says, or None where nobody knows."""
    given = os.environ.get("TINYCNN_COMMIT")
    if given:
        return given
    words = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def now():
    """'2026-11-26T11:48:11+00:00'"""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def provenance(card, device, packages):
    """What a row says of where it comes from. card: the GPU's or processor's name; device: tinycnn's, as 'cuda'.

    path: by which of its ways the device computed, None where no kernel of kernels/ did. versions: of the packages.
    They stand in the row, for the rows of a file may be measured one after another, with other versions each.
    """
    path = tinycnn.get_device(device).path if device in ("cuda", "numba", "emulator") else None
    facts = {"commit": commit(), "date": now(), "card": card, "device": device, "path": path}
    return facts | {"versions": versions(packages)}


def rows_before(path, facts=None):
    """The rows that a results file has already; none where it is not there, or what it says of all of them differs."""
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": []}
    same = all(content.get(name) == value for name, value in json.loads(json.dumps(facts or {})).items())
    return content["rows"] if same else []


def write_atomically(path, text):
    """Write the whole text or leave the file as it was. Makes the folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(path, text.encode())


def text_with_lines(facts, name, rows, line=json.dumps):
    """`facts` as JSON, and under this name the rows, with a line for each. line: gives the text of a row."""
    lines = ",\n  ".join(map(line, rows))
    return json.dumps(facts, indent=1).removesuffix("\n}") + f',\n "{name}": [\n  {lines}\n ]\n}}\n'


def write_json(path, facts):
    """The same for plain data, as JSON."""
    write_atomically(path, files.json_text(facts, indent=1) + "\n")
