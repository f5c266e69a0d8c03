"""Events of a scenario: what they order is a pure function of the plan, and the sandbox sees them happen."""

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from engine_kit import PATIENT, Rig, Server, cohort, sandbox, scenario, until
from hypothesis import given
from hypothesis import strategies as st

from estsim.device import events
from estsim.device.policy import EnrollPolicy, Fetch, Policy, RenewPolicy
from estsim.device.states import State
from estsim.engine.announcer import Announcer, GoAhead
from estsim.engine.timetable import Timetable
from estsim.est.enrolment import EnrolmentEnd
from estsim.est.operations import Operation
from estsim.fleet.orders import orders_of
from estsim.fleet.records import noting_by
from estsim.load.arrivals import Burst, Even
from estsim.scenario.happenings import (
    CohortJoin,
    Happening,
    Mark,
    PowerCut,
    RenewNow,
    Retire,
    Touched,
    What,
)
from estsim.scenario.plan import Cohort, Scenario
from estsim.units import Constant, Uniform

_METERS = Touched(("meters",))
_KEPT = Policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER), renew=RenewPolicy(), deferral=PATIENT)


def planned(*whats: tuple[float, What], cohorts: tuple[Cohort, ...] = (cohort(10, _KEPT),)) -> Scenario:
    """Return a scenario in which something happens."""
    return replace(scenario(*cohorts), events=tuple(Happening(at_s, what) for at_s, what in whats))


def play(made: Rig, plan: Scenario, go_ahead: GoAhead | None = None) -> Callable[[], Any]:
    """Return what plays the events of a plan over a rig."""
    announcer = Announcer(made.recorder.record, made.clock, sandbox=None, go_ahead=go_ahead)
    note = noting_by(made.clock, made.recorder)
    return Timetable(plan, made.clock, announcer, note=note, fleet=made.fleet, shard=made.shard).run


async def lived(made: Rig, plan: Scenario, go_ahead: GoAhead | None = None) -> None:
    """Let a fleet live through its events until nothing is planned any more."""
    async with trio.open_nursery() as nursery:
        await nursery.start(play(made, plan, go_ahead))
        await made.shard.run(until_settled=True)


async def lived_until(made: Rig, plan: Scenario, condition: Callable[[], bool]) -> None:
    """Let a fleet live through its events until something has come about."""
    async with trio.open_nursery() as nursery:
        await nursery.start(play(made, plan))
        nursery.start_soon(partial(made.shard.run, until_settled=False))
        await until(condition)
        nursery.cancel_scope.cancel()


def states(made: Rig) -> set[State]:
    """Return the states that the fleet's devices are in."""
    return {device.machine.state for device in made.fleet.devices}


# -- what an event orders


@given(st.integers(1, 300), st.floats(0, 1), st.integers(0, 5), st.floats(0, 1000))
def test_a_power_cut_gives_everybody_their_power_back(devices: int, share: float, number: int, at_s: float) -> None:
    """An exact count is cut at one moment, and each of them comes back once, off and return later."""
    cut = PowerCut(Touched(("meters",), share), Uniform(10.0, 20.0), Burst(60.0))
    plan = planned(*[(at_s, Mark("x"))] * number, (at_s, cut), cohorts=(cohort(devices),))
    orders = [*orders_of(plan, number, at_s)]
    made = [(order, order.make(order.at_s)) for order in orders]
    dark = [order.device for order, event in made if isinstance(event, events.PowerCut)]
    back = {order.device: order.at_s for order, event in made if isinstance(event, events.PowerRestored)}
    assert len(dark) == len(set(dark)) == int(share * devices + 0.5)
    assert {order.at_s for order, event in made if isinstance(event, events.PowerCut)} <= {at_s}
    assert sorted(back) == sorted(dark)
    assert all(at_s + 10 <= back_s <= at_s + 80 for back_s in back.values())
    assert [(order.at_s, order.device) for order in orders] == [
        (order.at_s, order.device) for order in orders_of(plan, number, at_s)
    ]


def test_two_events_choose_other_devices_at_other_moments() -> None:
    """The place in the scenario keys the draws."""
    renew = RenewNow(Touched(("meters",), 0.5), 10.0)
    plan = planned((5.0, renew), (5.0, renew), cohorts=(cohort(100),))
    first, second = ([(order.device, order.at_s) for order in orders_of(plan, number, 5.0)] for number in (0, 1))
    assert len(first) == len(second) == 50
    assert {device for device, _ in first} != {device for device, _ in second}
    assert {at_s for _, at_s in first}.isdisjoint(at_s for _, at_s in second)
    assert all(5 <= at_s <= 15 for _, at_s in first)


def test_a_cohort_that_joins_boots_by_its_own_arrivals() -> None:
    """From the event on, and not before."""
    late = replace(cohort(5, name="late", index=1, first_device=10, arrivals=Even(2.0)), joins=True)
    plan = planned((30.0, CohortJoin("late")), cohorts=(cohort(10), late))
    orders = [*orders_of(plan, 0, 30.0)]
    assert [(order.device, order.at_s) for order in orders] == [(10 + n, 30.0 + n / 2) for n in range(5)]
    assert orders[0].make(30.0) == events.Started(30.0)


# -- what happens


def exchanges(server: Server) -> list[tuple[str, str, int]]:
    """Return what the sandbox has logged: operation, subject, status."""
    return server.logged("operation, peer_subject, status")


async def test_a_power_cut_in_a_deferral_begins_again(tmp_path: Path) -> None:
    """The enrolments are cut, no poll comes while it is dark, and everybody gets a certificate after it."""
    async with sandbox(
        tmp_path, issue={"mode": "deferred", "delay": "1s", "retry_after": {"kind": "fixed", "seconds": 1}}
    ) as server:
        plan = planned((0.6, PowerCut(_METERS, Constant(1.2))))
        made = server.rig(*plan.cohorts)
        await lived_until(made, plan, lambda: len(made.recorder.ended) == 20)
    ends = Counter(enrolment.end for enrolment in made.recorder.ended)
    assert ends == {EnrolmentEnd.CUT: 10, EnrolmentEnd.ISSUED: 10}
    starts = sorted(sample.stamps.started_ns / 1e9 for sample in made.recorder.samples)
    assert not [at_s for at_s in starts if 0.7 < at_s < 1.75]
    assert states(made) == {State.OPERATIONAL}
    assert made.recorder.events_s == [pytest.approx(0.6, abs=0.1)]


async def test_what_survives_a_power_cut_is_what_the_event_says(tmp_path: Path) -> None:
    """With key and pending request kept, the device comes back to its deferral: one certificate, one key."""
    async with sandbox(
        tmp_path, issue={"mode": "deferred", "delay": "1s", "retry_after": {"kind": "fixed", "seconds": 1}}
    ) as server:
        kept = PowerCut(_METERS, Constant(0.2), keeps_key=True, keeps_pending=True)
        plan = planned((0.5, kept))
        made = server.rig(*plan.cohorts)
        await lived_until(made, plan, lambda: made.clock.now_s() > 1.0 and states(made) == {State.OPERATIONAL})
        asked = [(subject, status) for operation, subject, status in exchanges(server) if operation == "simpleenroll"]
        with closing(sqlite3.connect(server.here.database)) as log:
            issued = [key for (key,) in log.execute("SELECT key_hash FROM issued")]
    requests = Counter(subject for subject, _ in asked)
    assert set(requests.values()) == {2}  # the request and one poll, as if nothing had happened
    assert len(requests) == 10
    assert Counter(status for _, status in asked) == {202: 10, 200: 10}
    assert len(issued) == len(set(issued)) == 10


async def test_an_order_to_renew_is_obeyed_at_once(tmp_path: Path) -> None:
    """Half of the fleet renews; the sandbox sees exactly those, under their own certificates."""
    async with sandbox(tmp_path) as server:
        plan = planned((0.8, RenewNow(Touched(("meters",), 0.5), 0.3)))
        made = server.rig(*plan.cohorts)
        await lived_until(made, plan, lambda: len(made.recorder.ended) >= 15 and made.clock.now_s() > 1.3)
        logged = Counter(operation for operation, _, status in exchanges(server) if status == 200)
    assert logged == {"simpleenroll": 10, "simplereenroll": 5}
    renewals = [each for each in made.recorder.samples if each.operation is Operation.SIMPLEREENROLL]
    assert all(0.8 <= sample.stamps.intended_ns / 1e9 <= 1.1 for sample in renewals)


async def test_who_retires_does_nothing_more(tmp_path: Path) -> None:
    """Also not when an order comes later."""
    async with sandbox(tmp_path) as server:
        plan = planned((0.8, Retire(_METERS)), (1.2, RenewNow(_METERS)), (1.3, PowerCut(_METERS, Constant(0.1))))
        made = server.rig(*plan.cohorts)
        with trio.fail_after(5):
            await lived(made, plan)
    assert states(made) == {State.RETIRED}
    assert len(made.recorder.samples) == 10


async def test_a_cohort_joins_when_it_is_told_to(tmp_path: Path) -> None:
    """Its devices are off until then, and the run does not settle before."""
    late = replace(cohort(5, name="late", index=1, first_device=10), joins=True)
    once = replace(cohort(10), policy=replace(_KEPT, renew=None))
    async with sandbox(tmp_path) as server:
        plan = planned((1.0, CohortJoin("late")), cohorts=(once, replace(late, policy=once.policy)))
        made = server.rig(*plan.cohorts)
        with trio.fail_after(5):
            await lived(made, plan)
    first: dict[str, list[float]] = {"meters": [], "late": []}
    for sample in made.recorder.samples:
        first[sample.cohort].append(sample.stamps.started_ns / 1e9)
    assert max(first["meters"]) < 1.0 <= min(first["late"])
    assert [len(times) for times in first.values()] == [10, 5]


async def test_the_operator_holds_back_what_follows(tmp_path: Path) -> None:
    """The events after a mark that waits come as much later as the operator took."""
    go_ahead = GoAhead()
    async with sandbox(tmp_path) as server:
        plan = planned((0.6, Mark("swap the HSM", wait_for_enter=True)), (0.8, Retire(_METERS)))
        made = server.rig(*plan.cohorts)
        with trio.fail_after(6):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(lived, made, plan, go_ahead))
                await trio.sleep(1.2)
                assert made.recorder.awaiting == "press Enter: swap the HSM"
                assert states(made) == {State.OPERATIONAL}
                await trio.to_thread.run_sync(go_ahead.give)
    assert not made.recorder.awaiting
    marks = [(mark.at_ns / 1e9, mark.text) for mark in made.recorder.take_batch().marks]
    assert [text for _, text in marks] == ["swap the HSM", "retire: meters"]
    assert marks[1][0] - marks[0][0] == pytest.approx(0.2, abs=0.15)


async def test_without_a_terminal_nobody_is_waited_for(tmp_path: Path) -> None:
    """The run goes on, and says why."""
    async with sandbox(tmp_path) as server:
        plan = planned((0.1, Mark("swap the HSM", wait_for_enter=True)), (0.2, Retire(_METERS)))
        made = server.rig(*plan.cohorts)
        with trio.fail_after(5):
            await lived(made, plan)
    assert "no terminal" in made.recorder.take_batch().marks[0].text


# -- stations


async def test_stations_are_a_closed_loop(tmp_path: Path) -> None:
    """Never more than three seek a certificate at a time; the next begins as one is done, and none is late."""
    line = replace(cohort(12, replace(_KEPT, renew=None)), stations=3)
    async with sandbox(tmp_path, capacity={"signers": 3, "sign_time": "50ms"}) as server:
        made = server.rig(line)
        with trio.fail_after(5):
            await made.shard.run(until_settled=True)
        assert len(exchanges(server)) == 12
    spans = [(each.intended_ns, each.ended_ns or 0) for each in made.recorder.ended]
    assert len(spans) == 12
    assert max(sum(begun <= at < ended for begun, ended in spans) for at, _ in spans) == 3
    assert max(sample.stamps.schedule_lag_ns for sample in made.recorder.samples) < 50e6
