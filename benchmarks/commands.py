"""Other programs, run to their end or for so many seconds."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # of the project


def command(words, seconds, folder=ROOT, variables=None):
    """(exit status, output) of a command; status None where it ran past its time. variables: beside the usual ones."""
    environment = {**os.environ, **(variables or {})}
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=seconds, env=environment)
    except subprocess.TimeoutExpired:
        return None, f"stopped after {seconds} s"
    return done.returncode, done.stdout + done.stderr
