"""What is said of a run under Locust once it is over and saved: figures, losses, verdict, and the page.

The page is made by a process of its own: Locust goes on meanwhile, and a page that takes for ever, or a process that
cannot be started, costs nothing but the page.
"""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Final

from estsim.fleet.results import RunResult
from estsim.record.error_kinds import reason

_ERRORS: Final = 5  # kinds that are named; all are in summary.json
PAGE_S: Final = 300.0  # of ten million exchanges some minutes; a disk that has gone away takes for ever

_LOG: Final = logging.getLogger(__name__)


def tell_end(end: RunResult) -> None:
    """Say what the run came to, and have its page made."""
    summary = end.summary
    for judged in summary.thresholds:
        held = "passed" if judged.passed else "failed"
        _LOG.info("estsim: %s: %s (%s)", judged.expression, held, judged.why)
    for error in summary.errors[:_ERRORS]:
        words = reason(error.kind, error.phase, error.detail) if error.kind else error.detail
        _LOG.warning("estsim: %s x %s", error.count, " ".join(filter(None, [error.operation, words])))
    if limit := summary.generator.why:
        _LOG.warning("estsim: %s", limit)
    if bug := end.log.told():
        _LOG.error("estsim: %s", bug)
    for lost in end.lost:
        _LOG.error("estsim: %s", lost)
    if why_not := make_page(end.folder):
        _LOG.warning("estsim: no HTML report: %s; to create it, run: estsim report %s", why_not, end.folder)
    _LOG.info("estsim: %s; results folder: %s", summary.verdict, end.folder)


def make_page(folder: Path, *, within_s: float = PAGE_S) -> str | None:
    """Have the page of a run made; returns why there is none."""
    command = [sys.executable, "-m", "estsim", "report", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=within_s)  # noqa: S603 - ours
    except subprocess.TimeoutExpired:
        return f"it took more than {within_s:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return done.stderr.strip() if done.returncode else None
