"""From a run's store to the figures of its report: the same as a live run counts, and none of too small a sample."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measure_builders import MS, S, a_recorder, a_sample, an_enrolment, enrolments, samples

from estsim.errors import StoreError, UsageError
from estsim.est.enrolment import Cause
from estsim.est.outcome import OutcomeClass, RetryAfter, RetryAfterForm
from estsim.measure.histograms import LATENCY, Histogram
from estsim.measure.recorder import Recorder
from estsim.measure.report_figures import RunReport, read_run
from estsim.measure.report_windows import MAX_POINTS, bin_width_s, course_of, decoded
from estsim.measure.sample import Enrolment, GeneratorReading, PollPlan, Sample
from estsim.measure.store import RunStore
from estsim.measure.synchrony import synchrony_of


def report_of(folder: Path, recorder: Recorder) -> RunReport:
    """Write what a recorder was told, and read it as a report does."""
    (folder / "run.sqlite").unlink(missing_ok=True)
    with RunStore(folder / "run.sqlite") as store:
        store.write(recorder.take_batch())
    return read_run(folder)


@settings(max_examples=25)
@given(st.lists(samples(), max_size=80), enrolments())
def test_figures_are_those_of_the_run(
    tmp_path_factory: pytest.TempPathFactory, exchanges: list[Sample], searches: Sequence[Enrolment]
) -> None:
    """What the store counts in SQL is what the recorder counted as it happened."""
    recorder = a_recorder(exchanges, searches)
    report = report_of(tmp_path_factory.mktemp("run"), recorder)
    total = recorder.book.total()
    scope = recorder.scope(round(report.ended_s * S))
    assert {each.name: each.by_class for each in report.operations} == {
        operation.value: {kind.value: tally.by_class[kind] for kind in OutcomeClass}
        for operation, tally in total.operations.items()
    }
    deferral = report.deferral
    assert (deferral.polls, deferral.early) == (total.polls.count, total.polls.early)
    assert (deferral.wasted_share, deferral.hit_rate) == (scope.wasted_share, scope.hit_rate)
    assert deferral.period_s == scope.period_s
    assert {form: n for form, n in deferral.told_forms.items() if n} == dict(total.told.forms)
    found = synchrony_of(total.polls.bins, scope.period_s)
    assert deferral.synchrony.synchronisation == (found.synchronisation if found else None)
    assert report.exchanges_per_certificate == scope.exchanges_per_certificate
    assert report.failures == scope.failures
    assert report.unfinished == total.lives.open
    assert report.time_to_certificate.quantiles(0.5, 0.9) == scope.time_to_certificate.quantiles(0.5, 0.9)
    assert report.generator.lag_ms["count"] == total.schedule_lag.count
    assert sum(count for *_, count in report.errors) == sum(total.errors.values())


@given(st.dictionaries(st.integers(0, LATENCY.highest), st.integers(1, 10**9), max_size=30))
def test_a_histogram_is_decoded_as_its_package_does(values: dict[int, int]) -> None:
    """Bucket by bucket, over the whole range."""
    histogram = Histogram()
    for value, count in values.items():
        histogram.record(value, count)
    assert decoded(histogram.encode()).counts == histogram.counts


def a_second(count: int, value_us: int = 1000) -> Histogram:
    """Return a second in which everything took the same time."""
    histogram = Histogram()
    histogram.record(value_us, count)
    return histogram


@pytest.mark.parametrize(
    ("per_second", "names"),
    [
        ({0: 19}, ()),
        ({0: 20}, ("p50",)),
        ({0: 200, 1: 199}, ("p50",)),
        ({0: 200, 1: 200}, ("p50", "p90")),
        (dict.fromkeys(range(4), 1000), ("p50", "p90", "p99")),
    ],
)
def test_no_percentile_of_too_small_a_sample(per_second: dict[int, int], names: tuple[str, ...]) -> None:
    """A percentile is drawn where windows that support it remain, and not at all below that."""
    course = course_of({second: a_second(count) for second, count in per_second.items()})
    assert course.names == names
    assert course.count == sum(per_second.values())
    assert bool(course.windows) is bool(names)


@given(st.dictionaries(st.integers(0, 2000), st.integers(1, 60), min_size=1, max_size=300))
def test_every_window_supports_what_it_shows(per_second: dict[int, int]) -> None:
    """Windows follow each other, hold all samples between them, and none has too few."""
    course = course_of({second: a_second(count) for second, count in per_second.items()})
    needed = {"p50": 20, "p90": 100, "p99": 1000}
    for window in course.windows:
        assert {*window.percentiles} == {*course.names}
        assert window.count >= max(needed[name] for name in course.names)
    if course.windows:
        assert sum(window.count for window in course.windows) == sum(per_second.values())
    ends = [window.to_s for window in course.windows]
    assert all(after.from_s >= end for end, after in zip(ends, course.windows[1:], strict=False))
    assert len(course.windows) <= MAX_POINTS


def test_a_window_s_percentiles_come_from_merged_histograms() -> None:
    """Not from the mean of its seconds' percentiles: a slow second of few does not count as much as one of many."""
    course = course_of({0: a_second(19, 1_000), 1: a_second(3, 900_000)})
    (window,) = course.windows
    assert (window.from_s, window.to_s, window.count) == (0, 2, 22)
    assert window.percentiles["p50"] == pytest.approx(1.0, rel=1e-3)


def test_points_are_few_however_long_the_run() -> None:
    """A day has no more points than a minute's chart can show."""
    assert bin_width_s(60) == 1
    assert bin_width_s(241) == 2
    assert all(-(-span // bin_width_s(span)) <= MAX_POINTS for span in (1, 500, 86_400, 30 * 86_400))


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
    assert report.deferral.synchrony.synchronisation == pytest.approx(1.0)


def test_waits_are_told_and_kept_in_the_same_bars(tmp_path: Path) -> None:
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
    assert len(generator.readings) <= MAX_POINTS + 1
    assert {share for _, share, _ in generator.readings} == {0.5}
    assert max(delay_ms for *_, delay_ms in generator.readings) == 9.0
    assert generator.peak_rss_bytes == 10**8
    assert generator.lag_ms["p50"] == pytest.approx(5.0, rel=1e-3)


def test_preflight_is_in_no_figure(tmp_path: Path) -> None:
    """It is stored and counted nowhere."""
    report = report_of(tmp_path, a_recorder([a_sample(OutcomeClass.FAILED, cause=Cause.PREFLIGHT, at_ns=9 * S)]))
    assert (report.requests, report.errors, report.handshakes, report.ended_s) == (0, (), (), 0.0)
    assert (report.generator.lag_ms["count"], report.rates.requests) == (0, ())


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    """No folder, a folder without a store, and a store with words that no estsim has written."""
    with pytest.raises(UsageError, match="there is no such folder"):
        read_run(tmp_path / "none")
    with pytest.raises(UsageError, match="expected the folder of a run"):
        read_run(tmp_path)
    report_of(tmp_path, a_recorder([a_sample()]))
    with closing(sqlite3.connect(tmp_path / "run.sqlite")) as store:
        store.execute("""UPDATE series SET classes = '{"simplyenroll": {"ok": 1}}'""")
        store.commit()
    with pytest.raises(StoreError, match="holds what cannot be read: 'simplyenroll'"):
        read_run(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"passed"'])
def test_a_summary_that_is_none_is_none(tmp_path: Path, text: str) -> None:
    """One cut short by a full disk does not stop the report."""
    (tmp_path / "summary.json").write_text(text)
    assert report_of(tmp_path, a_recorder([a_sample()])).summary is None
