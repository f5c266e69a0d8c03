"""Thresholds: read against the catalogue, judged against what was measured."""

import pytest
from measure_builders import MS, S, a_recorder, a_sample, an_enrolment

from estsim.est.enrolment import EnrolmentEnd
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.measure.catalogue import ThresholdError, Unit, names, parse_metric
from estsim.measure.recorder import Recorder
from estsim.measure.thresholds import (
    DEFAULT_THRESHOLD,
    Judgement,
    Vigil,
    judge,
    limits_of,
    parse_threshold,
    parse_thresholds,
)


def _judged(expression: str, recorder: Recorder, ended_ns: int = 100 * S) -> Judgement:
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
    assert threshold.bound == pytest.approx(bound)
    assert threshold.expression == expression.strip()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("simplenroll.response.p99 < 1s", "did you mean simpleenroll.response.p99?"),
        ("failure < 1%", "did you mean failures?"),
        ("cohorts.nort.failures < 1%", "there is no cohort nort (did you mean north?)"),
        ("cohorts.north.failure < 1%", "did you mean cohorts.north.failures?"),
        ("simpleenroll.response.p99 < 5%", "simpleenroll.response.p99: expected a duration"),
        ("simpleenroll.response.p99 < 800", "simpleenroll.response.p99: expected a duration"),
        ("failures < 800ms", "failures: expected a share"),
        ("exchanges_per_certificate < 3s", "exchanges_per_certificate: expected a plain number such as 3 (got 3s)"),
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
    assert good.why.startswith("was 1.98")
    assert not _judged("simpleenroll.response.p99 < 1900ms", recorder).passed


def test_too_small_a_sample_is_not_judged_and_fails() -> None:
    """A p99 of 512 samples would be a guess."""
    recorder = a_recorder([a_sample() for _ in range(512)])
    judgement = _judged("simpleenroll.service.p99 < 10s", recorder)
    assert (judgement.value, judgement.passed) == (None, False)
    assert judgement.why == "not judged: needs 1000 samples, had 512"
    assert _judged("simpleenroll.service.p90 < 10s", recorder).passed


def test_a_time_that_was_not_reached_fails_an_upper_bound() -> None:
    """Most of the herd still waits after 100 s: the median is longer than that, and only that much is known."""
    searches = [an_enrolment(device=n, took_ns=S if n < 10 else None) for n in range(40)]
    recorder = a_recorder((), searches)
    judgement = _judged("time_to_certificate.p50 < 5m", recorder)
    assert (judgement.passed, judgement.why) == (False, "was > 100 s")
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
    assert _judged("failures < 1%", recorder).why == "was 25%"
    assert _judged("cohorts.north.enrolled_within.10s == 100%", recorder).passed


def test_counts_of_classes_are_metrics() -> None:
    """Requests and each class, by operation; an operation that was not used has none."""
    recorder = a_recorder([a_sample(OutcomeClass.REJECTED), a_sample(operation=Operation.CACERTS)])
    assert _judged("simpleenroll.rejected == 1", recorder).passed
    assert _judged("cacerts.requests == 1", recorder).passed
    assert _judged("simplereenroll.requests == 0", recorder).passed


def test_no_thresholds_means_the_default_one() -> None:
    """And the limits asked for are counted beside the usual ones."""
    (default,) = parse_thresholds([])
    assert default.expression == DEFAULT_THRESHOLD
    assert not _judged(DEFAULT_THRESHOLD, a_recorder()).passed
    assert limits_of([default]) == (1.0, 10.0, 60.0, 300.0)
    assert limits_of(parse_thresholds(["enrolled_within.90s > 1%"])) == (1.0, 10.0, 60.0, 90.0, 300.0)


def test_a_threshold_that_may_end_a_run_is_asked_from_its_time_on_and_only_when_it_can_be_judged() -> None:
    """Not judged is not failed yet; before its time nobody asks; what it says is why the run ended."""
    recorder = a_recorder()
    failures = parse_threshold("failures < 10%")
    vigil = Vigil(((failures, 30.0),))

    def broken(at_s: int) -> Judgement | None:
        return vigil.broken(recorder.scopes(at_s * S))

    assert broken(40) is None, "nothing has ended yet"
    enrolment = an_enrolment(took_ns=5 * MS, end=EnrolmentEnd.REFUSED)
    recorder.enrolment_began(enrolment)
    recorder.enrolment_ended(enrolment)
    assert broken(29) is None
    ended_it = broken(42)
    assert ended_it is not None
    assert (ended_it.passed, ended_it.why) == (False, "was 100% after 42 s, which ended the run")
