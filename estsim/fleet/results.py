"""The folder that a run leaves: its name, the scenario as run, and the summary."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from estsim.errors import StoreError, UsageError
from estsim.figures.summary import Summary


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
    """Keep the scenario as run; raises UsageError where that cannot be."""
    _write(folder / "scenario.yaml", text)


def write_summary(folder: Path, summary: Summary) -> None:
    """Write summary.json; raises UsageError where that cannot be."""
    _write(folder / "summary.json", summary.to_json())


@contextmanager
def losing(lost: list[str], what: str) -> Iterator[None]:
    """Write inside something that a run leaves at its end; what the disk does not take is noted in ``lost``.

    A run that is over has its figures and its verdict whatever becomes of its files. ``what`` begins the sentence.
    """
    try:
        yield
    except (StoreError, UsageError) as error:
        lost.append(f"{what}: {error}")


def _write(path: Path, text: str) -> None:
    """Write a file, whole or not at all: half a summary would be taken for one by whoever reads it next."""
    draft = path.with_name(f".{path.name}.part")
    try:
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
