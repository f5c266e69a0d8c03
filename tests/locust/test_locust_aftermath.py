"""What is said of a run under Locust that is over: whatever becomes of its page, the run has its verdict."""

import logging
import sys
from pathlib import Path

import pytest

from estsim.figures.summary import read_summary
from estsim.figures.verdict import Ending
from estsim.fleet.error_log import ErrorLog
from estsim.fleet.results import RunResult
from estsim.locust.master.aftermath import make_page, tell_end
from estsim.record.internal_errors import InternalErrors


def ended(folder: Path, summary: dict[str, object], *lost: str) -> RunResult:
    """Return how a run ended, by its summary."""
    return RunResult(folder, read_summary(summary), Ending.FINISHED, ErrorLog(folder, InternalErrors()), lost=lost)


def test_a_page_that_cannot_be_made_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run; more time than there is; no process."""
    assert make_page(tmp_path) == f"{tmp_path}: expected a results folder (it contains no run.sqlite)"
    assert make_page(tmp_path, within_s=0.01) == "it took more than 0.01 s"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    assert make_page(tmp_path) == "No such file or directory"


def test_the_end_is_told_without_a_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Figures or not: a run whose figures a bug of ours has eaten has a verdict, and what was lost is told."""
    with caplog.at_level(logging.INFO):
        end = ended(tmp_path, {"thresholds": [], "verdict": "error"}, "the last rows are not in it")
        end.log.errors.note(KeyError("a bug"), at_ns=0)
        tell_end(end)
    said = [record.getMessage() for record in caplog.records]
    assert said[:2] == [f"estsim: {end.log.told()}", "estsim: the last rows are not in it"]
    assert "internal error of estsim: KeyError" in said[0]
    assert said[2].startswith("estsim: no HTML report: ")
    assert said[2].endswith(f"; to create it, run: estsim report {tmp_path}")
    assert said[3:] == [f"estsim: error; results folder: {tmp_path}"]


def test_failures_are_told_with_their_reasons(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The most frequent kinds of summary.json, also what stands for all others."""
    kinds = [("simpleenroll", "unauthorized", None, "401 no"), ("cacerts", "failed", "connect", "refused"), (None,) * 4]
    errors = [
        {
            "operation": operation,
            "class": kind,
            "phase": phase,
            "detail": detail or "other errors (4 kinds)",
            "count": 7,
        }
        for operation, kind, phase, detail in kinds
    ]
    with caplog.at_level(logging.INFO):
        tell_end(ended(tmp_path, {"errors": errors, "thresholds": [], "verdict": "failed"}))
    assert [record.getMessage() for record in caplog.records][:3] == [
        "estsim: 7 x simpleenroll unauthorized: 401 no",
        "estsim: 7 x cacerts failed in connect: refused",
        "estsim: 7 x other errors (4 kinds)",
    ]


def test_a_threshold_is_told_with_what_came_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As in the tables: its reason has the actual value."""
    judged = {"expression": "failures < 1%", "value": 0.0, "passed": True, "why": "actual 0%"}
    with caplog.at_level(logging.INFO):
        tell_end(ended(tmp_path, {"thresholds": [judged], "verdict": "passed"}))
    assert caplog.records[0].getMessage() == "estsim: failures < 1%: passed (actual 0%)"
