"""A shard of a live fleet, over real TLS on loopback, against a sandbox in this process."""

import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio
import trio.testing
from engine_kit import (
    NOWHERE,
    ONCE,
    PATIENT,
    Rig,
    closed_port,
    cohort,
    parts_ns,
    renewing,
    rig,
    sandbox,
    silence,
    until,
)

from estsim.device.commands import WaitUntil
from estsim.device.policy import AfterRenewals, EnrollPolicy, Fetch, Policy, RenewPolicy, RetryPolicy
from estsim.device.states import State, Why
from estsim.engine import shard as shard_module
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.load.arrivals import Burst, Even
from estsim.scenario.plan import KeyKind, NoBootstrap

MS: Final = 1_000_000
ENROLL: Final = Policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER), renew=None, deferral=PATIENT)


def states(made: Rig) -> dict[str, int]:
    """Return where the fleet stands."""
    return made.shard.reading().states


async def test_a_fleet_enrolls_waits_and_renews(tmp_path: Path) -> None:
    """Twenty devices, a third deferred: two certificates each, every sum right (docs/metrics.md), all gone after."""
    policy = renewing(after_s=0.2, times=1, then=AfterRenewals.LEAVE)
    issue = {"mode": "deferred", "share": "30%", "delay": "100ms", "retry_after": {"seconds": 1}}
    async with sandbox(tmp_path, issue=issue) as server:
        made = server.rig(cohort(20, policy, arrivals=Burst(0.2)))
        await made.shard.run(until_settled=True)
    witness = made.recorder
    assert states(made) == {"retired": 20}
    assert witness.device_counts == {20}
    assert [each.end for each in witness.ended] == [EnrolmentEnd.ISSUED] * 40
    assert Counter(each.goal for each in witness.ended) == {Goal.ENROLL: 20, Goal.RENEW: 20}
    assert witness.left_open == []
    for each in witness.ended:
        assert each.ended_ns is not None
        assert abs(parts_ns(each) - (each.ended_ns - each.intended_ns)) < MS
    assert len({each.serial for each in witness.ended}) == len({each.key_sha256 for each in witness.ended}) == 40
    kinds = Counter(witness.kinds())
    assert kinds["deferred"] >= 2
    assert kinds == {"ok": 60, "deferred": kinds["deferred"]}
    assert Counter(sample.operation for sample in witness.samples if sample.kind is OutcomeClass.OK) == {
        Operation.CACERTS: 20,
        Operation.SIMPLEENROLL: 20,
        Operation.SIMPLEREENROLL: 20,
    }
    assert len({sample.request_id for sample in witness.samples}) == len(witness.samples)


async def test_a_poll_comes_after_the_told_wait(tmp_path: Path) -> None:
    """Never before, counted from the answer; with what it was told, so that its punctuality can be judged."""
    issue = {"mode": "deferred", "delay": "10ms", "retry_after": {"seconds": 1}}
    async with sandbox(tmp_path, issue=issue) as server:
        made = server.rig(cohort(3, ENROLL))
        await made.shard.run(until_settled=True)
    polls = [sample for sample in made.recorder.samples if sample.cause is Cause.POLL]
    assert len(polls) == 3
    for poll in polls:
        assert poll.poll is not None
        assert (poll.poll.told_s, poll.poll.spread_s) == (1.0, 0.0)
        assert poll.stamps.started_ns - poll.poll.deferred_at_ns >= 1000 * MS
    assert all(each.told_ns == 1000 * MS for each in made.recorder.ended)


async def test_the_stamps_of_a_row_are_in_order(tmp_path: Path) -> None:
    """Each step after the one before it, each connection its own."""
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(5, Policy(renew=None)))
        await made.shard.run(until_settled=True)
    assert len(made.recorder.samples) == 10
    for sample in made.recorder.samples:
        stamps = sample.stamps
        steps = (
            stamps.intended_ns,
            stamps.started_ns,
            stamps.connected_ns,
            stamps.handshaken_ns,
            stamps.sent_ns,
            stamps.first_byte_ns,
            stamps.ended_ns,
        )
        known = [step for step in steps if step is not None]
        assert len(known) == len(steps)
        assert known == sorted(known)
        assert stamps.schedule_lag_ns >= 0
        assert (sample.reused, sample.tls_version, sample.tls_group) == (False, "1.3", "x25519")


@pytest.mark.parametrize("key", [KeyKind.RSA_2048, KeyKind.ED25519])
async def test_keys_are_made_beside_the_lateness(tmp_path: Path, key: KeyKind) -> None:
    """What a key takes is waiting for a key, and no lag of the generator's."""
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(2, ENROLL, key=key))
        await made.shard.run(until_settled=True)
    assert made.recorder.kinds() == ["ok", "ok"]
    for sample in made.recorder.samples:
        stamps = sample.stamps
        assert stamps.ready_ns > stamps.intended_ns
        assert stamps.key_wait_ns + stamps.schedule_lag_ns == stamps.started_ns - stamps.intended_ns


async def test_a_device_with_nothing_is_told_so(tmp_path: Path) -> None:
    """A refusal is an answer: the device gives up, the run settles."""
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(2, ONCE, bootstrap=NoBootstrap()))
        await made.shard.run(until_settled=True)
    assert set(made.recorder.kinds()) <= {"unauthorized", "rejected"}
    assert [each.end for each in made.recorder.ended] == [EnrolmentEnd.REFUSED] * 2
    assert states(made) == {"gave_up": 2}


async def test_each_row_is_in_the_server_s_log(tmp_path: Path) -> None:
    """By its request id, with its status; one to one."""
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(10, Policy(renew=None)))
        await made.shard.run(until_settled=True)
        database = server.here.database
    with closing(sqlite3.connect(database)) as log:
        lines = log.execute("SELECT request_id, operation, status FROM exchanges").fetchall()
    rows = [(sample.request_id, sample.operation.value, sample.status) for sample in made.recorder.samples]
    assert Counter(lines) == Counter(rows)


# -- when nobody answers


async def test_a_server_that_is_not_there_is_a_row_and_a_retry() -> None:
    """In phase connect, tried as often as the policy says, and then given up."""
    policy = replace(ENROLL, retry=RetryPolicy(attempts=3, base_s=0.01))
    made = rig(closed_port(), NOWHERE, None, cohort(4, policy, bootstrap=NoBootstrap()))
    with trio.fail_after(5):
        await made.shard.run(until_settled=True)
    assert made.recorder.kinds() == ["failed"] * 12
    assert {(sample.phase, sample.trouble) for sample in made.recorder.samples} == {("connect", "refused")}
    assert [each.end for each in made.recorder.ended] == [EnrolmentEnd.EXHAUSTED] * 4
    assert all(each.backoff_ns > 0 for each in made.recorder.ended)
    assert made.recorder.device_counts == {4}


class Starts(trio.abc.Instrument):
    """Counts the device tasks that are started in each uninterrupted stretch of any task."""

    def __init__(self) -> None:
        self.stretches: list[int] = []
        self._here = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio's shape
        """A task runs on."""
        self._here = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """One was started."""
        self._here += task.name.endswith("Shard._live")

    def after_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio's shape
        """It waits."""
        if self._here:
            self.stretches.append(self._here)


async def test_a_herd_starts_eight_at_a_time() -> None:
    """A hundred due at one moment: never more than eight begin before others get their turn (docs/scale.md, rule 2)."""
    made = rig(closed_port(), NOWHERE, None, cohort(100, bootstrap=NoBootstrap()))
    starts = Starts()
    trio.lowlevel.add_instrument(starts)
    try:
        with trio.fail_after(5):
            await made.shard.run(until_settled=True)
    finally:
        trio.lowlevel.remove_instrument(starts)
    assert sum(starts.stretches) == 100
    assert max(starts.stretches) == shard_module.STARTS_PER_PASS == 8


async def test_a_herd_s_queue_is_our_lag_and_not_the_server_s() -> None:
    """Eight after eight in the plan's order, ever later, and the service time knows nothing of it."""
    made = rig(closed_port(), NOWHERE, None, cohort(64, bootstrap=NoBootstrap()))
    with trio.fail_after(5):
        await made.shard.run(until_settled=True)
    rows = sorted(made.recorder.samples, key=lambda sample: sample.stamps.started_ns)
    assert [sample.device // 8 for sample in rows] == [i // 8 for i in range(64)]
    assert rows[-1].stamps.schedule_lag_ns > 4 * max(sample.stamps.service_ns for sample in rows[-8:])


async def test_devices_boot_when_they_are_meant_to() -> None:
    """The intended time is the plan's to the nanosecond, and nobody starts before it."""
    made = rig(closed_port(), NOWHERE, None, cohort(5, bootstrap=NoBootstrap(), arrivals=Even(50.0)))
    with trio.fail_after(5):
        await made.shard.run(until_settled=True)
    intended = {sample.device: sample.stamps.intended_ns for sample in made.recorder.samples}
    assert intended == {device: device * 20 * MS for device in range(5)}
    assert len(made.recorder.samples) == 5
    assert all(sample.stamps.started_ns >= sample.stamps.intended_ns for sample in made.recorder.samples)


# -- settling


async def test_a_fleet_without_plans_is_settled_at_once() -> None:
    """No device, no wait."""
    made = rig(closed_port(), NOWHERE, None)
    with trio.fail_after(1):
        await made.shard.run(until_settled=True)
    assert made.recorder.samples == []


async def test_a_fleet_that_is_not_to_settle_stays_until_it_is_stopped() -> None:
    """A run of a given length goes on though nobody has a plan."""
    made = rig(closed_port(), NOWHERE, None, cohort(1, bootstrap=NoBootstrap()))
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=False))
            await until(lambda: bool(made.recorder.ended))
            await trio.testing.wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 1
            made.shard.stop()


async def test_a_stale_wake_up_does_nothing(tmp_path: Path) -> None:
    """One whose turn is over neither cuts the exchange under way nor starts another, and no run waits for it."""
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(1, ENROLL))
        (device,) = made.fleet.devices
        for at_s in (0.0, 0.0, 0.005, 300.0):
            made.fleet.waiting.append((WaitUntil(turn=99, at_s=at_s, why=Why.RENEWAL), device))
        rerun = shard_module.Shard(made.fleet, made.shard._exchanges, made.shard._ledger, made.clock)
        made.recorder.shard = rerun
        await rerun.run(until_settled=True)
    assert made.recorder.kinds() == ["ok"]
    assert device.machine.state is State.OPERATIONAL
    assert rerun.in_flight == 0
    assert made.clock.now_s() < 5


# -- the end


async def test_a_stop_takes_the_answers_under_way(tmp_path: Path) -> None:
    """Who has asked gets the certificate; who waits or has not booted stays as it is; nothing new begins."""
    capacity = {"rate": "20/s", "burst": 1, "overflow": "wait"}
    policy = replace(ENROLL, renew=RenewPolicy(after_s=0.0))
    async with sandbox(tmp_path, capacity=capacity) as server:
        made = server.rig(
            cohort(4, policy), cohort(3, policy, name="late", index=1, first_device=4, arrivals=Even(0.01))
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=False))
            await until(lambda: states(made).get("enrolling") == 5)
            made.shard.stop()
            made.shard.stop()  # a second time does nothing
    witness = made.recorder
    assert made.shard.in_flight == 0
    assert witness.kinds() == ["ok"] * 5
    assert [each.end for each in witness.ended] == [EnrolmentEnd.ISSUED] * 5
    assert states(made) == {"operational": 5, "off": 2}
    assert witness.device_counts == {7}
    assert made.shard.reading().wakeups == (0,) * 60


async def test_a_stop_leaves_who_waits_open(tmp_path: Path) -> None:
    """Deferred devices are told to stop; their searches are written as open, with what they have come to."""
    issue = {"mode": "deferred", "delay": "1h", "retry_after": {"seconds": 600}}
    async with sandbox(tmp_path, issue=issue) as server:
        made = server.rig(cohort(5, ENROLL))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=True))
            await until(lambda: states(made).get("deferred") == 5)
            reading = made.shard.reading()
            made.shard.stop()
    assert reading.waiting_deferred == 5
    assert [each.end for each in made.recorder.left_open] == [None] * 5
    assert {(each.exchanges, each.deferrals, each.told_ns) for each in made.recorder.left_open} == {
        (1, 1, 600_000 * MS)
    }
    assert made.recorder.ended == []
    assert states(made) == {"deferred": 5}


async def test_the_radar_shows_who_is_about_to_wake() -> None:
    """In the second that the plan says, for the next minute."""
    made = rig(closed_port(), NOWHERE, None, cohort(5, bootstrap=NoBootstrap(), arrivals=Even(0.5)))
    assert made.shard.reading().wakeups[:10] == (1, 0, 1, 0, 1, 0, 1, 0, 1, 0)
    assert states(made) == {"off": 5}


async def test_a_hard_end_records_what_it_cuts() -> None:
    """A row each, abandoned and never the server's; nothing stays in flight or open on the wire."""
    async with silence() as server:
        made = rig(server.url, NOWHERE, None, cohort(6, bootstrap=NoBootstrap()))
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(made.shard.run, until_settled=True))
                await server.has(6)
                assert made.shard.in_flight == 6
                scope.cancel()
    witness = made.recorder
    assert witness.kinds() == ["abandoned"] * 6
    assert {sample.detail for sample in witness.samples} == {"cut by estsim"}
    assert all(sample.stamps.ended_ns >= sample.stamps.started_ns for sample in witness.samples)
    assert made.shard.in_flight == 0
    assert witness.device_counts == {6}
    assert all(device.scope is None for device in made.fleet.devices)


async def test_a_hard_end_writes_open_searches_as_they_are() -> None:
    """Rows of open searches hold what they came to, also where an earlier batch has written their beginning."""
    async with silence() as server:
        made = rig(server.url, NOWHERE, None, cohort(3, bootstrap=NoBootstrap()))
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(made.shard.run, until_settled=True))
                await server.has(3)
                assert len(made.recorder.take_batch().enrolments) == 3
                scope.cancel()
    batch = made.recorder.take_batch()
    assert [sample.kind for sample in batch.exchanges] == [OutcomeClass.ABANDONED] * 3
    assert [each.exchanges for each in batch.enrolments.values()] == [1, 1, 1]


@pytest.mark.parametrize("key", [KeyKind.EC_P256, KeyKind.RSA_2048])
async def test_an_exchange_cut_before_it_began_has_a_row_too(key: KeyKind) -> None:
    """The machine counted it; also where it waits for its key, nothing is left out of the books."""
    async with silence() as server:
        made = rig(server.url, NOWHERE, None, cohort(3, key=key, bootstrap=NoBootstrap()))
        with trio.CancelScope() as scope:
            scope.cancel()
            await made.shard.run(until_settled=True)
    counted = sum(device.machine.attempt for device in made.fleet.devices)
    assert made.recorder.kinds() == ["abandoned"] * counted
    assert made.shard.in_flight == 0
