"""What events, phases and expectations must hold true with the rest of the scenario."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from pydantic import ValidationError

from estsim.errors import UnitError
from estsim.scenario.document import Location
from estsim.scenario.event_model import EventModel, phase_span
from estsim.scenario.mistakes import suggestion
from estsim.scenario.parts import Finding, Parts
from estsim.scenario.resolved import sandbox_block
from estsim.server.changes import changed
from estsim.server.config import SandboxConfig
from estsim.units import format_duration, shown

_PHASE_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_TAKEN: Final = frozenset({"cohorts", "fleet", "certificates", "generator"})  # paths of thresholds begin with these


def event_findings(parts: Parts) -> Iterator[Finding]:
    """Yield what does not fit in events, phases and expect."""
    for number, event in parts.events.items():
        yield from _event(parts, ("events", number), event)
    yield from _joins(parts)
    yield from _phases(parts)
    for number, part in parts.expect.items():
        yield from _known(parts, ("expect", number, "cohorts"), part.cohorts)


def _event(parts: Parts, place: Location, event: EventModel) -> Iterator[Finding]:
    if parts.duration_s is not None and event.at >= parts.duration_s:
        at, end = format_duration(event.at), format_duration(parts.duration_s)
        yield (*place, "at"), f"must come before the run ends, {end} (got {at})"
    kind = next(iter(event.model_fields_set - {"at"}), "mark")
    yield from _known(parts, (*place, kind, "cohorts"), event.cohorts)
    if event.renew_now is not None:
        for name in event.cohorts:
            if name in parts.cohorts and parts.cohorts[name].renew is None:
                yield (*place, kind, "cohorts"), f"{name} never renews: it has renew: off"
    if event.sandbox is not None:
        yield from _change(parts, (*place, kind), event.sandbox)


def _known(parts: Parts, place: Location, names: tuple[str, ...]) -> Iterator[Finding]:
    cohorts = parts.raw.get("cohorts")
    known = [*cohorts] if isinstance(cohorts, dict) else []
    for name in names:
        if name not in known:
            yield place, f"there is no cohort '{shown(name)}'{suggestion(name, known)}"


def _change(parts: Parts, place: Location, changes: dict[str, object]) -> Iterator[Finding]:
    if parts.has_url:
        yield place, "needs the sandbox: another server cannot be changed from here"
        return
    label = parts.target.label if parts.target else None
    block = sandbox_block(parts.raw, {}, parts.seed, parts.folder)
    for key, value in changes.items():
        try:
            SandboxConfig.model_validate(changed(block, {key: value}, label))
        except UnitError as error:
            yield (*place, key), str(error)
        except ValidationError as error:
            details = error.errors(include_url=False)[0]
            reason = details.get("ctx", {}).get("error", details["msg"])
            yield (*place, key), f"is nothing that the sandbox can be: {str(reason)[:1].lower()}{str(reason)[1:]}"


def _joins(parts: Parts) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, event in parts.events.items():
        if event.cohort_join is None:
            continue
        name, place = event.cohort_join.cohort, ("events", number, "cohort_join")
        if name in seen:
            yield place, f"{shown(name)} joins already with an event before"
        seen.add(name)
        cohort = parts.cohorts.get(name)
        if cohort is not None and cohort.start is not None:
            yield place, f"{name} is operational from the start: it cannot join later"
        if cohort is not None and cohort.boot.stations is not None:
            yield place, f"{name} has stations, which begin with the run: it cannot join later"


def _phases(parts: Parts) -> Iterator[Finding]:
    phases = parts.raw.get("phases")
    cohorts = parts.raw.get("cohorts")
    taken = _TAKEN.union(cohorts if isinstance(cohorts, dict) else ())
    spans: list[tuple[float, float, str]] = []
    for name, text in phases.items() if isinstance(phases, dict) else ():
        if not _PHASE_NAME.fullmatch(name):
            yield ("phases", name), "a phase's name is a small letter, then up to 31 small letters, digits, - and _"
        elif name in taken:
            yield ("phases", name), "has the name of something else that thresholds know"
        try:
            span = phase_span(text)
        except UnitError:
            continue  # told by the validation
        if isinstance(span, tuple):
            spans.append((*span, name))
    spans.sort()
    for (_, ends_s, before), (begins_s, _, name) in pairwise(spans):
        if begins_s < ends_s:
            yield ("phases", name), f"begins before {before} has ended, {format_duration(ends_s)}"
    for begins_s, _, name in spans:
        if parts.duration_s is not None and begins_s >= parts.duration_s:
            yield ("phases", name), f"begins after the run has ended, {format_duration(parts.duration_s)}"
