"""`tinycnn run` of a program, as its user gives it."""

import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"


def run(*words, given=""):
    """(exit status, what is printed, what is printed on stderr) of `tinycnn run`."""
    command = "import sys; from tinycnn.command import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "run", *map(str, words)], input=given, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr
