"""Whose a failed threshold is: the server's where it fails without the generator's own delay too."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builders import MS, OneProcess, S, a_sample, an_enrolment, samples

from estsim.errors import Trouble
from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.figures.summary import RunFacts, Summary
from estsim.figures.summary_builder import build_summary
from estsim.figures.thresholds import AbortWatch, parse_threshold, parse_thresholds
from estsim.figures.without_delay import tally_without_delay
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.recorder import Recorder
from estsim.record.sample import Enrolment, GeneratorReading, PollPlan, Sample
from estsim.record.store import RunStore
from estsim.record.worker_report import pack, unpack
from estsim.report.run_report import read_run

COHORTS = {"north": 5, "south": 0}
END_NS = 60 * S
NUMBER = re.compile(r"\d+(?:[.]\d+)?")
FACTS = RunFacts("", "", 0, "", "", "", 1, "", (), "")


def a_late_one(*, lag_ms: int = 0, loop_ms: int = 0, server_ms: int = 20, **more: object) -> Sample:
    """Return an exchange of which so much is ours, and so much the server's."""
    took_ns = (server_ms + loop_ms) * MS
    sample = a_sample(lag_ns=lag_ms * MS, service_ns=took_ns, **more)  # type: ignore[arg-type]  # by name
    sample.stamps.loop_delay_ns = loop_ms * MS
    return sample


def a_search(
    *, own_ms: int = 0, server_ms: int = 20, end: EnrolmentEnd = EnrolmentEnd.ISSUED, **more: int
) -> Enrolment:
    """Return an enrolment of which so much is ours; a failed one is spoilt by that."""
    enrolment = an_enrolment(took_ns=(own_ms + server_ms) * MS, end=end, **more)  # type: ignore[arg-type]  # by name
    enrolment.generator_ns, enrolment.loop_delay_ns = own_ms * MS // 2, own_ms * MS // 2
    enrolment.spoilt = end is not EnrolmentEnd.ISSUED and own_ms > 0
    return enrolment


def recorded(*deeds: Sample | Enrolment, ways: str = "alone") -> OneProcess:
    """Return the recorder of a run, of this process or of two workers."""
    led = OneProcess(cohorts=COHORTS)
    workers = [Recorder(), Recorder()]
    for number, deed in enumerate(deeds):
        records = led if ways == "alone" else workers[number % 2]
        if isinstance(deed, Sample):
            records.exchange(deed)
        else:
            records.enrolment_began(replace(deed, end=None, ended_ns=None))
            records.enrolment_ended(deed)
    if ways != "alone":
        for number, worker in enumerate(workers):
            led.merge(number, unpack(pack(worker.take_report())))
    return led


def summary_of(recorder: OneProcess, *thresholds: str) -> Summary:
    """Return what a run came to."""
    return build_summary(
        FACTS,
        recorder.scopes(END_NS),
        generator=GeneratorTotals(0.0, 0),
        saturation=recorder.verdict(),
        thresholds=parse_thresholds(thresholds, cohorts=COHORTS),
        of_thresholds=recorder.saturation.of_thresholds,
    )


FOUR_QUICK = [a_late_one(device=n, at_ns=n * S) for n in range(4)]
STRANDED = a_late_one(loop_ms=800, kind=OutcomeClass.FAILED, at_ns=9 * S)
BROKEN = a_late_one(loop_ms=1500, kind=OutcomeClass.FAILED, at_ns=9 * S)
BROKEN.trouble = Trouble.RESET
LATE_POLL = a_late_one(lag_ms=900, at_ns=9 * S, poll=PollPlan(4 * S, 5.0, 0.0, "seconds"))


@pytest.mark.parametrize("ways", ["alone", "two workers"])
@pytest.mark.parametrize(
    ("deed", "threshold"),
    [
        (a_late_one(lag_ms=800, at_ns=9 * S), "simpleenroll.response.max < 500ms"),
        (a_late_one(loop_ms=800, at_ns=9 * S), "simpleenroll.response.max < 500ms"),
        (a_late_one(lag_ms=300, loop_ms=300, at_ns=9 * S), "simpleenroll.response.max < 500ms"),
        (a_late_one(lag_ms=800, at_ns=9 * S), "simpleenroll.response.p99 < 500ms"),
        (a_late_one(loop_ms=800, at_ns=9 * S), "simpleenroll.service.max < 500ms"),
        (a_late_one(loop_ms=800, at_ns=9 * S), "simpleenroll.service.mean < 100ms"),
        (a_late_one(loop_ms=800, at_ns=9 * S), "cohorts.north.simpleenroll.service.max < 500ms"),
        (a_late_one(loop_ms=800, kind=OutcomeClass.DEFERRED, at_ns=9 * S), "simpleenroll.deferred.max < 500ms"),
        (STRANDED, "simpleenroll.failed.max < 500ms"),
        (BROKEN, "simpleenroll.failed == 0"),
        (LATE_POLL, "punctuality.max < 100ms"),
        (a_search(own_ms=800, at_ns=9 * S), "time_to_certificate.max < 500ms"),
        (a_search(own_ms=800, at_ns=9 * S), "drain < 9500ms"),
        (a_search(own_ms=1200, at_ns=9 * S), "enrolled_within.1s >= 99%"),
        (a_search(own_ms=800, end=EnrolmentEnd.DEADLINE, at_ns=9 * S), "failures < 1%"),
        (a_search(own_ms=800, end=EnrolmentEnd.EXHAUSTED, at_ns=9 * S), "enrolled_within.1s >= 99%"),
        (a_search(own_ms=800, end=EnrolmentEnd.EXPIRED, at_ns=9 * S), "expired_while_waiting == 0"),
        (a_search(own_ms=800, end=EnrolmentEnd.EXPIRED, at_ns=9 * S), "time_to_certificate.max < 500ms"),
    ],
)  # fmt: skip
def test_a_threshold_that_fails_by_our_delay_alone_is_the_generators(
    deed: Sample | Enrolment, threshold: str, ways: str
) -> None:
    """Among others that are quick; the verdict says so, and the threshold what it would have been."""
    others = [a_search(device=n + 1, at_ns=n * S) for n in range(4)] if isinstance(deed, Enrolment) else FOUR_QUICK
    summary = summary_of(recorded(deed, *others, ways=ways), threshold)
    (judged,) = summary.thresholds
    assert not judged.passed
    assert re.fullmatch(r"actual .+; \S.* without the generator's own delay", judged.why)
    assert summary.verdict == "saturated"
    assert summary.generator.saturated is True
    assert (summary.generator.why or "").startswith(f"{threshold} would pass without the generator's own delay")
    assert "the largest schedule lag was" in (summary.generator.why or "")


def test_where_all_that_failed_failed_by_our_delay_nothing_is_left_to_judge() -> None:
    """That is no pass, and no failure of the server's."""
    summary = summary_of(recorded(a_search(own_ms=1800, end=EnrolmentEnd.DEADLINE, at_ns=9 * S)), "failures < 1%")
    why = "actual 100%; nothing to judge without the generator's own delay"
    assert (summary.verdict, summary.thresholds[0].why) == ("saturated", why)


@pytest.mark.parametrize(
    ("deed", "threshold"),
    [
        (a_late_one(lag_ms=300, loop_ms=300, server_ms=600, at_ns=9 * S), "simpleenroll.response.max < 500ms"),
        (a_late_one(loop_ms=800, server_ms=600, at_ns=9 * S), "simpleenroll.service.max < 500ms"),
        (a_late_one(server_ms=600, at_ns=9 * S), "simpleenroll.service.max < 500ms"),
        (a_late_one(lag_ms=300, server_ms=600, at_ns=9 * S), "simpleenroll.service.max < 500ms"),
        (a_late_one(loop_ms=500, kind=OutcomeClass.FAILED, at_ns=9 * S), "simpleenroll.failed == 0"),
        (a_late_one(loop_ms=1500, kind=OutcomeClass.REJECTED, at_ns=9 * S), "simpleenroll.rejected == 0"),
        (a_late_one(lag_ms=800, at_ns=9 * S), "simpleenroll.requests == 4"),
        (a_search(own_ms=300, server_ms=900, at_ns=9 * S), "time_to_certificate.max < 500ms"),
        (a_search(own_ms=300, server_ms=1300, at_ns=9 * S), "enrolled_within.1s >= 99%"),
        (a_search(end=EnrolmentEnd.DEADLINE, at_ns=9 * S), "failures < 1%"),
    ],
)
def test_one_that_fails_all_the_same_is_the_servers(deed: Sample | Enrolment, threshold: str) -> None:
    """Late as the generator was, that is not why."""
    others = [a_search(device=n + 1, at_ns=n * S) for n in range(4)] if isinstance(deed, Enrolment) else FOUR_QUICK
    summary = summary_of(recorded(deed, *others), threshold)
    assert (summary.verdict, summary.generator.why) == ("failed", None)
    assert "own delay" not in summary.thresholds[0].why


def test_the_generators_share_of_several_failures_comes_first() -> None:
    """Figures of which some are our own delay are not judged the server's; each threshold says which it is."""
    slow = a_late_one(server_ms=900, at_ns=8 * S, operation=Operation.SIMPLEREENROLL)
    recorder = recorded(a_late_one(lag_ms=800, at_ns=9 * S), slow, *FOUR_QUICK)
    summary = summary_of(recorder, "simpleenroll.response.max < 500ms", "simplereenroll.response.max < 500ms")
    assert summary.verdict == "saturated"
    assert ["own delay" in judged.why for judged in summary.thresholds] == [True, False]


@pytest.mark.parametrize(
    ("end", "shortage", "also"),
    [
        (EnrolmentEnd.REFUSED, False, True),
        (EnrolmentEnd.EXHAUSTED, False, True),
        (EnrolmentEnd.DEADLINE, False, False),  # a generator that is late may be why a time ran out
        (EnrolmentEnd.REFUSED, True, False),  # without ports the server never saw them
    ],
)
def test_failures_that_a_late_generator_does_not_explain_are_named(
    end: EnrolmentEnd, *, shortage: bool, also: bool
) -> None:
    """The exit code stays that of the generator; whoever reads why learns of the server's refusals, too."""
    late = [a_late_one(lag_ms=2000, device=n, at_ns=n * S) for n in range(4)]
    recorder = recorded(*late, a_search(end=end, device=5), a_search(device=4))
    if shortage:
        recorder.saturation.out_of(3 * S, "this machine ran out of local ports")
    summary = summary_of(recorder, "failures < 1%", "cohorts.north.failures < 1%", "unfinished < 1%")
    assert summary.verdict == "saturated"
    which = "failures < 1% and cohorts.north.failures < 1%"
    said = f". {which} also failed for reasons that the generator's delay does not explain"
    assert (summary.generator.why or "").endswith(said) is also
    assert ("also failed" in (summary.generator.why or "")) is also


def test_the_verdict_names_lag_and_stall_and_when_they_were() -> None:
    """Also where neither is above its limit."""
    recorder = recorded(a_late_one(lag_ms=700, at_ns=9 * S), *FOUR_QUICK)
    stall = GeneratorReading(13 * S, 0.1, 0, 0, 0, stalled_from_ns=9 * S, stalled_to_ns=9 * S + 800 * MS)
    recorder.generator(stall)
    assert recorder.verdict() is None
    why = summary_of(recorder, "simpleenroll.response.max < 500ms").generator.why or ""
    assert "the largest schedule lag was 700 ms at 9.7 s" in why
    assert "the longest event-loop stall was 800 ms from 9.0 s to 9.8 s" in why
    assert why.endswith("so the failure is the generator's; use a quieter machine or more workers (--workers)")


def test_a_threshold_that_may_end_the_run_does_not_for_our_delay() -> None:
    """The server has not failed it; one that it has failed ends the run, and stays failed."""
    threshold = parse_threshold("simpleenroll.response.max < 500ms")
    vigil = AbortWatch(((threshold, 0.0),))
    assert vigil.broken(recorded(a_late_one(loop_ms=800)).scopes(END_NS)) is None
    broken = vigil.broken(recorded(a_late_one(server_ms=800)).scopes(END_NS))
    assert broken is not None
    assert (broken.passed, broken.ours) == (False, False)


@settings(max_examples=40)
@given(st.lists(samples(), max_size=40), st.integers(0, 3000))
def test_a_run_without_delay_does_not_change(exchanges: Sequence[Sample], loop_ms: int) -> None:
    """Counts are kept, and each spread has as many values as before, none of them longer."""
    for number, sample in enumerate(exchanges):
        sample.stamps.loop_delay_ns = min(loop_ms * MS * (number % 2), sample.stamps.service_ns)
    tally = recorded(*exchanges).book.total()
    cleared = tally_without_delay(tally)
    assert cleared.requests <= tally.requests
    for operation, counts in tally.operations.items():
        left = cleared.operations[operation]
        for name in ("service", "response", "deferred", "failed"):
            before, after = getattr(counts, name), getattr(left, name)
            assert after.count == before.count
            assert (after.max or 0) <= (before.max or 0)
        gone = counts.by_class.total() - left.by_class.total()
        assert gone == counts.by_class[OutcomeClass.FAILED] - left.by_class[OutcomeClass.FAILED] >= 0


def test_a_report_attributes_a_failure_as_the_run_did(tmp_path: Path) -> None:
    """Thresholds, their reasons and the verdict, of exchanges and of enrolments."""
    thresholds = ["simpleenroll.response.max < 500ms", "failures < 1%", "time_to_certificate.max < 1s"]
    failed = a_search(own_ms=1500, end=EnrolmentEnd.DEADLINE, device=3, at_ns=20 * S)
    failed.goal = Goal.RENEW
    broken = a_late_one(loop_ms=1500, kind=OutcomeClass.FAILED, at_ns=11 * S)
    broken.trouble = Trouble.RESET
    searches = [a_search(own_ms=1200, device=7, at_ns=9 * S), failed]
    recorder = recorded(a_late_one(lag_ms=400, loop_ms=400, at_ns=9 * S), broken, *searches, *FOUR_QUICK)
    theirs = summary_of(recorder, *thresholds)
    with RunStore(tmp_path / "run.sqlite") as store:
        store.put(cohorts=json.dumps(COHORTS), thresholds=json.dumps(thresholds), ending="finished")
        store.write(recorder.take_batch())
    ours = read_run(tmp_path).figures
    assert theirs.verdict == ours.verdict == "saturated"
    for mine, told in zip(ours.thresholds, theirs.thresholds, strict=True):
        assert NUMBER.sub("", mine.why) == NUMBER.sub("", told.why)
        figures = [[*map(float, NUMBER.findall(each.why))] for each in (mine, told)]
        assert figures[0] == pytest.approx(figures[1], rel=1e-3)
    assert all("own delay" in judged.why for judged in ours.thresholds)
