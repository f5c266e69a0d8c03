"""summary.json: every key of the contract, in its order, and figures that agree with each other."""

import json

import pytest
from measure_builders import MS, S, a_recorder, a_sample, an_enrolment

from estsim.est.enrolment import EnrolmentEnd
from estsim.est.operations import Operation
from estsim.est.outcome import NonConformance, OutcomeClass, RetryAfter, RetryAfterForm
from estsim.measure.recorder import Recorder
from estsim.measure.sample import FleetReading
from estsim.measure.saturation import Saturation
from estsim.measure.summary import (
    Block,
    Ending,
    GeneratorTotals,
    RunFacts,
    Verdict,
    build_summary,
    summary_json,
    verdict_of,
)
from estsim.measure.thresholds import Judgement, parse_thresholds

_FACTS = RunFacts(
    id="quick-1",
    scenario="quick",
    seed=42,
    started="2026-01-01T00:00:00Z",
    ended="2026-01-01T00:01:00Z",
    version="0.1.0",
    workers=1,
    target="https://localhost:8443",
    groups=("x25519", "p-256"),
    openssl="OpenSSL 4.0.1",
)
_STATISTICS = ["count", "mean", "p50", "p90", "p95", "p99", "p99_9", "max"]


def _summary(recorder: Recorder, *thresholds: str, saturation: Saturation | None = None) -> Block:
    summary = build_summary(
        _FACTS,
        recorder.scopes(60 * S),
        generator=GeneratorTotals(cpu_s=1.5, peak_rss_bytes=128 * 2**20),
        saturation=saturation,
        thresholds=parse_thresholds(thresholds, cohorts=recorder.devices),
    )
    read: Block = json.loads(summary_json(summary))
    return read


def _run() -> Recorder:
    told = RetryAfter(3.0, RetryAfterForm.SECONDS)
    rule = NonConformance("PEM armour", "RFC 8951 §3")
    exchanges = [a_sample(device=n, service_ns=(n + 1) * MS) for n in range(30)]
    exchanges += [a_sample(OutcomeClass.DEFERRED, device=n, retry_after=told) for n in range(30)]
    exchanges += [a_sample(device=31, operation=Operation.CACERTS, non_conformances=(rule,))]
    recorder = a_recorder(exchanges, [an_enrolment(device=n, took_ns=4 * S) for n in range(30)], north=30)
    recorder.fleet(FleetReading(60 * S, {"operational": 29, "retired": 1}))
    return recorder


def test_the_keys_are_those_of_the_contract_in_its_order() -> None:
    """DESIGN.md §8, even for a run in which nothing happened."""
    summary = _summary(a_recorder())
    assert list(summary) == [
        "schema_version", "run", "fleet", "operations", "certificates", "deferral", "phases", "cohorts", "generator",
        "thresholds", "verdict",
    ]  # fmt: skip
    assert list(summary["run"]) == [
        "id", "scenario", "seed", "started", "ended", "version", "workers", "target", "groups", "openssl",
        "notices",
    ]  # fmt: skip
    assert list(summary["operations"]["simpleenroll"]) == [
        "requests", "ok", "deferred", "overloaded", "challenged", "unauthorized", "rejected", "server_error",
        "malformed", "failed", "abandoned", "service_ms", "response_ms", "deferred_ms", "failed_ms",
    ]  # fmt: skip
    assert list(summary["operations"]["simplereenroll"]["service_ms"]) == [*_STATISTICS, "ci95"]
    assert list(summary["certificates"]) == ["issued", "verified", "expected_refusals", "findings"]
    keys = [key for key in summary["deferral"] if key not in ("drain_p90_s", "drain_p99_s")]
    assert keys == [
        "exchanges_per_certificate", "polls", "wasted_share", "hit_rate", "early_polls", "period_s", "synchronisation",
        "lag_correlation", "burstiness", "fano", "peak_to_mean", "drain_s", "resync_s", "fairness",
        "expired_while_waiting", "time_to_certificate_s", "enrolled_within", "retry_after_s", "punctuality_s",
        "non_conformance",
    ]  # fmt: skip
    assert list(summary["generator"]) == [
        "cpu_s", "cpu_per_enrolment_ms", "cpu_per_handshake_ms", "peak_rss_mib", "schedule_lag_ms", "saturated", "why",
        "loop_delay_ms", "peak_ports", "peak_descriptors",
    ]  # fmt: skip
    assert summary["deferral"]["drain_s"] is None
    assert (summary["verdict"], summary["thresholds"][0]["passed"]) == ("failed", False)


def test_the_figures_of_a_run() -> None:
    """Each section says what was recorded."""
    summary = _summary(_run())
    enroll, deferral = summary["operations"]["simpleenroll"], summary["deferral"]
    assert enroll["requests"] == 60 == sum(enroll[kind.value] for kind in OutcomeClass)
    assert enroll["service_ms"]["p50"] == pytest.approx(15, rel=0.001)
    assert (enroll["service_ms"]["p99"], enroll["service_ms"]["max"]) == (None, 30)
    assert summary["fleet"] == {"devices": 30, "states": {"operational": 29, "retired": 1}}
    assert sum(summary["fleet"]["states"].values()) == summary["fleet"]["devices"]
    assert summary["certificates"] == {"issued": 30, "verified": 30, "expected_refusals": 0, "findings": []}
    assert deferral["exchanges_per_certificate"] == 2
    assert deferral["period_s"] == 3
    assert deferral["drain_s"] == 4
    assert deferral["fairness"] == 1
    assert deferral["enrolled_within"] == {"1s": 0, "10s": 1, "1m": None, "5m": None}
    assert deferral["retry_after_s"]["forms"]["seconds"] == deferral["retry_after_s"]["count"] == 30
    assert deferral["non_conformance"] == {"PEM armour": {"count": 1, "rfc_section": "RFC 8951 §3"}}
    assert deferral["time_to_certificate_s"]["parts_s"]["service"] == 120
    assert deferral["time_to_certificate_s"]["max"] == 4
    assert summary["generator"]["cpu_per_enrolment_ms"] == 50
    assert summary["generator"]["peak_rss_mib"] == 128
    assert summary["thresholds"] == [{"expression": "failures < 1%", "value": 0, "passed": True, "why": "was 0%"}]
    assert summary["verdict"] == "passed"


def test_a_cohort_has_the_shape_of_the_run() -> None:
    """The same sections with the same keys; one cohort alone has the run's figures."""
    summary = _summary(_run())
    north = summary["cohorts"]["north"]
    for section in ("operations", "certificates", "deferral"):
        assert north[section] == summary[section]
    assert north["fleet"]["devices"] == 30


def test_a_time_that_was_not_reached_is_null_and_says_what_it_is_longer_than() -> None:
    """Three quarters still wait at the end."""
    searches = [an_enrolment(device=n, took_ns=S if n < 10 else None) for n in range(40)]
    block = _summary(a_recorder((), searches))["deferral"]["time_to_certificate_s"]
    assert (block["count"], block["p50"], block["mean"], block["max"], block["unfinished"]) == (
        10,
        None,
        None,
        None,
        30,
    )
    assert block["longer_than_s"] == {"p50": 60, "max": 60}


def test_an_expired_device_is_counted() -> None:
    """Its certificate ran out while it waited."""
    search = an_enrolment(took_ns=S, end=EnrolmentEnd.EXPIRED)
    assert _summary(a_recorder((), [search]))["deferral"]["expired_while_waiting"] == 1


@pytest.mark.parametrize(
    ("ending", "saturated", "passed", "verdict"),
    [
        (Ending.ABORTED, True, False, Verdict.ABORTED),
        (Ending.UNREACHABLE, True, True, Verdict.UNREACHABLE),
        (Ending.FINISHED, True, False, Verdict.SATURATED),
        (Ending.FINISHED, False, False, Verdict.FAILED),
        (Ending.FINISHED, False, True, Verdict.PASSED),
    ],
)
def test_the_verdict_is_the_first_that_applies(
    ending: Ending,
    saturated: bool,  # noqa: FBT001 - a column of the table
    passed: bool,  # noqa: FBT001 - the same
    verdict: Verdict,
) -> None:
    """In the order of the exit codes."""
    saturation = Saturation(0, 10, "late") if saturated else None
    assert verdict_of(ending, saturation, [Judgement("x", 1.0, passed, "")]) is verdict


def test_saturation_is_told_with_its_reason() -> None:
    """Thresholds are judged beside it, but the verdict is the generator's."""
    summary = _summary(_run(), saturation=Saturation(0, 10, "it was late"))
    assert (summary["generator"]["saturated"], summary["generator"]["why"]) == (True, "it was late")
    assert (summary["verdict"], summary["thresholds"][0]["passed"]) == ("saturated", True)
