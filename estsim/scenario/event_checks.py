"""Checks of events, phases and expectations against the rest of the scenario."""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import ValidationError

from estsim.errors import UnitError
from estsim.figures.catalogue import names
from estsim.load.arrivals import boot_window_s
from estsim.load.choice import count_of
from estsim.nearness import suggestion
from estsim.scenario.boot_model import arrivals_of, comes_to_rest
from estsim.scenario.cohort_model import MOST_DEVICES
from estsim.scenario.document import Finding, Location, Step
from estsim.scenario.event_model import EventModel, PowerCutModel, phase_span
from estsim.scenario.mistakes import shape_mistakes
from estsim.scenario.parts import Parts
from estsim.scenario.resolved import sandbox_block
from estsim.server.changes import changed
from estsim.server.config import DEFAULT, SandboxConfig
from estsim.units import format_duration, shown

_PHASE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
# Paths of thresholds begin with these.
_TAKEN: Final = frozenset({"cohorts", "fleet", "generator"}).union(name.partition(".")[0] for name in names())
_CENTERS: Final = "trust_centers"


def event_findings(parts: Parts) -> Iterator[Finding]:
    """Yield what does not fit in events, phases and expect."""
    for number, event in parts.events.items():
        yield from _event(parts, ("events", number), event)
    yield from _joins(parts)
    yield from _changes(parts)
    yield from _phases(parts)
    for number, part in parts.expect.items():
        yield from _known(parts, ("expect", number, "cohorts"), part.cohorts)
    yield from _endings(parts)


def _event(parts: Parts, place: Location, event: EventModel) -> Iterator[Finding]:
    if parts.duration_s is not None and event.at >= parts.duration_s:
        at, end = format_duration(event.at), format_duration(parts.duration_s)
        yield (*place, "at"), f"must be before the end of the run, {end} (got {at})"
    named = (*place, event.kind) if event.cohort_join is not None else (*place, event.kind, "cohorts")
    yield from _known(parts, named, event.cohorts)
    if event.renew_now is not None:
        for name in event.cohorts:
            if name in parts.cohorts and parts.cohorts[name].renew is None:
                yield named, f"{name} cannot renew: it has renew: off"


def _known(parts: Parts, place: Location, names: tuple[str, ...]) -> Iterator[Finding]:
    for name in names:
        if not parts.has_cohort(name):
            yield place, f"there is no cohort '{shown(name)}'{suggestion(name, parts.cohort_names)}"


def _changes(parts: Parts) -> Iterator[Finding]:
    """Apply the changes of the sandbox in order of time, each to the result of those before."""
    config = sandbox_block(parts.raw, {}, parts.seed, parts.folder) if parts.sandbox is not None else None
    label = parts.target.label if parts.target else None
    for number, event in sorted(parts.events.items(), key=lambda item: item[1].at):
        place: Location = ("events", number, "sandbox")
        written = _written(parts, number)
        if event.sandbox is None:
            continue
        if parts.has_url:
            yield place, "requires the sandbox; mutually exclusive with target.url"
            continue
        if config is None:
            return  # reported by the validation
        after = config
        for key, value in event.sandbox.items():
            try:
                after = changed(after, {key: value}, label)
            except UnitError as error:
                yield (*place, *_as_written(written, key)), str(error)
        try:
            SandboxConfig.model_validate(after)
        except ValidationError as error:
            for key, steps, message in _refusals([*event.sandbox], label, error):
                yield (*place, *_as_written(written, key), *steps), message
        else:
            config = after


def _refusals(keys: list[str], label: str | None, error: ValidationError) -> Iterator[tuple[str, Location, str]]:
    """Yield why a configuration is refused: the change that caused it, the place within that, and the message."""
    by_key = {_in_center(tuple(key.split(".")), label or DEFAULT): key for key in keys}
    for reported_at, message in shape_mistakes(error, SandboxConfig, lambda path, message: (path, message)):
        wrong = _in_center(reported_at, DEFAULT)
        within = [steps for steps in by_key if steps == wrong[: len(steps)]]
        about = [steps for steps in by_key if steps[: len(wrong)] == wrong]
        if within:
            yield by_key[within[0]], wrong[len(within[0]) :], message
        else:
            key = by_key[about[0]] if about else keys[0]
            yield key, (), f"makes the sandbox invalid: {message}"


def _written(parts: Parts, number: int) -> object:
    events = parts.raw.get("events")
    event = events[number] if isinstance(events, list) else None
    return event.get("sandbox") if isinstance(event, dict) else None


def _as_written(changes: object, key: str) -> Location:
    """Return the place of a dotted key, which may be written as nested mappings."""
    steps = key.split(".")
    for count in range(len(steps), 0, -1):
        head, rest = ".".join(steps[:count]), ".".join(steps[count:])
        if isinstance(changes, dict) and head in changes:
            return (head, *_as_written(changes[head], rest)) if rest else (head,)
    return (key,)


def _in_center(steps: Location, label: str) -> tuple[Step, ...]:
    """Return a path that begins with its trust center."""
    return steps[1:] if steps[:1] == (_CENTERS,) and len(steps) > 1 else (label, *steps)


def _joins(parts: Parts) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, event in parts.events.items():
        if event.cohort_join is None:
            continue
        name, place = event.cohort_join.cohort, ("events", number, "cohort_join")
        if name in seen:
            yield place, f"{shown(name)} already joins in an earlier event"
        seen.add(name)
        cohort = parts.cohorts.get(name)
        if cohort is not None and cohort.start is not None:
            yield place, f"{name} cannot join later: it is operational from the start"
        if cohort is not None and cohort.boot.stations is not None:
            yield place, f"{name} cannot join later: stations start with the run"


def _phases(parts: Parts) -> Iterator[Finding]:
    phases = parts.raw.get("phases")
    taken = _TAKEN.union(parts.cohort_names)
    spans: list[tuple[float, float, str]] = []
    for name, text in phases.items() if isinstance(phases, dict) else ():
        if not _PHASE_NAME.fullmatch(name):
            yield (
                ("phases", name),
                "a phase name must be a lower-case letter followed by up to 31 lower-case letters, digits, - or _",
            )
        elif name in taken:
            yield ("phases", name), "is reserved: thresholds use this name"
        try:
            span = phase_span(text)
        except UnitError:
            continue  # reported by the validation
        if isinstance(span, tuple):
            spans.append((*span, name))
    spans.sort()
    ended_s, before = 0.0, ""
    for begins_s, ends_s, name in spans:
        if begins_s < ended_s:
            yield ("phases", name), f"overlaps {before}, which ends at {format_duration(ended_s)}"
        ended_s, before = max((ended_s, before), (ends_s, name))


def _endings(parts: Parts) -> Iterator[Finding]:
    """Yield returns of power and expectations that come after the end of the run."""
    checked = 0
    for number, event in parts.events.items():
        if event.power_cut is None:
            continue
        dark = _dark(parts, event.power_cut)
        checked += dark
        if checked > MOST_DEVICES:
            break  # each device is checked in each event: this would take too long
        yield from _comes_back(parts, number, event.power_cut, event.at, dark)
    if parts.duration_s is None:
        return
    for number, part in parts.expect.items():
        if part.from_ >= parts.duration_s:
            yield ("expect", number, "from"), f"must be before the end of the run, {format_duration(parts.duration_s)}"


def _dark(parts: Parts, cut: PowerCutModel) -> int:
    return sum(count_of(cut.share, parts.cohorts[name].devices) for name in cut.cohorts if name in parts.cohorts)


def _comes_back(parts: Parts, number: int, cut: PowerCutModel, at_s: float, dark: int) -> Iterator[Finding]:
    """Find power that never returns everywhere, or that returns to some devices only after the run.

    An outage that lasts beyond the end for all devices is intended.
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
