"""Requests and certificates per second over the last minute, of a run or of a sandbox."""

import math
from collections.abc import Sequence
from typing import Final

from estsim.figures.text import ABSENT, short_count
from estsim.terminal.chart import SECONDS, VALUE, axis, chart
from estsim.terminal.ink import CERTIFICATES, REQUESTS, Line, title

_LABELS: Final = ("-60s", "-50s", "-40s", "-30s", "-20s", "-10s")


def throughput(
    requests_per_s: Sequence[int],
    certificates_per_s: Sequence[int],
    width: int,
    *,
    elapsed_s: float,
    notes: Sequence[str] = (),
    height: int,
    cells: int,
    axes: bool,
    dashes: bool = False,
) -> list[Line]:
    """Return the pane: two charts ``height`` lines high, their columns ``cells`` wide, and the axis if asked for.

    Before the first second has ended, ``dashes`` shows peak and mean as dashes.
    """
    lines = [title("THROUGHPUT", [*notes, "last 60 s"], width)]
    seconds = math.ceil(max(1, min(SECONDS, elapsed_s)))  # before the start there was nothing to count
    for label, all_values, style in (
        ("requests/s", requests_per_s, REQUESTS),
        ("certs/s", certificates_per_s, CERTIFICATES),
    ):
        values = all_values[-seconds:]
        lines += chart(values, _figures(label, values, dashes=dashes), height=height, cells=cells, style=style)
    return [*lines, axis(_LABELS, cells=cells)] if axes else lines


def _figures(label: str, values: Sequence[int], *, dashes: bool) -> list[tuple[str, str]]:
    """Return the rate of the last second, the peak and the mean."""
    if not values:
        return [(name, ABSENT) for name in ((label, "peak", "mean") if dashes else (label,))]
    rates = ((label, values[-1]), ("peak", max(values)), ("mean", sum(values) / len(values)))
    return [(name, short_count(rate, VALUE)) for name, rate in rates]
