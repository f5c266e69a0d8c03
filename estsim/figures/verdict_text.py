"""The verdict of a run in plain words: its sentence, its findings and bugs, and how each threshold went."""

from collections.abc import Sequence
from typing import Final

from estsim.figures.summary import Summary
from estsim.figures.summary_errors import InternalErrorsSummary, InternalErrorSummary
from estsim.figures.summary_thresholds import ThresholdSummary
from estsim.figures.text import clean, count, quantity
from estsim.figures.thresholds import NOT_JUDGED

WRONGLY_ISSUED: Final = "issued certificates to devices it should have refused"
HELD: Final = "passed"
BROKEN: Final = "FAILED"
_TITLES: Final = {"unreachable": "PREFLIGHT FAILED"}
_ENDED_BEFORE: Final = frozenset({"aborted", "unreachable", "error"})  # what cannot be judged then has not failed


def headline(word: str) -> str:
    """Return the verdict as it is shown, in capitals."""
    return _TITLES.get(word) or clean(word).upper() or "NO VERDICT"


def verdict_sentence(summary: Summary) -> str:
    """Return the verdict in sentences, one or more lines."""
    match summary.verdict:
        case "passed" | "failed":
            return _judged(summary)
        case "saturated":
            return saturation_sentence(summary.generator.why or "")
        case "unreachable":
            why = summary.unreachable or "The server could not be reached or started."
            return f"{_as_sentence(why)}\nNo device was started."
        case "error":
            return _met_bugs(summary.internal_errors)
        case "aborted":
            return "The run was interrupted; the figures cover the time until then."
        case _:
            return "The summary contains no verdict."


def _met_bugs(errors: InternalErrorsSummary | None) -> str:
    """Return what a bug of estsim means to a reader of the figures."""
    stopped = errors.devices if errors else 0
    which = (
        f"it stopped {quantity(stopped, 'device')}, missing from the figures" if stopped else "no device was affected"
    )
    return f"Internal error of estsim: {which}. The run is not judged; see errors.log for the traceback."


def internal_errors(summary: Summary) -> tuple[str, ...]:
    """Return the kinds of internal errors, each as a line."""
    found = summary.internal_errors
    return tuple(_internal_error(kind) for kind in found.kinds) if found else ()


def _internal_error(kind: InternalErrorSummary) -> str:
    who = f", {quantity(kind.devices, 'device')} stopped" if kind.devices else ""
    return f"{count(kind.count)} x {kind.error} at {kind.place}{who}"


def saturation_sentence(why: str) -> str:
    """Return what it means that the generator was the limit, and why it was."""
    return f"The generator could not keep up, so these figures do not reflect the server. {_as_sentence(why)}".strip()


def _as_sentence(words: str) -> str:
    """Return words that begin with a capital letter and end with a full stop."""
    words = words.strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) or not words else ".")


def _judged(summary: Summary) -> str:
    judged = summary.thresholds
    broken = [entry for entry in judged if not entry.passed]
    findings = summary.certificates.findings
    found = f" The server {WRONGLY_ISSUED}: {quantity(len(findings), 'finding')}." if findings else ""
    if not broken:
        return (_all_hold(judged) if judged else "There are no thresholds.") + found
    if len(broken) == 1:
        reason = f"{broken[0].expression} ({broken[0].why or 'no reason given'})"
        which = "The threshold" if len(judged) == 1 else f"1 of {len(judged)} thresholds"
        return f"{which} failed: {reason}.{found}"
    return f"{len(broken)} of {len(judged)} thresholds failed.{found}"


def _all_hold(judged: Sequence[ThresholdSummary]) -> str:
    """Return a sentence about thresholds that all passed, and on how many their samples leave doubt."""
    thin = sum(entry.is_thin for entry in judged)
    if len(judged) == 1:
        return f"The threshold passed{', on too few samples (thin)' if thin else ''}."
    passed = f"{len(judged)} of {len(judged)} thresholds passed"
    return f"{passed}, {thin} on too few samples (thin)." if thin else f"{passed}."


def standing(entry: ThresholdSummary, ending: str) -> str:
    """Return how a threshold went: one that nothing can be said of fails, unless the run ended before it could be.

    ``ending`` is the verdict of the run.
    """
    if entry.passed:
        return HELD
    return NOT_JUDGED if ending in _ENDED_BEFORE and entry.why.startswith(NOT_JUDGED) else BROKEN
