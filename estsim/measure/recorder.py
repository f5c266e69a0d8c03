"""The recorder: takes every sample on the event loop, cheaply, and hands batches to whoever writes them in a thread.

It owns the tallies, the last minute's series and the batch that waits to be written. It does no I/O and knows no event
loop: once a second the driver takes a batch, writes it in a thread, and gives it back if that failed::

    batch = recorder.take_batch()
    try:
        await trio.to_thread.run_sync(store.write, batch)
    except StoreError as error:
        recorder.keep(batch, error)
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from estsim.errors import StoreError, Trouble
from estsim.est.enrolment import Cause, EnrolmentEnd
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.measure.deferral import Scope
from estsim.measure.histograms import LATENCY, Histogram, merged
from estsim.measure.lives import DEFAULT_WITHIN_S
from estsim.measure.rows import SeriesDelta
from estsim.measure.sample import Enrolment, FleetReading, GeneratorReading, Sample
from estsim.measure.saturation import WINDOW_S, SaturationWatch
from estsim.measure.snapshot import OperationFigures, Quantiles, RunStage, Snapshot
from estsim.measure.store import Batch
from estsim.measure.survival import Survival
from estsim.measure.tally import Tally, total_of

SERIES_S: Final = 60  # how far back the dashboard's series go
_NS: Final = 1_000_000_000
_MAX_ERRORS_SHOWN: Final = 20


class Recorder:
    """Counts and keeps what a run does; everything on the loop, nothing that blocks it."""

    def __init__(
        self,
        *,
        cohorts: dict[str, int],
        within_s: Iterable[float] = DEFAULT_WITHIN_S,
        max_lag_s: float = 0.02,
        max_cpu: float = 0.9,
    ) -> None:
        self.devices = dict(cohorts)  # by cohort
        self.within_s = tuple(within_s)
        self.tallies = {cohort: Tally(self.within_s) for cohort in cohorts}
        self.saturation = SaturationWatch(max_lag_s=max_lag_s, max_cpu=max_cpu)
        self.fleet_reading = FleetReading(at_ns=0)
        self.generator_reading: GeneratorReading | None = None
        self.peak_rss_bytes = 0
        self.write_failures = 0
        self.write_error: StoreError | None = None  # of the last write, until one succeeds
        self._certified: set[tuple[str, int]] = set()  # devices that have had a first certificate
        self._pending = Batch()
        self._deltas: dict[tuple[int, str], SeriesDelta] = {}
        self._requests: Counter[int] = Counter()  # by second of the run, the last minute
        self._certificates: Counter[int] = Counter()
        self._lags: dict[int, Histogram] = {}  # by second, the last 10 s

    def exchange(self, sample: Sample) -> None:
        """Record an exchange that ended; preflight is stored and counted nowhere."""
        self._pending.exchanges.append(sample)
        if sample.cause is Cause.PREFLIGHT:
            return
        stamps = sample.stamps
        self.tallies[sample.cohort].exchange(sample)
        lag_ns = stamps.schedule_lag_ns
        self.saturation.exchange(stamps.started_ns, lag_ns)
        if sample.trouble is Trouble.GENERATOR:
            self.saturation.out_of(stamps.ended_ns, sample.detail)
        second = stamps.ended_ns // _NS
        self._requests[second] += 1
        lags = self._lags.get(second)
        if lags is None:
            lags = self._lags[second] = Histogram(LATENCY)
        lags.record_ns(max(0, lag_ns))
        self._add_to_series(sample, second)

    def _add_to_series(self, sample: Sample, second: int) -> None:
        delta = self._delta(second, sample.cohort)
        operation = sample.operation.value
        delta.requests += 1
        delta.classes[operation, sample.kind.value] += 1
        if sample.poll is not None:
            delta.polls += 1
        if sample.kind is OutcomeClass.OK:
            if operation not in delta.service:
                delta.service[operation] = Histogram(LATENCY)
                delta.response[operation] = Histogram(LATENCY)
            delta.service[operation].record_ns(sample.stamps.service_ns)
            delta.response[operation].record_ns(sample.stamps.response_ns)
            if sample.operation.seeks_certificate:
                delta.certificates += 1
                self._certificates[second] += 1

    def _delta(self, second: int, cohort: str) -> SeriesDelta:
        delta = self._deltas.get((second, cohort))
        if delta is None:
            delta = self._deltas[second, cohort] = SeriesDelta(second, cohort)
        return delta

    def enrolment_began(self, enrolment: Enrolment) -> None:
        """Record that a certificate is sought, with its first intended start, which must not change later."""
        self._touch(enrolment)
        self.tallies[enrolment.cohort].enrolment_began(enrolment)
        self._delta(enrolment.intended_ns // _NS, enrolment.cohort).begun += 1

    def enrolment_ended(self, enrolment: Enrolment) -> None:
        """Record how a search ended; ``ended_ns`` and ``end`` must be set."""
        self._touch(enrolment)
        device = (enrolment.cohort, enrolment.device)
        first = enrolment.end is EnrolmentEnd.ISSUED and device not in self._certified
        if first:
            self._certified.add(device)
        self.tallies[enrolment.cohort].enrolment_ended(enrolment, first=first)
        self._delta((enrolment.ended_ns or 0) // _NS, enrolment.cohort).ended += 1

    def enrolment_open(self, enrolment: Enrolment) -> None:
        """Write a search that is open at the end with what it has come to; it has been counted since it began."""
        self._touch(enrolment)

    def _touch(self, enrolment: Enrolment) -> None:
        self._pending.enrolments[enrolment.cohort, enrolment.device, enrolment.number] = enrolment

    def fleet(self, reading: FleetReading) -> None:
        """Take note of where the fleet stands."""
        self.fleet_reading = reading

    def generator(self, reading: GeneratorReading) -> None:
        """Record what the generator says of itself."""
        self.generator_reading = reading
        self.peak_rss_bytes = max(self.peak_rss_bytes, reading.rss_bytes)
        self.saturation.reading(reading)
        self._pending.generator.append(reading)

    def take_batch(self) -> Batch:
        """Return what waits to be written and start a new batch; the taker writes it or gives it back to `keep`."""
        batch, self._pending = self._pending, Batch()
        batch.series.extend(self._deltas.values())
        self._deltas = {}
        self.write_error = None
        return batch

    def keep(self, batch: Batch, error: StoreError) -> None:
        """Take back a batch that could not be written: it goes before what has come since, and is tried again."""
        self.write_failures += 1
        self.write_error = error
        later, self._pending = self._pending, batch
        batch.exchanges.extend(later.exchanges)
        batch.enrolments.update(later.enrolments)
        batch.series.extend(later.series)
        batch.generator.extend(later.generator)

    def total(self) -> Tally:
        """Return the merge of all cohorts."""
        return total_of(self.tallies.values(), self.within_s)

    def scope(self, ended_ns: int) -> Scope:
        """Return the whole run as it stands at ``ended_ns``."""
        return Scope(self.total(), sum(self.devices.values()), ended_ns, self.fleet_reading.states)

    def cohort_scopes(self, ended_ns: int) -> dict[str, Scope]:
        """Return each cohort as it stands at ``ended_ns``."""
        states = self.fleet_reading.cohorts
        return {
            name: Scope(tally, self.devices[name], ended_ns, states.get(name, {}))
            for name, tally in self.tallies.items()
        }

    def snapshot(self, *, name: str, target: str, stage: RunStage, at_ns: int, duration_s: float | None) -> Snapshot:
        """Return what the dashboard shows now: cumulative figures and the last minute, for once a second."""
        now_s = at_ns // _NS
        self._forget(now_s)
        total = self._glance()
        scope = Scope(total, sum(self.devices.values()), at_ns)
        lags = merged(lags for second, lags in self._lags.items() if second >= now_s - WINDOW_S)
        saturated = self.saturation.so_far()
        fleet, generator = self.fleet_reading, self.generator_reading
        return Snapshot(
            name=name,
            target=target,
            stage=stage,
            elapsed_s=at_ns / _NS,
            duration_s=duration_s,
            devices=scope.devices,
            states=dict(fleet.states),
            requests=total.requests,
            certificates=total.certificates,
            requests_per_s=_last_minute(self._requests, now_s),
            certificates_per_s=_last_minute(self._certificates, now_s),
            operations=_operation_figures(total),
            waiting_deferred=fleet.waiting_deferred,
            exchanges_per_certificate=scope.exchanges_per_certificate,
            time_to_certificate_s=_quantiles(total.lives.survival(at_ns, grain_ms=1000), 1.0),
            wakeups=fleet.wakeups,
            errors=_errors(total),
            schedule_lag_ms=_quantiles(lags, 0.001),
            loop_delay_p99_ms=generator.loop_delay_p99_ns / 1e6 if generator else None,
            cpu_share=generator.cpu_share if generator else 0.0,
            max_cpu=self.saturation.max_cpu,
            max_lag_ms=self.saturation.max_lag_s * 1000,
            rss_mib=generator.rss_bytes / 2**20 if generator else 0.0,
            in_flight=generator.in_flight if generator else 0,
            saturated=saturated.why if saturated else None,
        )

    def _glance(self) -> Tally:
        """Return the totals without what grows with the run's length; to be read at once and not to be kept."""
        if len(self.tallies) == 1:
            return next(iter(self.tallies.values()))
        return total_of(self.tallies.values(), self.within_s, bins=False)

    def _forget(self, now_s: int) -> None:
        for counter in (self._requests, self._certificates):
            for second in [second for second in counter if second < now_s - SERIES_S - 1]:
                del counter[second]
        for second in [second for second in self._lags if second < now_s - WINDOW_S]:
            del self._lags[second]


def _last_minute(counter: Counter[int], now_s: int) -> tuple[int, ...]:
    """Return the last 60 whole seconds, oldest first; the second under way is not whole."""
    return tuple(counter[second] for second in range(max(0, now_s - SERIES_S), now_s))


def _quantiles(spread: Histogram | Survival, unit_s: float) -> Quantiles:
    histogram = spread.events if isinstance(spread, Survival) else spread
    p50, p90, p99 = (histogram.scaled(value, unit_s) for value in spread.quantiles(0.5, 0.9, 0.99))
    return Quantiles(count=histogram.count, p50=p50, p90=p90, p99=p99, max=histogram.scaled(histogram.max, unit_s))


def _operation_figures(total: Tally) -> tuple[OperationFigures, ...]:
    return tuple(
        OperationFigures(
            operation=operation.value,
            requests=tally.requests,
            by_class={kind.value: tally.by_class[kind] for kind in OutcomeClass},
            service_ms=_quantiles(tally.service, 0.001),
            response_ms=_quantiles(tally.response, 0.001),
        )
        for operation in Operation
        if (tally := total.operations.get(operation)) is not None
    )


def _errors(total: Tally) -> tuple[tuple[str, int], ...]:
    shown = sorted(total.errors.items(), key=lambda item: (-item[1], item[0]))[:_MAX_ERRORS_SHOWN]
    return tuple((" ".join(filter(None, [kind, phase, detail])), count) for (kind, phase, detail), count in shown)
