"""The book of tallies: totals, phases, the last window and blocks are the same counts."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builders import COHORTS, MS, OneProcess, S, a_sample, an_enrolment, enrolments, samples

from estsim.est.enrolment import EnrolmentEnd
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass, RetryAfter, RetryAfterForm
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.record.ages import Ages
from estsim.record.phases import Stretch
from estsim.record.sample import Enrolment, FleetReading, PollPlan, Sample
from estsim.record.tally import Tally

_SIX = RetryAfter(6.0, RetryAfterForm.SECONDS)
_PHASES = (Stretch("warmup", 0.0, 30.0), Stretch("calm", 30.0, 90.0), Stretch("storm", 90.0, 1000.0))


def told(recorder: OneProcess, exchanges: Sequence[Sample], searches: Sequence[Enrolment] = ()) -> OneProcess:
    """Tell a recorder everything in the order in which it ends."""
    moments: list[tuple[int, int, Sample | Enrolment]] = [(each.stamps.ended_ns, 1, each) for each in exchanges]
    moments += [(each.intended_ns, 0, each) for each in searches]
    moments += [(each.ended_ns, 2, each) for each in searches if each.ended_ns is not None]
    for _, what, each in sorted(moments, key=lambda moment: moment[:2]):
        if isinstance(each, Sample):
            recorder.exchange(each)
        elif what == 0:
            recorder.enrolment_began(each)
        else:
            recorder.enrolment_ended(each)
    return recorder


def counts(tally: Tally) -> object:
    """Return what tells two tallies apart."""
    enrolment_tally = tally.enrolment_tally
    return (
        {operation: (each.by_class, each.service, each.response) for operation, each in tally.operations.items()},
        tally.schedule_lag,
        tally.errors,
        tally.polls.bins,
        enrolment_tally.begun,
        enrolment_tally.ended,
        {goal: ages_counted(ages) for goal, ages in enrolment_tally.ages.items()},
    )


def ages_counted(ages: Ages) -> object:
    """Return what tells two ages apart."""
    within = {limit: (each.issued, each.failed, each.cut) for limit, each in ages.within.items()}
    return ages.issued, ages.failed, ages.cut, ages.open_bins, within


@settings(max_examples=40)
@given(st.lists(samples(), max_size=60), enrolments())
def test_a_total_is_the_sum_of_its_phases_and_the_time_outside_them(
    exchanges: list[Sample], searches: Sequence[Enrolment]
) -> None:
    """Without a warmup nothing is lost and nothing is counted twice, however many slices it went through."""
    plain = told(OneProcess(cohorts=COHORTS), exchanges, searches)
    phased = told(OneProcess(cohorts=COHORTS, phases=_PHASES[1:]), exchanges, searches)
    assert counts(phased.book.total()) == counts(plain.book.total())
    assert plain.book.total().requests == len(exchanges)
    in_phases = sum(phased.book.phase(phase.name).requests for phase in phased.book.phases)
    assert in_phases == sum(each.stamps.intended_ns >= 30 * S for each in exchanges)


@settings(max_examples=40)
@given(st.lists(samples(), max_size=60), enrolments())
def test_a_warmup_counts_nowhere_else(exchanges: list[Sample], searches: Sequence[Enrolment]) -> None:
    """The rest of the run is what it would have been without it."""
    warm = told(OneProcess(cohorts=COHORTS, phases=_PHASES), exchanges, searches)
    rest = told(
        OneProcess(cohorts=COHORTS),
        [each for each in exchanges if each.stamps.intended_ns >= 30 * S],
        [each for each in searches if each.intended_ns >= 30 * S],
    )
    assert counts(warm.book.total()) == counts(rest.book.total())
    assert warm.book.phase("warmup").requests == len(exchanges) - rest.book.total().requests
    assert warm.book.blocks().keys() == rest.book.blocks().keys()


@settings(max_examples=30)
@given(st.lists(samples(), max_size=60))
def test_blocks_hold_each_latency_once(exchanges: list[Sample]) -> None:
    """Whether their slice is finished or under way."""
    recorder = told(OneProcess(cohorts=COHORTS), exchanges)
    blocks = recorder.book.blocks()
    for operation, tally in recorder.book.total().operations.items():
        for period_s in (None, 60.0):
            held = blocks[operation].response.of(period_s)
            assert sum(block.count for block in held) == tally.response.count
            assert sum(block.total for block in held) == tally.response.total


def snapshot(recorder: OneProcess, at_s: float) -> Snapshot:
    """Return what is shown then."""
    return recorder.snapshot(name="", target="", stage=RunStage.RUNNING, at_ns=round(at_s * S), duration_s=None)


def test_the_last_window_forgets() -> None:
    """After a minute of silence it is empty, while the totals stay."""
    recorder = told(OneProcess(cohorts=COHORTS), [a_sample(at_ns=5 * S, device=number) for number in range(30)])
    near = snapshot(recorder, 20.0)
    assert (near.window.requests, near.window.operations[0].requests) == (30, 30)
    assert near.window.seconds == 20.0
    late = snapshot(recorder, 75.0)
    assert (late.window.requests, late.window.operations, late.requests) == (0, (), 30)


def test_each_cohort_has_its_figures() -> None:
    """Requests, certificates, failures and states of the one are not the other's."""
    recorder = OneProcess(cohorts=COHORTS)
    recorder.fleet(FleetReading(0, {"deferred": 3}, cohorts={"north": {"deferred": 3, "off": 37}}))
    told(
        recorder,
        [a_sample(at_ns=S), a_sample(OutcomeClass.REJECTED, at_ns=S, cohort="south", detail="403 no")],
        [
            an_enrolment(at_ns=S, took_ns=2 * S),
            an_enrolment(at_ns=S, took_ns=S, cohort="south", end=EnrolmentEnd.REFUSED),
        ],
    )
    north, south = snapshot(recorder, 5.0).cohorts
    assert (north.name, north.devices, north.waiting_deferred, north.certificates) == ("north", 40, 3, 1)
    assert (north.failures, north.errors) == (0.0, 0)
    assert north.time_to_certificate_s.p50 == pytest.approx(2.0, rel=1e-3)
    assert (south.failures, south.errors, south.certificates, south.response_ms.count) == (1.0, 1, 0, 0)


def a_poll(at_s: float, *, told_s: float = 6.0, gap_s: float = 6.0, device: int = 0) -> Sample:
    """Return a poll that answers a deferral ``gap_s`` before it."""
    plan = PollPlan(round((at_s - gap_s) * S), told_s, 0.0, "seconds")
    return a_sample(at_ns=round(at_s * S), device=device, poll=plan, service_ns=MS)


def test_a_display_shows_polls_in_step() -> None:
    """R, the rhythm and the kept gaps of the last whole window, as the summary has them of the run."""
    recorder = OneProcess(cohorts=COHORTS)
    deferrals = [a_sample(OutcomeClass.DEFERRED, at_ns=n * S, device=n, retry_after=_SIX) for n in range(40)]
    herd = [a_poll(60.0 + 6.0 * turn, device=device) for turn in range(8) for device in range(40)]
    told(recorder, [*deferrals, *herd])
    shown = snapshot(recorder, 110.0).deferral
    assert shown.period_s == 6
    assert shown.synchronisation == pytest.approx(1.0)
    assert shown.run_synchronisation == pytest.approx(recorder.scope(110 * S).synchrony.synchronisation)
    assert sum(shown.rhythm) == 120 == max(shown.rhythm)
    assert (shown.told[6], shown.kept[6], shown.bin_s) == (40, 320, 1.0)


def test_a_window_at_a_time_gives_the_figure_of_the_whole() -> None:
    """However often the display asks."""
    random = Random(5)
    times = sorted(random.gauss(6.0 * random.randrange(10, 30), 0.8) for _ in range(3000))
    recorder = OneProcess(cohorts=COHORTS)
    recorder.exchange(a_sample(OutcomeClass.DEFERRED, retry_after=_SIX))
    for number, at_s in enumerate(times):
        recorder.exchange(a_poll(at_s))
        if number % 100 == 0:
            snapshot(recorder, at_s)
    shown = snapshot(recorder, 400.0).deferral.run_synchronisation
    assert shown == pytest.approx(recorder.scope(400 * S).synchrony.synchronisation, rel=0.05)


def test_expected_refusals_are_no_failures() -> None:
    """They are counted by class and as expected, and nobody waits for their certificate."""
    recorder = OneProcess(cohorts={"north": 2})
    refusal = a_sample(OutcomeClass.UNAUTHORIZED, at_ns=S, device=1, detail="who?")
    refusal.expected = True
    refused = an_enrolment(at_ns=S, took_ns=S, device=1, end=EnrolmentEnd.REFUSED)
    refused.expected = True
    told(recorder, [a_sample(at_ns=S), refusal], [an_enrolment(at_ns=S, took_ns=3 * S), refused])
    scope = recorder.scope(60 * S)
    assert (scope.failures, scope.expected_refusals, scope.drain_s()) == (0.0, 1, 3.0)
    tally = scope.tally.operations[Operation.SIMPLEENROLL]
    assert (tally.by_class[OutcomeClass.UNAUTHORIZED], tally.failed.count, scope.tally.errors.total()) == (1, 0, 0)


def test_a_finding_fails_the_run_and_is_stored() -> None:
    """It is listed, told on the display, and written."""
    recorder = OneProcess(cohorts=COHORTS)
    recorder.finding(3 * S, "device 7 has an expired certificate and was issued another")
    assert recorder.findings == ["device 7 has an expired certificate and was issued another"]
    assert snapshot(recorder, 4.0).marks[0][0] == 3.0
    assert [mark.kind for mark in recorder.take_batch().marks] == ["finding"]
