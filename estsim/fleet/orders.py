"""What an event orders of each device, and when: a pure function of the plan, the same for any number of workers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from estsim.device import events
from estsim.device.events import Event
from estsim.errors import EstsimError
from estsim.load.arrivals import boot_times
from estsim.load.choice import chosen
from estsim.load.streams import Purpose, uniform
from estsim.scenario.happenings import CohortJoin, Mark, PowerCut, RenewNow, Retire, SandboxChange, Touched, What
from estsim.scenario.plan import Cohort, Scenario
from estsim.units import format_share, shown

_RETURNS: Final = 1_000_000  # arrivals of events draw apart from those of cohorts


@dataclass(frozen=True, slots=True)
class Order:
    """One device is to be told something, at a time of the run in seconds."""

    at_s: float
    device: int
    make: Callable[[float], Event]


def orders_of(scenario: Scenario, number: int, at_s: float) -> Iterator[Order]:
    """Yield what the event at this place of the scenario orders, should it happen at ``at_s``."""
    plan, what = _EventPlan(scenario, number, at_s), scenario.events[number].what
    match what:
        case PowerCut():
            yield from plan.power_cut(what)
        case RenewNow(touched, within_s):
            yield from plan.spread(touched, within_s, events.RenewNow)
        case Retire(touched, within_s):
            yield from plan.spread(touched, within_s, _retire)
        case CohortJoin(cohort):
            yield from plan.join(cohort)


class _EventPlan:
    """One event; its place in the scenario keys its draws."""

    def __init__(self, scenario: Scenario, number: int, at_s: float) -> None:
        self._seed = scenario.seed
        self._cohorts = {cohort.name: cohort for cohort in scenario.cohorts}
        self._number = number
        self._at_s = at_s

    def power_cut(self, cut: PowerCut) -> Iterator[Order]:
        """Cut at once; the power comes back after ``off``, by the arrivals of the return, in an order of its own."""
        devices = self._touched(cut.touched)
        dark = partial(_cut, keeps_key=cut.keeps_key, keeps_pending=cut.keeps_pending)
        for device in devices:
            yield Order(self._at_s, device, dark)
        back = boot_times(cut.back, len(devices), seed=self._seed, cohort=_RETURNS + self._number)
        for device, back_s in zip(devices, back, strict=True):
            yield Order(self._at_s + cut.off_s.at(self._draw(device, 0)) + back_s, device, events.PowerRestored)

    def spread(self, touched: Touched, within_s: float, make: Callable[[float], Event]) -> Iterator[Order]:
        """Tell each device at a moment of its own."""
        for device in self._touched(touched):
            yield Order(self._at_s + within_s * self._draw(device, 1), device, make)

    def join(self, name: str) -> Iterator[Order]:
        """Let a cohort boot, by its own arrivals."""
        cohort = self._cohorts[name]
        times = boot_times(cohort.arrivals, cohort.devices, seed=self._seed, cohort=cohort.index)
        for device, boot_s in enumerate(times, start=cohort.first_device):
            yield Order(self._at_s + boot_s, device, events.Started)

    def _touched(self, touched: Touched) -> list[int]:
        return [device for name in touched.cohorts for device in self._share_of(self._cohorts[name], touched.share)]

    def _share_of(self, cohort: Cohort, share: float) -> tuple[int, ...]:
        return chosen(
            share,
            cohort.first_device,
            cohort.devices,
            seed=self._seed,
            purpose=Purpose.SELECTION,
            counter=self._number,
        )

    def _draw(self, device: int, what: int) -> float:
        return uniform(self._seed, device, Purpose.EVENT, 2 * self._number + what)


def _cut(_: float, *, keeps_key: bool, keeps_pending: bool) -> Event:
    return events.PowerCut(keeps_key=keeps_key, keeps_pending=keeps_pending)


def _retire(_: float) -> Event:
    return events.Retire()


def told(what: What) -> str:
    """Return an event in a line for people."""
    match what:
        case PowerCut(touched):
            return f"power cut: {_whom(touched)}"
        case RenewNow(touched):
            return f"renew now: {_whom(touched)}"
        case Retire(touched):
            return f"retire: {_whom(touched)}"
        case CohortJoin(cohort):
            return f"{cohort} joins"
        case SandboxChange():
            return "the sandbox changes"
        case Mark(text):
            return text


def changed(changes: Mapping[str, object], refused: EstsimError | None = None) -> str:
    """Return in a line that the sandbox has changed, or that it ``refused`` to."""
    words = ", ".join(f"{key}: {shown(value)}" for key, value in changes.items())
    return f"sandbox {words}" if refused is None else f"the sandbox refused {words}: {refused}"


def unconfirmed(text: str) -> str:
    """Return in a line that a mark waited for nobody: there is no terminal to press Enter at."""
    return f"{text} (no terminal to confirm with Enter; continued)"


def disturbs(what: What) -> bool:
    """Say whether an event disturbs the fleet, so that its resync counts from there."""
    return not isinstance(what, Mark | Retire | SandboxChange)


def _whom(touched: Touched) -> str:
    names = ", ".join(touched.cohorts)
    return names if touched.share >= 1 else f"{format_share(touched.share)} of {names}"
