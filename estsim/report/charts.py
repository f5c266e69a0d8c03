"""The charts of a report, made in Python: every axis has its unit, and no text of a server's is in any of them."""

from collections.abc import Mapping, Sequence
from typing import Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from estsim.figures.text import count, percent
from estsim.report.canvas import (
    AMBER,
    BLUE,
    CELL,
    GREEN,
    HEADROOM,
    QUIET,
    RED,
    RUN_TIME,
    TITLED,
    Clock,
    calm,
    mark_times,
    steps,
)
from estsim.report.figures import OperationCourse
from estsim.report.generator import GeneratorReport
from estsim.report.series import Rates
from estsim.report.windows import Course

_BANDS: Final = {"p50": (BLUE, "rgba(0,0,0,0)"), "p90": ("#7fb2d0", "#d3e5f0"), "p99": ("#c9a26b", "#f6ead9")}
_FAILURES: Final = ("#b5483a", "#d9932f", "#8a7fb0", "#5b8a72", "#7a5c48", "#4f6d8f")


def rates(figures: Rates, clock: Clock) -> go.Figure:
    """Return intended starts against certificates and requests, above what was still being sought."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.66, 0.34], vertical_spacing=0.09)
    x = [point * figures.width_s for point in range(len(figures.requests))]
    lines = (
        ("requests", figures.requests, QUIET, 1.2),
        ("intended starts", figures.intended, AMBER, 2.2),
        ("certificates", figures.certificates, BLUE, 2.2),
    )
    for name, values, color, width in lines:
        figure.add_trace(steps(x, values, figures.width_s, name=name, line={"color": color, "width": width}), 1, 1)
    sought = steps(
        x,
        figures.still_open,
        figures.width_s,
        name="enrolments open",
        line={"color": GREEN, "width": 1},
        fill="tozeroy",
        fillcolor="#d5eadf",
    )
    figure.add_trace(sought, 2, 1)
    figure.update_yaxes(title_text=_per_second(figures.width_s), row=1, col=1)
    figure.update_yaxes(title_text="enrolments open", row=2, col=1)
    figure.update_xaxes(title_text=RUN_TIME, row=2, col=1)
    figure.update_xaxes(range=[0, clock.ended_s])
    mark_times(figure, clock, [(1, 1), (2, 1)])
    return calm(figure, 440)


def _per_second(width_s: int) -> str:
    return "per second" if width_s == 1 else f"per second (mean over {width_s} s)"


def latency(operations: Sequence[OperationCourse], clock: Clock) -> go.Figure:
    """Return bands of service and of response time, a row for each operation."""
    titles = [
        f"{operation.name} · {name} time · n = {count(course.count)}"
        for operation in operations
        for name, course in (("service", operation.service), ("response", operation.response))
    ]
    figure = make_subplots(
        rows=len(operations),
        cols=2,
        subplot_titles=titles,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=0.22 / len(operations),
    )
    shown: set[str] = set()
    for row, operation in enumerate(operations, 1):
        for column, course in enumerate((operation.service, operation.response), 1):
            _add_bands(figure, course, row, column, shown)
        figure.update_yaxes(range=_range(operation.service, operation.response), row=row)
        figure.update_yaxes(title_text="milliseconds", row=row, col=1)
    for column in (1, 2):
        figure.update_xaxes(title_text=RUN_TIME, row=len(operations), col=column)
    figure.update_xaxes(range=[0, clock.ended_s])
    panels = [(row, column) for row in range(1, len(operations) + 1) for column in (1, 2)]
    mark_times(figure, clock, panels, texts=False)
    return calm(figure, 114 + 220 * len(operations), top=TITLED)


def _range(*courses: Course) -> list[float]:
    """Return a scale from zero on that fits all of them."""
    highest = (value for course in courses for window in course.windows for value in window.percentiles.values())
    return [0, HEADROOM * max(highest, default=1.0)]


def _add_bands(figure: go.Figure, course: Course, row: int, column: int, shown: set[str]) -> None:
    """Add the percentiles from below, each filled down to the one before; each is in the legend once."""
    x = [window.from_s for window in course.windows] + [window.to_s for window in course.windows[-1:]]
    told = [f"{window.from_s} to {window.to_s} s, n = {count(window.count)}" for window in course.windows]
    for name in course.names:
        line, fill = _BANDS[name]
        values = [window.percentiles[name] for window in course.windows]
        trace = go.Scatter(
            x=x,
            y=[*values, *values[-1:]],
            name=name,
            legendgroup=name,
            showlegend=name not in shown,
            line={"color": line, "width": 2 if name == "p50" else 1.2, "shape": "hv"},
            fill=None if name == "p50" else "tonexty",
            fillcolor=fill,
            mode="lines",
            customdata=[*told, *told[-1:]],
            hovertemplate="%{y:.3~g} ms (%{customdata})",
        )
        figure.add_trace(trace, row, column)
        shown.add(name)


def failures(figures: Rates, clock: Clock) -> go.Figure:
    """Return the failures by class over time."""
    figure = make_subplots(rows=1, cols=1)
    for (kind, values), color in zip(_by_frequency(figures.failures), _FAILURES, strict=False):
        x = [(point + 0.5) * figures.width_s for point in range(len(values))]
        label = f"{kind.replace('_', ' ')} (n = {count(sum(values))})"
        figure.add_trace(go.Bar(x=x, y=values, width=figures.width_s, name=label, marker_color=color))
    figure.update_xaxes(title_text=RUN_TIME, range=[0, max(clock.ended_s, len(figures.requests) * figures.width_s)])
    figure.update_yaxes(title_text=f"failed exchanges per {figures.width_s} s")
    figure.update_layout(barmode="stack", bargap=0, showlegend=True)
    mark_times(figure, clock, [(1, 1)])
    return calm(figure, CELL)


def _by_frequency(found: Mapping[str, Sequence[int]]) -> list[tuple[str, Sequence[int]]]:
    return sorted(found.items(), key=lambda item: (-sum(item[1]), item[0]))


def generator(figures: GeneratorReport, clock: Clock) -> go.Figure:
    """Return the generator's own lateness, CPU, loop delay and what it took of the machine, with the limits."""
    lag, loop_monitor = figures.lag, figures.loop_monitor
    titles = (
        f"schedule lag · n = {count(lag.count)}",
        "CPU",
        "event-loop delay, p99",
        "memory",
        "local TCP ports in use",
        "open descriptors",
    )
    figure = make_subplots(rows=2, cols=3, subplot_titles=titles, horizontal_spacing=0.08, vertical_spacing=0.2)
    _add_bands(figure, lag, 1, 1, set())
    x = [vital.at_s for vital in loop_monitor]
    lines: tuple[tuple[int, int, str, Sequence[float]], ...] = (
        (1, 2, "CPU", [vital.cpu_share * 100 for vital in loop_monitor]),
        (1, 3, "event-loop delay", [vital.loop_delay_ms for vital in loop_monitor]),
        (2, 1, "memory", [vital.rss_mib for vital in loop_monitor]),
        (2, 2, "ports", [vital.ports for vital in loop_monitor]),
        (2, 3, "descriptors", [vital.descriptors for vital in loop_monitor]),
    )
    for row, column, name, values in lines:
        line = {"color": GREEN, "width": 1.5}
        trace = go.Scatter(x=x, y=values, name=name, mode="lines", line=line, showlegend=False)
        figure.add_trace(trace, row, column)
    _limit(figure, 1, figures.max_lag_ms, f"p99 limit: {figures.max_lag_ms:g} ms")
    _limit(figure, 2, figures.max_cpu * 100, f"limit: {percent(figures.max_cpu)}")
    highest_ms = max([figures.max_lag_ms, *(value for each in lag.windows for value in each.percentiles.values())])
    figure.update_yaxes(range=[0, HEADROOM * highest_ms], row=1, col=1)
    units = ("milliseconds", "% of one core", "milliseconds", "MiB", "ports", "descriptors")
    panels = [(row, column) for row in (1, 2) for column in (1, 2, 3)]
    for (row, column), unit in zip(panels, units, strict=True):
        figure.update_yaxes(title_text=unit, row=row, col=column)
        figure.update_xaxes(title_text=RUN_TIME, range=[0, clock.ended_s], row=row, col=column)
    mark_times(figure, clock, panels, texts=False)
    return calm(figure, 2 * CELL - 60, top=TITLED)


def _limit(figure: go.Figure, column: int, at: float, text: str) -> None:
    """Draw a limit above which the generator calls itself saturated."""
    figure.add_hline(
        y=at,
        line={"color": RED, "width": 1, "dash": "dash"},
        annotation={"text": text, "font": {"size": 11, "color": RED}},
        annotation_position="top right",
        row=1,
        col=column,
    )
