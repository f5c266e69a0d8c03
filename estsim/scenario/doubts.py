"""Warnings about a valid scenario that probably does not say what is meant; it runs all the same.

Such as a Subject that many devices share, a duration of years, a renewal after the certificate's end, or an end that is
never reached.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Final

from estsim.device.policy import RenewPolicy
from estsim.errors import UnitError
from estsim.load.choice import count_of
from estsim.scenario.boot_model import BootModel
from estsim.scenario.cohort_model import CohortModel, RenewModel
from estsim.scenario.document import Finding, Location
from estsim.scenario.event_model import EventModel
from estsim.scenario.model import ScenarioModel
from estsim.scenario.subjects import compile_subject
from estsim.scenario.threshold_doubts import threshold_doubts
from estsim.server.config import DEFAULT, RefuseAt, TrustCenterConfig
from estsim.units import format_duration, format_rate, format_share, parse_duration, shown

_RENEW: Final = RenewPolicy()
_DAY_S: Final = 86_400.0
_LONG_RUN_S: Final = 31 * _DAY_S  # the longest known soak test is a month
_YEAR_S: Final = 365 * _DAY_S
_LONG_TIMEOUT_S: Final = 3600.0
_LONG_LIVED: Final = frozenset({"validity", "duration", "skew", "max_wait", "deadline", "timeouts"})
_FASTEST_PER_S: Final = 1_000_000.0  # this would need thousands of cores
_ALERT: Final = (
    "the sandbox refuses {} in the handshake, so the outcome is failed: "
    "write outcomes: [failed], or set sandbox.clients.refuse_at: application"
)
_COLLIDING: Final = 0.5  # chance that two devices draw the same name


def doubts(model: ScenarioModel) -> Iterator[Finding]:
    """Yield the warnings with their places."""
    yield from _durations(model)
    for name, cohort in model.cohorts.items():
        place: Location = ("cohorts", name)
        yield from _names(model, place, name, cohort)
        yield from _boots((*place, "boot"), cohort.boot)
        yield from _faults(place, cohort)
        yield from _renewals(model, place, name, cohort)
    yield from _events(model)
    yield from _phases(model)
    yield from _expectations(model)
    yield from threshold_doubts(model)


def long_durations(data: object) -> Iterator[Finding]:
    """Yield durations of a year or more in plain data, except for keys of certificates and clocks."""
    waiting: list[tuple[Location, object]] = [((), data)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict | list):
            members = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [((*place, step), member) for step, member in members if step not in _LONG_LIVED]
        elif isinstance(value, str) and value[-1:] == "d":
            try:
                seconds = parse_duration(value)
            except UnitError:
                continue
            if seconds >= _YEAR_S:
                yield place, f"is {seconds / _YEAR_S:.3g} years (got {shown(value)})"


def _durations(model: ScenarioModel) -> Iterator[Finding]:
    if model.duration > _LONG_RUN_S:
        days = model.duration / _DAY_S
        yield ("duration",), f"the run takes up to {days:.0f} days of real time"
    timeouts = model.target.timeouts
    for key in ("connect", "handshake", "answer"):
        if (seconds := getattr(timeouts, key)) > _LONG_TIMEOUT_S:
            yield ("target", "timeouts", key), f"a device waits up to {format_duration(seconds)} for one exchange"


def _names(model: ScenarioModel, place: Location, name: str, cohort: CohortModel) -> Iterator[Finding]:
    if cohort.devices == 1 or cohort.has_own_subject:
        return
    subject = compile_subject(cohort.subject, cohort=name, seed=model.seed)
    digits = subject.hex_digits
    if digits == 0:
        same = f"all {cohort.devices} devices have the same Subject"
        yield (*place, "subject"), f"{same}: add {{index}} or {{hex:8}} (got {shown(cohort.subject)})"
    elif digits is not None:
        # The birthday bound: n devices and N names give about n²/2N pairs with the same name.
        pairs = cohort.devices * (cohort.devices - 1) / (2 * 16.0**digits)
        if pairs >= _COLLIDING:
            same = f"with {digits} random digits, some of {cohort.devices} devices will have the same Subject"
            yield (*place, "subject"), f"{same}: add {{index}} or use {{hex:16}} (got {shown(cohort.subject)})"


def _boots(place: Location, boot: BootModel) -> Iterator[Finding]:
    steps = [((*place, "steps", number, "rate"), step.rate) for number, step in enumerate(boot.steps or ())]
    ramp = [((*place, "ramp"), max(boot.ramp))] if boot.ramp else []
    rate = [((*place, "rate"), boot.rate)] if boot.rate else []
    for at, per_s in (*rate, *ramp, *steps):
        if per_s >= _FASTEST_PER_S:
            yield at, f"no generator can start {format_rate(per_s)}; use at_once: true to boot all devices together"


def _faults(place: Location, cohort: CohortModel) -> Iterator[Finding]:
    for fault, share in cohort.faults.shares.items():
        if count_of(share, cohort.devices) == 0:
            yield (*place, "faults", fault.value), _none_of(share, cohort.devices)


def _none_of(share: float, devices: int) -> str:
    return f"applies to no device: {format_share(share)} of {devices} is less than one"


@dataclass(frozen=True, slots=True)
class _Life:
    """A certificate's lifetime for a device, and the time of renewal, in seconds from issue."""

    whole_s: float
    first_s: float


def _life(model: ScenarioModel, renew: RenewModel) -> _Life | None:
    center = _center(model)
    if center is None:
        return None  # decided by another server
    whole_s = center.issuer.validity / renew.lifetime_scale
    if renew.after is not None:
        return _Life(whole_s, renew.after + renew.spread.low * whole_s)
    at = _RENEW.at if renew.at is None else renew.at
    return _Life(whole_s, (at + renew.spread.low) * whole_s)


def _center(model: ScenarioModel) -> TrustCenterConfig | None:
    if model.target.url is not None:
        return None
    centers = model.sandbox.centers if model.sandbox is not None else {}
    return centers.get(model.target.label or DEFAULT, TrustCenterConfig())


def _renewals(model: ScenarioModel, place: Location, name: str, cohort: CohortModel) -> Iterator[Finding]:
    renew = cohort.renew
    if renew is None:
        return
    life = _life(model, renew)
    if life is not None and renew.after is not None and renew.after >= life.whole_s:
        end = format_duration(life.whole_s)
        yield (*place, "renew", "after"), f"the certificate has expired by then: it is valid for {end}"
    if model.until is None or renew.times == 0 or cohort.start is not None:
        return
    if renew.times is None and life is None:
        yield ("until",), f"is never reached: devices of {name} renew forever; use renew.times or renew: off"
    elif life is not None:
        ends_s = inf if renew.times is None else renew.times * life.first_s
        if ends_s >= model.duration:
            yield (("until",), _never_settles(model, name, life, renew))


def _never_settles(model: ScenarioModel, name: str, life: _Life, renew: RenewModel) -> str:
    first, end = format_duration(round(life.first_s, 1)), format_duration(model.duration)
    if life.first_s >= model.duration:
        return (
            f"is not reached before the end of the run, {end}: devices of {name} renew {first} after "
            "issue; use renew: off or a shorter sandbox.issuer.validity"
        )
    times = "forever" if renew.times is None else f"{renew.times} times, every {first}"
    return f"is not reached before the end of the run, {end}: devices of {name} renew {times}"


def _events(model: ScenarioModel) -> Iterator[Finding]:
    for number, event in enumerate(model.events):
        share = _share_of(event)
        for name in event.cohorts if share is not None else ():
            devices = model.cohorts[name].devices
            if share is not None and count_of(share, devices) == 0:
                yield ("events", number, event.kind, "share"), f"{name}: {_none_of(share, devices)}"


def _share_of(event: EventModel) -> float | None:
    touching = event.power_cut or event.renew_now or event.retire
    return None if touching is None else touching.share


def _phases(model: ScenarioModel) -> Iterator[Finding]:
    end = format_duration(model.duration)
    for name, (begins_s, ends_s) in model.phases.items():
        if begins_s >= model.duration:
            yield ("phases", name), f"starts after the end of the run, {end}"
        elif ends_s > model.duration:
            yield ("phases", name), f"ends at {format_duration(ends_s)}, after the end of the run, {end}"


def _expectations(model: ScenarioModel) -> Iterator[Finding]:
    """Find refusals that are expected as responses, while the sandbox refuses in the handshake."""
    center = _center(model)
    if center is None or center.clients.refuse_at is not RefuseAt.HANDSHAKE:
        return
    trusted = {str(entry) for entry in center.clients.bootstrap_cas}
    for number, part in enumerate(model.expect):
        for name in part.cohorts or tuple(model.cohorts):
            authority = model.cohorts[name].bootstrap.authority
            if "failed" not in part.outcomes and authority is not None and authority not in trusted:
                yield ("expect", number), _ALERT.format(name)
