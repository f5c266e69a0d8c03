"""A device's life as a sandbox sees it: deadlines, renewals, boots with a certificate, expiry in the dark."""

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from engine_kit import ONCE, PATIENT, Rig, Server, cohort, sandbox, until

from estsim.device import events
from estsim.device.events import Event
from estsim.device.faults import DeviceFault
from estsim.device.policy import (
    AfterExpiry,
    AfterFailure,
    BootPolicy,
    DeferralPolicy,
    EnrollPolicy,
    Fetch,
    Policy,
    RenewPolicy,
)
from estsim.device.states import State
from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.scenario.plan import Cohort, Operational
from estsim.units import Constant

PLAIN: Final = EnrollPolicy(cacerts=Fetch.NEVER)
DEFERRING: Final[dict[str, Any]] = {"mode": "deferred", "delay": "1h", "retry_after": {"seconds": 1}}


def cut(_: float) -> Event:
    """Return a power cut, whenever it was planned for."""
    return events.PowerCut()


def dark(made: Rig, from_s: float, to_s: float) -> None:
    """Take the power from all devices for a time."""
    for device in made.fleet.devices:
        made.shard.order(from_s, device, cut)
        made.shard.order(to_s, device, events.PowerRestored)


def operations(server: Server) -> list[str]:
    """Return what the sandbox was asked, in order."""
    return [operation for (operation,) in server.logged("operation")]


def in_service(policy: Policy, age: float = 0.5, **changes: Any) -> Cohort:  # noqa: ANN401 - fields of a cohort
    """Return one device that owns a certificate as the run begins."""
    return replace(cohort(1, policy), start=Operational(Constant(age)), **changes)


@pytest.mark.parametrize(
    ("then", "asked"), [(AfterFailure.GIVE_UP, 2), (AfterFailure.UNTIL_POWER_UP, 4)], ids=["for good", "until power-up"]
)
async def test_a_deadline_ends_a_first_enrolment(tmp_path: Path, then: AfterFailure, asked: int) -> None:
    """The sandbox hears of the device no more, or again when the power has been off."""
    policy = Policy(
        enroll=replace(PLAIN, deadline_s=0.3, then=then), deferral=replace(PATIENT, obedience=0.2), renew=None
    )
    async with sandbox(tmp_path, issue=DEFERRING) as server:
        made = server.rig(cohort(1, policy))
        dark(made, 0.6, 0.7)
        await made.shard.run(until_settled=True)
        log = server.logged("operation, status")
    assert log == [("simpleenroll", 202)] * asked
    assert {each.end for each in made.recorder.ended} == {EnrolmentEnd.DEADLINE}
    assert len(made.recorder.ended) == asked // 2
    assert made.shard.reading().states == {"gave_up": 1}


@pytest.mark.parametrize("rekey", [True, False])
async def test_a_renewal_has_another_key_or_the_same(tmp_path: Path, *, rekey: bool) -> None:
    """As the scenario says; with lifetime_scale a day's certificate is due within the second."""
    renew = RenewPolicy(at=0.5, times=2, rekey=rekey, lifetime_scale=86_400 * 5)
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(1, Policy(enroll=PLAIN, renew=renew)))
        await made.shard.run(until_settled=True)
        asked = operations(server)
    assert asked == ["simpleenroll", "simplereenroll", "simplereenroll"]
    assert len({each.key_sha256 for each in made.recorder.ended}) == (3 if rekey else 1)
    assert len({each.serial for each in made.recorder.ended}) == 3
    assert 0.1 < made.clock.now_s() < 2.0


async def test_a_refused_renewal_is_tried_again_after_its_share_of_the_lifetime(tmp_path: Path) -> None:
    """And until the certificate has expired; then the device is done, as the policy says."""
    renew = RenewPolicy(at=0.2, retry_every=0.2, expired=AfterExpiry.GIVE_UP)
    plan = in_service(Policy(renew=renew), age=0.0, faults={DeviceFault.WRONG_SUBJECT_ON_RENEW: 1.0})
    async with sandbox(tmp_path, issuer={"validity": "2s"}) as server:
        made = server.rig(plan)
        await made.shard.run(until_settled=True)
        log = server.logged("operation, status, at_unix")
    assert {line[:2] for line in log} == {("simplereenroll", 403)}
    assert 2 <= len(log) <= 5
    assert all(later[2] - earlier[2] > 0.39 for earlier, later in pairwise(log))
    assert made.shard.reading().states == {"gave_up": 1}


@pytest.mark.parametrize(
    ("boot", "asked"),
    [
        (BootPolicy(), []),
        (BootPolicy(cacerts=True), ["cacerts"]),
        (BootPolicy(renew_if=0.4), ["simplereenroll"]),
        (BootPolicy(renew_if=0.6), []),
        (BootPolicy(renew_if=0.4, cacerts=True), ["cacerts", "simplereenroll"]),
    ],
)
async def test_what_a_device_does_as_it_powers_up(tmp_path: Path, boot: BootPolicy, asked: list[str]) -> None:
    """It owns a certificate that has half its life behind it; all it asks, it asks as that."""
    async with sandbox(tmp_path) as server:
        made = server.rig(in_service(Policy(renew=RenewPolicy(at=0.9), boot=boot)))
        dark(made, 0.05, 0.1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=False))
            await until(lambda: len(made.recorder.samples) == len(asked) and made.clock.now_s() > 0.3)
            made.shard.stop()
        assert operations(server) == asked
        assert {subject for (subject,) in server.logged("peer_subject")} <= {"CN=meter-0"}
    assert [each.goal for each in made.recorder.ended] == [Goal.RENEW] * asked.count("simplereenroll")
    assert {sample.kind.value for sample in made.recorder.samples} <= {"ok"}
    assert made.shard.reading().states == {"operational": 1}


@pytest.mark.parametrize(
    ("then", "asked", "state"),
    [
        (AfterExpiry.ENROLL, ["simpleenroll"], State.OPERATIONAL),
        (AfterExpiry.GIVE_UP, [], State.GAVE_UP),
        (AfterExpiry.WAIT, [], State.EXPIRED),
    ],
)
async def test_a_certificate_that_expires_in_the_dark(
    tmp_path: Path, then: AfterExpiry, asked: list[str], state: State
) -> None:
    """Sought anew with the bootstrap certificate, or given up, when the power is back."""
    policy = Policy(renew=RenewPolicy(at=0.9, times=0, expired=then), enroll=PLAIN)
    async with sandbox(tmp_path, issuer={"validity": "2s"}) as server:
        made = server.rig(in_service(policy, age=0.9))
        dark(made, 0.05, 0.4)
        await made.shard.run(until_settled=True)
        assert operations(server) == asked
    (device,) = made.fleet.devices
    assert device.machine.state is state
    assert [each.goal for each in made.recorder.ended] == [Goal.ENROLL] * len(asked)


async def test_patience_ends_after_so_many_polls(tmp_path: Path) -> None:
    """The sandbox sees the first request, the polls, and nothing more."""
    deferral = DeferralPolicy(obedience=0.01, max_polls=3)
    async with sandbox(tmp_path, issue=DEFERRING) as server:
        made = server.rig(cohort(2, replace(ONCE, deferral=deferral)))
        await made.shard.run(until_settled=True)
        log = Counter(server.logged("peer_subject, operation, status"))
    assert log == {(f"CN=meter-{device}", "simpleenroll", 202): 4 for device in (0, 1)}
    assert {each.end for each in made.recorder.ended} == {EnrolmentEnd.IMPATIENT}
