"""The common style of a report's charts: colours, sizes, step lines, and phases and marks on the time axis."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from estsim.figures.text import clean
from estsim.record.phases import Stretch
from estsim.report.series import FINDING, NOTICE, RunMark

INK: Final = "#26323d"
QUIET: Final = "#6b7a88"
GRID: Final = "#e6eaee"
BLUE: Final = "#1f6f9f"
GREEN: Final = "#3a8f6b"
AMBER: Final = "#d9932f"
RED: Final = "#b5483a"
TITLED: Final = 68  # pixels above charts that have titles, and a legend over them
HEADROOM: Final = 1.1  # of a scale, over its highest value
CELL: Final = 320  # pixels of height for a row of charts
RUN_TIME: Final = "run time (s)"
_MOST_MARKS: Final = 40  # on a chart
_LONGEST_TEXT: Final = 40  # characters of a mark on a chart; the table of marks has the whole text
_APART: Final = 0.02  # of the time axis: of marks closer together only the first has a text
_BANDS: Final = ("rgba(31,111,159,0.06)", "rgba(31,111,159,0.0)")

_SMALL: Final = {"showarrow": False, "font": {"size": 10, "color": QUIET}}

Shape = dict[str, Any]  # as plotly takes shapes and annotations


@dataclass(frozen=True, slots=True)
class Clock:
    """The time axis of a run: its length, its phases and its marks."""

    ended_s: float
    phases: tuple[Stretch, ...] = ()
    marks: tuple[RunMark, ...] = ()

    @property
    def drawn_marks(self) -> tuple[RunMark, ...]:
        """The marks that are drawn as lines: what happened during the run, so no notices."""
        return tuple(mark for mark in self.marks if mark.kind != NOTICE)[:_MOST_MARKS]


def steps(x: Sequence[int], values: Sequence[float], width_s: int, **style: object) -> go.Scatter:
    """Return a step line; the last value is drawn to the end of its seconds."""
    line = {**style.pop("line"), "shape": "hv"}  # type: ignore[dict-item]
    return go.Scatter(
        x=[*x, *[last + width_s for last in x[-1:]]],
        y=[*values, *values[-1:]],
        mode="lines",
        line=line,
        **{"hovertemplate": "%{y:.3~g}", **style},
    )


def mark_times(figure: go.Figure, clock: Clock, panels: Iterable[tuple[int, int]], *, texts: bool = True) -> None:
    """Draw marks as thin lines and phases as bands on the panels (row, column), with texts on the first.

    It adds all shapes at once, because plotly gets slower with every shape that it has.
    """
    shapes, annotations = [*figure.layout.shapes], [*figure.layout.annotations]
    for number, (row, column) in enumerate(panels):
        panel = figure.get_subplot(row, column)
        where = {axis: name.replace("axis", "") for axis, name in zip(
            ("xref", "yref"), (panel.xaxis.plotly_name, panel.yaxis.plotly_name), strict=True)}  # fmt: skip
        where["yref"] += " domain"
        shapes += _bands(clock, where) + _lines(clock, where)
        if texts and not number:
            annotations += _texts(clock, where)
    figure.update_layout(shapes=shapes, annotations=annotations)


def _bands(clock: Clock, where: Shape) -> list[Shape]:
    return [
        {
            "type": "rect", "x0": phase.from_s, "x1": min(phase.to_s, clock.ended_s), "y0": 0, "y1": 1,
            "fillcolor": _BANDS[shade % len(_BANDS)], "line": {"width": 0.5, "color": GRID}, "layer": "below", **where,
        }
        for shade, phase in enumerate(clock.phases)
        if phase.from_s < clock.ended_s
    ]  # fmt: skip


def _lines(clock: Clock, where: Shape) -> list[Shape]:
    return [
        {
            "type": "line", "x0": mark.at_s, "x1": mark.at_s, "y0": 0, "y1": 1,
            "line": {"width": 1, "color": RED if mark.kind == FINDING else QUIET, "dash": "dot"}, **where,
        }
        for mark in clock.drawn_marks
    ]  # fmt: skip


def _texts(clock: Clock, where: Shape) -> list[Shape]:
    """Return the names of the phases, and the texts of marks that are far enough apart."""
    named: list[Shape] = [
        {
            "x": phase.from_s,
            "y": 1,
            "text": _short(phase.name),
            "xanchor": "left",
            "yanchor": "bottom",
            **_SMALL,
            **where,
        }
        for phase in clock.phases
        if phase.from_s < clock.ended_s
    ]
    shown_s = -clock.ended_s
    for mark in clock.drawn_marks:
        if mark.at_s - shown_s > _APART * clock.ended_s:
            shown_s = mark.at_s
            named.append(
                {
                    "x": mark.at_s, "y": 1, "text": _short(mark.text), "textangle": -90, "xanchor": "right",
                    "yanchor": "top", **_SMALL, **where,
                }
            )  # fmt: skip
    return named


def _short(text: str) -> str:
    """Return a text shortened and escaped for a chart: plotly interprets some tags."""
    shown = clean(text)
    shown = shown if len(shown) <= _LONGEST_TEXT else f"{shown[: _LONGEST_TEXT - 1]}…"
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def styled(figure: go.Figure, height: int, *, top: int = 44) -> go.Figure:
    """Give a chart the common style; ``top`` leaves room for the legend and, with TITLED, for titles below it."""
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 64, "r": 16, "t": top, "b": 48},
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 0.99, "yanchor": "top", "yref": "container"},
        hovermode="x unified",
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor=GRID, title_font_color=QUIET, title_standoff=8)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, title_font_color=QUIET, title_standoff=8)
    for axis in figure.select_yaxes():
        if axis.autorange != "reversed":
            axis.rangemode = "tozero"
    figure.for_each_annotation(_titled)
    return figure


def _titled(annotation: go.layout.Annotation) -> None:
    """Style a title, unless the annotation has a style of its own."""
    if annotation.font.size in {None, 16}:  # as subplots make them
        annotation.font = {"size": 13, "color": INK}
