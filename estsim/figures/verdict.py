"""The verdict of a run: one word, the first that applies."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from estsim.figures.thresholds import Judgement
from estsim.record.saturation import Saturation


class Verdict(StrEnum):
    """The verdict of a run."""

    PASSED = "passed"
    FAILED = "failed"
    SATURATED = "saturated"
    UNREACHABLE = "unreachable"
    ABORTED = "aborted"
    ERROR = "error"


class Ending(StrEnum):
    """How a run ended, before any threshold is judged."""

    FINISHED = "finished"
    UNREACHABLE = "unreachable"
    ABORTED = "aborted"
    ERROR = "error"  # an internal error that ended the run


def verdict_of(
    ending: Ending,
    saturation: Saturation | None,
    judgements: Iterable[Judgement],
    findings: Sequence[str] = (),
    *,
    has_errors: bool = False,
) -> Verdict:
    """Return the first verdict that applies; thresholds do not count if the generator was saturated."""
    if ending is Ending.ABORTED:
        return Verdict.ABORTED
    if ending is Ending.UNREACHABLE:
        return Verdict.UNREACHABLE
    if ending is Ending.ERROR or has_errors:
        return Verdict.ERROR
    if saturation is not None:
        return Verdict.SATURATED
    held = all(judgement.passed for judgement in judgements) and not findings
    return Verdict.PASSED if held else Verdict.FAILED
