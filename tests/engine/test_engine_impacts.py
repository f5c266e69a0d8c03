"""Impacts: from the return of power, or the order to renew, to a usable certificate, whatever lies between."""

from test_engine_ledger import ISSUED, REFUSED, Life, policy

from estsim.device.commands import Exchange
from estsim.device.events import PowerCut, PowerRestored, RenewNow, Retire
from estsim.device.policy import EnrollPolicy, Fetch, RenewPolicy, RetryPolicy
from estsim.est.enrolment import EnrolmentEnd, ImpactKind
from estsim.est.outcome import Outcome, Rejected
from estsim.fleet.clock import NS_PER_S
from estsim.record.sample import Impact

DARK = PowerCut(keeps_key=False, keeps_pending=False)
REJECTED = Rejected(403, "no")


def cut(life: Life, *, at_s: float, back_s: float) -> None:
    """Let the power fail and come back."""
    life.now_ns = max(life.now_ns, round(at_s * NS_PER_S))
    life.order(DARK)
    life.now_ns = round(back_s * NS_PER_S)
    life.order(PowerRestored(back_s))


def carry_out(life: Life, outcome: Outcome) -> None:
    """Let the exchange under way come to something."""
    assert isinstance(life.command, Exchange)
    life.answer(life.command, outcome)


def only(life: Life) -> Impact:
    """Return the one impact that there was."""
    (impact,) = life.witness.impacts
    return impact


def test_a_device_that_kept_a_valid_certificate_recovers_at_once() -> None:
    """It holds a usable certificate the moment its power is back, whatever it asks for then."""
    life = Life(policy())
    life.live([ISSUED])
    cut(life, at_s=10, back_s=30)
    impact = only(life)
    assert (impact.kind, impact.since_ns, impact.ended_ns) == (ImpactKind.RECOVERY, 30 * NS_PER_S, 30 * NS_PER_S)
    assert impact.end is EnrolmentEnd.ISSUED
    share = life.witness.scope(60 * NS_PER_S).within("recovered_within", 1.0)
    assert share is not None
    assert (share.low, share.samples) == (1.0, 1)


def test_a_recovery_counts_across_cuts() -> None:
    """Cut before it had a certificate, back at 20 s, cut again in its exchange, back at 50 s: it counts from 20 s."""
    life = Life(policy())
    life.live([])
    cut(life, at_s=5, back_s=20)
    cut(life, at_s=21, back_s=50)
    carry_out(life, ISSUED)
    impact = only(life)
    assert impact.since_ns == 20 * NS_PER_S
    assert impact.ended_ns == life.witness.ended[-1].ended_ns
    assert [each.end for each in life.witness.ended] == [EnrolmentEnd.CUT, EnrolmentEnd.CUT, EnrolmentEnd.ISSUED]


def test_a_device_that_gives_up_does_not_recover() -> None:
    """Refused after its power was back: it has no certificate, and waits for help."""
    life = Life(policy())
    life.live([])
    cut(life, at_s=5, back_s=20)
    carry_out(life, REJECTED)
    impact = only(life)
    assert (impact.end, impact.ended_ns) == (EnrolmentEnd.EXHAUSTED, life.witness.ended[-1].ended_ns)


def test_a_replacement_lasts_until_the_next_certificate() -> None:
    """Told to renew at 10 s, refused, and renewed at its next try: the device is followed, not the enrolment."""
    life = Life(policy(renew=RenewPolicy(at=0.9, retry_every=0.01), retry=RetryPolicy(attempts=1)))
    life.live([ISSUED])
    life.now_ns = 10 * NS_PER_S
    life.order(RenewNow(10.0))
    carry_out(life, REFUSED)
    assert [each.end for each in life.witness.impacts] == [None]
    life.wake()
    carry_out(life, ISSUED)
    impact = only(life)
    assert (impact.kind, impact.since_ns, impact.end) == (
        ImpactKind.REPLACEMENT,
        10 * NS_PER_S,
        EnrolmentEnd.ISSUED,
    )
    assert impact.ended_ns == life.witness.ended[-1].ended_ns
    assert impact.ended_ns is not None
    assert impact.ended_ns > 19 * NS_PER_S  # 1 % of 1000 s later


def test_a_replacement_that_nobody_will_try_again_has_failed() -> None:
    """Without renewals of its own, the device keeps its certificate and waits for nothing."""
    life = Life(policy(renew=None))
    life.live([ISSUED])
    life.now_ns = 10 * NS_PER_S
    life.order(RenewNow(10.0))
    carry_out(life, REJECTED)
    assert only(life).end is EnrolmentEnd.EXHAUSTED


def test_a_device_that_retires_is_neither() -> None:
    """What it was struck by is cut by us."""
    life = Life(policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER)))
    life.live([])
    cut(life, at_s=5, back_s=20)
    life.order(Retire())
    carry_out(life, REFUSED)
    assert only(life).end is EnrolmentEnd.RETIRED
    share = life.witness.scope(60 * NS_PER_S).within("recovered_within", 1.0)
    assert share is not None
    assert not share.is_known


def test_a_device_that_has_nothing_left_is_not_struck() -> None:
    """It gave up before it was told to renew."""
    life = Life(policy())
    life.live([REJECTED])
    life.order(RenewNow(10.0))
    assert not life.witness.impacts
