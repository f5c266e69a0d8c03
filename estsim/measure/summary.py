"""summary.json: what a run came to, in the keys and the order of DESIGN.md §8; null where there is nothing to say."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass, RetryAfterForm
from estsim.measure.blocks import Blocks, interval
from estsim.measure.book import OperationBlocks
from estsim.measure.deferral import Scope, Scopes
from estsim.measure.histograms import Histogram, needed_samples
from estsim.measure.lives import PARTS
from estsim.measure.saturation import Saturation
from estsim.measure.survival import Survival
from estsim.measure.tally import OperationTally, Tally
from estsim.measure.thresholds import Judgement, Threshold, judge
from estsim.units import format_duration

SCHEMA_VERSION: Final = 1

Block = dict[str, Any]  # a part of summary.json

_ALWAYS_SHOWN: Final = (Operation.CACERTS, Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL)
_INTERVALS: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
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
    notices: tuple[str, ...] = ()  # what a reader of the figures has to know of the plan


@dataclass(frozen=True, slots=True)
class GeneratorTotals:
    """What the run cost the generator, from the first device's start to the end."""

    cpu_s: float
    peak_rss_bytes: int
    loop_delay: Histogram = field(default_factory=Histogram)  # how late the loop woke a task
    peak_ports: int = 0
    peak_descriptors: int = 0


def totals_of(parts: Iterable[GeneratorTotals]) -> GeneratorTotals:
    """Return what several processes cost together; memory is the sum of their peaks, ports are the machine's."""
    known = tuple(parts)
    delay = Histogram()
    for each in known:
        delay.merge(each.loop_delay)
    return GeneratorTotals(
        cpu_s=sum(each.cpu_s for each in known),
        peak_rss_bytes=sum(each.peak_rss_bytes for each in known),
        loop_delay=delay,
        peak_ports=max((each.peak_ports for each in known), default=0),
        peak_descriptors=max((each.peak_descriptors for each in known), default=0),
    )


def build_summary(
    facts: RunFacts,
    scopes: Scopes,
    *,
    generator: GeneratorTotals,
    saturation: Saturation | None,
    thresholds: Iterable[Threshold],
    broken: Judgement | None = None,
    findings: Sequence[str] = (),
    ending: Ending = Ending.FINISHED,
) -> Block:
    """Return the summary of a run; ``broken`` is the threshold that ended it, which has failed whatever came after."""
    judgements = [
        broken if broken and broken.expression == threshold.expression else judge(threshold, scopes)
        for threshold in thresholds
    ]
    run = scopes.run
    return {
        "schema_version": SCHEMA_VERSION,
        "run": {**asdict(facts), "groups": list(facts.groups), "notices": list(facts.notices)},
        "fleet": {"devices": run.devices, "states": dict(run.states)},
        "operations": _operations(run),
        "certificates": {**_certificates(run), "findings": list(findings)},
        "deferral": _deferral(run),
        "phases": {name: _phase(phase) for name, phase in scopes.phases.items()},
        "cohorts": {name: _cohort(scope) for name, scope in scopes.cohorts.items()},
        "generator": _generator(run.tally, generator, saturation),
        "thresholds": [judgement.block() for judgement in judgements],
        "verdict": verdict_of(ending, saturation, judgements, findings).value,
    }


def summary_json(summary: Block) -> str:
    """Return the text of summary.json."""
    return json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def verdict_of(
    ending: Ending, saturation: Saturation | None, judgements: Iterable[Judgement], findings: Sequence[str] = ()
) -> Verdict:
    """Return the verdict, the first that applies: figures of a saturated generator are not judged the server's."""
    if ending is Ending.ABORTED:
        return Verdict.ABORTED
    if ending is Ending.UNREACHABLE:
        return Verdict.UNREACHABLE
    if saturation is not None:
        return Verdict.SATURATED
    held = all(judgement.passed for judgement in judgements) and not findings
    return Verdict.PASSED if held else Verdict.FAILED


def _cohort(scope: Scope) -> Block:
    return {
        "fleet": {"devices": scope.devices, "states": dict(scope.states) if scope.states else None},
        **_figures(scope),
    }


def _phase(scopes: Scopes) -> Block:
    return {**_figures(scopes.run), "cohorts": {name: _figures(scope) for name, scope in scopes.cohorts.items()}}


def _figures(scope: Scope) -> Block:
    return {
        "operations": _operations(scope),
        "certificates": _certificates(scope),
        "deferral": _deferral(scope),
    }


def _operations(scope: Scope) -> Block:
    operations = scope.tally.operations
    shown = [operation for operation in Operation if operation in _ALWAYS_SHOWN or operation in operations]
    return {operation.value: _operation(operation, scope) for operation in shown}


def _operation(operation: Operation, scope: Scope) -> Block:
    tally = scope.tally.operations.get(operation) or OperationTally()
    blocks = scope.blocks.get(operation) or OperationBlocks()
    return {
        "requests": tally.requests,
        **{kind.value: tally.by_class[kind] for kind in OutcomeClass},
        "service_ms": {**tally.service.block(0.001), "ci95": _intervals(blocks.service, scope.period_s)},
        "response_ms": {**tally.response.block(0.001), "ci95": _intervals(blocks.response, scope.period_s)},
        "deferred_ms": tally.deferred.block(0.001),
        "failed_ms": tally.failed.block(0.001),
    }


def _intervals(blocks: Blocks, period_s: float | None) -> Block:
    """Return the 95 % confidence intervals in ms: null without enough blocks, null above where nothing can be said."""
    joined = blocks.of(period_s)
    return {name: _interval(joined, share) for name, share in _INTERVALS.items()}


def _interval(blocks: Sequence[Histogram], share: float) -> list[float | None] | None:
    if sum(block.count for block in blocks) < needed_samples(share):
        return None
    found = interval(blocks, share)
    return None if found is None else [blocks[0].scaled(bound, 0.001) for bound in found]


def _certificates(scope: Scope) -> Block:
    return {
        "issued": scope.tally.issued,
        "verified": scope.tally.certificates,
        "expected_refusals": scope.expected_refusals,
        "findings": [],
    }


def _deferral(scope: Scope) -> Block:
    tally = scope.tally
    synchrony = scope.synchrony
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
        "resync_s": _rounded(scope.resync_s),
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
        "loop_delay_ms": totals.loop_delay.block(0.001),
        "peak_ports": totals.peak_ports,
        "peak_descriptors": totals.peak_descriptors,
    }


def _cpu_per(cpu_s: float, count: int) -> float | None:
    return round(cpu_s * 1000 / count, 4) if count else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
