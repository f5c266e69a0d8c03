"""The page of a forecast: the offered load over time, the resources that it needs, and the expected outcome.

It states that nothing was measured.
"""

from collections.abc import Iterable, Mapping
from math import ceil
from typing import Final

from rich.console import Console
from rich.style import Style

from estsim.figures.forecast import Forecast, Need, summed
from estsim.figures.metrics import DRAIN, PERIOD, POLLS, SYNCHRONISATION, WASTED_SHARE
from estsim.figures.text import clean, count, duration, moment, percent, quantity, ratio, short_count, words
from estsim.record.saturation import WINDOW_S
from estsim.terminal.chart import GUTTER, SECONDS, VALUE, axis, columns
from estsim.terminal.figure_grid import folded, pairs
from estsim.terminal.ink import (
    ALARM,
    CAUTION,
    CERTIFICATES,
    GOOD,
    PLAIN,
    QUIET,
    REQUESTS,
    STRONG,
    WAKE_UPS,
    Line,
    Page,
    hanging,
    ink,
    left,
    page_of,
    page_width,
    right,
    title,
    width_of,
    wrap,
)
from estsim.units import format_duration

_HEIGHT: Final = 3
_TICKS: Final = 6
_MOST_EVENTS: Final = 12
_SECONDS_A_COLUMN: Final = (1, 2, 3, 5, 6, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200)
_DAY_S: Final = 86_400
_IN_SERVICE: Final = ("operational", "renewing")


def print_forecast(console: Console, forecast: Forecast) -> None:
    """Print the page, at the width of the console."""
    console.print(forecast_page(forecast, width=console.width), soft_wrap=True)


def forecast_page(forecast: Forecast, *, width: int) -> Page:
    """Return a forecast for a terminal of the width."""
    width = page_width(width)
    panes = [
        _head(forecast, width),
        _load(forecast, width),
        _figures(forecast, width),
        _needs(forecast.needs, width),
        _notes(forecast, width),
    ]
    return page_of(panes)


def _head(forecast: Forecast, width: int) -> list[Line]:
    """Return scenario, fleet and end of the dry run, and the server that was assumed."""
    if forecast.settled and forecast.ended_s < forecast.duration_s:
        end = f"settled after {_lasting(forecast.ended_s)} of at most {_lasting(forecast.duration_s)}"
    else:
        end = f"{_lasting(forecast.ended_s)}, {'settled' if forecast.settled else 'not settled'}"
    fleet = f"{forecast.scenario}: {quantity(forecast.devices, 'device')}, {end}"
    text = f"{fleet}. No device was started, nothing was measured."
    head = [ink(" DRY RUN ", Style(bold=True, reverse=True)), ink(" ")]
    lines = hanging(head, wrap(clean(text), width - width_of(head)))
    return [*lines, *folded("server", forecast.server, width - 1)]


def _lasting(seconds: float) -> str:
    return moment(seconds, within_s=seconds)


def _at(forecast: Forecast, at_s: float | None) -> str:
    """Return a time in the format of the axis."""
    return moment(at_s, within_s=SECONDS * _column_s(forecast))


def _load(forecast: Forecast, width: int) -> list[Line]:
    """Return a chart for each operation, for polls and for operational devices, and the axis with the events below."""
    column_s = _column_s(forecast)
    wide = f"1 column = {format_duration(column_s)}"
    lines = [title("OFFERED LOAD", [quantity(forecast.load.exchanges, "exchange"), wide], width)]
    for operation, counts in forecast.load.first.items():
        lines += _chart(operation, counts, forecast, column_s, REQUESTS)
    if forecast.load.polls:
        lines += _chart("polls", forecast.load.polls, forecast, column_s, WAKE_UPS)
    lines += _service_chart(forecast, column_s)
    ticks = [moment(tick * SECONDS // _TICKS * column_s, within_s=SECONDS * column_s) for tick in range(_TICKS)]
    return [*lines, axis(ticks, cells=1), *_events(forecast, column_s, width)]


def _column_s(forecast: Forecast) -> int:
    """Return the seconds of a column, so that sixty columns hold the run."""
    last_s = max([forecast.ended_s, *(at_s for at_s, _ in forecast.events if at_s <= forecast.duration_s)])
    least = max(1, ceil((int(last_s) + 1) / SECONDS))
    return next((seconds for seconds in _SECONDS_A_COLUMN if seconds >= least), ceil(least / _DAY_S) * _DAY_S)


def _chart(name: str, counts: Mapping[int, int], forecast: Forecast, column_s: int, style: Style) -> list[Line]:
    columns_of = summed({second // column_s: number} for second, number in counts.items())
    values = [columns_of.get(column, 0) for column in range(int(forecast.ended_s) // column_s + 1)]
    total, peak = sum(counts.values()), max(counts.values(), default=0)
    figures = (
        (name, ""),
        ("total", short_count(total, VALUE)),
        ("peak /s", short_count(peak, VALUE)),
    )
    return _drawn(figures, values, style)


def _service_chart(forecast: Forecast, column_s: int) -> list[Line]:
    """Return a chart of the devices with a certificate and power, over time."""
    values: dict[int, int] = {}
    for point in forecast.fleet:
        values[int(point.at_s) // column_s] = sum(point.states.get(state, 0) for state in _IN_SERVICE)
    last, drawn = 0, []
    for column in range(int(forecast.ended_s) // column_s + 1):
        last = values.get(column, last)
        drawn.append(last)
    figures = (
        ("operational", ""),
        ("at the end", short_count(drawn[-1], VALUE)),
        ("of devices", short_count(forecast.devices, VALUE)),
    )
    return _drawn(figures, drawn, CERTIFICATES)


def _drawn(figures: tuple[tuple[str, str], ...], values: list[int], style: Style) -> list[Line]:
    """Return a chart with its figures; unlike the dashboard's, it begins at its left edge."""
    lines = []
    for row, (blank, *drawn) in enumerate(columns(values, height=_HEIGHT, cells=1, style=style)):
        label, value = figures[row]
        text = left(f" {label}", GUTTER - 2) if not value else left(f" {label}", GUTTER - VALUE - 2)
        number = [ink(right(value, VALUE), QUIET)] if value else []
        lines.append([ink(text, PLAIN if row == 0 else QUIET), *number, ink("  "), *drawn, blank])
    return lines


def _events(forecast: Forecast, column_s: int, width: int) -> list[Line]:
    """Return the numbers of the events at their places below the axis, and the list of them."""
    if not forecast.events:
        return []
    cells = [" "] * SECONDS
    for number, (at_s, _) in reversed([*enumerate(forecast.events, start=1)]):
        column = int(at_s) // column_s
        if column < SECONDS:
            cells[column] = str(number) if number < 10 else "+"  # noqa: PLR2004 - one cell
    lines: list[Line] = [[ink(left(" events", GUTTER)), ink("".join(cells), CAUTION)]]
    for number, (at_s, what) in enumerate(forecast.events[:_MOST_EVENTS], start=1):
        head = f" {right(str(number), 2)}  {left(_at(forecast, at_s), 10)}"
        lines.append([ink(head, CAUTION), ink(left(what, width - len(head)))])
    more = len(forecast.events) - _MOST_EVENTS
    return [*lines, [ink(f"     and {more} more", QUIET)]] if more > 0 else lines


def _figures(forecast: Forecast, width: int) -> list[Line]:
    begins_s, most = forecast.busiest
    room = width - 1  # for what is folded
    figures = [
        ("exchanges/certificate", ratio(forecast.exchanges_per_certificate)),
        (DRAIN.label, duration(forecast.drain_s)),
        (POLLS.label, count(forecast.polls)),
        (WASTED_SHARE.label, percent(forecast.wasted_share, 1)),
        (PERIOD.label, duration(forecast.period_s)),
        (SYNCHRONISATION.label, ratio(forecast.synchronisation)),
        (f"busiest {WINDOW_S} s", quantity(most, "exchange") if most else count(0)),
        ("starts at", _at(forecast, begins_s)),
    ]
    lines = [title("FORECAST", [quantity(forecast.certificates, "certificate")], width), *pairs(figures, width)]
    ends = [(words(name), number) for name, number in forecast.ends.items()]
    if forecast.open_at_end:
        ends.append(("open at the end", forecast.open_at_end))
    lines += folded("enrolments", _listed(ends), room)
    lines += folded("exchanges", _listed((words(name), number) for name, number in forecast.outcomes.items()), room)
    states = forecast.fleet[-1].states.items() if forecast.fleet else ()
    return [*lines, *folded("devices at the end", _listed((words(name), number) for name, number in states), room)]


def _needs(needs: tuple[Need, ...], width: int) -> list[Line]:
    """Return each resource: required, available, and why."""
    lacking = [need for need in needs if not need.is_met]
    verdict = (
        "this machine has enough" if not lacking else f"insufficient {' and '.join(need.what for need in lacking)}"
    )
    lines = [title("RESOURCES", [verdict], width)]
    lines.append([ink(f" {left('', 10)}{left('', 14)}{right('required', 12)}{right('available', 12)}", QUIET)])
    for need in needs:
        word = ink(left(" ok" if need.is_met else " SHORT", 11), GOOD if need.is_met else ALARM)
        figures = f"{right(_amount(need.needed), 12)}{right(_amount(need.has), 12)}"
        lines.append([word, ink(left(need.what, 14)), ink(figures, STRONG), ink(f" {need.unit}", QUIET)])
        lines += [[ink(" " * 11), ink(line, QUIET)] for line in wrap(clean(need.why), width - 12)]
    return lines


def _amount(number: float) -> str:
    return f"{number:.2f}" if number < 10 and number != int(number) else short_count(number, 9)  # noqa: PLR2004 - digits


def _notes(forecast: Forecast, width: int) -> list[Line]:
    thresholds = forecast.thresholds
    judged = (
        f"{'The threshold is' if thresholds == 1 else f'The {thresholds} thresholds are'} evaluated in a real run only."
        if thresholds
        else "Thresholds are evaluated in a real run only."
    )
    lines = [title("NOTES", [], width)]
    for note in (*forecast.assumptions, *forecast.notes, judged):
        lines += hanging([ink(" - ")], wrap(clean(note), width - 4))
    return lines


def _listed(parts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{count(number)} {name}" for name, number in parts)
