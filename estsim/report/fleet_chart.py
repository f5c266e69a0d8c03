"""The fleet over time as stacked areas: all devices by state, and each cohort's."""

from typing import Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from estsim.figures.text import clean
from estsim.report.canvas import CELL, RUN_TIME, TITLED, Clock, calm, mark_times, steps
from estsim.report.fleet import FleetCourse, States

_COLUMNS: Final = 3
_MOST_COHORTS: Final = 12  # small multiples beyond that are too small to read
_OTHER: Final = "#b9c2ca"
_COLORS: Final = {
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


def fleet(course: FleetCourse, clock: Clock) -> go.Figure:
    """Return one large chart of all devices and, where there are more cohorts than one, a small one of each."""
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
    mark_times(figure, clock, [(1, 1)])
    figure.update_xaxes(range=[0, max(clock.ended_s, 1.0)])
    figure.update_xaxes(title_text=RUN_TIME, row=1 + rows)
    figure.update_yaxes(title_text="devices", col=1)
    return calm(figure, CELL + 40 + 220 * rows, top=TITLED)


def _devices(states: States) -> int:
    return max((sum(each) for each in zip(*states.values(), strict=True)), default=0)


def _add_states(
    figure: go.Figure, course: FleetCourse, states: States, panel: tuple[int, int], *, shown: set[str], group: str
) -> None:
    """Stack the states; each is in the legend once, and a click hides it everywhere."""
    x = [point * course.width_s for point in range(course.points)]
    for state, counts in states.items():
        color = _COLORS.get(state, _OTHER)
        label = clean(state.replace("_", " "))
        trace = steps(
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
