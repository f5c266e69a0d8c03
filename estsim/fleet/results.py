"""The folder that a run leaves: its name, the scenario as run, and the summary."""

from datetime import datetime
from pathlib import Path
from typing import Any

from estsim.errors import UsageError
from estsim.measure.summary import summary_json


def make_folder(results: Path, name: str, started: datetime) -> Path:
    """Make ``<name>-<UTC time>`` under the results folder; raises UsageError where that cannot be."""
    stem = f"{name}-{started:%Y%m%dT%H%M%SZ}"
    try:
        results.mkdir(parents=True, exist_ok=True)
        for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
            folder = results / f"{stem}{suffix}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
    except OSError as error:
        raise UsageError(f"{results}: no results can be written there: {error.strerror}") from error
    raise UsageError(f"{results}: too many runs named {stem}")


def write_scenario(folder: Path, text: str) -> None:
    """Keep the scenario as run."""
    _write(folder / "scenario.yaml", text)


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """Write summary.json."""
    _write(folder / "summary.json", summary_json(summary))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
