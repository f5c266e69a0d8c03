"""Deferral: who waits now, what a certificate costs, and the herd radar: the wake-ups due in the next minute."""

from typing import Final

from estsim.figures.snapshot import Snapshot
from estsim.figures.text import ABSENT, count, duration, ratio, short_count
from estsim.terminal.chart import SECONDS, axis
from estsim.terminal.ink import QUIET, STRONG, WAKE_UPS, Line, ink, title
from estsim.terminal.throughput import GUTTER, chart

_LABELS: Final = ("now", "+10s", "+20s", "+30s", "+40s", "+50s")
_VALUE: Final = 7


def deferral(snapshot: Snapshot, width: int, *, height: int, cells: int) -> list[Line]:
    """Return the pane: the figures, and the herd radar ``height`` lines high over its axis."""
    return [
        deferral_title(snapshot, width),
        _time_to_certificate(snapshot),
        *radar(snapshot, height=height, cells=cells),
    ]


def deferral_title(snapshot: Snapshot, width: int) -> Line:
    """Return the pane's first line: who waits now, and what a certificate costs."""
    notes = [
        f"{count(snapshot.waiting_deferred)} waiting",
        f"{ratio(snapshot.exchanges_per_certificate)} exchanges per certificate",
    ]
    return title("DEFERRAL", notes, width)


def radar(snapshot: Snapshot, *, height: int, cells: int) -> list[Line]:
    """Return the herd radar: how many devices will knock in each of the next sixty seconds, over its axis."""
    return [
        *chart(snapshot.wakeups, _figures(snapshot), height=height, cells=cells, style=WAKE_UPS),
        [ink(" " * GUTTER), *axis(_LABELS, cells=cells)],
    ]


def _time_to_certificate(snapshot: Snapshot) -> Line:
    quantiles = snapshot.time_to_certificate_s
    line = [ink(" time to certificate ")]
    values = (("p50", quantiles.p50), ("p90", quantiles.p90), ("p99", quantiles.p99), ("max", quantiles.max))
    for name, value in values:
        line += [ink(f"  {name} ", QUIET), ink(f"{duration(value):<7}", STRONG)]
    return line


def _figures(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return the figures beside the radar; a height of one leaves only the first."""
    shown = snapshot.wakeups[-SECONDS:]
    if not any(shown):
        return [("wake-ups", "none" if shown else ABSENT)]
    peak = max(shown)
    return [("wake-ups", short_count(sum(shown), _VALUE)), (f"peak +{shown.index(peak)}s", short_count(peak, _VALUE))]
