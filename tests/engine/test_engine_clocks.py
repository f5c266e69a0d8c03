"""Devices whose clocks are wrong, as a sandbox sees them: early renewals and polls, handshakes that come to nothing."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from engine_kit import ONCE, cohort, sandbox

from estsim.device.policy import Policy, RenewPolicy
from estsim.device.states import State
from estsim.est.enrolment import EnrolmentEnd
from estsim.scenario.plan import Cohort
from estsim.units import Constant, Uniform

YEAR_S: Final = 365 * 86_400.0


def slow_and_fast(policy: Policy, ahead_s: float) -> tuple[Cohort, Cohort]:
    """Return a device whose clock is right, and one whose clock is ahead."""
    right = cohort(1, policy, name="right")
    return right, replace(cohort(1, policy, name="ahead", index=1, first_device=1), skew_s=Constant(ahead_s))


async def test_a_clock_that_is_ahead_renews_early(tmp_path: Path) -> None:
    """By just so much: four seconds from the second of the issue on, less the 1.75 s by which it is ahead."""
    policy = Policy(enroll=ONCE.enroll, renew=RenewPolicy(at=0.5, times=1))
    async with sandbox(tmp_path, issuer={"validity": "8s"}) as server:
        made = server.rig(*slow_and_fast(policy, 1.75))
        await made.shard.run(until_settled=True)
        log = server.logged("peer_subject, operation, at_unix")
    times = {(name, operation): at_s for name, operation, at_s in log}
    right_s, ahead_s = (
        times[f"CN=meter-{device}", "simplereenroll"] - times[f"CN=meter-{device}", "simpleenroll"] for device in (0, 1)
    )
    assert right_s > 2.9
    assert ahead_s < right_s - 0.7


async def test_a_date_is_early_by_a_clock_that_is_ahead(tmp_path: Path) -> None:
    """The told second has passed long ago by its clock: it polls at once, and the sandbox finds it early."""
    issue = {"mode": "deferred", "delay": "100ms", "retry_after": {"seconds": 1, "form": "http-date"}}
    async with sandbox(tmp_path, issue=issue) as server:
        made = server.rig(*slow_and_fast(ONCE, 600.0))
        await made.shard.run(until_settled=True)
        early = Counter(name for name, early in server.logged("peer_subject, early") if early)
    assert set(early) == {"CN=meter-1"}
    assert [each.end for each in made.recorder.ended] == [EnrolmentEnd.ISSUED] * 2


@pytest.mark.parametrize(("years", "word"), [(3.0, "expired at"), (-3.0, "is not valid before")])
async def test_a_clock_beyond_the_server_s_certificate_refuses_it(tmp_path: Path, years: float, word: str) -> None:
    """In the handshake: the sandbox has no line of that device, and counts a handshake that came to nothing."""
    async with sandbox(tmp_path) as server:
        made = server.rig(*slow_and_fast(ONCE, years * YEAR_S))
        await made.shard.run(until_settled=True)
        assert [name for (name,) in server.logged("peer_subject")] == ["CN=meter-0"]
        assert server.here.counts.failed_handshakes == 1
    (failed,) = [sample for sample in made.recorder.samples if sample.device == 1]
    assert (failed.phase, failed.trouble, failed.expected) == ("handshake", "tls", False)
    assert f"the server's certificate {word} " in failed.detail
    assert "the device's clock reads" in failed.detail
    assert [device.machine.state for device in made.fleet.devices] == [State.OPERATIONAL, State.GAVE_UP]


async def test_clocks_are_drawn_for_each_device(tmp_path: Path) -> None:
    """From the cohort's distribution, the same each time it is asked, and none for who has no skew."""
    async with sandbox(tmp_path) as server:
        made = server.rig(replace(cohort(50), skew_s=Uniform(-30.0, 30.0)), cohort(1, index=1, first_device=50))
    ahead = []
    for device in made.fleet.devices[:50]:
        draw = device.cohort.profile.ahead_s
        assert draw is not None
        ahead.append(draw(device.index))
        assert draw(device.index) == ahead[-1]
    assert len(set(ahead)) == 50
    assert -30.0 <= min(ahead) < -15.0 < 15.0 < max(ahead) <= 30.0
    assert made.fleet.devices[50].cohort.profile.ahead_s is None
    assert made.fleet.devices[0].cohort is made.fleet.devices[1].cohort  # shared: a clock costs a device nothing
