"""`tinycnn gradcheck`: a table, or JSON, and an exit status that tells."""

import json

import numpy as np
import pytest

from tinycnn import command as cli
from tinycnn.devices.reference import ReferenceDevice


def run(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        cli.main(["gradcheck", *words])
    return stop.value.code or 0, capsys.readouterr()


def test_a_table_of_what_passed(capsys):
    status, printed = run(capsys, "softmax", "--device", "reference")
    assert status == 0 and "worst error" in printed.out and "all passed" in printed.out


def test_a_wrong_gradient_is_exit_status_1(capsys, monkeypatch):
    monkeypatch.setattr(ReferenceDevice, "softmax_backward", lambda self, dy, y: np.zeros_like(y))
    status, printed = run(capsys, "softmax", "--device", "reference", "--json")
    assert status == 1 and {row["verdict"] for row in json.loads(printed.out)} == {"wrong"}


def test_an_unknown_name_is_one_line_with_the_nearest(capsys):
    status, printed = run(capsys, "soft-max")
    assert status == 2 and printed.err.count("\n") == 1 and "softmax" in printed.err
