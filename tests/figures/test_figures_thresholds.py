"""Thresholds: read against the catalogue, judged against what was measured."""

import pytest
from record_builders import MS, OneProcess, S, a_recorder, a_sample, an_enrolment

from estsim.est.enrolment import EnrolmentEnd
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.figures.catalogue import ThresholdError, names, parse_metric
from estsim.figures.metric_kinds import Unit
from estsim.figures.summary_blocks import SupportSummary
from estsim.figures.support import Evidence, support_of
from estsim.figures.thresholds import (
    DEFAULT_THRESHOLDS,
    AbortWatch,
    Judgement,
    exercised,
    judge,
    limits_of,
    parse_threshold,
    parse_thresholds,
)
from estsim.record.tally import OperationTally


def _judged(expression: str, recorder: OneProcess, ended_ns: int = 100 * S) -> Judgement:
    threshold = parse_threshold(expression, cohorts=recorder.devices)
    return judge(threshold, recorder.scopes(ended_ns))


@pytest.mark.parametrize("name", names())
def test_every_name_of_the_catalogue_can_be_read(name: str) -> None:
    """Each is a metric of the run and of a cohort, and an empty run gives it a value or a reason."""
    recorder = a_recorder()
    assert parse_metric(name).cohort is None
    metric = parse_metric(f"cohorts.north.{name}", cohorts=["north"])
    assert metric.cohort == "north"
    reading = metric.read(recorder.scope(900 * S))
    assert reading.value is not None or reading.why_none or reading.longer_than is not None


@pytest.mark.parametrize(
    ("expression", "path", "unit", "bound"),
    [
        ("simpleenroll.response.p99 < 800ms", "simpleenroll.response.p99", Unit.MILLISECONDS, 0.8),
        ("enrolled_within.5m >= 99%", "enrolled_within.5m", Unit.SHARE, 0.99),
        ("  failures<0.1% ", "failures", Unit.SHARE, 0.001),
        ("exchanges_per_certificate <= 3", "exchanges_per_certificate", Unit.NUMBER, 3.0),
        ("cohorts.north.enrolled_within.1.5s > 9%", "cohorts.north.enrolled_within.1.5s", Unit.SHARE, 0.09),
        ("time_to_certificate.p99.9 < 5m", "time_to_certificate.p99.9", Unit.SECONDS, 300.0),
        ("simplereenroll.service.count >= 500", "simplereenroll.service.count", Unit.NUMBER, 500.0),
        ("certificates.verified == 1000", "certificates.verified", Unit.NUMBER, 1000.0),
        ("fleet.states.operational >= 500", "fleet.states.operational", Unit.NUMBER, 500.0),
    ],
)
def test_a_threshold_is_read(expression: str, path: str, unit: Unit, bound: float) -> None:
    """A path, a comparison, and a bound in the unit of the metric."""
    threshold = parse_threshold(expression, cohorts=["north"])
    assert (threshold.metric.path, threshold.metric.unit) == (path, unit)
    assert threshold.limit.bound == pytest.approx(bound)
    assert threshold.expression == expression.strip()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("simplenroll.response.p99 < 1s", "did you mean simpleenroll.response.p99?"),
        ("failure < 1%", "did you mean failures?"),
        ("cohorts.nort.failures < 1%", "there is no cohort 'nort' (did you mean 'north'?)"),
        ("cohorts.north.failure < 1%", "did you mean cohorts.north.failures?"),
        ("simpleenroll.response.p99 < 5%", "simpleenroll.response.p99: expected a duration"),
        ("simpleenroll.response.p99 < 800", "simpleenroll.response.p99: expected a duration"),
        ("failures < 800ms", "failures: expected a share"),
        (
            "exchanges_per_certificate < 3s",
            "exchanges_per_certificate: expected a plain number such as 3: write 3 (got 3s)",
        ),
        ("enrolled_within.soon > 1%", "enrolled_within.soon: expected a duration"),
        ("enrolled_within.0s > 1%", "must be greater than 0"),
        ("generator.schedule_lag.p99 < 5ms", "has its own verdict"),
        ("failures", "expected a metric, a comparison and a value"),
        ("simpleenroll.response.p0 < 1s", "unknown metric"),
    ],
)
def test_a_threshold_that_no_run_can_judge_is_refused(expression: str, message: str) -> None:
    """Unknown names with the nearest one, and units that do not fit."""
    with pytest.raises(ThresholdError) as caught:
        parse_threshold(expression, cohorts=["north"])
    assert message in str(caught.value)


def test_a_percentile_is_judged_in_the_unit_of_the_bound() -> None:
    """2000 answers of 1 to 2000 ms: p99 is 1980 ms."""
    recorder = a_recorder([a_sample(service_ns=n * MS) for n in range(1, 2001)])
    good = _judged("simpleenroll.response.p99 < 2s", recorder)
    assert good.passed
    assert good.value == pytest.approx(1980, rel=0.001)
    assert good.why.startswith("actual 1.98")
    assert not _judged("simpleenroll.response.p99 < 1900ms", recorder).passed


def test_too_small_a_sample_is_thin_and_passes() -> None:
    """A p99 of 150 samples is judged by nearest rank; 299 with none beyond the limit support it."""
    thin = _judged("simpleenroll.service.p99 < 10s", a_recorder([a_sample() for _ in range(150)]))
    assert (thin.value, thin.passed, thin.thin) == (10.0, True, True)
    assert thin.reason == "actual 10ms; thin: 150 samples, 299 needed"
    assert thin.block().support == SupportSummary(150, 299, supported=False)
    plenty = _judged("simpleenroll.service.p99 < 10s", a_recorder([a_sample() for _ in range(299)]))
    assert (plenty.passed, plenty.thin, plenty.why) == (True, False, "actual 10ms")
    one = _judged("simpleenroll.service.p50 < 10s", a_recorder([a_sample()]))
    assert (one.passed, one.reason) == (True, "actual 10ms; thin: 1 sample, 5 needed")
    none = _judged("simpleenroll.service.p50 < 10s", a_recorder())
    assert (none.passed, none.judged, none.why) == (False, False, "not judged: no sample")


def test_a_thin_failure_stays_a_failure() -> None:
    """One of three is slow: that says little of a p90, and fails."""
    samples = [a_sample(service_ns=ms * MS) for ms in (10, 10, 900)]
    judgement = _judged("simpleenroll.service.p90 < 500ms", a_recorder(samples))
    assert (judgement.passed, judgement.thin) == (False, True)
    assert judgement.reason == "actual 900ms; thin: 3 samples, 10 needed"
    sure = _judged("simpleenroll.service.p90 < 500ms", a_recorder(samples * 10))
    assert (sure.passed, sure.thin, sure.why) == (False, False, "actual 900ms")


def test_a_strict_threshold_takes_no_thin_pass() -> None:
    """It fails, says why, and ends no run."""
    recorder = a_recorder([a_sample() for _ in range(20)])
    strict = parse_threshold("simpleenroll.service.p99 < 10s", strict=True)
    judgement = judge(strict, recorder.scopes(S))
    assert (judgement.passed, judgement.reason) == (
        False,
        "actual 10ms; thin: 20 samples, 299 needed; fails because it is strict",
    )
    assert AbortWatch(((strict, 0.0),)).broken(recorder.scopes(S)) is None


def test_a_percentile_of_few_samples_ends_no_run() -> None:
    """One slow answer of one: the next may be quick. Ten of ten are slow for certain."""
    slow = parse_threshold("simpleenroll.service.p50 < 5ms")
    vigil = AbortWatch(((slow, 0.0),))
    assert vigil.broken(a_recorder([a_sample()]).scopes(S)) is None
    assert vigil.broken(a_recorder([a_sample() for _ in range(10)]).scopes(S)) is not None


@pytest.mark.parametrize(
    "expression", ["failures == 0%", "certificates.issued >= 0", "drain < 10s", "simpleenroll.service.max < 1s"]
)
def test_a_claim_about_the_run_alone_rests_on_no_sample(expression: str) -> None:
    """Neither supported nor thin."""
    recorder = a_recorder([a_sample()], [an_enrolment(took_ns=S)], north=1)
    assert (_judged(expression, recorder).passed, _judged(expression, recorder).support) == (True, None)


def test_samples_of_a_herd_count_less_than_their_number() -> None:
    """Forty blocks of 10 s with ten samples each: all that are slow lie in two of them, so 400 are worth far fewer.

    Spread over the blocks evenly, as many slow ones leave 400 what they are.
    """

    def judged(slow: list[int]) -> Judgement:
        samples = [
            a_sample(at_ns=10 * S * block + n * MS, service_ns=(300 if block * 10 + n in slow else 10) * MS)
            for block in range(40)
            for n in range(10)
        ]
        return _judged("simpleenroll.service.p90 < 1s", a_recorder(samples), 400 * S)

    even, herd = judged([*range(0, 400, 10)]), judged([*range(40)])
    assert (even.passed, even.support and even.support.block()) == (
        True,
        SupportSummary(400, 29, supported=True),
    )
    assert herd.support is not None
    assert (herd.passed, herd.support.samples, herd.support.needed) == (True, 400, 298)


def test_a_thin_pass_names_the_effective_sample_size() -> None:
    """A reader who knows that p99 takes 299 would not understand why 276 lack 2048."""
    support = support_of(Evidence(276, 35.5, 0.0), 0.01, passed=True)
    thin = Judgement("enrolled_within.15s >= 99%", 1.0, passed=True, why="actual 100%", support=support)
    assert thin.reason == "actual 100%; thin: 276 samples, which count as 36 independent, 2325 needed"


@pytest.mark.parametrize(
    ("expression", "took_ms", "why"),
    [
        ("simpleenroll.service.max < 1s", 123.456, "actual 123.5ms"),
        ("simpleenroll.service.max < 123.48ms", 123.456, "actual 123.46ms"),  # four digits would be beyond the limit
        ("simpleenroll.service.max < 2m", 90_123.4, "actual 1m30.12s"),
    ],
)
def test_an_actual_time_has_four_digits(expression: str, took_ms: float, why: str) -> None:
    """Or as many as it takes to lie on its own side of the limit."""
    recorder = a_recorder([a_sample(service_ns=round(took_ms * MS))])
    assert _judged(expression, recorder).why == why


@pytest.mark.parametrize(
    ("failed", "of", "expression", "why"),
    [
        (79, 109, "failures < 1%", "actual 72.48%"),
        (1, 20_000, "failures < 1%", "actual 0.005%"),
        (100_001, 100_003, "failures < 1%", "actual 99.998%"),
        (1, 100_003, "certificates.verified > 1", "actual 100002"),
    ],
)
def test_an_actual_share_or_count_is_never_rounded_to_all_or_none(
    failed: int, of: int, expression: str, why: str
) -> None:
    """Four digits are enough, unless they said that all had failed; a count is whole."""
    recorder = a_recorder([], [])
    tally = recorder._counted.at("north", intended_ns=0, now_ns=0).tally
    tally.enrolment_tally.begun = of
    tally.enrolment_tally.ended.update({EnrolmentEnd.REFUSED: failed, EnrolmentEnd.ISSUED: of - failed})
    tally.operations[Operation.SIMPLEENROLL] = OperationTally()
    tally.operations[Operation.SIMPLEENROLL].by_class[OutcomeClass.OK] = of - failed
    assert _judged(expression, recorder).why == why


@pytest.mark.parametrize(
    ("expression", "unit"),
    [
        ("simpleenroll.response.p99 < 1s", "ms"),
        ("simpleenroll.response.count > 0", "count"),
        ("drain < 1m", "s"),
        ("failures < 1%", "share"),
        ("enrolled_within.10s >= 1%", "share"),
        ("fairness > 0.1", "count"),
    ],
)
def test_a_value_has_its_unit(expression: str, unit: str) -> None:
    """In summary.json beside the value, also where there is none."""
    assert _judged(expression, a_recorder()).block().unit == unit


def test_a_finished_run_is_always_judged() -> None:
    """Sixty devices, the slowest of which took 1.9 s, in a run that settled after 4 s: 30 s is no riddle."""
    searches = [an_enrolment(device=n, took_ns=1000 * MS + n * 15 * MS) for n in range(60)]
    judgement = _judged("enrolled_within.30s >= 90%", a_recorder((), searches), 4 * S)
    assert (judgement.value, judgement.passed, judgement.why) == (1.0, True, "actual 100%")


def test_a_share_within_ten_seconds_includes_that_within_five() -> None:
    """Each second a device starts, four in five take 2 s and the fifth 20 s; the run ends after 34 s.

    Of those that had 10 s, fewer are among the quick ones; the share must not fall for that.
    """
    searches = [an_enrolment(device=n, at_ns=n * S, took_ns=2 * S if n % 5 else None) for n in range(33)]
    recorder = a_recorder((), searches)
    five = _judged("enrolled_within.5s >= 75%", recorder, 34 * S)
    ten = _judged("enrolled_within.10s >= 75%", recorder, 34 * S)
    assert five.passed
    assert ten.passed
    assert five.value is not None
    assert ten.value is not None
    assert ten.value >= five.value


@pytest.mark.parametrize(
    ("bound", "passed", "judged", "why"),
    [
        ("90%", True, True, "actual between 93.33% and 100%"),
        (
            "95%",
            False,
            False,
            "not judged: between 93.33% and 100%; 20 of 300 enrolments were open or abandoned before 10s",
        ),
    ],
)
def test_an_unknown_share_is_judged_by_both_bounds(bound: str, passed: bool, judged: bool, why: str) -> None:  # noqa: FBT001 - a table
    """280 of 300 had one within 4 s, 20 were open at 5 s: nobody can know of 10 s but that it is at least 93.3 %."""
    searches = [an_enrolment(device=n, took_ns=4 * S if n < 280 else None) for n in range(300)]
    judgement = _judged(f"enrolled_within.10s >= {bound}", a_recorder((), searches), 5 * S)
    assert (judgement.passed, judgement.judged, judgement.value) == (passed, judged, None)
    assert judgement.why.startswith(why)


def test_a_server_that_never_answers_fails() -> None:
    """57 of 60 are open after 60 s: no failure has been seen, and the default thresholds fail all the same."""
    searches = [an_enrolment(device=n, took_ns=S if n < 3 else None) for n in range(60)]
    failures, unfinished = (_judged(text, a_recorder((), searches), 60 * S) for text in DEFAULT_THRESHOLDS)
    assert failures.passed
    assert (unfinished.passed, unfinished.why) == (False, "actual 95%")
    nothing = _judged("failures < 1%", a_recorder((), searches[3:]), 60 * S)
    why = "not judged: 57 enrolments began, and none ended"
    assert (nothing.passed, nothing.why) == (False, why)


def test_a_fleet_that_sought_nothing_has_no_failures() -> None:
    """300 operational devices after a power cut, which asked for CA certificates only."""
    recorder = a_recorder([a_sample(operation=Operation.CACERTS, device=n) for n in range(300)])
    scopes = recorder.scopes(60 * S)
    assert all(judge(threshold, scopes).passed for threshold in parse_thresholds([]))
    assert exercised(scopes) is None


def test_a_run_without_an_exchange_has_tested_nothing() -> None:
    """And fails, whatever its thresholds say."""
    idle = exercised(a_recorder().scopes(60 * S))
    assert idle is not None
    assert not idle.passed


def test_a_time_that_was_not_reached_fails_an_upper_bound() -> None:
    """Most of the herd still waits after 100 s: the median is longer than that, and only that much is known."""
    searches = [an_enrolment(device=n, took_ns=S if n < 10 else None) for n in range(40)]
    recorder = a_recorder((), searches)
    judgement = _judged("time_to_certificate.p50 < 5m", recorder)
    assert (judgement.passed, judgement.why) == (False, "actual > 100 s")
    assert not _judged("time_to_certificate.max < 5m", recorder).passed
    assert _judged("time_to_certificate.p50 > 50s", recorder).passed
    assert not _judged("time_to_certificate.p50 > 5m", recorder).passed


def test_cohorts_are_judged_apart() -> None:
    """North is fine, south fails; the run lies between."""
    searches = [an_enrolment(device=n, cohort="north", took_ns=S) for n in range(30)]
    searches += [an_enrolment(device=n, cohort="south", took_ns=S, end=EnrolmentEnd.REFUSED) for n in range(30, 40)]
    recorder = a_recorder((), searches)
    assert _judged("cohorts.north.failures < 1%", recorder).passed
    assert _judged("cohorts.south.failures < 1%", recorder).value == 1.0
    assert _judged("failures < 1%", recorder).why == "actual 25%"
    assert _judged("cohorts.north.enrolled_within.10s == 100%", recorder).passed


def test_counts_of_classes_are_metrics() -> None:
    """Requests and each class, by operation; an operation that was not used has none."""
    recorder = a_recorder([a_sample(OutcomeClass.REJECTED), a_sample(operation=Operation.CACERTS)])
    assert _judged("simpleenroll.rejected == 1", recorder).passed
    assert _judged("cacerts.requests == 1", recorder).passed
    assert _judged("simplereenroll.requests == 0", recorder).passed


def test_no_thresholds_means_the_default_ones() -> None:
    """And the limits asked for are counted beside the usual ones."""
    default = parse_thresholds([])
    assert tuple(each.expression for each in default) == DEFAULT_THRESHOLDS == ("failures < 1%", "unfinished < 1%")
    assert limits_of(default) == (1.0, 10.0, 60.0, 300.0)
    assert limits_of(parse_thresholds(["renewed_within.90s > 1%"])) == (1.0, 10.0, 60.0, 90.0, 300.0)


def test_a_threshold_that_may_end_a_run_is_asked_from_its_time_on_and_only_when_it_can_be_judged() -> None:
    """Not judged is not failed yet; before its time nobody asks; what it says is why the run ended."""
    recorder = a_recorder()
    failures = parse_threshold("failures < 10%")
    vigil = AbortWatch(((failures, 30.0),))

    def broken(at_s: int) -> Judgement | None:
        return vigil.broken(recorder.scopes(at_s * S))

    assert broken(40) is None, "nothing has ended yet"
    enrolment = an_enrolment(took_ns=5 * MS, end=EnrolmentEnd.REFUSED)
    recorder.enrolment_began(enrolment)
    recorder.enrolment_ended(enrolment)
    assert broken(29) is None
    ended_it = broken(42)
    assert ended_it is not None
    assert (ended_it.passed, ended_it.reason) == (
        False,
        "actual 100% after 42 s; this ended the run; thin: 1 sample, 2 needed",
    )
