"""From a run's store to the figures of its report: the same as a live run counts, and none of too small a sample."""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builders import COHORTS, MS, OneProcess, S, a_sample, an_enrolment, enrolments, samples

from estsim.errors import StoreError, Trouble, UsageError
from estsim.est.enrolment import Cause, EnrolmentEnd
from estsim.est.outcome import OutcomeClass, RetryAfter, RetryAfterForm
from estsim.figures.summary import RunFacts
from estsim.figures.summary_blocks import error_summaries
from estsim.figures.summary_builder import build_summary
from estsim.figures.thresholds import parse_thresholds
from estsim.record.error_kinds import ErrorKinds, ranked
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.phases import Stretch
from estsim.record.sample import Enrolment, FleetReading, GeneratorReading, PollPlan, Sample
from estsim.record.store import RunStore
from estsim.report.run_report import RunReport, read_run
from estsim.report.windows import MAX_POINTS

PHASES = (Stretch("warmup", 0.0, 30.0), Stretch("steady", 30.0, 150.0))


def a_recorder(
    exchanges: Sequence[Sample] = (), searches: Sequence[Enrolment] = (), phases: Sequence[Stretch] = ()
) -> OneProcess:
    """Return a recorder that was told of the given exchanges and enrolments."""
    recorder = OneProcess(cohorts=COHORTS, phases=phases)
    for sample in exchanges:
        recorder.exchange(sample)
    for enrolment in searches:
        recorder.enrolment_began(enrolment)
        if enrolment.end is not None:
            recorder.enrolment_ended(enrolment)
    return recorder


def report_of(
    folder: Path, recorder: OneProcess, *, phases: Sequence[Stretch] = (), facts: Mapping[str, str] | None = None
) -> RunReport:
    """Write what a recorder was told, and read it as a report does."""
    (folder / "run.sqlite").unlink(missing_ok=True)
    with RunStore(folder / "run.sqlite") as store:
        spans = [[phase.name, phase.from_s, phase.to_s] for phase in phases]
        store.put(cohorts=json.dumps(COHORTS), phases=json.dumps(spans), **(facts or {}))
        store.write(recorder.take_batch())
    return read_run(folder)


def alike(ours: object, theirs: object, where: str = "") -> None:
    """Assert that two summaries say the same: numbers to three digits, as histograms have them, all else exactly."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        assert [*ours] == [*theirs], where
        for key in ours:
            alike(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list):
        assert len(ours) == len(theirs), where
        for number, pair in enumerate(zip(ours, theirs, strict=True)):
            alike(*pair, f"{where}.{number}")
    elif isinstance(ours, float) and isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=2e-3, abs=2e-3), where
    else:
        assert ours == theirs, where


def summaries(report: RunReport, recorder: OneProcess) -> tuple[dict[str, object], dict[str, object]]:
    """Return the summary made from the store and that of the recorder, of what both know."""
    facts = RunFacts("", "", 0, "", "", "", 1, "", (), "")
    theirs = build_summary(
        facts,
        recorder.scopes(round(report.ended_s * S)),
        generator=GeneratorTotals(0.0, 0),
        saturation=recorder.saturation.verdict(),
        of_thresholds=recorder.saturation.of_thresholds,
        thresholds=parse_thresholds([]),
    )
    parts = ("operations", "certificates", "deferral", "phases", "cohorts")
    ours, counted = report.figures.as_dict(), theirs.as_dict()
    return {part: ours[part] for part in parts}, {part: counted[part] for part in parts}


@settings(max_examples=40, deadline=None)
@given(exchanges=st.lists(samples(), max_size=80), searches=enrolments(), phased=st.booleans())
def test_figures_are_those_of_the_run(
    tmp_path_factory: pytest.TempPathFactory, exchanges: list[Sample], searches: Sequence[Enrolment], *, phased: bool
) -> None:
    """Every figure of summary.json that the store is asked for is what the recorder counted as it happened."""
    exchanges.sort(key=lambda sample: sample.stamps.ended_ns)
    recorder = a_recorder(exchanges, searches, phases=PHASES if phased else ())
    recorder.fleet(FleetReading(0, cohorts={cohort: {"off": devices} for cohort, devices in COHORTS.items()}))
    report = report_of(tmp_path_factory.mktemp("run"), recorder, phases=PHASES if phased else ())
    ours, theirs = summaries(report, recorder)
    alike(ours, theirs)
    total = recorder.book.total()
    assert report.failures["run", ""] == recorder.scope(0).failures
    assert error_summaries(report.errors) == report.figures.errors == error_summaries(ranked(total.errors))
    assert report.errors.count == total.errors.total()
    for each in report.errors.top:
        key = (each.operation, each.kind, each.phase, each.detail)
        assert Counter(each.cohorts) == Counter({name: recorder.book.cohort(name).errors[key] for name in COHORTS})
    if not phased:
        assert report.generator.lag_ms.count == total.schedule_lag.count


def test_intervals_are_those_of_the_run(tmp_path: Path) -> None:
    """The 95 % confidence intervals come from the same blocks of ten seconds, a warm-up left out of both."""
    exchanges = [
        a_sample(
            device=n % 40, at_ns=n * 50 * MS, service_ns=(5 + n * 37 % 83) * MS, cohort="north" if n % 3 else "south"
        )
        for n in range(2400)
    ]
    exchanges.sort(key=lambda sample: sample.stamps.ended_ns)
    for phases in ((), PHASES):
        recorder = a_recorder(exchanges, phases=phases)
        report = report_of(tmp_path, recorder, phases=phases)
        ours, theirs = summaries(report, recorder)
        alike(ours, theirs)
        intervals = report.figures.as_dict()["operations"]["simpleenroll"]["response_ms"]["ci95"]
        assert intervals["p50"][0] <= intervals["p50"][1] < intervals["p99"][0]


def test_an_expected_failure_is_no_failure(tmp_path: Path) -> None:
    """Refusals that are part of the plan are counted by themselves, and in no error, chart or latency of failures."""
    planned = a_sample(OutcomeClass.REJECTED, device=1, detail="as planned")
    planned.expected = True
    refused = an_enrolment(device=1, took_ns=S, end=EnrolmentEnd.REFUSED)
    refused.expected = True
    report = report_of(
        tmp_path, a_recorder([planned, a_sample(OutcomeClass.REJECTED, detail="not planned")], [refused])
    )
    (error,) = report.errors.top
    assert (error.operation, error.detail, error.count, error.cohorts) == (
        "simpleenroll",
        "not planned",
        1,
        {"north": 1},
    )
    assert report.expected == {"simpleenroll": 1}
    assert report.rates.failures == {"rejected": (1, 0)}
    operation = report.figures.operations["simpleenroll"]
    assert (operation.rejected, operation.failed_ms.count) == (2, 1)
    assert report.figures.certificates.expected_refusals == 1
    assert report.failures["run", ""] == 0.0


def test_the_fleet_is_carried_from_change_to_change(tmp_path: Path) -> None:
    """At every point the states of each cohort add up to its devices, however long nothing changed."""
    recorder = a_recorder([a_sample(at_ns=600 * S)])
    for second, enrolled in ((0, 0), (3, 10), (400, 40)):
        north = {"off": 40 - enrolled, "operational": enrolled}
        recorder.record.fleet(FleetReading(second * S, cohorts={"north": north, "south": {"off": 40}}))
    fleet = report_of(tmp_path, recorder).fleet
    assert (fleet.width_s, fleet.points) == (5, 121)
    assert fleet.points <= MAX_POINTS
    assert [*fleet.cohorts["north"]] == ["off", "operational"]
    assert {sum(counts) for counts in zip(*fleet.total.values(), strict=True)} == {80}
    assert (fleet.cohorts["north"]["operational"][79], fleet.cohorts["north"]["operational"][80]) == (10, 40)


def test_a_killed_run_is_judged_from_its_store(tmp_path: Path) -> None:
    """Its thresholds, one unknown to us listed with the reason; its generator, by the class a live run asks."""
    searches = [an_enrolment(device=n, took_ns=S) for n in range(40)]
    late = [a_sample(device=n % 40, at_ns=n * 20 * MS, lag_ns=50 * MS) for n in range(1000)]
    recorder = a_recorder(late, searches)
    facts = {"thresholds": '["time_to_certificate.p50 < 2s", "failures < 1%", "charm > 3"]'}
    report = report_of(tmp_path, recorder, facts=facts)
    assert [(each.expression, each.passed) for each in report.figures.thresholds] == [
        ("time_to_certificate.p50 < 2s", True),
        ("failures < 1%", True),
    ]
    assert [*report.not_judged] == ["charm > 3"]
    assert "unknown metric charm" in report.not_judged["charm > 3"]
    verdict = recorder.saturation.verdict()
    assert verdict is not None
    assert report.generator.saturation == verdict
    assert report.figures.generator.saturated
    assert report.figures.verdict == "aborted"


def test_a_shortage_is_named(tmp_path: Path) -> None:
    """An exchange that failed for want of our own ports makes the run void, also when it was killed."""
    ours = a_sample(OutcomeClass.FAILED, at_ns=3 * S, detail="no more local ports")
    ours.trouble = Trouble.GENERATOR
    report = report_of(tmp_path, a_recorder([a_sample(), ours]))
    assert report.generator.saturation is not None
    assert report.generator.saturation.why.startswith("no more local ports, first after 3 s")


def test_early_polls_are_seen(tmp_path: Path) -> None:
    """Punctuality is cut at zero, so that not one early poll hides in a bar of those that were not."""
    early = a_sample(cause=Cause.POLL, at_ns=4 * S, poll=PollPlan(0, 5.0, 0.0, "seconds"))
    late = [
        a_sample(cause=Cause.POLL, at_ns=5 * S + n * MS, poll=PollPlan(0, 5.0, 0.0, "seconds")) for n in range(1, 500)
    ]
    pictures = report_of(tmp_path, a_recorder([early, *late])).deferral
    assert pictures.punctuality is not None
    bars = pictures.punctuality
    assert (bars.first_s, bars.polls[0], sum(bars.polls)) == (-bars.width_s, 1, 500)


def polls_every(period_s: int, polls: int) -> list[Sample]:
    """Return deferred polls in lock-step, 100 at each multiple of the period."""
    told = RetryAfter(float(period_s), RetryAfterForm.SECONDS)
    return [
        a_sample(
            OutcomeClass.DEFERRED,
            device=number,
            cause=Cause.POLL,
            at_ns=(number // 100 + 1) * period_s * S,
            retry_after=told,
            poll=PollPlan((number // 100) * period_s * S, float(period_s), 0.0, "seconds"),
        )
        for number in range(polls)
    ]


def test_a_herd_in_lock_step_is_one_column_of_its_raster(tmp_path: Path) -> None:
    """Every period is a row, and all its polls fall into the first column; nothing is lost."""
    report = report_of(tmp_path, a_recorder(polls_every(4, 700)))
    raster = report.deferral.raster
    assert raster is not None
    assert (raster.period_s, raster.first_s, raster.periods_per_row) == (4, 4.0, 1)
    assert [row[0] for row in raster.rows] == [100] * 7
    assert sum(map(sum, raster.rows)) == 700
    assert report.figures.deferral.synchronisation == pytest.approx(1.0)
    assert [(window.from_s, window.polls) for window in report.deferral.windows] == [(4.0, 300), (16.0, 300)]
    assert [window.synchronisation for window in report.deferral.windows] == pytest.approx([1.0, 1.0])


def test_retry_after_and_actual_waits_have_the_same_bins(tmp_path: Path) -> None:
    """All polls are in both; a poll that was late is in a later bar than what it was told."""
    late = a_sample(cause=Cause.POLL, at_ns=10 * S, lag_ns=3 * S, poll=PollPlan(5 * S, 5.0, 0.0, "seconds"))
    waits = report_of(tmp_path, a_recorder([*polls_every(5, 100), late])).deferral.waits
    assert waits is not None
    assert (waits.first_s, waits.width_s) == (5.0, 0.1)
    assert (waits.told[0], waits.kept[0]) == (101, 100)
    assert (sum(waits.told), sum(waits.kept), waits.kept[-1]) == (101, 101, 1)
    assert len(waits.kept) == 31


def test_parts_are_means_of_tenths_from_quick_to_slow(tmp_path: Path) -> None:
    """Tenths where each has ten enrolments, fewer groups else; what has no certificate is in none."""
    searches = [an_enrolment(device=n, took_ns=(n + 1) * MS) for n in range(40)]
    (parts,) = report_of(tmp_path, a_recorder(searches=[*searches, an_enrolment(device=99)])).parts
    assert (parts.goal, parts.count) == ("enroll", 40)
    assert [size for size, _, _ in parts.groups] == [10] * 4
    assert parts.groups[0][1] == pytest.approx(0.0055)
    assert parts.groups[-1][1] == pytest.approx(0.0355)
    for _, mean_s, means in parts.groups:
        assert sum(means.values()) == pytest.approx(mean_s)


def test_rates_add_up_to_what_happened(tmp_path: Path) -> None:
    """Over a run that is longer than a chart has points, whole or not, and what was open is seen."""
    exchanges = [a_sample(device=n, at_ns=n * 13 * S) for n in range(40)]
    searches = [an_enrolment(device=n, at_ns=n * 13 * S, took_ns=S if n % 2 else None) for n in range(40)]
    rates = report_of(tmp_path, a_recorder(exchanges, searches)).rates
    assert rates.width_s == 5
    lengths_s = [5] * (len(rates.requests) - 1) + [509 - 5 * (len(rates.requests) - 1)]
    for rate in (rates.requests, rates.intended, rates.certificates):
        assert sum(each * length_s for each, length_s in zip(rate, lengths_s, strict=True)) == pytest.approx(40)
    assert rates.still_open[-1] == 20


def test_the_generator_s_readings_are_merged(tmp_path: Path) -> None:
    """The CPU of a point is the mean of its readings, the delay the longest: no spike is smoothed away."""
    recorder = a_recorder([a_sample(at_ns=n * 10 * MS, lag_ns=5 * MS) for n in range(1000)])
    for second in range(1000):
        recorder.generator(GeneratorReading(second * S, 0.5, 10**8, 1, 9 * MS if second == 501 else MS))
    generator = report_of(tmp_path, recorder).generator
    assert len(generator.loop_monitor) <= MAX_POINTS + 1
    assert {vital.cpu_share for vital in generator.loop_monitor} == {0.5}
    assert max(vital.loop_delay_ms for vital in generator.loop_monitor) == 9.0
    assert len(generator.worst) == 5
    assert generator.peak_rss_bytes == 10**8
    assert generator.lag_ms.p50 == pytest.approx(5.0, rel=1e-3)


def test_preflight_is_in_no_figure(tmp_path: Path) -> None:
    """It is stored and counted nowhere."""
    report = report_of(tmp_path, a_recorder([a_sample(OutcomeClass.FAILED, cause=Cause.PREFLIGHT, at_ns=9 * S)]))
    assert (report.courses, report.errors, report.handshakes, report.ended_s) == ((), ErrorKinds(), (), 0.0)
    assert (report.generator.lag_ms.count, report.rates.requests) == (0, ())


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """No folder, a folder without a store, and a store with words that no estsim has written."""
    with pytest.raises(UsageError, match="no such folder"):
        read_run(tmp_path / "none")
    with pytest.raises(UsageError, match="expected a results folder"):
        read_run(tmp_path)
    report_of(tmp_path, a_recorder([a_sample()]))
    with closing(sqlite3.connect(tmp_path / "run.sqlite")) as store:
        store.execute("""UPDATE series SET classes = '{"simplyenroll": {"ok": 1}}'""")
        store.commit()
    where = r"run\.sqlite: unreadable content: series\.classes, row 1"
    told = rf"{where}: expected a JSON object .*\(got simplyenroll\)$"
    with pytest.raises(StoreError, match=told):
        read_run(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"passed"'])
def test_a_summary_that_is_none_is_none(tmp_path: Path, text: str) -> None:
    """One cut short by a full disk does not stop the report."""
    (tmp_path / "summary.json").write_text(text)
    assert report_of(tmp_path, a_recorder([a_sample()])).summary is None
