"""What the charts of a report share: few quiet colours, room for titles, and steps for counts by the second."""

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go

INK: Final = "#26323d"
QUIET: Final = "#6b7a88"
GRID: Final = "#e6eaee"
BLUE: Final = "#1f6f9f"
GREEN: Final = "#3a8f6b"
AMBER: Final = "#d9932f"
TITLED: Final = 68  # pixels above charts that have titles, and a legend over them
HEADROOM: Final = 1.1  # of a scale, over its highest value
CELL: Final = 320  # pixels of height for a row of charts


def steps(x: Sequence[int], values: Sequence[float], width_s: int, **style: object) -> go.Scatter:
    """Return a line of steps; the last value is drawn to the end of its seconds."""
    line = {**style.pop("line"), "shape": "hv"}  # type: ignore[dict-item]
    return go.Scatter(
        x=[*x, *[last + width_s for last in x[-1:]]],
        y=[*values, *values[-1:]],
        mode="lines",
        line=line,
        hovertemplate="%{y:.3~g}",
        **style,
    )


def calm(figure: go.Figure, height: int, *, top: int = 44) -> go.Figure:
    """Give a chart the page's look; ``top`` leaves room for the legend and, with TITLED, for titles below it."""
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
    figure.update_annotations(font={"size": 13, "color": INK})
    return figure
