"""What a run leaves: its folder with the scenario as run and the summary, and how it ended for whoever led it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Self

from estsim.errors import StoreError, UsageError
from estsim.figures.exits import OF_VERDICT, Exit
from estsim.figures.summary import Summary
from estsim.figures.summary_blocks import internal_errors_summary
from estsim.figures.verdict import Ending, Verdict
from estsim.fleet.error_log import ErrorLog


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


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. ``unreachable`` is the reason of a failed preflight, ``log`` are the bugs of ours that were met.

    ``lost`` are results that could not be written and ``told`` workers that died, each in a sentence.
    """

    folder: Path
    summary: Summary
    ending: Ending
    log: ErrorLog
    ended_ns: int = 0
    unreachable: str | None = None
    lost: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def exit_code(self) -> Exit:
        """The first exit code that applies; results that could not be written are the user's disk, so usage."""
        if self.ending is not Ending.ABORTED and self.lost:
            return Exit.USAGE
        return OF_VERDICT[Verdict(self.summary.verdict)]

    def rejudged(self) -> Self:
        """Return it with the bugs of ours that were met since its summary was made, its files written anew."""
        errors = internal_errors_summary(self.log.errors)
        known = self.summary.internal_errors
        if errors.count == (known.count if known else 0):
            return self
        self.log.save()
        summary, lost = self.summary.with_errors(errors), list(self.lost)
        with losing(lost, "the summary was not saved"):
            write_summary(self.folder, summary)
        return replace(self, summary=summary, lost=tuple(lost))
