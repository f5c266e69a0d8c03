"""What is to end, or to begin, while the run lasts: the return of power, expectations."""

from collections.abc import Iterator

from estsim.load.arrivals import boot_window_s
from estsim.load.choice import count_of
from estsim.scenario.boot_model import arrivals_of, comes_to_rest
from estsim.scenario.cohort_model import MOST_DEVICES
from estsim.scenario.event_model import PowerCutModel
from estsim.scenario.parts import Finding, Parts
from estsim.units import format_duration


def ending_findings(parts: Parts) -> Iterator[Finding]:
    """Yield what the run would not live to see."""
    looked_at = 0
    for number, event in parts.events.items():
        if event.power_cut is None:
            continue
        dark = _dark(parts, event.power_cut)
        looked_at += dark
        if looked_at > MOST_DEVICES:
            break  # each device is looked at, in each event: this would not end
        yield from _comes_back(parts, number, event.power_cut, event.at, dark)
    if parts.duration_s is None:
        return
    for number, part in parts.expect.items():
        if part.from_ >= parts.duration_s:
            yield ("expect", number, "from"), f"must be before the end of the run, {format_duration(parts.duration_s)}"


def _dark(parts: Parts, cut: PowerCutModel) -> int:
    return sum(count_of(cut.share, parts.cohorts[name].devices) for name in cut.cohorts if name in parts.cohorts)


def _comes_back(parts: Parts, number: int, cut: PowerCutModel, at_s: float, dark: int) -> Iterator[Finding]:
    """Find power that never comes back everywhere, or begins to while the run lasts and would not before it ends.

    What stays off beyond the end altogether is meant so.
    """
    place = ("events", number, "power_cut", "return")
    rest = comes_to_rest(cut.return_)
    if rest is not None and rest < dark:
        yield place, f"stops after power has returned to {rest} of {dark} devices"
        return
    if parts.duration_s is None or at_s + cut.off.low >= parts.duration_s:
        return
    window_s = cut.return_.burst or boot_window_s(arrivals_of(cut.return_), dark, seed=parts.seed)
    back_s = at_s + cut.off.high + window_s
    if back_s >= parts.duration_s:
        last, end = format_duration(round(back_s, 1)), format_duration(parts.duration_s)
        yield place, f"the last of {dark} devices has power again at {last}, after the end of the run, {end}"
