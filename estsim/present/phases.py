"""The table of phases: a row for each, and one for the whole run, with what was asked for and had in a second."""

from typing import Final

from estsim.measure.summary import PhaseSummary, Summary, requests_of
from estsim.present.figures import ABSENT, count, duration
from estsim.present.ink import PLAIN, QUIET, STRONG, Line, ink, left, right

_NAME: Final = 15
_COLUMNS: Final = (("length", 9), ("requests", 12), ("requests/s", 12), ("certificates", 14), ("certificates/s", 16))
_FINE_BELOW: Final = 99.95  # a second: rates below have a digit behind the point


def phases(summary: Summary) -> list[Line]:
    """Return the pane, nothing for a run without phases."""
    found = summary.phases
    if not found:
        return []
    head = [ink(left("PHASES", _NAME), STRONG), *(ink(right(name, width), QUIET) for name, width in _COLUMNS)]
    return [head, *(_row(name, phase) for name, phase in found.items()), _row("whole run", whole_run(summary))]


def whole_run(summary: Summary) -> PhaseSummary:
    """Return the figures of a run in the form of a phase's."""
    lasted_s, warmup = summary.run.lasted_s, summary.phases.get("warmup")
    judged_s = None if lasted_s is None else lasted_s - ((warmup.lasted_s if warmup else None) or 0.0)
    return PhaseSummary(
        lasted_s=judged_s,
        requests_per_s=requests_of(summary) / judged_s if judged_s else None,
        certificates_per_s=(summary.certificates.verified or 0) / judged_s if judged_s else None,
        operations=summary.operations,
        certificates=summary.certificates,
        deferral=summary.deferral,
        cohorts={},
    )


def rate(value: float | None) -> str:
    """Return a rate a second."""
    if value is None:
        return ABSENT
    return f"{value:.1f}" if value < _FINE_BELOW else count(round(value))


def cells(phase: PhaseSummary) -> tuple[str, ...]:
    """Return length, requests, their rate, certificates, their rate."""
    return (
        duration(phase.lasted_s),
        count(requests_of(phase)),
        rate(phase.requests_per_s),
        count(phase.certificates.verified),
        rate(phase.certificates_per_s),
    )


def _row(name: str, phase: PhaseSummary) -> Line:
    figures = [
        ink(right(cell, width), STRONG if heading.endswith("/s") else PLAIN)
        for cell, (heading, width) in zip(cells(phase), _COLUMNS, strict=True)
    ]
    return [ink(f" {left(name, _NAME - 1)}"), *figures]
