"""Runs the mutants of mutants/, prints which were caught, and exits with status 1 if one was not: `make mutants`.

Each is applied to a copy of the package of its own, where a tool is run as a user would. It is killed where the tool
says that something is wrong; an exception, a file that does not compile or no answer at all say nothing. The same tools
have to find nothing wrong with a copy that nothing was changed in.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mutants import CHECK, GRADCHECK, MUTANTS, TEST
from tabulate import tabulate
from tqdm import tqdm

ROOT = Path(__file__).parents[2]
SECONDS = 300  # until a tool that does not answer is given up

PASSED, FAILED, NO_ANSWER = "passed", "failed", "no answer"


class Answer(NamedTuple):
    """What a tool says. verdict: PASSED, FAILED or NO_ANSWER; text: what it found, or what went wrong."""

    verdict: str
    text: str


# ---------------------------------------------------------------- copies


@contextmanager
def copy_of_the_package():
    """A folder with a copy of tinycnn/ in it, and of kernels/ where it is installed: as tinycnn.kernels."""
    with tempfile.TemporaryDirectory(prefix="tinycnn-mutant-") as folder:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "tinycnn", Path(folder, "tinycnn"), ignore=ignore)
        shutil.copytree(ROOT / "kernels", place(folder, "kernels"), ignore=ignore)
        yield folder


def place(folder, file):
    """Where the repository's `file` is in a copy."""
    return Path(folder, "tinycnn", file) if file.split("/")[0] == "kernels" else Path(folder, file)


def changed(mutant):
    """The text of the mutant's file with the fault in it. Raises ValueError unless `old` stands there once."""
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    found = text.count(mutant.old)
    if found != 1:
        raise ValueError(
            f"mutant {mutant.name}: its text stands {found} times in {mutant.file}, not once; "
            f"bring tests/gradients/mutants up to date: {mutant.old!r}"
        )
    return text.replace(mutant.old, mutant.new)


# ---------------------------------------------------------------- tools


def command(tool, device, operation):
    """The words that a tool is run with."""
    cli = [sys.executable, "-m", "tinycnn"]
    if tool == GRADCHECK:
        return [*cli, "gradcheck", operation, "--device", device, "--json"]
    if tool == CHECK:
        return [*cli, "check", operation, "--json"]
    options = ["-m", "not slow", "--device", device, "--tb", "line", "-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", *options, str(ROOT / "tests" / operation)]


def run(words, folder):
    """Run a command on the package in a copy: a CompletedProcess.

    What the cpu device compiles is kept in the copy. What the emulator builds goes where it always does: it is found
    again by its content alone.
    """
    environment = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": str(Path(folder, "compiled"))}
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS)


def ask(tool, device, operation, folder):
    """The Answer of a tool about a copy."""
    try:
        done = run(command(tool, device, operation), folder)
    except subprocess.TimeoutExpired:
        return Answer(NO_ANSWER, f"nothing said in {SECONDS} s")
    findings = {GRADCHECK: wrong_gradients, CHECK: reports, TEST: failures}[tool](done.stdout)
    if findings and done.returncode == 1 and "Traceback" not in done.stderr:
        more = f" and {len(findings) - 1} more" if len(findings) > 1 else ""
        return Answer(FAILED, f"{findings[0]}{more}")
    if findings == [] and done.returncode == 0:
        return Answer(PASSED, "nothing found")
    last = (done.stderr or done.stdout).strip().splitlines()[-1:]
    return Answer(NO_ANSWER, " ".join([f"exit status {done.returncode}", *last]))


def wrong_gradients(output):
    """The gradients that are wrong, or None where the output is no list of gradients."""
    rows = as_json(output)
    if not rows:
        return None
    return [f"{row['case']}: {row['argument']}".removeprefix(": ") for row in rows if row["verdict"] != "passed"]


def reports(output):
    found = as_json(output)
    return found and [f"{report['kind']} in line {report['line']}" for report in found["reports"]]


def failures(output):
    """The assertions that did not hold, or None where no test was run."""
    lines = output.splitlines()
    if not re.match(r"\d+ (passed|failed)", lines[-1] if lines else ""):
        return None
    return [line.split("/")[-1] for line in lines if re.match(r"\S+:\d+: (assert |AssertionError)", line)]


def as_json(output):
    try:
        return json.loads(output)
    except json.JSONDecodeError:
        return None


# ---------------------------------------------------------------- mutants and controls


def answer_to(mutant):
    """What the mutant's tool says about a copy that the mutant was applied to."""
    with copy_of_the_package() as folder:
        place(folder, mutant.file).write_text(changed(mutant), encoding="utf-8")
        return ask(mutant.tool, mutant.device, mutant.operation, folder)


def controls(mutants):
    """(tool, device, operation) of all mutants, each once."""
    return list(dict.fromkeys((mutant.tool, mutant.device, mutant.operation) for mutant in mutants))


def outcome(answer, control):
    """In the table: killed, survived, or why this cannot be told."""
    if control.verdict != PASSED:
        return f"error: without the mutant {control.verdict}, {control.text}"
    if answer.verdict == NO_ANSWER:
        return f"error: {answer.text}"
    return "killed" if answer.verdict == FAILED else "SURVIVED"


def main(mutants=MUTANTS):
    """Run all mutants and print the table; the exit status. Raises ValueError for a mutant that is out of date."""
    for mutant in mutants:
        changed(mutant)  # a mutant that is out of date is said before the others have run for minutes
    wanted = controls(mutants)
    with copy_of_the_package() as unchanged, ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [pool.submit(ask, *control, unchanged) for control in wanted]
        futures += [pool.submit(answer_to, mutant) for mutant in mutants]
        answers = [future.result() for future in tqdm(futures, desc="mutants", leave=False)]
    without = dict(zip(wanted, answers, strict=False))  # the answers go on with the mutants'
    rows, alive = [], []
    for mutant, answer in zip(mutants, answers[len(wanted) :], strict=True):
        what = outcome(answer, without[mutant.tool, mutant.device, mutant.operation])
        rows.append((mutant.name, mutant.why, mutant.file, mutant.device, what, f"{mutant.tool}: {answer.text}"))
        if what != "killed":
            alive.append(f"{mutant.name}: {what}")
    print(tabulate(rows, ("mutant", "what is broken", "file", "device", "", "by")))
    print(f"\n{len(rows)} mutants: {'all killed' if not alive else f'{len(alive)} not killed'}")
    for line in alive:
        print(f"  {line}")
    return 1 if alive else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ValueError as error:
        sys.exit(str(error))
