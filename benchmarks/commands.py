"""Other programs, run to their end or for so many seconds."""

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # of the project


def of_pytest(status, output):
    """What pytest printed, as plain data: its last line, and of failures what was wrong."""
    lines = output.splitlines()
    wrong = [line for line in lines if line.startswith(("E  ", "FAILED ", "ERROR "))]
    last = [line for line in lines if re.search(r"\d+ (passed|failed)", line)][-1:]
    passed = status == 0
    return {"passed": passed, "summary": "".join(last), "output": "" if passed else "\n".join(wrong or lines)[-12000:]}


def command(words, seconds, folder=ROOT, variables=None):
    """(exit status, output) of a command; status None where it ran past its time. variables: beside the usual ones."""
    environment = {**os.environ, **(variables or {})}
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired:
        return None, f"stopped after {seconds} s"
    return done.returncode, done.stdout + done.stderr
