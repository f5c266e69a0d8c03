"""summary.json: every key of the contract, in its order, and figures that agree with each other."""

import json
from dataclasses import replace
from typing import Any

import pytest
from record_builders import MS, OneProcess, S, a_recorder, a_sample, an_enrolment

from estsim.est.enrolment import EnrolmentEnd
from estsim.est.operations import Operation
from estsim.est.outcome import NonConformance, OutcomeClass, RetryAfter, RetryAfterForm
from estsim.figures.summary import RunFacts, read_summary
from estsim.figures.summary_blocks import InternalErrorsSummary, InternalErrorSummary
from estsim.figures.summary_builder import build_summary, summary_of_error
from estsim.figures.thresholds import Judgement, parse_thresholds
from estsim.figures.verdict import Ending, Verdict, verdict_of
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.phases import Stretch
from estsim.record.sample import FleetReading
from estsim.record.saturation import Saturation

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


def _summary(recorder: OneProcess, *thresholds: str, saturation: Saturation | None = None) -> dict[str, Any]:
    summary = build_summary(
        _FACTS,
        recorder.scopes(60 * S),
        generator=GeneratorTotals(cpu_s=1.5, peak_rss_bytes=128 * 2**20),
        saturation=saturation,
        of_thresholds=recorder.saturation.of_thresholds,
        thresholds=parse_thresholds(thresholds, cohorts=recorder.devices),
    )
    read: dict[str, Any] = json.loads(summary.to_json())
    return read


def _run() -> OneProcess:
    told = RetryAfter(3.0, RetryAfterForm.SECONDS)
    rule = NonConformance("PEM armour", "RFC 8951 §3")
    exchanges = [a_sample(device=n, service_ns=(n + 1) * MS) for n in range(30)]
    exchanges += [a_sample(OutcomeClass.DEFERRED, device=n, retry_after=told) for n in range(30)]
    exchanges += [a_sample(device=31, operation=Operation.CACERTS, non_conformances=(rule,))]
    recorder = a_recorder(exchanges, [an_enrolment(device=n, took_ns=4 * S) for n in range(30)], north=30)
    recorder.fleet(FleetReading(60 * S, {"operational": 29, "retired": 1}))
    return recorder


def test_failures_have_their_reasons_the_most_frequent_first() -> None:
    """By operation, class, phase and reason; those that were expected are outside, and the last entry has the rest."""
    expected = a_sample(OutcomeClass.REJECTED, detail="404 as planned")
    expected.expected = True
    exchanges = [
        *(a_sample(OutcomeClass.FAILED, operation=Operation.CACERTS, detail="connection refused") for _ in range(9)),
        *(a_sample(OutcomeClass.UNAUTHORIZED, detail="401 wrong password") for _ in range(30)),
        *(a_sample(OutcomeClass.CHALLENGED) for _ in range(30)),
        *(a_sample(OutcomeClass.REJECTED, detail=f"400 {n % 22:02}") for n in range(44)),
        expected,
    ]
    errors = _summary(a_recorder(exchanges))["errors"]
    keys = ("operation", "class", "phase", "detail", "count")
    assert [tuple(each[key] for key in keys) for each in errors[:3]] == [
        ("simpleenroll", "unauthorized", None, "401 wrong password", 30),
        ("cacerts", "failed", "connect", "connection refused", 9),
        ("simpleenroll", "rejected", None, "400 00", 2),
    ]
    assert tuple(errors[-1][key] for key in keys) == (None, None, None, "other errors (4 kinds)", 8)
    assert (len(errors), sum(each["count"] for each in errors)) == (21, 83)
    assert _summary(a_recorder())["errors"] == []


def test_a_run_that_could_not_begin_has_its_reason_and_thresholds_that_are_not_judged() -> None:
    """Not even those that hold of nothing, such as failures of no enrolment."""
    recorder = a_recorder()
    summary = build_summary(
        _FACTS,
        recorder.scopes(0),
        generator=GeneratorTotals(0.0, 0),
        saturation=None,
        of_thresholds=recorder.saturation.of_thresholds,
        thresholds=parse_thresholds(["failures < 1%", "drain < 1m"]),
        ending=Ending.UNREACHABLE,
        unreachable="preflight failed: refused",
    )
    assert (summary.verdict, summary.unreachable) == ("unreachable", "preflight failed: refused")
    why = "not judged: the preflight failed, and no device was started"
    assert summary.as_dict()["thresholds"] == [
        {"expression": name, "value": None, "unit": unit, "passed": False, "why": why, "support": None}
        for name, unit in (("failures < 1%", "share"), ("drain < 1m", "s"))
    ]
    assert "unreachable" not in _summary(recorder)


def test_the_keys_are_those_of_the_contract_in_its_order() -> None:
    """Even for a run in which nothing happened."""
    summary = _summary(a_recorder())
    assert list(summary) == [
        "schema_version", "run", "fleet", "operations", "certificates", "deferral", "phases", "cohorts", "errors",
        "generator", "thresholds", "verdict",
    ]  # fmt: skip
    assert list(summary["run"]) == [
        "id", "scenario", "seed", "started", "ended", "version", "workers", "target", "groups", "openssl",
        "notices", "machine", "lasted_s",
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
        "expired_while_waiting", "time_to_certificate_s", "enrolled_within", "renewed_within",
        "recovered_within", "replaced_within", "unfinished", "retry_after_s", "punctuality_s",
        "non_conformance",
    ]  # fmt: skip
    assert list(summary["generator"]) == [
        "cpu_s", "cpu_per_enrolment_ms", "enrolments_per_s", "cpu_per_handshake_ms", "peak_rss_mib", "schedule_lag_ms",
        "saturated", "why",
        "loop_delay_ms", "peak_ports", "peak_descriptors", "longest_stall_ms", "saturation",
    ]  # fmt: skip
    assert summary["deferral"]["drain_s"] is None
    passed = [judged["passed"] for judged in summary["thresholds"]]
    assert (summary["verdict"], passed) == ("failed", [True, True, False])
    assert summary["thresholds"][-1]["why"] == "actual 0: no device sent a request, so nothing was tested"


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
    assert deferral["enrolled_within"] == {"1s": 0, "10s": 1, "1m": 1, "5m": 1}
    assert deferral["renewed_within"] == dict.fromkeys(deferral["enrolled_within"])
    assert deferral["unfinished"] == 0
    assert deferral["retry_after_s"]["forms"]["seconds"] == deferral["retry_after_s"]["count"] == 30
    assert deferral["non_conformance"] == {"PEM armour": {"count": 1, "rfc_section": "RFC 8951 §3"}}
    assert deferral["time_to_certificate_s"]["parts_s"]["service"] == 120
    assert deferral["time_to_certificate_s"]["max"] == 4
    assert summary["generator"]["cpu_per_enrolment_ms"] == 50
    assert summary["generator"]["enrolments_per_s"] == 0.5, "30 in 60 s"
    assert summary["run"]["lasted_s"] == 60
    assert summary["generator"]["peak_rss_mib"] == 128
    support = {"samples": 30, "needed": 299, "supported": False}
    assert summary["thresholds"] == [
        {
            "expression": expression,
            "value": 0,
            "unit": "share",
            "passed": True,
            "why": "actual 0%; thin: 30 samples, 299 needed",
            "support": support,
        }
        for expression in ("failures < 1%", "unfinished < 1%")
    ]
    assert summary["verdict"] == "passed"


def test_a_cohort_has_the_shape_of_the_run() -> None:
    """The same sections with the same keys; one cohort alone has the run's figures."""
    summary = _summary(_run())
    north = summary["cohorts"]["north"]
    for section in ("operations", "certificates", "deferral"):
        assert north[section] == summary[section]
    assert north["fleet"]["devices"] == 30


def test_a_time_that_was_not_reached_is_null_with_a_lower_bound() -> None:
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


def test_saturation_has_its_reason() -> None:
    """Thresholds are judged beside it, but the verdict is the generator's."""
    summary = _summary(_run(), saturation=Saturation(0, 10, "it was late"))
    assert (summary["generator"]["saturated"], summary["generator"]["why"]) == (True, "it was late")
    assert (summary["verdict"], summary["thresholds"][0]["passed"]) == ("saturated", True)


def test_a_phase_has_its_rates_and_the_run_has_those_without_its_warm_up() -> None:
    """Over the part of it that has passed: of a phase that was to last longer, what there was of it."""
    phases = (Stretch("warmup", 0.0, 20.0), Stretch("calm", 20.0, 600.0), Stretch("late", 600.0, 700.0))
    recorder = OneProcess(cohorts={"north": 40}, phases=phases)
    for at_s, count in ((10, 30), (30, 10)):
        for device in range(count):
            recorder.exchange(a_sample(device=device, at_ns=at_s * S))
    summary = _summary(recorder)
    rates = {
        name: (phase["lasted_s"], phase["requests_per_s"], phase["certificates_per_s"])
        for name, phase in summary["phases"].items()
    }
    assert rates == {"warmup": (20, 1.5, 1.5), "calm": (40, 0.25, 0.25), "late": (0, None, None)}
    assert recorder.scopes(60 * S).per_s(10) == 0.25


def test_a_summary_is_read_back_as_it_was() -> None:
    """With all its parts, and written again as the same text; one without figures has none again."""
    written = _summary(_run(), "failures < 1%", saturation=Saturation(0, 10, "late"))
    text = json.dumps(written, indent=2, ensure_ascii=False)
    summary = read_summary(json.loads(text))
    assert summary.to_json() == f"{text}\n"
    assert read_summary(summary.as_dict()) == summary


def test_a_summary_without_figures_has_the_reason_only() -> None:
    """A bug of ours kept them from being reckoned; a bug that comes later makes the verdict an error, too."""
    bug = InternalErrorsSummary(1, 0, (InternalErrorSummary("KeyError", "x.py:1", 1, 0),))
    summary = summary_of_error(_FACTS, Ending.FINISHED, bug)
    assert list(summary.as_dict()) == ["schema_version", "run", "internal_errors", "thresholds", "verdict"]
    assert "lasted_s" not in summary.as_dict()["run"]
    assert (summary.verdict, summary.certificates.verified, summary.fleet.states) == ("error", None, None)
    assert read_summary(summary.as_dict()) == summary
    passed = read_summary(_summary(_run()))
    assert (passed.with_errors(bug).verdict, replace(passed, verdict="aborted").with_errors(bug).verdict) == (
        "error",
        "aborted",
    )
