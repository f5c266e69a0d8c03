"""The verdict of a finished run, and its table of thresholds."""

from typing import Final

from rich.style import Style

from estsim.figures.summary import Summary
from estsim.figures.summary_blocks import ThresholdSummary
from estsim.figures.summary_text import HELD, headline, standing, verdict_sentence
from estsim.figures.text import clean
from estsim.figures.thresholds import NOT_JUDGED
from estsim.terminal.ink import ALARM, CAUTION, GOOD, PLAIN, QUIET, Line, hanging, ink, left, title, width_of, wrap

_PASSED: Final = Style(bold=True, reverse=True, color="green")
_FAILED: Final = Style(bold=True, reverse=True, color="red")
_VOID: Final = Style(bold=True, reverse=True, color="yellow")
_BADGES: Final = {"passed": _PASSED, "failed": _FAILED, "error": _FAILED, "unreachable": _FAILED}
_MARKS: Final = {HELD: GOOD, NOT_JUDGED: CAUTION}


def verdict(summary: Summary, width: int) -> list[Line]:
    """Return the verdict in sentences behind a badge."""
    word = summary.verdict
    head = [ink(f" {headline(word)} ", _BADGES.get(word, _VOID)), ink(" ")]
    room = width - width_of(head) - 1
    return hanging(head, [line for part in verdict_sentence(summary).splitlines() for line in wrap(clean(part), room)])


def thresholds(summary: Summary, width: int) -> list[Line]:
    """Return the thresholds: the result of each, its expression, and its value or why it was not judged."""
    judged = summary.thresholds
    if not judged:
        return []
    word = summary.verdict
    marks = [standing(entry, word) for entry in judged]
    longest = max(len(entry.expression) for entry in judged)
    column = min(longest + 3, width // 2)
    edge = max(map(len, marks)) + 3
    thin = sum(bool(entry.passed) and entry.is_thin for entry in judged)
    exceptions = ((thin, "thin"), (marks.count(NOT_JUDGED), NOT_JUDGED))
    more = "".join(f", {number} {what}" for number, what in exceptions if number)
    lines = [title("THRESHOLDS", [f"{marks.count(HELD)} of {len(judged)} passed{more}"], width)]
    for entry, mark in zip(judged, marks, strict=True):
        lines += _threshold(entry, mark, edge=edge, column=column, width=width)
    return lines


def _threshold(entry: ThresholdSummary, mark: str, *, edge: int, column: int, width: int) -> list[Line]:
    """Return one threshold; a long expression gets its own line, a long reason is folded."""
    expression = clean(entry.expression)
    reason = clean(entry.why) or "no reason given"
    if mark == NOT_JUDGED:
        reason = reason.removeprefix(NOT_JUDGED).removeprefix(": ")
    why = wrap(reason, width - edge - column)
    style = QUIET if mark == HELD else PLAIN
    head = ink(f" {left(mark, edge - 1)}", _MARKS.get(mark, ALARM))
    if len(expression) >= column:
        return [*hanging([head], wrap(expression, width - edge)), *hanging([ink(" " * (edge + column))], why, style)]
    return hanging([head, ink(left(expression, column))], why, style)
