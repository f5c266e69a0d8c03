"""How a run of this process ended: its folder, its figures, its exit code."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from estsim.figures.exits import OF_VERDICT, Exit
from estsim.figures.summary import Summary
from estsim.figures.summary_blocks import internal_errors_summary
from estsim.figures.verdict import Ending, Verdict
from estsim.fleet.error_log import ErrorLog
from estsim.fleet.results import losing, write_summary


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
