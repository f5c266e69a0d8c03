"""The moment that a display shows, put together from the book of tallies: plain figures, for twice a second."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.figures.incidence import Incidence, incidence_in
from estsim.figures.scopes import Scope
from estsim.figures.snapshot import CohortSnapshot, DeferralSnapshot, OperationFigures, Quantiles, WindowSnapshot
from estsim.figures.synchrony import RunningSynchrony, Synchrony
from estsim.record.book import TallyBook
from estsim.record.error_kinds import UNTOLD, others, regardless_of_operation
from estsim.record.histograms import Histogram, merged
from estsim.record.tally import Tally, total_of

MAX_ERRORS_SHOWN: Final = 60
WAIT_BINS: Final = 60  # of told waits and kept gaps
_GRAIN_MS: Final = 1000  # ages of open enrolments, coarse enough to be cheap


def quantiles(spread: Histogram | Incidence, unit_s: float) -> Quantiles:
    """Return the quantiles of a display, in units of ``unit_s`` seconds."""
    histogram = spread.events if isinstance(spread, Incidence) else spread
    p50, p90, p99 = (histogram.scaled(value, unit_s) for value in spread.quantiles(0.5, 0.9, 0.99))
    return Quantiles(count=histogram.count, p50=p50, p90=p90, p99=p99, max=histogram.scaled(histogram.max, unit_s))


def operation_figures(total: Tally) -> tuple[OperationFigures, ...]:
    """Return the operations that there were, in the order of their declaration."""
    return tuple(
        OperationFigures(
            operation=operation.value,
            requests=tally.requests,
            by_class={kind.value: tally.by_class[kind] for kind in OutcomeClass},
            service_ms=quantiles(tally.service, 0.001),
            response_ms=quantiles(tally.response, 0.001),
        )
        for operation in Operation
        if (tally := total.operations.get(operation)) is not None
    )


def errors(total: Tally) -> tuple[tuple[str, int], ...]:
    """Return the most frequent errors, each in a line, and the rest together: the sum is that of all."""
    by_reason = regardless_of_operation(total.errors)
    ranked = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
    told = [item for item in ranked if item[0][-1] != UNTOLD]
    shown = told[:MAX_ERRORS_SHOWN]
    lines = [(" ".join(filter(None, key)), count) for key, count in shown]
    if rest := by_reason.total() - sum(count for _, count in shown):
        at_least = len(told) < len(ranked)
        lines.append((others(max(1, len(told) - len(shown)), at_least=at_least), rest))
    return tuple(lines)


def window_snapshot(book: TallyBook, now_ns: int) -> WindowSnapshot:
    """Return the last window's figures; the time to a certificate is of the enrolments that got one within it."""
    tally = total_of(book.window(), book.within_s, bins=False)
    scope = Scope(tally, 0, now_ns)
    return WindowSnapshot(
        seconds=book.window_s(now_ns),
        requests=tally.requests,
        certificates=tally.certificates,
        failures=scope.failures,
        exchanges_per_certificate=scope.exchanges_per_certificate,
        wasted_share=scope.wasted_share,
        hit_rate=scope.hit_rate,
        time_to_certificate_s=quantiles(tally.enrolment_tally.time_to_certificate, 1.0),
        operations=operation_figures(tally),
    )


def cohort_snapshots(
    book: TallyBook, devices: Mapping[str, int], states: Mapping[str, Mapping[str, int]], now_ns: int
) -> tuple[CohortSnapshot, ...]:
    """Return each cohort's figures, in the order of the scenario."""
    return tuple(_cohort_snapshot(name, book, devices[name], states.get(name, {}), now_ns) for name in book.cohorts)


def _cohort_snapshot(
    name: str, book: TallyBook, devices: int, states: Mapping[str, int], now_ns: int
) -> CohortSnapshot:
    tally = total_of(book.parts(name), book.within_s, bins=False)
    scope = Scope(tally, devices, now_ns)
    return CohortSnapshot(
        name=name,
        devices=devices,
        states=dict(states),
        requests=tally.requests,
        certificates=tally.certificates,
        failures=scope.failures,
        errors=tally.errors.total(),
        waiting_deferred=states.get("deferred", 0),
        exchanges_per_certificate=scope.exchanges_per_certificate,
        time_to_certificate_s=quantiles(incidence_in(tally.enrolment_tally, now_ns, grain_ms=_GRAIN_MS), 1.0),
        response_ms=quantiles(merged(_responses(book.window([name]))), 0.001),
    )


def _responses(tallies: Iterable[Tally]) -> Iterable[Histogram]:
    return (
        counts.response
        for tally in tallies
        for operation, counts in tally.operations.items()
        if operation.seeks_certificate
    )


def deferral_snapshot(total: Tally, synchrony: RunningSynchrony) -> DeferralSnapshot:
    """Return what was told, what was kept, and whether the fleet marches in step."""
    scope, polls, told = Scope(total, 0, 0), total.polls, total.told
    bin_s = _bin_s(told.whole_seconds, polls.gaps)
    last = synchrony.last or Synchrony()
    return DeferralSnapshot(
        told=_in_bins(told.whole_seconds, bin_s),
        kept=_in_bins(polls.gaps, bin_s),
        bin_s=float(bin_s),
        forms={form: count for form, count in told.forms.items() if count},
        polls=polls.count,
        early_polls=polls.early,
        wasted_share=scope.wasted_share,
        hit_rate=scope.hit_rate,
        punctuality_s=quantiles(polls.punctuality, 1.0),
        period_s=scope.period_s,
        rhythm=synchrony.rhythm,
        synchronisation=last.synchronisation,
        lag_correlation=last.lag_correlation,
        burstiness=last.burstiness,
        fano=last.fano,
        run_synchronisation=synchrony.run.synchronisation if synchrony.run else None,
    )


def _bin_s(*counters: Counter[int]) -> int:
    """Return the width of bins in which all but the rarest hundredth of the waits have room."""
    longest = max((_p99(counter) for counter in counters if counter), default=0)
    return max(1, -(-(longest + 1) // WAIT_BINS))


def _p99(counter: Counter[int]) -> int:
    rest = counter.total() // 100
    for value in sorted(counter, reverse=True):
        rest -= counter[value]
        if rest < 0:
            return value
    return 0


def _in_bins(counter: Counter[int], bin_s: int) -> tuple[int, ...]:
    bins = [0] * WAIT_BINS
    for value, count in counter.items():
        bins[min(max(value, 0) // bin_s, WAIT_BINS - 1)] += count
    return tuple(bins)
