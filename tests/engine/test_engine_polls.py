"""A poll is one poll, however many requests it takes until it has its answer."""

from pathlib import Path

import pytest
from engine_kit import PATIENT, cohort, sandbox

from estsim.device.policy import EnrollPolicy, Fetch, Policy
from estsim.est.outcome import OutcomeClass
from estsim.scenario.plan import HttpAuth, NoBootstrap

_DEVICES = 3
_WAITS = Policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER), renew=None, deferral=PATIENT)


@pytest.mark.parametrize(("preemptive", "challenges"), [(True, 0), (False, 2 * _DEVICES)])
async def test_a_challenge_makes_no_second_poll(tmp_path: Path, *, preemptive: bool, challenges: int) -> None:
    """Each device polls once and has its certificate; the row with the answer has the poll, the challenge has none."""
    async with sandbox(
        tmp_path,
        clients={"require_certificate": "never", "users": {"alice": {"password": "secret"}}},
        issue={"mode": "deferred", "delay": "500ms", "retry_after": {"kind": "fixed", "seconds": 1}},
    ) as server:
        plan = cohort(
            _DEVICES, _WAITS, bootstrap=NoBootstrap(), http_auth=HttpAuth("alice", "secret", preemptive=preemptive)
        )
        made = server.rig(plan)
        await made.shard.run(until_settled=True)
    rows, polls = made.recorder.samples, made.recorder.book.total().polls
    assert [row.kind for row in rows].count(OutcomeClass.CHALLENGED) == challenges
    assert [row.kind for row in rows if row.poll is not None] == [OutcomeClass.OK] * _DEVICES
    assert (polls.count, polls.wasted, polls.due, polls.hits) == (_DEVICES, 0, _DEVICES, _DEVICES)
    assert [each.polls for each in made.recorder.ended] == [1] * _DEVICES
