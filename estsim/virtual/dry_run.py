"""A dry run: a whole scenario in virtual time, with the state machines of all devices and a model of the server.

There is no network, no clock and no key; a plan of an hour takes seconds. An exchange takes ``service_s`` and the round
trips of its device's network. The server decides when it is sent, so requests arrive in order. The forecast's notes say
which parts of the plan are left out.

Arrivals, stations, joins, operational devices and events are those of a live run with the same seed. The tests compare
it with a driver of their own, for a herd whose exchanges take no time.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from math import inf, isfinite
from typing import Final

from estsim.device.commands import Continue, Exchange, Stop, WaitUntil
from estsim.device.custom_behaviour import behaviour_of
from estsim.device.events import Answered, Commissioned, Event, Lifetime, Started, Woke
from estsim.device.machine import Machine
from estsim.device.states import CredentialChoice, KeyChoice, State
from estsim.errors import Phase, Trouble
from estsim.est.outcome import Failed, Issued
from estsim.figures.forecast import Forecast
from estsim.fleet.bootstrap import faults_of
from estsim.fleet.orders import orders_of, told
from estsim.fleet.paths import path_of
from estsim.fleet.stations import Stations
from estsim.load.arrivals import boot_times
from estsim.load.streams import Purpose, uniform
from estsim.scenario.happenings import SandboxChange
from estsim.scenario.plan import Close, Cohort, HttpAuth, NoBootstrap, Scenario
from estsim.units import format_duration
from estsim.virtual.buckets import Buckets
from estsim.virtual.counts import FleetOverTime, ForecastCounts
from estsim.virtual.needs import needs_of
from estsim.virtual.notes import assumptions_of, left_out
from estsim.virtual.server import ServerModel, model_of

SERVICE_S: Final = 0.02  # of an exchange with an idle server
MOST_STEPS: Final = 20_000_000  # some minutes; a million devices that enroll and renew once take six million
_STEPS_BETWEEN_REPORTS: Final = 16_384
_FLIGHTS: Final = {"1.2": 4, "1.3": 3}  # connect, handshake (RFC 5246 §7.3: two; RFC 8446 §2: one), request
_TIMED_OUT: Final = Failed(Phase.WAIT, Trouble.TIMEOUT, "timed out")

Report = Callable[[float, int], None]


@dataclass(frozen=True, slots=True)
class _Kind:
    """The facts common to the devices of a cohort."""

    flights: int
    keep_alive_s: float
    lingers: bool  # a closed connection keeps its local port in TIME_WAIT
    is_challenged: bool  # the server asks for a password first

    @classmethod
    def of(cls, plan: Cohort) -> "_Kind":
        """Return the facts of a cohort's plan."""
        return cls(
            flights=_FLIGHTS.get(plan.tls.newest, _FLIGHTS["1.3"]),
            keep_alive_s=plan.tls.keep_alive_s,
            lingers=plan.tls.close is not Close.RST,
            is_challenged=_awaits_challenge(plan.http_auth) and isinstance(plan.bootstrap, NoBootstrap),
        )


def _awaits_challenge(auth: HttpAuth | None) -> bool:
    """Return whether a password is sent only when challenged; the sandbox challenges devices without certificate."""
    return auth is not None and not auth.preemptive


class _Device:
    """A state machine, and its driver's state. There may be a million of them."""

    __slots__ = ("idle_until_s", "in_flight", "key", "kind", "machine", "requests", "rtt_s", "without_certificate")

    def __init__(self, kind: _Kind, machine: Machine, rtt_s: float) -> None:
        self.kind = kind
        self.machine = machine
        self.rtt_s = rtt_s
        self.key = 0  # keys made so far
        self.requests = 0  # with this key
        self.idle_until_s = -inf  # while it keeps a connection
        self.in_flight: Exchange | None = None
        self.without_certificate = True  # it has never had one


class DryRun:
    """All devices of a scenario, to be run once. ``service_s`` and ``most_steps`` are for tests."""

    def __init__(self, scenario: Scenario, *, service_s: float = SERVICE_S, most_steps: int = MOST_STEPS) -> None:
        self._scenario = scenario
        self._service_s = service_s
        self._timeout_s = scenario.timeouts.answer_s
        self._most_steps = most_steps
        self._steps = 0
        self._server: ServerModel = model_of(scenario)
        self._plans: Buckets[_Device, Event] = Buckets()
        self._changes: deque[tuple[float, Mapping[str, object]]] = deque()
        self._counts = ForecastCounts()
        self._states: dict[State, int] = dict.fromkeys(State, 0)
        self._over_time = FleetOverTime(self._states)
        self._devices: dict[int, _Device] = {}
        self._stations: Stations[_Device] = Stations()
        self._notes = [*left_out(scenario)]

    def run(self, report: Report | None = None) -> Forecast:
        """Run to the end; ``report`` is called regularly with the time of the run and the steps so far."""
        for cohort in self._scenario.cohorts:
            self._add(cohort)
        self._plan_events()
        ended_s, settled = self._play(report)
        self._change(ended_s)
        self._over_time.take(ended_s)
        return self._forecast(ended_s, settled=settled)

    def _add(self, plan: Cohort) -> None:
        """Make a cohort's devices and plan their starts; those that join later are started by their event."""
        kind, seed, network = _Kind.of(plan), self._scenario.seed, plan.network
        faults, decides = faults_of(plan, seed=seed), cache(partial(behaviour_of, plan.policy, plan.behaviour))
        for index in range(plan.first_device, plan.first_device + plan.devices):
            rtt_s = path_of(network, seed=seed, device=index, connection=0).rtt_s if network else 0.0
            machine = Machine(decides(faults.get(index)), seed=seed, device=index)
            device = self._devices[index] = _Device(kind, machine, rtt_s)
            self._states[State.OFF] += 1
            if plan.start is not None:
                self._commission(device, plan.start.age.at(uniform(seed, index, Purpose.AGE, 0)))
            else:
                self._counts.without_certificate += 1
        if plan.start is not None or plan.joins:
            return
        if plan.stations is not None:
            line = (self._devices[index] for index in range(plan.first_device, plan.first_device + plan.devices))
            for device in self._stations.admit(line, plan.stations):
                self._plans.push(0.0, device, Started(0.0), 0)
            return
        times = boot_times(plan.arrivals, plan.devices, seed=seed, cohort=plan.index)
        for index, at_s in enumerate(times, start=plan.first_device):
            self._plans.push(at_s, self._devices[index], Started(at_s), 0)

    def _commission(self, device: _Device, age: float) -> None:
        """Make a device operational, with a certificate from before the run."""
        validity_s = self._server.validity_s
        device.without_certificate = False
        self._step(device, Commissioned(Lifetime(-age * validity_s, (1 - age) * validity_s)), 0.0)

    def _plan_events(self) -> None:
        """Plan the scenario's events for devices and server."""
        for number, happening in enumerate(self._scenario.events):
            if isinstance(happening.what, SandboxChange):
                self._changes.append((happening.at_s, happening.what.changes))
            for order in orders_of(self._scenario, number, happening.at_s):
                device = self._devices.get(order.device)
                if device is not None:
                    self._plans.push(order.at_s, device, order.make(order.at_s), 0)

    def _play(self, report: Report | None) -> tuple[float, bool]:
        """Process all events; returns the end, and whether the fleet had settled."""
        end_s = self._scenario.duration_s
        reached_s = 0.0
        over_time, changes, most_steps = self._over_time, self._changes, self._most_steps
        pop, step = self._plans.pop, self._step
        while (entry := pop()) is not None:
            at_s, _, device, event, turn = entry
            machine = device.machine
            if machine.stopped or (turn and turn != machine.turn):
                continue  # it has stopped, or has moved on
            if at_s > end_s:
                return end_s, False
            if at_s >= over_time.next_s:
                over_time.take(at_s)
            if changes and changes[0][0] <= at_s:
                self._change(at_s)
            reached_s = at_s
            step(device, event, at_s)
            self._steps += 1
            if report is not None and self._steps % _STEPS_BETWEEN_REPORTS == 0:
                report(at_s, self._steps)
            if self._steps == most_steps:
                self._notes.append(
                    f"The forecast stopped at {format_duration(round(at_s, 1))} after {most_steps} steps; nothing "
                    "after that is included."
                )
                return at_s, False
        last_s = max([reached_s, *(happening.at_s for happening in self._scenario.events)])  # none settles before
        settled = last_s <= end_s
        return (last_s if settled and self._scenario.until_settled else end_s), settled

    def _change(self, now_s: float) -> None:
        """Make the changes of the server that are due."""
        while self._changes and self._changes[0][0] <= now_s:
            at_s, changes = self._changes.popleft()
            problem = self._server.change(changes)
            if problem is not None:
                self._notes.append(f"The sandbox change at {format_duration(at_s)} is not included: {problem}")

    def _step(self, device: _Device, event: Event, now_s: float) -> None:
        """Step a machine, and carry out its command."""
        machine = device.machine
        before = machine.state
        command = machine.step(event, now_s)
        after = machine.state
        if after is not before:
            self._states[before] -= 1
            self._states[after] += 1
            if after is State.OFF:
                device.idle_until_s = -inf
            elif before is State.OFF and type(event) is Started:
                self._counts.boot(now_s)
        if not isinstance(command, Continue):
            self._carry_out(device, event, command, now_s)

    def _carry_out(self, device: _Device, event: Event, command: Exchange | WaitUntil | Stop, now_s: float) -> None:
        """Carry out a command, which ends what the device was doing."""
        if device.in_flight is not None:
            self._end_exchange(device, device.in_flight, event, now_s)
        if command.ends is not None:
            self._counts.ends[command.ends] += 1
            if (following := self._stations.done(device)) is not None:
                self._plans.push(now_s, following, Started(now_s), 0)
        if isinstance(command, Exchange):
            self._send(device, command, now_s)
        elif isinstance(command, WaitUntil):
            self._counts.opened += command.opens_s is not None
            if isfinite(command.at_s):
                self._plans.push(command.at_s, device, Woke(command.turn), command.turn)

    def _send(self, device: _Device, command: Exchange, now_s: float) -> None:
        """Send an exchange; its outcome is known at once, and passed to the device when the answer arrives."""
        kind, counts, operation = device.kind, self._counts, command.operation
        counts.opened += command.opens_s is not None
        if command.key is KeyChoice.NEW:
            device.key += 1
            device.requests = 0
        challenged = (
            kind.is_challenged
            and command.credential is CredentialChoice.BOOTSTRAP
            and command.key is not KeyChoice.NONE
        )
        requests = 1 + challenged
        flights = requests
        if now_s >= device.idle_until_s:
            flights += kind.flights - 1
            counts.connect(now_s, lingers=kind.lingers)
        counts.send(command, now_s, requests=requests)
        outcome, ready_s = self._server.answer(operation, device.machine.device, device.key, device.requests, now_s)
        device.requests += 1
        if ready_s > now_s + self._timeout_s:
            outcome, ready_s = _TIMED_OUT, now_s + self._timeout_s
        at_s = max(now_s + requests * self._service_s + flights * device.rtt_s, ready_s + device.rtt_s)
        lifetime = None
        if isinstance(outcome, Issued):
            lifetime = Lifetime(ready_s, ready_s + self._server.validity_s)
            device.idle_until_s = -inf  # connection and session are the old identity's
        elif kind.keep_alive_s > 0:
            device.idle_until_s = at_s + kind.keep_alive_s
        device.in_flight = command
        self._plans.push(at_s, device, Answered(command.turn, outcome, lifetime), command.turn)

    def _end_exchange(self, device: _Device, exchange: Exchange, event: Event, now_s: float) -> None:
        """Count how an exchange ended: answered, or cut short by another event."""
        device.in_flight = None
        if isinstance(event, Answered):
            first = device.without_certificate and event.lifetime is not None
            self._counts.answered(exchange, event.outcome, now_s, first=first)
            if first:
                device.without_certificate = False
        else:
            self._counts.cut()

    def _forecast(self, ended_s: float, *, settled: bool) -> Forecast:
        scenario, counts = self._scenario, self._counts
        return Forecast(
            scenario=scenario.name,
            seed=scenario.seed,
            devices=len(self._devices),
            duration_s=scenario.duration_s,
            ended_s=ended_s,
            settled=settled,
            server=self._server.words,
            load=counts.load(),
            fleet=self._over_time.points(ended_s),
            outcomes=counts.outcomes_by_class(),
            ends={end.value: count for end, count in counts.ends.items()},
            open_at_end=counts.opened - counts.ends.total(),
            certificates=counts.certificates,
            certificate_exchanges=sum(counts.enrolling.values()),
            polls=counts.poll_exchanges,
            wasted_polls=counts.wasted_polls,
            drain_s=counts.drain_s,
            period_s=counts.period_s,
            synchronisation=counts.synchrony.synchronisation,
            needs=needs_of(scenario, counts),
            events=tuple((happening.at_s, told(happening.what)) for happening in scenario.events),
            assumptions=assumptions_of(scenario, service_s=self._service_s),
            notes=tuple(self._notes),
            thresholds=len(scenario.thresholds),
            steps=self._steps,
        )
