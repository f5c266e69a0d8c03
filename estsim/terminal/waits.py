"""The Retry-After values of servers and the actual waits of devices: two histograms on one axis of seconds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.style import Style

from estsim.figures.snapshot import DeferralSnapshot
from estsim.figures.text import ABSENT, duration, short_count
from estsim.terminal.chart import SECONDS, VALUE, axis, chart
from estsim.terminal.ink import Line, title

_REQUESTED: Final = Style(color="yellow")
_ACTUAL: Final = Style(color="cyan")
_LABELS: Final = 6
_COLUMNS_PER_LABEL: Final = SECONDS // _LABELS
_WIDE: Final = (10, 5, 2)  # columns of a bin, chosen so that labels fall on whole bins
_NICE: Final = (1, 2, 5)
_IN_SECONDS_BELOW: Final = 600


@dataclass(frozen=True, slots=True)
class Scale:
    """How bins are mapped to the sixty columns: several to a column, or several columns to a bin."""

    bins_per_column: int = 1
    columns_per_bin: int = 1

    def columns(self, bins: Sequence[int]) -> list[int]:
        """Return the values of the sixty columns."""
        each = self.bins_per_column
        values = [sum(bins[at : at + each]) for at in range(0, len(bins), each)]
        wide = [value for value in values for _ in range(self.columns_per_bin)][:SECONDS]
        return wide + [0] * (SECONDS - len(wide))

    def seconds(self, column: int, bin_s: float) -> float:
        """Return where a column begins."""
        return column * bin_s * self.bins_per_column / self.columns_per_bin


def scale_of(*histograms: Sequence[int]) -> Scale:
    """Return the finest scale, in steps of 1, 2 and 5, that shows everything above zero."""
    span = max((at + 1 for bins in histograms for at, number in enumerate(bins) if number), default=SECONDS)
    for columns in _WIDE:
        if span * columns <= SECONDS:
            return Scale(columns_per_bin=columns)
    power = 1
    while True:
        for step in _NICE:
            if span <= SECONDS * step * power:
                return Scale(bins_per_column=step * power)
        power *= 10


def waits(moment: DeferralSnapshot, width: int, *, height: int, cells: int) -> list[Line]:
    """Return the pane: requested above actual waits, each chart ``height`` lines high, and their axis."""
    scale = scale_of(moment.told, moment.kept)
    marks = [seconds_mark(scale.seconds(at * _COLUMNS_PER_LABEL, moment.bin_s)) for at in range(_LABELS)]
    lines = [title("RETRY-AFTER AND ACTUAL WAIT", ["requested by servers", "actual at devices"], width)]
    for name, bins, style in (("requested", moment.told, _REQUESTED), ("actual", moment.kept, _ACTUAL)):
        values = scale.columns(bins)
        lines += chart(values, _figures(name, bins, moment.bin_s), height=height, cells=cells, style=style)
    return [*lines, axis(marks, cells=cells)]


def _figures(name: str, bins: Sequence[int], bin_s: float) -> list[tuple[str, str]]:
    if not any(bins):
        return [(name, "none" if bins else ABSENT)]
    peak = max(bins)
    at = seconds_mark(bins.index(peak) * bin_s)
    return [(name, short_count(sum(bins), VALUE)), (f"peak at {at}", short_count(peak, VALUE))]


def seconds_mark(seconds: float) -> str:
    """Return a label of an axis of seconds: ``0s``, ``2.5s``, ``15.0m``."""
    if not math.isfinite(seconds) or seconds >= _IN_SECONDS_BELOW:
        return duration(seconds)
    return f"{round(seconds, 1):g}s"
