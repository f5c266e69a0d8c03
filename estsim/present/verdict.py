"""The verdict of a run in plain words, and the thresholds that it rests on."""

from collections.abc import Sequence
from typing import Final

from rich.style import Style

from estsim.measure.summary import Summary
from estsim.measure.summary_errors import InternalErrorsSummary, InternalErrorSummary
from estsim.measure.summary_thresholds import ThresholdSummary
from estsim.measure.thresholds import NOT_JUDGED
from estsim.present.figures import count, quantity
from estsim.present.ink import ALARM, CAUTION, GOOD, PLAIN, QUIET, Line, clean, ink, left, title, width_of, wrap

WRONGLY_ISSUED: Final = "issued certificates to devices it should have refused"

_PASSED: Final = Style(bold=True, reverse=True, color="green")
_FAILED: Final = Style(bold=True, reverse=True, color="red")
_VOID: Final = Style(bold=True, reverse=True, color="yellow")
_BADGES: Final = {"passed": _PASSED, "failed": _FAILED, "error": _FAILED, "unreachable": _FAILED}
_TITLES: Final = {"unreachable": "PREFLIGHT FAILED"}
_HELD: Final = "passed"
BROKEN: Final = "FAILED"
_MARKS: Final = {_HELD: GOOD, NOT_JUDGED: CAUTION}
_ENDED_BEFORE: Final = frozenset({"aborted", "unreachable", "error"})  # what cannot be judged then has not failed


def verdict(summary: Summary, width: int) -> list[Line]:
    """Return the verdict as one sentence behind a badge."""
    word = summary.verdict
    badge = ink(f" {headline(word)} ", _BADGES.get(word, _VOID))
    indent = width_of([badge]) + 1
    said = [line for part in _sentence(summary, word).splitlines() for line in wrap(clean(part), width - indent - 1)]
    first, *others = said or [""]
    return [[badge, ink(f" {first}")], *([ink(" " * indent + line)] for line in others)]


def headline(word: str) -> str:
    """Return the verdict as it is shown, in capitals."""
    return _TITLES.get(word) or clean(word).upper() or "NO VERDICT"


def _sentence(summary: Summary, word: str) -> str:
    match word:
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


def thresholds(summary: Summary, width: int) -> list[Line]:
    """Return the table of thresholds: how it went, the expression, what it was or why it was not judged."""
    judged = summary.thresholds
    if not judged:
        return []
    word = summary.verdict
    marks = [standing(entry, word) for entry in judged]
    longest = max(len(entry.expression) for entry in judged)
    column = min(longest + 3, width // 2)
    edge = max(map(len, marks)) + 3
    thin = sum(bool(entry.passed) and entry.is_thin for entry in judged)
    besides = [
        f", {number} {what}" for number, what in ((thin, "thin"), (marks.count(NOT_JUDGED), NOT_JUDGED)) if number
    ]
    lines = [title("THRESHOLDS", [f"{marks.count(_HELD)} of {len(judged)} passed{''.join(besides)}"], width)]
    for entry, mark in zip(judged, marks, strict=True):
        lines += _threshold(entry, mark, edge=edge, column=column, width=width)
    return lines


def standing(entry: ThresholdSummary, ending: str) -> str:
    """Return how a threshold went: one that nothing can be said of fails, unless the run ended before it could be.

    ``ending`` is the verdict of the run.
    """
    if entry.passed:
        return _HELD
    return NOT_JUDGED if ending in _ENDED_BEFORE and entry.why.startswith(NOT_JUDGED) else BROKEN


def _threshold(entry: ThresholdSummary, mark: str, *, edge: int, column: int, width: int) -> list[Line]:
    """Return one threshold; a long expression gets a line of its own, a long reason is folded under itself."""
    expression = clean(entry.expression)
    reason = clean(entry.why) or "no reason given"
    if mark == NOT_JUDGED:
        reason = reason.removeprefix(NOT_JUDGED).removeprefix(": ")
    why = wrap(reason, width - edge - column)
    style = QUIET if mark == _HELD else PLAIN
    head = ink(f" {left(mark, edge - 1)}", _MARKS.get(mark, ALARM))
    rest: list[Line] = [[ink(" " * (edge + column)), ink(line, style)] for line in why]
    if len(expression) >= column:
        folded = wrap(expression, width - edge)
        return [[head, ink(folded[0])], *([ink(" " * edge + line)] for line in folded[1:]), *rest]
    return [[head, ink(left(expression, column)), ink(why[0], style)], *rest[1:]]
