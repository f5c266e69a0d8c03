"""Builds the summary of a run from its scopes (docs/metrics.md has the definitions)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass, RetryAfterForm
from estsim.figures.incidence import Incidence
from estsim.figures.scopes import Scope, Scopes
from estsim.figures.summary import (
    SCHEMA_VERSION,
    CertificateSummary,
    CohortSummary,
    FleetSummary,
    OperationSummary,
    PhaseCohortSummary,
    PhaseSummary,
    RunFacts,
    Summary,
    read_summary,
)
from estsim.figures.summary_blocks import (
    DeferralSummary,
    GeneratorSummary,
    InternalErrorsSummary,
    NonConformanceSummary,
    RetryAfterSummary,
    SaturationSummary,
    TimeToCertificate,
    error_summaries,
)
from estsim.figures.thresholds import Judgement, Threshold, exercised, judge_all, unjudged
from estsim.figures.verdict import Ending, verdict_of
from estsim.record.blocks import Blocks, interval
from estsim.record.book import OperationBlocks
from estsim.record.enrolment_tally import PARTS
from estsim.record.error_kinds import ErrorKinds, ranked
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.histograms import Histogram, needed_samples
from estsim.record.saturation import OF_TIME, Saturation
from estsim.record.statistic import Interval, Intervals, LatencyStatistic
from estsim.record.tally import OperationTally, Tally
from estsim.units import format_duration

_ALWAYS_SHOWN: Final = (Operation.CACERTS, Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL)
_PERCENTILES: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}


def build_summary(
    facts: RunFacts,
    scopes: Scopes,
    *,
    generator: GeneratorTotals,
    saturation: Saturation | None,
    thresholds: Iterable[Threshold],
    of_thresholds: Callable[[Sequence[str]], Saturation],
    broken: Judgement | None = None,
    errors: ErrorKinds | None = None,
    findings: Sequence[str] = (),
    internal_errors: InternalErrorsSummary | None = None,
    ending: Ending = Ending.FINISHED,
    unreachable: str | None = None,
) -> Summary:
    """Return the summary of a run; ``broken`` is the failed threshold that ended it.

    ``errors`` are those of a stored run, by cohort; else they come from the tallies. ``of_thresholds`` makes the
    saturation verdict of thresholds that fail only because of the generator's own delay. ``unreachable`` says why no
    device was started, and how to fix it.
    """
    bugs = internal_errors if internal_errors and internal_errors.count else None
    judgements = _judgements(thresholds, scopes, ending, broken)
    ours = [judgement.expression for judgement in judgements if judgement.ours]
    if saturation is None and ours:
        saturation = of_thresholds(ours)
    saturation = _with_other_failures(saturation, judgements)
    run = scopes.run
    return Summary(
        schema_version=SCHEMA_VERSION,
        run=replace(facts, lasted_s=_rounded(run.ended_ns / 1e9)),
        fleet=FleetSummary(run.devices, dict(run.states)),
        operations=_operations(run),
        certificates=replace(_certificates(run), findings=tuple(findings)),
        deferral=_deferral(run),
        phases={name: _phase(phase) for name, phase in scopes.phases.items()},
        cohorts={name: _cohort(scope) for name, scope in scopes.cohorts.items()},
        errors=error_summaries(errors or ranked(run.tally.errors)),
        generator=_generator(scopes, generator, saturation),
        internal_errors=bugs,
        unreachable=unreachable or None,
        thresholds=tuple(judgement.block() for judgement in judgements),
        verdict=verdict_of(ending, saturation, judgements, findings, has_errors=bugs is not None).value,
    )


def _judgements(
    thresholds: Iterable[Threshold], scopes: Scopes, ending: Ending, broken: Judgement | None
) -> tuple[Judgement, ...]:
    """Judge the thresholds, and whether the run sent any request."""
    if ending is Ending.UNREACHABLE:
        return unjudged(thresholds, "the preflight failed, and no device was started")
    judgements = judge_all(thresholds, scopes, broken=broken)
    idle = exercised(scopes)
    return judgements if idle is None else (*judgements, idle)


def _with_other_failures(saturation: Saturation | None, judgements: Iterable[Judgement]) -> Saturation | None:
    """Add to a saturation verdict the thresholds that the generator's delay does not explain."""
    answered = [judgement.expression for judgement in judgements if judgement.answered]
    if saturation is None or saturation.limit not in OF_TIME or not answered:
        return saturation
    also = f"{' and '.join(answered)} also failed for reasons that the generator's delay does not explain"
    return replace(saturation, why=f"{saturation.why}. {also}")


def summary_of_error(facts: RunFacts, ending: Ending, internal_errors: InternalErrorsSummary) -> Summary:
    """Return the summary of a run whose figures an internal error prevented."""
    return replace(
        read_summary({}),  # no figure at all
        schema_version=SCHEMA_VERSION,
        run=facts,
        internal_errors=internal_errors,
        verdict=verdict_of(ending, None, (), has_errors=True).value,
    )


def _cohort(scope: Scope) -> CohortSummary:
    return CohortSummary(
        fleet=FleetSummary(scope.devices, dict(scope.states) if scope.states else None),
        operations=_operations(scope),
        certificates=_certificates(scope),
        deferral=_deferral(scope),
    )


def _phase(scopes: Scopes) -> PhaseSummary:
    return PhaseSummary(
        lasted_s=_rounded(scopes.lasted_s),
        requests_per_s=scopes.per_s(scopes.run.tally.requests),
        certificates_per_s=scopes.per_s(scopes.run.tally.certificates),
        operations=_operations(scopes.run),
        certificates=_certificates(scopes.run),
        deferral=_deferral(scopes.run),
        cohorts={
            name: PhaseCohortSummary(_operations(scope), _certificates(scope), _deferral(scope))
            for name, scope in scopes.cohorts.items()
        },
    )


def _operations(scope: Scope) -> Mapping[str, OperationSummary]:
    operations = scope.tally.operations
    shown = [operation for operation in Operation if operation in _ALWAYS_SHOWN or operation in operations]
    return {operation.value: _operation(operation, scope) for operation in shown}


def _operation(operation: Operation, scope: Scope) -> OperationSummary:
    tally = scope.tally.operations.get(operation) or OperationTally()
    blocks = scope.blocks.get(operation) or OperationBlocks()
    return OperationSummary(
        requests=tally.requests,
        service_ms=_latency(tally.service, blocks.service, scope.period_s),
        response_ms=_latency(tally.response, blocks.response, scope.period_s),
        deferred_ms=tally.deferred.block(0.001),
        failed_ms=tally.failed.block(0.001),
        **{kind.value: tally.by_class[kind] for kind in OutcomeClass},
    )


def _latency(times: Histogram, blocks: Blocks, period_s: float | None) -> LatencyStatistic:
    """Return times in ms with their confidence intervals; None with too few blocks, or as an unknown upper bound."""
    joined = blocks.of(period_s)
    found = Intervals(p50=_interval(joined, 0.5), p90=_interval(joined, 0.9), p99=_interval(joined, 0.99))
    return LatencyStatistic(**asdict(times.block(0.001)), ci95=found)


def _interval(blocks: Sequence[Histogram], share: float) -> Interval | None:
    if sum(block.count for block in blocks) < needed_samples(share):
        return None
    found = interval(blocks, share)
    if found is None:
        return None
    low, high = found
    return blocks[0].scaled(low, 0.001), blocks[0].scaled(high, 0.001)


def _certificates(scope: Scope) -> CertificateSummary:
    return CertificateSummary(
        issued=scope.tally.issued,
        verified=scope.tally.certificates,
        expected_refusals=scope.expected_refusals,
        findings=(),
    )


def _deferral(scope: Scope) -> DeferralSummary:
    tally = scope.tally
    synchrony = scope.synchrony
    return DeferralSummary(
        exchanges_per_certificate=_rounded(scope.exchanges_per_certificate),
        polls=tally.polls.count,
        wasted_share=_rounded(scope.wasted_share),
        hit_rate=_rounded(scope.hit_rate),
        early_polls=tally.polls.early,
        period_s=scope.period_s,
        synchronisation=_rounded(synchrony.synchronisation),
        lag_correlation=_rounded(synchrony.lag_correlation),
        burstiness=_rounded(synchrony.burstiness),
        fano=_rounded(synchrony.fano),
        peak_to_mean=_rounded(scope.peak_to_mean),
        drain_s=scope.drain_s(),
        drain_p90_s=scope.drain_s(0.9),
        drain_p99_s=scope.drain_s(0.99),
        resync_s=_rounded(scope.resync_s),
        fairness=_rounded(scope.fairness),
        expired_while_waiting=scope.expired_while_waiting,
        time_to_certificate_s=_time_to_certificate(scope),
        enrolled_within=_within(scope, "enrolled_within"),
        renewed_within=_within(scope, "renewed_within"),
        recovered_within=_within(scope, "recovered_within"),
        replaced_within=_within(scope, "replaced_within"),
        unfinished=_rounded(scope.unfinished),
        retry_after_s=_retry_after(tally),
        punctuality_s=tally.polls.punctuality.block(1.0),
        non_conformance={
            broken.rule: NonConformanceSummary(count, broken.rfc_section)
            for broken, count in sorted(tally.non_conformances.items(), key=lambda item: item[0].rule)
        },
    )


def _within(scope: Scope, family: str) -> Mapping[str, float | None]:
    """Return the shares with a certificate within each D; None if unknown."""
    shares = {
        limit_ms / 1000: scope.within(family, limit_ms / 1000) for limit_ms in scope.tally.enrolment_tally.limits_ms
    }
    return {
        format_duration(limit_s): None if share is None or not share.is_known else _rounded(share.low)
        for limit_s, share in shares.items()
    }


def _time_to_certificate(scope: Scope) -> TimeToCertificate:
    """Return the times; a level that is not reached is None, and has its lower bound in `longer_than_s`."""
    incidence, parts_ns = scope.time_to_certificate, scope.tally.enrolment_tally.parts_ns
    events, unfinished = incidence.events, incidence.unfinished
    return TimeToCertificate(
        count=events.count,
        mean=None if unfinished else events.scaled(events.mean(), 1.0),
        p50=_reached(incidence, 0.5),
        p90=_reached(incidence, 0.9),
        p95=_reached(incidence, 0.95),
        p99=_reached(incidence, 0.99),
        p99_9=_reached(incidence, 0.999),
        max=None if unfinished else events.scaled(events.max, 1.0),
        unfinished=unfinished,
        longer_than_s={
            name: round(incidence.horizon * events.layout.unit_ns / 1e9, 6)
            for name, share in {**_PERCENTILES, "max": 1.0}.items()
            if unfinished and incidence.supports(share) and incidence.quantile(share) is None
        },
        parts_s={part: round(parts_ns[part] / 1e9, 6) for part in PARTS},
    )


def _reached(incidence: Incidence, share: float) -> float | None:
    return incidence.events.scaled(incidence.quantile(share), 1.0) if incidence.supports(share) else None


def _retry_after(tally: Tally) -> RetryAfterSummary:
    told = tally.told
    return RetryAfterSummary(
        **asdict(told.histogram.block(1.0)),
        forms={form.value: told.forms[form.value] for form in RetryAfterForm},
        missing=told.missing,
        zero=told.zero,
        unreadable=told.unreadable,
        past=told.past,
        absurd=told.absurd,
    )


def _generator(scopes: Scopes, totals: GeneratorTotals, saturation: Saturation | None) -> GeneratorSummary:
    """Return what the run cost; CPU per enrolment is given with the rate, because an idle loop also uses CPU."""
    tally = scopes.run.tally
    return GeneratorSummary(
        cpu_s=round(totals.cpu_s, 3),
        cpu_per_enrolment_ms=_cpu_per(totals.cpu_s, tally.certificates),
        enrolments_per_s=scopes.per_s(tally.certificates),
        cpu_per_handshake_ms=_cpu_per(totals.cpu_s, tally.connections.handshakes),
        peak_rss_mib=round(totals.peak_rss_bytes / 2**20, 1),
        schedule_lag_ms=tally.schedule_lag.block(0.001),
        saturated=saturation is not None,
        why=saturation.why if saturation else None,
        loop_delay_ms=totals.loop_delay.block(0.001),
        peak_ports=totals.peak_ports,
        peak_descriptors=totals.peak_descriptors,
        longest_stall_ms=round(totals.longest_stall_ns / 1e6, 3),
        saturation=_saturation(saturation) if saturation else None,
    )


def _saturation(found: Saturation) -> SaturationSummary:
    return SaturationSummary(str(found.limit), found.from_s, found.to_s, found.lag_ms)


def _cpu_per(cpu_s: float, count: int) -> float | None:
    return round(cpu_s * 1000 / count, 4) if count else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
