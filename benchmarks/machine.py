"""What a results file says about where it was measured, and how it is written."""

import importlib.util
import re
from pathlib import Path

from tinycnn.fit import files
from tinycnn.utils.hardware import cores, device, gpu, versions

__all__ = ["RESULTS", "cores", "device", "gpu", "installed", "slug", "versions", "write_atomically", "write_json"]

RESULTS = Path(__file__).resolve().parent / "results"


def slug(text):
    """A folder's name: 'amd-epyc-9654-96-core-processor-2-cores'."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def installed(module):
    return importlib.util.find_spec(module) is not None


def write_atomically(path, text):
    """Write the whole text or leave the file as it was. Makes the folder."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(path, text.encode())


def write_json(path, facts):
    """The same for plain data, as JSON."""
    write_atomically(path, files.json_text(facts, indent=1) + "\n")
