"""What is to end, or to begin, while the run lasts: the return of power, expectations."""

from collections.abc import Iterator

from estsim.load.arrivals import boot_window_s
from estsim.load.choice import count_of
from estsim.scenario.boot_model import arrivals_of, comes_to_rest
from estsim.scenario.event_model import PowerCutModel
from estsim.scenario.parts import Finding, Parts
from estsim.units import format_duration


def ending_findings(parts: Parts) -> Iterator[Finding]:
    """Yield what the run would not live to see."""
    if parts.duration_s is None:
        return
    for number, event in parts.events.items():
        if event.power_cut is not None and event.at < parts.duration_s:
            yield from _comes_back(parts, number, event.power_cut, event.at, parts.duration_s)
    for number, part in parts.expect.items():
        if part.from_ >= parts.duration_s:
            yield ("expect", number, "from"), f"must come before the run ends, {format_duration(parts.duration_s)}"


def _comes_back(parts: Parts, number: int, cut: PowerCutModel, at_s: float, end_s: float) -> Iterator[Finding]:
    """Find power that begins to come back while the run lasts and would not be back everywhere when it ends.

    What stays off beyond the end altogether is meant so.
    """
    dark = sum(count_of(cut.share, parts.cohorts[name].devices) for name in cut.cohorts if name in parts.cohorts)
    if comes_to_rest(cut.return_) is not None or at_s + cut.off.low >= end_s:
        return
    window_s = cut.return_.burst or boot_window_s(arrivals_of(cut.return_), dark, seed=parts.seed)
    back_s = at_s + cut.off.high + window_s
    if back_s >= end_s:
        last, end = format_duration(round(back_s, 1)), format_duration(end_s)
        place = ("events", number, "power_cut", "return")
        yield place, f"the last of {dark} devices would have power again after {last}, the run ends after {end}"
