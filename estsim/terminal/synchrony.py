"""Whether the polls of the fleet are in step: R as a gauge, and the polls folded on the period T.

docs/metrics.md has the definitions.
"""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final

from rich.style import Style

from estsim.figures.metrics import BURSTINESS, FANO, LAG_CORRELATION, PERIOD
from estsim.figures.snapshot import DeferralSnapshot
from estsim.figures.text import ABSENT, compact, ratio, short_count
from estsim.terminal.chart import SECONDS, VALUE, axis, bar, chart
from estsim.terminal.figure_grid import grid, rows_of
from estsim.terminal.ink import ALARM, CAUTION, GOOD, QUIET, STRONG, Line, ink, left, right, title
from estsim.terminal.waits import seconds_mark

IN_STEP: Final = 0.7
LOOSE: Final = 0.2

_RHYTHM: Final = Style(color="blue")
_LABELS: Final = 6
_WIDEST_GAUGE: Final = 60
_NAME: Final = 14
_WORD: Final = 8
_WHOLE_FROM: Final = 99.5
_PARTS: Final = 1000  # of a count


def in_words(synchronisation: float | None) -> str:
    """Return ``in step`` (R from 0.7 on), ``loose`` (from 0.2 on) or ``spread``."""
    if synchronisation is None or math.isnan(synchronisation):
        return ABSENT
    return "in step" if synchronisation >= IN_STEP else "loose" if synchronisation >= LOOSE else "spread"


_STYLES: Final = {"in step": ALARM, "loose": CAUTION, "spread": GOOD, ABSENT: QUIET}


def synchrony_rows(width: int) -> int:
    """Return the number of lines of the pane."""
    return 3 + rows_of(3, width)


def synchrony(moment: DeferralSnapshot, width: int) -> list[Line]:
    """Return the pane: R of the last window and of the run as gauges, then the other signs of a herd."""
    period = ABSENT if moment.period_s is None else seconds_mark(moment.period_s)
    return [
        title("SYNCHRONY", [f"{PERIOD.label} {period}"], width),
        _gauge("R last window", moment.synchronisation, width),
        _gauge("R whole run", moment.run_synchronisation, width),
        *grid(
            [
                (LAG_CORRELATION.label, _short(moment.lag_correlation)),
                (BURSTINESS.label, _short(moment.burstiness)),
                (FANO.label, _short(moment.fano)),
            ],
            width,
        ),
    ]


def _short(value: float | None) -> str:
    """Return a plain figure in at most five cells."""
    return ratio(value) if value is None or not abs(value) >= _WHOLE_FROM else compact(value)


def _gauge(name: str, value: float | None, width: int) -> Line:
    word = in_words(value)
    style = _STYLES[word]
    room = min(width - _NAME - _WORD - 10, _WIDEST_GAUGE)
    share = 0.0 if word == ABSENT or value is None else value
    return [
        ink(f" {left(name, _NAME)}", QUIET),
        ink(f"{right(ratio(value), 5)} ", STRONG),
        *bar(share, room, style),
        ink(f"  {left(word, _WORD)}", style),
    ]


def rhythm(moment: DeferralSnapshot, *, height: int, cells: int, axes: bool) -> list[Line]:
    """Return a chart of the polls of the last window, folded on the period and stretched to sixty columns."""
    period = moment.period_s
    polls = short_count(sum(moment.rhythm), VALUE) if moment.rhythm else ABSENT
    figures = [("rhythm", polls), (f"of T {seconds_mark(period)}" if period else "", "")]
    lines = chart(stretched(moment.rhythm), figures, height=height, cells=cells, style=_RHYTHM)
    if axes:
        marks = [seconds_mark(period * at / _LABELS) if period else "" for at in range(_LABELS)]
        lines.append(axis(marks, cells=cells))
    return lines


def stretched(bins: Sequence[int]) -> list[int]:
    """Return bins of any number on sixty columns, each with its share of the bins that it covers, in thousandths."""
    if not bins:
        return []
    sums = [0, *accumulate(bins)]

    def up_to(column: int) -> int:
        whole, rest = divmod(column * len(bins), SECONDS)
        part = bins[whole] * rest * _PARTS // SECONDS if rest else 0
        return sums[whole] * _PARTS + part

    edges = [up_to(column) for column in range(SECONDS + 1)]
    return [after - before for before, after in pairwise(edges)]
