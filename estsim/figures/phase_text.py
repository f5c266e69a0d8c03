"""The rows of the table of phases as text: length, requests and certificates, and their rates."""

from typing import Final

from estsim.figures.summary import PhaseSummary, Summary, requests_of
from estsim.figures.text import ABSENT, count, duration

_FINE_BELOW: Final = 99.95  # a second: rates below have a digit behind the point


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
