"""The charts of rates, fleet, latency, failures and generator. Axes have units; no text of a server is in them."""

from collections.abc import Mapping, Sequence
from typing import Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from estsim.figures.text import clean, count, percent, words
from estsim.report import canvas
from estsim.report.generator import GeneratorReport
from estsim.report.run_report import OperationCourse
from estsim.report.series import FleetCourse, Rates, States
from estsim.report.windows import Course

_BANDS: Final = {"p50": (canvas.BLUE, "rgba(0,0,0,0)"), "p90": ("#7fb2d0", "#d3e5f0"), "p99": ("#c9a26b", "#f6ead9")}
_FAILURES: Final = ("#b5483a", "#d9932f", "#8a7fb0", "#5b8a72", "#7a5c48", "#4f6d8f")
_COLUMNS: Final = 3
_MOST_COHORTS: Final = 12  # small multiples beyond that are too small to read
_OTHER_STATE: Final = "#b9c2ca"
_STATES: Final = {
    "off": "#e3e8ec",
    "fetching_ca": "#c9d6a3",
    "fetching_attrs": "#aebf86",
    "enrolling": "#7fb2d0",
    "deferred": "#e6b566",
    "operational": "#6fae8f",
    "renewing": "#3f86b5",
    "backing_off": "#d98b7c",
    "expired": "#b5483a",
    "gave_up": "#7a4a44",
    "retired": "#9c96ad",
    "internal_error": "#8e1f5c",
}


def rates(figures: Rates, clock: canvas.Clock) -> go.Figure:
    """Return intended starts against certificates and requests, above the open enrolments."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.66, 0.34], vertical_spacing=0.09)
    x = [point * figures.width_s for point in range(len(figures.requests))]
    lines = (
        ("requests", figures.requests, canvas.QUIET, 1.2),
        ("intended starts", figures.intended, canvas.AMBER, 2.2),
        ("certificates", figures.certificates, canvas.BLUE, 2.2),
    )
    for name, values, color, width in lines:
        figure.add_trace(
            canvas.steps(x, values, figures.width_s, name=name, line={"color": color, "width": width}), 1, 1
        )
    still_open = canvas.steps(
        x,
        figures.still_open,
        figures.width_s,
        name="enrolments open",
        line={"color": canvas.GREEN, "width": 1},
        fill="tozeroy",
        fillcolor="#d5eadf",
    )
    figure.add_trace(still_open, 2, 1)
    figure.update_yaxes(title_text=_per_second(figures.width_s), row=1, col=1)
    figure.update_yaxes(title_text="enrolments open", row=2, col=1)
    figure.update_xaxes(title_text=canvas.RUN_TIME, row=2, col=1)
    figure.update_xaxes(range=[0, clock.ended_s])
    canvas.mark_times(figure, clock, [(1, 1), (2, 1)])
    return canvas.styled(figure, 440)


def _per_second(width_s: int) -> str:
    return "per second" if width_s == 1 else f"per second (mean over {width_s} s)"


def latency(operations: Sequence[OperationCourse], clock: canvas.Clock) -> go.Figure:
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
        figure.update_xaxes(title_text=canvas.RUN_TIME, row=len(operations), col=column)
    figure.update_xaxes(range=[0, clock.ended_s])
    panels = [(row, column) for row in range(1, len(operations) + 1) for column in (1, 2)]
    canvas.mark_times(figure, clock, panels, texts=False)
    return canvas.styled(figure, 114 + 220 * len(operations), top=canvas.TITLED)


def _range(*courses: Course) -> list[float]:
    """Return a scale from zero that fits all values."""
    highest = (value for course in courses for window in course.windows for value in window.percentiles.values())
    return [0, canvas.HEADROOM * max(highest, default=1.0)]


def _add_bands(figure: go.Figure, course: Course, row: int, column: int, shown: set[str]) -> None:
    """Add the percentiles from the lowest up, each filled down to the one before; each is in the legend once."""
    x = [window.from_s for window in course.windows] + [window.to_s for window in course.windows[-1:]]
    details = [f"{window.from_s} to {window.to_s} s, n = {count(window.count)}" for window in course.windows]
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
            customdata=[*details, *details[-1:]],
            hovertemplate="%{y:.3~g} ms (%{customdata})",
        )
        figure.add_trace(trace, row, column)
        shown.add(name)


def failures(figures: Rates, clock: canvas.Clock) -> go.Figure:
    """Return the failures by class over time."""
    figure = make_subplots(rows=1, cols=1)
    for (kind, values), color in zip(_by_frequency(figures.failures), _FAILURES, strict=False):
        x = [(point + 0.5) * figures.width_s for point in range(len(values))]
        label = f"{words(kind)} (n = {count(sum(values))})"
        figure.add_trace(go.Bar(x=x, y=values, width=figures.width_s, name=label, marker_color=color))
    figure.update_xaxes(
        title_text=canvas.RUN_TIME, range=[0, max(clock.ended_s, len(figures.requests) * figures.width_s)]
    )
    figure.update_yaxes(title_text=f"failed exchanges per {figures.width_s} s")
    figure.update_layout(barmode="stack", bargap=0, showlegend=True)
    canvas.mark_times(figure, clock, [(1, 1)])
    return canvas.styled(figure, canvas.CELL)


def _by_frequency(found: Mapping[str, Sequence[int]]) -> list[tuple[str, Sequence[int]]]:
    return sorted(found.items(), key=lambda item: (-sum(item[1]), item[0]))


def generator(figures: GeneratorReport, clock: canvas.Clock) -> go.Figure:
    """Return the generator's schedule lag, CPU, event-loop delay and resources, with the limits."""
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
        line = {"color": canvas.GREEN, "width": 1.5}
        trace = go.Scatter(x=x, y=values, name=name, mode="lines", line=line, showlegend=False)
        figure.add_trace(trace, row, column)
    _limit(figure, 1, figures.max_lag_ms, f"p99 limit: {figures.max_lag_ms:g} ms")
    _limit(figure, 2, figures.max_cpu * 100, f"limit: {percent(figures.max_cpu)}")
    highest_ms = max([figures.max_lag_ms, *(value for each in lag.windows for value in each.percentiles.values())])
    figure.update_yaxes(range=[0, canvas.HEADROOM * highest_ms], row=1, col=1)
    units = ("milliseconds", "% of one core", "milliseconds", "MiB", "ports", "descriptors")
    panels = [(row, column) for row in (1, 2) for column in (1, 2, 3)]
    for (row, column), unit in zip(panels, units, strict=True):
        figure.update_yaxes(title_text=unit, row=row, col=column)
        figure.update_xaxes(title_text=canvas.RUN_TIME, range=[0, clock.ended_s], row=row, col=column)
    canvas.mark_times(figure, clock, panels, texts=False)
    return canvas.styled(figure, 2 * canvas.CELL - 60, top=canvas.TITLED)


def _limit(figure: go.Figure, column: int, at: float, text: str) -> None:
    """Draw a limit of saturation."""
    figure.add_hline(
        y=at,
        line={"color": canvas.RED, "width": 1, "dash": "dash"},
        annotation={"text": text, "font": {"size": 11, "color": canvas.RED}},
        annotation_position="top right",
        row=1,
        col=column,
    )


def fleet(course: FleetCourse, clock: canvas.Clock) -> go.Figure:
    """Return a large chart of all devices and, with several cohorts, a small one of each."""
    names = sorted(course.cohorts) if len(course.cohorts) > 1 else []
    names = names if len(names) <= _MOST_COHORTS else []
    rows = -(-len(names) // _COLUMNS)
    columns = min(len(names), _COLUMNS) or 1
    figure = make_subplots(
        rows=1 + rows,
        cols=columns,
        specs=[[{"colspan": columns}, *[None] * (columns - 1)], *[[{}] * columns for _ in range(rows)]],
        subplot_titles=[f"all {_devices(course.total)} devices" if names else "", *(clean(name) for name in names)],
        row_heights=[0.56 + 0.1 * (rows > 1), *[0.44] * rows] if rows else None,
        vertical_spacing=0.14 / max(rows, 1) if rows else 0,
        horizontal_spacing=0.06,
    )
    shown: set[str] = set()
    _add_states(figure, course, course.total, (1, 1), shown=shown, group="all")
    for number, name in enumerate(names):
        row, column = number // _COLUMNS + 2, number % _COLUMNS + 1
        _add_states(figure, course, course.cohorts[name], (row, column), shown=shown, group=name)
    canvas.mark_times(figure, clock, [(1, 1)])
    figure.update_xaxes(range=[0, max(clock.ended_s, 1.0)])
    figure.update_xaxes(title_text=canvas.RUN_TIME, row=1 + rows)
    figure.update_yaxes(title_text="devices", col=1)
    return canvas.styled(figure, canvas.CELL + 40 + 220 * rows, top=canvas.TITLED)


def _devices(states: States) -> int:
    return max((sum(each) for each in zip(*states.values(), strict=True)), default=0)


def _add_states(
    figure: go.Figure, course: FleetCourse, states: States, panel: tuple[int, int], *, shown: set[str], group: str
) -> None:
    """Stack the states; each is in the legend once, where a click hides it in all charts."""
    x = [point * course.width_s for point in range(course.points)]
    for state, counts in states.items():
        color = _STATES.get(state, _OTHER_STATE)
        label = clean(words(state))
        trace = canvas.steps(
            x,
            counts,
            course.width_s,
            name=label,
            legendgroup=state,
            showlegend=state not in shown,
            line={"width": 0.6, "color": color},
            fillcolor=color,
            stackgroup=group,
            meta=group,
            hovertemplate="%{y}",
        )
        figure.add_trace(trace, *panel)
        shown.add(state)
