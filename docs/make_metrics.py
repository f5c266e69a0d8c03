"""Write the list of ``docs/metrics.md`` from the metrics of estsim/figures/metrics.py.

``python docs/make_metrics.py`` writes it into the page; a test compares the two.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from estsim.figures.metric_kinds import RunMetric
from estsim.figures.metrics import METRICS, SPREADS, WITHIN

PAGE: Final = Path(__file__).parent / "metrics.md"
BEGIN: Final = "<!-- metrics: made by docs/make_metrics.py from estsim/figures/metrics.py, do not edit -->"
END: Final = "<!-- end of metrics -->"


def listed() -> str:
    """Return the list between its markers."""
    rows = ["| name | unit | label | definition | line in |", "|---|---|---|---|---|", *_rows()]
    return "\n".join([BEGIN, *rows, END])


def _rows() -> Iterator[str]:
    for metric in METRICS:
        places = ", ".join(place.value for place in metric.shown_in)
        yield f"| `{metric.name}` | {_unit(metric)} | {metric.label} | {metric.meaning} | {places} |"
    for within in WITHIN:
        yield f"| `{within.name}.D` | share | {within.label} | {within.meaning} | tables, report |"
    for spread in SPREADS:
        yield f"| `{spread.name}.pNN` | {spread.unit.label} | {spread.label} | {spread.meaning} | tables, report |"


def _unit(metric: RunMetric) -> str:
    unit = metric.unit.label
    return unit if unit != "count" or metric.whole else ""


def page_with(rows: str) -> str:
    """Return the page with the list between its markers."""
    text = PAGE.read_text(encoding="utf-8")
    return text[: text.index(BEGIN)] + rows + text[text.index(END) + len(END) :]


if __name__ == "__main__":
    PAGE.write_text(page_with(listed()), encoding="utf-8")
