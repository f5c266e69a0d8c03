"""The charts of deferral: waits, punctuality, the parts of the time to certificate, and synchrony."""

from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from estsim.figures.text import PARTS, count, duration
from estsim.report import canvas
from estsim.report.deferral import PartsFigures, Punctuality, Raster, Waits, Window

_COLORS: Final = {
    "service": canvas.BLUE,
    "told": "#9db8cc",
    "device": "#c9d6a3",
    "backoff": "#c96a5b",
    "client": "#8a7fb0",
    "generator": canvas.AMBER,
}
_HEAT: Final = [[0.0, "#f4f7f9"], [0.15, "#cfe1ec"], [0.5, "#5f9fc4"], [1.0, "#12405f"]]
_GOALS: Final = {"enroll": "first certificates", "renew": "renewals"}
_DECILES: Final = 10


def waits(figures: Waits) -> go.Figure:
    """Return Retry-After and actual waits, in the same bins."""
    x = [figures.first_s + figures.width_s * bar for bar in range(-1, len(figures.told) + 2)]
    figure = go.Figure()
    for name, values, color, fill in (
        ("Retry-After", figures.told, "#8aa9c0", "#dbe6ee"),
        ("actual wait", figures.kept, canvas.BLUE, "rgba(31,111,159,0.25)"),
    ):
        trace = go.Scatter(
            x=x,
            y=[0, *values, 0, 0],
            name=f"{name} (n = {count(sum(values))})",
            mode="lines",
            line={"color": color, "width": 2, "shape": "hv"},
            fill="tozeroy",
            fillcolor=fill,
        )
        figure.add_trace(trace)
    figure.update_xaxes(title_text=f"wait before a poll (s), bins of {figures.width_s:g} s")
    figure.update_yaxes(title_text="polls")
    return canvas.styled(figure, canvas.CELL)


def punctuality(figures: Punctuality) -> go.Figure:
    """Return the delay of polls, early ones in another colour."""
    lefts = [figures.first_s + figures.width_s * bar for bar in range(len(figures.polls))]
    middles = [left + figures.width_s / 2 for left in lefts]
    figure = go.Figure()
    for name, color, early in (("early", canvas.RED, True), ("not early", canvas.BLUE, False)):
        chosen = [number for number, middle in enumerate(middles) if (middle < 0) is early]
        total = sum(figures.polls[number] for number in chosen)
        trace = go.Bar(
            x=[middles[number] for number in chosen],
            y=[figures.polls[number] for number in chosen],
            width=figures.width_s,
            name=f"{name} (n = {count(total)})",
            marker_color=color,
            hovertemplate="%{y} polls",
        )
        figure.add_trace(trace)
    figure.add_vline(x=0, line={"width": 1, "color": canvas.QUIET})
    step = duration(figures.width_s)
    figure.update_xaxes(
        title_text=f"poll delay after Retry-After and spread (s), bins of {step}; end bins include all beyond"
    )
    figure.update_yaxes(title_text="polls")
    figure.update_layout(bargap=0, showlegend=True)
    return canvas.styled(figure, canvas.CELL)


def windows(figures: Sequence[Window], period_s: int, clock: canvas.Clock) -> go.Figure:
    """Return R of each window of three periods."""
    figure = make_subplots(rows=1, cols=1)
    width_s = 3 * period_s
    figure.add_trace(
        go.Bar(
            x=[window.from_s + width_s / 2 for window in figures],
            y=[window.synchronisation for window in figures],
            width=width_s * 0.94,
            marker_color=canvas.GREEN,
            customdata=[window.polls for window in figures],
            hovertemplate="R = %{y:.2f} (%{customdata} polls)<extra></extra>",
        )
    )
    figure.update_xaxes(title_text=f"{canvas.RUN_TIME}, windows of three periods", range=[0, clock.ended_s])
    figure.update_yaxes(title_text="R", range=[0, 1.05])
    canvas.mark_times(figure, clock, [(1, 1)])
    return canvas.styled(figure, canvas.CELL - 80, top=20)


def parts(figures: Sequence[PartsFigures]) -> go.Figure:
    """Return the parts of the time to certificate, from the quickest decile of the enrolments to the slowest."""
    titles = [f"{_GOALS.get(each.goal, each.goal)} · n = {count(each.count)}" for each in figures]
    figure = make_subplots(rows=1, cols=len(figures), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.05)
    highest_s = max(mean_s for each in figures for _, mean_s, _ in each.groups)
    figure.update_yaxes(range=[0, canvas.HEADROOM * highest_s])
    for column, each in enumerate(figures, 1):
        names = _group_names(len(each.groups))
        for part, color in _COLORS.items():
            values = [means[part] for _, _, means in each.groups]
            figure.add_trace(
                go.Bar(
                    x=names,
                    y=values,
                    name=PARTS[part],
                    legendgroup=part,
                    showlegend=column == 1,
                    marker_color=color,
                    customdata=[size for size, _, _ in each.groups],
                    hovertemplate="%{y:.3~g} s (mean of %{customdata} enrolments)",
                ),
                1,
                column,
            )
        figure.add_trace(_totals(names, [mean_s for _, mean_s, _ in each.groups]), 1, column)
        title = "deciles of enrolments" if len(names) == _DECILES else "enrolments"
        figure.update_xaxes(title_text=f"{title}, by time to certificate", type="category", row=1, col=column)
    figure.update_yaxes(title_text="mean time to certificate (s)", row=1, col=1)
    figure.update_layout(barmode="stack", bargap=0.25)
    return canvas.styled(figure, canvas.CELL + 60, top=canvas.TITLED)


def _totals(names: Sequence[str], means_s: Sequence[float]) -> go.Scatter:
    """Return the totals as texts above their bars."""
    return go.Scatter(
        x=names,
        y=means_s,
        text=[duration(mean_s) for mean_s in means_s],
        mode="text",
        textposition="top center",
        textfont={"size": 11, "color": canvas.QUIET},
        showlegend=False,
        hoverinfo="skip",
    )


def _group_names(groups: int) -> list[str]:
    if groups == 1:
        return ["all"]
    middle = [str(number) for number in range(2, groups)]
    return ["quickest", *middle, "slowest"]


def raster(figures: Raster) -> go.Figure:
    """Return poll starts folded on the period: a herd is a vertical stripe, even traffic an even colour."""
    step_s = figures.period_s * figures.periods_per_row
    figure = go.Figure(
        go.Heatmap(
            z=figures.rows,
            x0=figures.column_s / 2,
            dx=figures.column_s,
            y0=figures.first_s + step_s / 2,
            dy=step_s,
            colorscale=_HEAT,
            zmin=0,
            colorbar={"title": {"text": "poll starts"}, "thickness": 12, "outlinewidth": 0},
            hovertemplate="%{z} poll starts, %{x:.1f} s into the period, at %{y:.0f} s<extra></extra>",
        )
    )
    each = "one row per period" if figures.periods_per_row == 1 else f"one row per {figures.periods_per_row} periods"
    figure.update_xaxes(
        title_text=f"seconds into period T = {figures.period_s} s, bins of {figures.column_s:g} s",
        range=[0, figures.period_s],
        showgrid=False,
    )
    figure.update_yaxes(title_text=f"{canvas.RUN_TIME}, {each}", autorange="reversed", showgrid=False)
    figure = canvas.styled(figure, min(620, 80 + max(260, 14 * len(figures.rows))), top=12)
    return figure.update_layout(hovermode="closest")
