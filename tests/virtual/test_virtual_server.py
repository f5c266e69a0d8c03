"""The server of a dry run: a sandbox by its own rules, an unknown one as ideal."""

from dataclasses import replace

import pytest
from dry_runs import HERD, STAYS, forecast
from engine_kit import closed_port, cohort, renewing, scenario

from estsim.device.policy import DeferralPolicy, RetryPolicy
from estsim.load.arrivals import Even
from estsim.scenario.happenings import (
    SandboxChange,
)
from estsim.scenario.plan import (
    HttpAuth,
    NoBootstrap,
    Target,
    Timeouts,
)
from estsim.virtual.dry_run import DryRun


def test_a_sandbox_that_queues_answers_at_the_slots() -> None:
    """Ten requests at once, two a second: the last is answered after four and a half seconds, and none polls."""
    made = forecast(cohort(10, HERD), sandbox={"capacity": {"rate": "2/s", "overflow": "wait"}})
    assert made.drain_s == pytest.approx(4.5)
    assert (made.polls, made.certificate_exchanges) == (0, 10)


def test_an_exchange_that_waits_too_long_times_out() -> None:
    """One a second, three seconds of patience: what comes later is lost, and tried again."""
    once = replace(HERD, retry=RetryPolicy(attempts=1))
    made = forecast(
        cohort(10, once),
        sandbox={"capacity": {"rate": "1/s", "overflow": "wait"}},
        timeouts=Timeouts(answer_s=3.0),
    )
    assert made.outcomes == {"ok": 4, "failed": 6}
    assert made.ends == {"issued": 4, "exhausted": 6}


def test_a_sandbox_that_refuses_is_backed_off_from() -> None:
    """503 with Retry-After: a backoff, no poll."""
    made = forecast(
        cohort(20, replace(HERD, retry=RetryPolicy(attempts=50))),
        sandbox={"capacity": {"rate": "10/s", "queue": 0, "overflow": "refuse"}},
    )
    assert made.certificates == 20
    assert made.outcomes["overloaded"] > 10
    assert made.polls == 0


def test_requests_that_a_person_must_approve_stay_pending() -> None:
    """Nobody is there in a dry run; it says so."""
    made = forecast(cohort(3, HERD), sandbox={"issue": {"mode": "manual"}}, duration_s=20.0)
    assert (made.certificates, made.open_at_end, made.drain_s) == (0, 3, None)
    assert made.settled is False
    assert any("No approvals are simulated" in note for note in made.notes)


def test_an_early_repeat_is_punished_as_configured() -> None:
    """A device that ignores the told wait meets the sandbox's 403."""
    hasty = replace(HERD, deferral=DeferralPolicy(obedience=0.0))
    made = forecast(
        cohort(1, hasty), sandbox={"issue": {"mode": "deferred", "early": "forbid", "retry_after": {"seconds": 9}}}
    )
    assert made.outcomes == {"deferred": 1, "rejected": 1}


def test_an_unknown_server_is_assumed_to_be_ideal() -> None:
    """Nothing is known of it, and it says so; renewals follow an assumed day."""
    target = Target(closed_port())
    made = DryRun(
        replace(scenario(cohort(5, renewing(at=0.5, times=1))), sandbox=None, target=target, duration_s=86_400.0)
    ).run()
    assert made.certificates == 10
    assert made.ended_s == pytest.approx(43_200.0, abs=1.0)
    assert "ideal" in made.server
    assert "24h" in made.server or "1d" in made.server


def test_a_sandbox_changes_in_the_middle_of_it() -> None:
    """From ten a second to one: the second half takes its time. A change that cannot be is told."""
    text = "capacity: {rate: 10/s, overflow: wait}\n"
    made = forecast(
        cohort(40, HERD, arrivals=Even(10.0)),
        sandbox={"capacity": {"rate": "10/s", "overflow": "wait"}},
        sandbox_text=text,
        events=((2.0, SandboxChange({"capacity.rate": "1/s"})), (3.0, SandboxChange({"capacity.rate": "fast"}))),
    )
    assert made.drain_s == pytest.approx(22.0, abs=1.1)
    assert [note for note in made.notes if "not included" in note and "3s" in note]


def test_a_challenge_is_a_request_more() -> None:
    """Basic that is not preemptive: the 401 counts, and takes its time; cacerts needs no password."""
    asked = replace(cohort(1, STAYS), bootstrap=NoBootstrap(), http_auth=HttpAuth("alice", "secret"))
    made = forecast(asked)
    assert made.outcomes == {"ok": 2, "challenged": 1}
    assert made.certificate_exchanges == 2
    assert forecast(replace(asked, http_auth=HttpAuth("alice", "secret", preemptive=True))).certificate_exchanges == 1


def test_a_poll_that_is_challenged_is_one_poll() -> None:
    """Two requests of one poll: what is said of polls does not hang on how a device shows who it is."""
    asking = replace(cohort(10, HERD), bootstrap=NoBootstrap(), http_auth=HttpAuth("alice", "secret"))
    knowing = replace(asking, http_auth=HttpAuth("alice", "secret", preemptive=True))
    served = {"issue": {"mode": "deferred", "delay": "5s", "retry_after": {"seconds": 3}}}
    asked, known = (forecast(each, sandbox=served, duration_s=60.0) for each in (asking, knowing))
    assert (asked.polls, asked.wasted_polls) == (known.polls, known.wasted_polls) == (20, 10)
    assert asked.certificate_exchanges == 2 * known.certificate_exchanges == 60
