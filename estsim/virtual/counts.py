"""The counts of a dry run: exchanges by the second, the fleet's states over time, and the figures made of them."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from math import inf
from typing import Final

from estsim.device.commands import Exchange
from estsim.device.states import KeyChoice, State
from estsim.est.enrolment import Cause, EnrolmentEnd
from estsim.est.operations import Operation
from estsim.est.outcome import Deferred, Issued, Outcome, OutcomeClass
from estsim.figures.forecast import FleetPoint, Load
from estsim.figures.synchrony import Synchrony, synchrony_of
from estsim.record.histograms import LONG
from estsim.record.waits import ToldWaits

MOST_POINTS: Final = 120  # of the fleet over time
_BINS_PER_S: Final = 10  # poll bins are 100 ms


class FleetOverTime:
    """The fleet's states at regular times; when there are too many points, every other is dropped."""

    def __init__(self, states: Mapping[State, int]) -> None:
        self.next_s = 0.0
        self._states = states
        self._step_s = 1.0
        self._points: list[FleetPoint] = []

    def take(self, now_s: float) -> None:
        """Add all points up to a time, before anything happens at it."""
        while self.next_s <= now_s:
            self._points.append(FleetPoint(self.next_s, self._counted()))
            if len(self._points) == MOST_POINTS:
                self._points = self._points[::2]
                self._step_s *= 2
            self.next_s = self._points[-1].at_s + self._step_s

    def points(self, ended_s: float) -> tuple[FleetPoint, ...]:
        """Return the points; the last is the end, after all that happened at it."""
        before = [point for point in self._points if point.at_s < ended_s]
        return (*before, FleetPoint(ended_s, self._counted()))

    def _counted(self) -> dict[str, int]:
        return {state.value: count for state, count in self._states.items() if count}


class ForecastCounts:
    """Counts of exchanges and enrolments; dictionaries are by the second."""

    def __init__(self) -> None:
        self.connections: dict[int, int] = defaultdict(int)
        self.lingering: dict[int, int] = defaultdict(int)  # connections whose local port stays in TIME_WAIT
        self.first: dict[Operation, dict[int, int]] = {}  # exchanges other than polls
        self.polls: dict[int, int] = defaultdict(int)
        self.enrolling: dict[int, int] = defaultdict(int)  # exchanges that ask for a certificate, with polls
        self.most_in_flight = 0
        self.opened = 0  # enrolments
        self.ends: Counter[EnrolmentEnd] = Counter()
        self.certificates = 0
        self.wasted_polls = 0
        self.without_certificate = 0  # devices that have never had one
        self._in_flight = 0
        self._first_boot_s = inf
        self._last_first_s = -inf  # when the latest of the first certificates came
        self._outcomes: Counter[OutcomeClass] = Counter()
        self._waits: Counter[float | None] = Counter()  # Retry-After
        self._bins: Counter[int] = Counter()

    @property
    def poll_exchanges(self) -> int:
        """Polls; one that is challenged counts once, although it makes two requests."""
        return self._bins.total()

    def boot(self, now_s: float) -> None:
        """Note that a device was switched on."""
        self._first_boot_s = min(self._first_boot_s, now_s)

    def connect(self, now_s: float, *, lingers: bool) -> None:
        """Count a connection."""
        second = int(now_s)
        self.connections[second] += 1
        if lingers:
            self.lingering[second] += 1

    def send(self, exchange: Exchange, now_s: float, *, requests: int) -> None:
        """Count an exchange that is sent: one request, or two with a challenge."""
        second, operation = int(now_s), exchange.operation
        if exchange.cause is Cause.POLL:
            self.polls[second] += requests
            self._bins[int(now_s * _BINS_PER_S)] += 1
        else:
            counts = self.first.get(operation)
            if counts is None:
                counts = self.first[operation] = defaultdict(int)
            counts[second] += requests
        if exchange.key is not KeyChoice.NONE:
            self.enrolling[second] += requests
        if requests > 1:
            self._outcomes[OutcomeClass.CHALLENGED] += requests - 1
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)

    def answered(self, exchange: Exchange, outcome: Outcome, now_s: float, *, first: bool) -> None:
        """Count an answer that reached its device; ``first`` marks the device's first certificate."""
        self._in_flight -= 1
        self._outcomes[outcome.kind] += 1
        if isinstance(outcome, Issued):
            self.certificates += 1
            if first:
                self.without_certificate -= 1
                self._last_first_s = now_s
        elif isinstance(outcome, Deferred):
            self._waits[outcome.retry_after.wait_s] += 1
            self.wasted_polls += exchange.cause is Cause.POLL

    def cut(self) -> None:
        """Count an exchange that was cut short."""
        self._in_flight -= 1
        self._outcomes[OutcomeClass.ABANDONED] += 1

    def load(self) -> Load:
        """Return the load by the second."""
        first = {operation.value: dict(self.first[operation]) for operation in Operation if operation in self.first}
        return Load(first, dict(self.polls))

    def outcomes_by_class(self) -> dict[str, int]:
        """Return the exchanges by class, without those in flight at the end."""
        return {kind.value: self._outcomes[kind] for kind in OutcomeClass if self._outcomes[kind]}

    @property
    def drain_s(self) -> float | None:
        """From the first boot until all devices had a first certificate; None if one has none."""
        if self.without_certificate or not self._last_first_s > -inf:
            return None
        return self._last_first_s - self._first_boot_s

    @property
    def period_s(self) -> int | None:
        """The period T of the Retry-After values, if they have one."""
        told = ToldWaits()
        for wait_s, count in self._waits.items():
            if wait_s is not None:
                told.whole_seconds[round(wait_s)] += count
                told.histogram.record(LONG.units(wait_s), count)
        return told.period_s()

    @property
    def synchrony(self) -> Synchrony:
        """Whether the polls are in step."""
        return synchrony_of(self._bins, self.period_s) or Synchrony()
