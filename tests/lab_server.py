"""The lab for tests, started as a user starts it, and asked as a browser asks it."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager

SECONDS = 60  # to wait for an answer


@contextmanager
def started_lab(folder, temporary):
    """(process, its address). temporary: where it puts what it does not keep."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(temporary)}
    process = subprocess.Popen(
        [sys.executable, "-m", "tinycnn", "lab", str(folder), "--no-browser"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    )  # fmt: skip
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.terminate()  # it ends what it has started
        process.wait(SECONDS)
        process.stdout.close()


def origin_of(address):
    """Where a page at this address comes from."""
    return "/".join(address.split("/")[:3])


def ask(method, address, headers=(), body=None):
    """The status of an answer."""
    request = urllib.request.Request(address, body, dict(headers), method=method)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SECONDS) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
