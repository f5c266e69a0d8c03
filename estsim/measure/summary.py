"""summary.json: what a run came to, in the keys and the order of DESIGN.md §8; null where there is nothing to say."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass, RetryAfterForm
from estsim.measure.deferral import Scope
from estsim.measure.lives import PARTS
from estsim.measure.saturation import Saturation
from estsim.measure.survival import Survival
from estsim.measure.synchrony import Synchrony, synchrony_of
from estsim.measure.tally import OperationTally, Tally
from estsim.measure.thresholds import Judgement, Threshold, judge
from estsim.units import format_duration

SCHEMA_VERSION: Final = 1

Block = dict[str, Any]  # a part of summary.json

_ALWAYS_SHOWN: Final = (Operation.CACERTS, Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL)
_PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}


class Verdict(StrEnum):
    """What a run came to, in one word."""

    PASSED = "passed"
    FAILED = "failed"
    SATURATED = "saturated"
    UNREACHABLE = "unreachable"
    ABORTED = "aborted"


class Ending(StrEnum):
    """How a run ended, before any threshold is asked."""

    FINISHED = "finished"
    UNREACHABLE = "unreachable"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the recorder cannot know of a run; times are ISO 8601, UTC."""

    id: str
    scenario: str
    seed: int
    started: str
    ended: str
    version: str
    workers: int
    target: str
    groups: tuple[str, ...]
    openssl: str


@dataclass(frozen=True, slots=True)
class GeneratorTotals:
    """What the run cost the generator, from the first device's start to the end."""

    cpu_s: float
    peak_rss_bytes: int


def build_summary(
    facts: RunFacts,
    run: Scope,
    cohorts: Mapping[str, Scope],
    *,
    generator: GeneratorTotals,
    saturation: Saturation | None,
    thresholds: Iterable[Threshold],
    broken: Judgement | None = None,
    ending: Ending = Ending.FINISHED,
) -> Block:
    """Return the summary of a run; ``broken`` is the threshold that ended it, which has failed whatever came after."""
    judgements = [
        broken if broken and broken.expression == threshold.expression else judge(threshold, run, cohorts)
        for threshold in thresholds
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "run": {**asdict(facts), "groups": list(facts.groups)},
        "fleet": {"devices": run.devices, "states": dict(run.states)},
        "operations": _operations(run.tally),
        "certificates": _certificates(run.tally),
        "deferral": _deferral(run),
        "phases": {},
        "cohorts": {name: _cohort(scope) for name, scope in cohorts.items()},
        "generator": _generator(run.tally, generator, saturation),
        "thresholds": [judgement.block() for judgement in judgements],
        "verdict": verdict_of(ending, saturation, judgements).value,
    }


def summary_json(summary: Block) -> str:
    """Return the text of summary.json."""
    return json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def verdict_of(ending: Ending, saturation: Saturation | None, judgements: Iterable[Judgement]) -> Verdict:
    """Return the verdict, the first that applies: figures of a saturated generator are not judged the server's."""
    if ending is Ending.ABORTED:
        return Verdict.ABORTED
    if ending is Ending.UNREACHABLE:
        return Verdict.UNREACHABLE
    if saturation is not None:
        return Verdict.SATURATED
    return Verdict.PASSED if all(judgement.passed for judgement in judgements) else Verdict.FAILED


def _cohort(scope: Scope) -> Block:
    return {
        "fleet": {"devices": scope.devices, "states": dict(scope.states) if scope.states else None},
        "operations": _operations(scope.tally),
        "certificates": _certificates(scope.tally),
        "deferral": _deferral(scope),
    }


def _operations(tally: Tally) -> Block:
    shown = [operation for operation in Operation if operation in _ALWAYS_SHOWN or operation in tally.operations]
    return {operation.value: _operation(tally.operations.get(operation) or OperationTally()) for operation in shown}


def _operation(tally: OperationTally) -> Block:
    return {
        "requests": tally.requests,
        **{kind.value: tally.by_class[kind] for kind in OutcomeClass},
        "service_ms": tally.service.block(0.001),
        "response_ms": tally.response.block(0.001),
        "deferred_ms": tally.deferred.block(0.001),
        "failed_ms": tally.failed.block(0.001),
    }


def _certificates(tally: Tally) -> Block:
    return {
        "issued": tally.issued,
        "verified": tally.certificates,
        "expected_refusals": 0,
        "findings": [],
    }


def _deferral(scope: Scope) -> Block:
    tally = scope.tally
    synchrony = synchrony_of(tally.polls.bins, scope.period_s) or Synchrony()
    return {
        "exchanges_per_certificate": _rounded(scope.exchanges_per_certificate),
        "polls": tally.polls.count,
        "wasted_share": _rounded(scope.wasted_share),
        "hit_rate": _rounded(scope.hit_rate),
        "early_polls": tally.polls.early,
        "period_s": scope.period_s,
        "synchronisation": _rounded(synchrony.synchronisation),
        "lag_correlation": _rounded(synchrony.lag_correlation),
        "burstiness": _rounded(synchrony.burstiness),
        "fano": _rounded(synchrony.fano),
        "peak_to_mean": _rounded(scope.peak_to_mean),
        "drain_s": scope.drain_s(),
        "drain_p90_s": scope.drain_s(0.9),
        "drain_p99_s": scope.drain_s(0.99),
        "resync_s": None,  # follows an event; there are none yet
        "fairness": _rounded(scope.fairness),
        "expired_while_waiting": scope.expired_while_waiting,
        "time_to_certificate_s": _time_to_certificate(scope),
        "enrolled_within": {
            format_duration(limit_ms / 1000): _rounded(scope.enrolled_within(limit_ms / 1000))
            for limit_ms in sorted(tally.lives.within)
        },
        "retry_after_s": _retry_after(tally),
        "punctuality_s": tally.polls.punctuality.block(1.0),
        "non_conformance": {
            broken.rule: {"count": count, "rfc_section": broken.rfc_section}
            for broken, count in sorted(tally.non_conformances.items(), key=lambda item: item[0].rule)
        },
    }


def _time_to_certificate(scope: Scope) -> Block:
    """Return the statistic block; what is not reached is null, and `longer_than_s` says what it is longer than."""
    survival, parts_ns = scope.time_to_certificate, scope.tally.lives.parts_ns
    events = survival.events
    block: Block = {"count": events.count, "mean": None}
    block |= {name: _reached(survival, share) for name, share in _PERCENTILES.items()}
    block["max"] = None
    if not survival.unfinished:
        block["mean"] = events.scaled(events.mean(), 1.0)
        block["max"] = events.scaled(events.max, 1.0)
    block["unfinished"] = survival.unfinished
    block["longer_than_s"] = {
        name: events.scaled(survival.horizon, 1.0)
        for name, share in {**_PERCENTILES, "max": 1.0}.items()
        if survival.unfinished and survival.supports(share) and survival.quantile(share) is None
    }
    block["parts_s"] = {part: round(parts_ns[part] / 1e9, 6) for part in PARTS}
    return block


def _reached(survival: Survival, share: float) -> float | None:
    return survival.events.scaled(survival.quantile(share), 1.0) if survival.supports(share) else None


def _retry_after(tally: Tally) -> Block:
    told = tally.told
    return {
        **told.histogram.block(1.0),
        "forms": {form.value: told.forms[form.value] for form in RetryAfterForm},
        "missing": told.missing,
        "zero": told.zero,
        "unreadable": told.unreadable,
        "past": told.past,
        "absurd": told.absurd,
    }


def _generator(tally: Tally, totals: GeneratorTotals, saturation: Saturation | None) -> Block:
    return {
        "cpu_s": round(totals.cpu_s, 3),
        "cpu_per_enrolment_ms": _cpu_per(totals.cpu_s, tally.certificates),
        "cpu_per_handshake_ms": _cpu_per(totals.cpu_s, tally.connections.handshakes),
        "peak_rss_mib": round(totals.peak_rss_bytes / 2**20, 1),
        "schedule_lag_ms": tally.schedule_lag.block(0.001),
        "saturated": saturation is not None,
        "why": saturation.why if saturation else None,
    }


def _cpu_per(cpu_s: float, count: int) -> float | None:
    return round(cpu_s * 1000 / count, 4) if count else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
