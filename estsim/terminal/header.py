"""The lines above every view of the dashboard: scenario, target and progress, the saturation banner, recent marks."""

from typing import Final

from rich.style import Style

from estsim.figures.snapshot import RunStage, Snapshot
from estsim.figures.text import clean, clock, percent
from estsim.terminal.chart import bar
from estsim.terminal.ink import (
    BADGE,
    BANNER,
    CAUTION,
    GOOD,
    PLAIN,
    QUIET,
    REQUESTS,
    STRONG,
    Line,
    cut,
    ink,
    left,
    spread,
    width_of,
    wrap,
)

_FROZEN: Final = Style(bold=True, reverse=True, color="yellow")
_STAGES: Final = {
    RunStage.PREPARING: ("○", CAUTION),
    RunStage.RUNNING: ("●", GOOD),
    RunStage.DRAINING: ("◐", CAUTION),
    RunStage.DONE: ("■", STRONG),
}
_BANNER_LINES: Final = 2
_RECENT_S: Final = 60.0  # the time that the charts show
_LEAST_MARK: Final = 14  # cells


def header(snapshot: Snapshot, width: int, *, frozen: bool = False, marked: bool = False) -> list[Line]:
    """Return two lines: name, stage and clock; target and progress.

    With ``marked``, a recent mark replaces the target: there is no separate line for marks.
    """
    progress = _progress(snapshot, width // 3)
    room = width - 3 - sum(len(part.text) for part in progress)
    mark = _recent_mark(snapshot, room) if marked else None
    return [
        spread(
            [ink(" estsim ", BADGE), ink(f" {cut(snapshot.name, width - 40)}", STRONG)],
            _state(snapshot, frozen=frozen),
            width,
        ),
        spread(mark or [ink(f" {cut(snapshot.target, room)}", QUIET)], progress, width),
    ]


def _state(snapshot: Snapshot, *, frozen: bool) -> Line:
    times = clock(snapshot.elapsed_s)
    if snapshot.duration_s is not None:
        times = f"{times} of {clock(snapshot.duration_s)}"
    if frozen:
        return [ink(f" ‖ FROZEN at {times} ", _FROZEN)]
    symbol, style = _STAGES[snapshot.stage]
    return [ink(f"{symbol} {snapshot.stage.value}", style), ink(f"  {times} ", STRONG)]


def _progress(snapshot: Snapshot, width: int) -> Line:
    if not snapshot.duration_s:
        return [ink("runs until stopped ", QUIET)]
    share = snapshot.elapsed_s / snapshot.duration_s
    return [*bar(share, width - 6, REQUESTS), ink(f" {percent(min(share, 1.0)):>4} ")]


def saturation_banner(snapshot: Snapshot, width: int) -> list[Line]:
    """Return why the figures do not reflect the server, on at most two lines; nothing while the generator keeps up."""
    if snapshot.saturated is None:
        return []
    sentence = f"SATURATED: {clean(snapshot.saturated)}"
    whole = wrap(sentence, width - 4)
    *lines, last = whole if len(whole) <= _BANNER_LINES else [whole[0], " ".join(whole[1:])]
    lines.append(cut(last, width - 4))
    return [[ink(f" {'▲' if row == 0 else ' '} {left(text, width - 3)}", BANNER)] for row, text in enumerate(lines)]


def marks(snapshot: Snapshot, width: int) -> list[Line]:
    """Return a line with the marks that fit, newest first, and the number of earlier ones; no line without marks."""
    line: Line = []
    for number, mark in zip(range(len(snapshot.marks), 0, -1), reversed(snapshot.marks), strict=True):
        room = width - width_of(line) - len(_earlier(number - 1))
        if line and room < _LEAST_MARK:
            return [[*line, ink(_earlier(number), QUIET)]]
        line += _mark(mark, room)
    return [line] if line else []


def _recent_mark(snapshot: Snapshot, width: int) -> Line | None:
    """Return the last mark, if it lies within the time that the charts show."""
    if not snapshot.marks or snapshot.elapsed_s - snapshot.marks[-1][0] > _RECENT_S:
        return None
    return _mark(snapshot.marks[-1], width)


def _earlier(number: int) -> str:
    return f"  {number} earlier" if number else ""


def _mark(mark: tuple[float, str], width: int) -> Line:
    at_s, what = mark
    head = cut(f" ▼ {clock(at_s)} ", width - 1)
    return [ink(head, CAUTION), ink(cut(what, width - len(head) - 1), PLAIN), ink(" ")]
