"""The dashboard's first two lines: what runs, against what, and how far it is; and the sentence when it is spoiled."""

from typing import Final

from rich.style import Style

from estsim.figures.snapshot import RunStage, Snapshot
from estsim.figures.text import clean, clock, percent
from estsim.terminal.chart import bar
from estsim.terminal.ink import CAUTION, GOOD, QUIET, REQUESTS, STRONG, Line, cut, ink, left, spread, wrap
from estsim.terminal.marks import newest_mark

_BADGE: Final = Style(bold=True, reverse=True, color="cyan")
_FROZEN: Final = Style(bold=True, reverse=True, color="yellow")
_BANNER: Final = Style(bold=True, reverse=True, color="red")
_STAGES: Final = {
    RunStage.PREPARING: ("○", CAUTION),
    RunStage.RUNNING: ("●", GOOD),
    RunStage.DRAINING: ("◐", CAUTION),
    RunStage.DONE: ("■", STRONG),
}
_BANNER_LINES: Final = 2


def header(snapshot: Snapshot, width: int, *, frozen: bool = False, marked: bool = False) -> list[Line]:
    """Return the two lines: name, stage and clock; target and progress.

    ``marked`` lets a recent mark stand in the target's place, where there is no line for marks.
    """
    progress = _progress(snapshot, width // 3)
    room = width - 3 - sum(len(part.text) for part in progress)
    mark = newest_mark(snapshot, room) if marked else None
    return [
        spread(
            [ink(" estsim ", _BADGE), ink(f" {cut(snapshot.name, width - 40)}", STRONG)],
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
    """Return the sentence that says why the figures are the generator's and not the server's, on at most two lines."""
    if snapshot.saturated is None:
        return []
    sentence = f"SATURATED: {clean(snapshot.saturated)}"
    whole = wrap(sentence, width - 4)
    *lines, last = whole if len(whole) <= _BANNER_LINES else [whole[0], " ".join(whole[1:])]
    lines.append(cut(last, width - 4))
    return [[ink(f" {'▲' if row == 0 else ' '} {left(text, width - 3)}", _BANNER)] for row, text in enumerate(lines)]
