"""The recorder: takes every sample on the event loop, cheaply, and hands batches to whoever writes them in a thread.

It owns the tallies, the last minute's series and the batch that waits to be written. It does no I/O and knows no event
loop: once a second the driver takes a batch, writes it in a thread, and gives it back if that failed::

    batch = recorder.take_batch()
    try:
        await trio.to_thread.run_sync(store.write, batch)
    except StoreError as error:
        recorder.keep(batch, error)
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from estsim.errors import StoreError, Trouble
from estsim.est.enrolment import Cause
from estsim.figures.deferral import Scope, Scopes
from estsim.figures.incidence import incidence_in
from estsim.figures.scopes import scopes_of
from estsim.figures.snapshot import CohortSnapshot, GeneratorSnapshot, RunStage, Snapshot
from estsim.figures.snapshots import (
    cohort_snapshots,
    deferral_snapshot,
    errors,
    operation_figures,
    quantiles,
    window_snapshot,
)
from estsim.figures.synchrony import RunningSynchrony
from estsim.record.book import TallyBook
from estsim.record.enrolment_tally import DEFAULT_WITHIN_S
from estsim.record.first_certificates import FirstCertificateOnce
from estsim.record.internal_errors import INTERNAL_ERROR, InternalError, InternalErrors
from estsim.record.per_second import PerSecond
from estsim.record.phases import Stretch
from estsim.record.rows import FleetStates
from estsim.record.sample import Enrolment, FleetReading, GeneratorReading, Impact, InternalErrorRow, MarkRow, Sample
from estsim.record.saturation import LOST, WINDOW_S, Saturation, SaturationWatch, of_loss
from estsim.record.series_rows import SeriesRows
from estsim.record.slice_counts import SLICE_NS, SliceCounts
from estsim.record.store import Batch
from estsim.record.waits import BIN_NS
from estsim.record.worker_report import WorkerReport, fleet_of

_NS: Final = 1_000_000_000
_MARKS_SHOWN: Final = 20


class Recorder:
    """Counts and keeps what a run does; everything on the loop, nothing that blocks it."""

    def __init__(
        self,
        *,
        cohorts: dict[str, int],
        within_s: Iterable[float] = DEFAULT_WITHIN_S,
        max_lag_s: float = 0.02,
        max_cpu: float = 0.9,
        phases: Sequence[Stretch] = (),
        ports_limit: int = 0,
        descriptors_limit: int = 0,
        secrets: frozenset[str] = frozenset(),
    ) -> None:
        self.devices = dict(cohorts)  # by cohort
        self.book = TallyBook(cohorts, within_s=within_s, phases=phases, max_lag_s=max_lag_s)
        self.saturation = SaturationWatch(max_lag_s=max_lag_s, max_cpu=max_cpu)
        self.fleet_reading = FleetReading(at_ns=0)
        self.write_failures = 0
        self.write_error: StoreError | None = None  # of the last write, until one succeeds
        self.lost: Saturation | None = None  # the verdict of the first worker's loss
        self.findings: list[str] = []
        self.internal_errors = InternalErrors(secrets)
        self._short: set[str] = set()  # what the machine ran out of, as far as it is told
        self.notices: dict[str, None] = {}  # in the order they came
        self.events_s: list[float] = []  # when something stirred the fleet
        self.awaiting: str | None = None  # what the run waits for before it goes on
        self._limits = (ports_limit, descriptors_limit)
        self._first_certificates = FirstCertificateOnce()
        self._pending = Batch()
        self._series = SeriesRows()
        self._per_second = PerSecond()
        self._readings: dict[int, deque[GeneratorReading]] = {}  # by worker, the last 10 s
        self._fleets: dict[int, FleetReading] = {}  # by worker, where there are several
        self._states: dict[str, dict[str, int]] = {}  # by cohort, as last written
        self._marks: deque[tuple[float, str]] = deque(maxlen=_MARKS_SHOWN)
        self._synchrony = RunningSynchrony()
        self._first_poll: int | None = None  # bin
        self._shown_cohorts: tuple[int, tuple[CohortSnapshot, ...]] = (-1, ())

    def exchange(self, sample: Sample) -> None:
        """Record an exchange that ended; preflight is stored and counted nowhere."""
        self._pending.exchanges.append(sample)
        if sample.cause is Cause.PREFLIGHT:
            return
        stamps = sample.stamps
        self.book.counts(sample.cohort, intended_ns=stamps.intended_ns, now_ns=stamps.ended_ns).exchange(sample)
        self.saturation.exchange(stamps.started_ns, stamps.schedule_lag_ns)
        if sample.trouble is Trouble.GENERATOR:
            self.saturation.out_of(stamps.ended_ns, sample.detail)
        if sample.poll is not None and self._first_poll is None:
            self._first_poll = stamps.started_ns // BIN_NS
        self._per_second.exchange(sample)
        self._series.exchange(sample)

    def enrolment_began(self, enrolment: Enrolment) -> None:
        """Record that a certificate is sought, with its first intended start, which must not change later."""
        self._touch(enrolment)
        self._counts(enrolment, enrolment.intended_ns).tally.enrolment_began(enrolment)
        self._series.began(enrolment)

    def enrolment_ended(self, enrolment: Enrolment) -> None:
        """Record how a search ended; ``ended_ns`` and ``end`` must be set."""
        self._touch(enrolment)
        first = self._first_certificates.is_first(enrolment)
        self._counts(enrolment, enrolment.ended_ns or 0).enrolment_ended(enrolment, first=first)
        self._series.ended(enrolment)

    def _counts(self, enrolment: Enrolment, now_ns: int) -> SliceCounts:
        return self.book.counts(enrolment.cohort, intended_ns=enrolment.intended_ns, now_ns=now_ns)

    def enrolment_open(self, enrolment: Enrolment) -> None:
        """Write a search that is open at the end with what it has come to; it has been counted since it began."""
        self._touch(enrolment)

    def impact_began(self, impact: Impact) -> None:
        """Record that an event struck a device."""
        self._keep_impact(impact)
        self.book.tally(impact.cohort, intended_ns=impact.since_ns, now_ns=impact.since_ns).impact_began(impact)

    def impact_ended(self, impact: Impact) -> None:
        """Record that a device has come through, or will not; ``ended_ns`` and ``end`` must be set."""
        self._keep_impact(impact)
        now_ns = impact.ended_ns or 0
        self.book.tally(impact.cohort, intended_ns=impact.since_ns, now_ns=now_ns).impact_ended(impact)

    def _keep_impact(self, impact: Impact) -> None:
        self._pending.impacts[impact.cohort, impact.device, impact.kind, impact.since_ns] = impact

    def _touch(self, enrolment: Enrolment) -> None:
        self._pending.enrolments[enrolment.cohort, enrolment.device, enrolment.number] = enrolment

    def fleet(self, reading: FleetReading) -> None:
        """Take note of where the fleet stands; what has changed since is written."""
        self.fleet_reading = reading
        for cohort, states in reading.cohorts.items():
            if self._states.get(cohort) != states:
                self._states[cohort] = dict(states)
                self._pending.fleet.append(FleetStates(max(0, reading.at_ns) // _NS, cohort, dict(states)))

    def generator(self, reading: GeneratorReading) -> None:
        """Record what the generator says of itself."""
        self._keep_reading(reading)
        self.saturation.reading(reading)
        self._pending.generator.append(reading)

    def _keep_reading(self, reading: GeneratorReading) -> None:
        self._readings.setdefault(reading.worker, deque(maxlen=WINDOW_S)).append(reading)

    def merge(self, worker: int, worker_report: WorkerReport) -> None:
        """Add what a worker process has counted and kept since its last report; its rows are written as they came."""
        for (number, cohort, phase), counts in worker_report.counted.items():
            self.book.merge(number, cohort, phase, counts.tally)
        self._pending.counted.extend(worker_report.counted.items())
        self._per_second.merge(worker_report.pace)
        self.saturation.merge(worker_report.watch)
        if worker_report.first_poll is not None:
            first = worker_report.first_poll
            self._first_poll = first if self._first_poll is None else min(first, self._first_poll)
        for reading in worker_report.readings:
            self._keep_reading(replace(reading, worker=worker))
        for at_ns, text in worker_report.findings:
            self.finding(at_ns, text)
        self.merge_errors(worker_report.internal_errors)
        for at_ns, text in worker_report.notices:
            self.notice(at_ns, text)
        self._pending.ready.append(worker_report.rows_of(worker))
        if worker_report.fleet is not None:
            self._fleets[worker] = worker_report.fleet
            self.fleet(fleet_of(self._fleets.values()))

    def lose(self, worker: int, cohorts: dict[str, dict[str, int]], *, at_ns: int, told: str) -> None:
        """Take note that a worker is gone, told in a sentence, and of the state that its devices are in, by cohort."""
        self.miss(at_ns=at_ns, told=told)
        states: Counter[str] = Counter()
        for of_cohort in cohorts.values():
            states.update(of_cohort)
        self._readings.pop(worker, None)
        self._fleets[worker] = FleetReading(at_ns, dict(states), cohorts=cohorts)
        self.fleet(fleet_of(self._fleets.values()))

    def miss(self, *, at_ns: int, told: str) -> None:
        """Take note of something of a worker's that is missing, told in a sentence: the run cannot be judged."""
        self.lost = self.lost or of_loss(at_ns, told)
        self.mark(at_ns, told, kind=LOST)

    def mark(self, at_ns: int, text: str, *, kind: str = "mark", stirs: bool = False) -> None:
        """Tell something of the run; ``stirs`` says that it disturbed the fleet, from where its resync counts."""
        self._pending.marks.append(MarkRow(at_ns, kind, text))
        self._marks.append((at_ns / _NS, text))
        if stirs:
            self.events_s.append(at_ns / _NS)

    def finding(self, at_ns: int, text: str) -> None:
        """Take note of a device that the server ought to have refused and accepted: it fails the run."""
        self.findings.append(text)
        self.mark(at_ns, f"finding: {text}", kind="finding")

    def internal_error(
        self, error: BaseException, *, at_ns: int, device: int | None = None, cohort: str | None = None
    ) -> None:
        """Take note of a bug of ours: it decides the verdict. ``device`` is the one that it stopped, if any.

        What is no bug but a machine that ran out of something makes the generator the limit.
        """
        for noted in self.internal_errors.note(error, at_ns=at_ns, device=device):
            self._pending.internal_errors.append(InternalErrorRow(at_ns, device, cohort, noted.error, noted.place))
            if noted.is_new:
                self._tell(self.internal_errors.kinds[noted.error, noted.place])
        self._tell_shortages()

    def merge_errors(self, errors: InternalErrors) -> None:
        """Add the bugs of ours that another process has met."""
        for kind in self.internal_errors.merge(errors):
            self._tell(kind)
        self._tell_shortages()

    def _tell_shortages(self) -> None:
        for what, at_ns in [*self.internal_errors.shortages.items()][len(self._short) :]:
            self._short.add(what)
            self.miss(at_ns=at_ns, told=f"this machine ran out of {what} after {at_ns / _NS:.1f} s")

    def _tell(self, kind: InternalError) -> None:
        self.mark(kind.first_ns, f"internal error: {kind}", kind=INTERNAL_ERROR)

    def notice(self, at_ns: int, text: str) -> None:
        """Take note of what a reader of the figures has to know, once for each text."""
        if text not in self.notices:
            self.notices[text] = None
            self.mark(at_ns, text, kind="notice")

    def take_batch(self) -> Batch:
        """Return what waits to be written and start a new batch; the taker writes it or gives it back to `keep`."""
        batch, self._pending = self._pending, Batch()
        batch.series.extend(self._series.take())
        batch.counted.extend(self.book.take().items())
        batch.keep_open_ones()
        self.write_error = None
        return batch

    def keep(self, batch: Batch, error: StoreError) -> None:
        """Take back a batch that could not be written: it goes before what has come since, and is tried again."""
        self.write_failures += 1
        self.write_error = error
        later, self._pending = self._pending, batch
        batch.extend(later)

    def verdict(self) -> Saturation | None:
        """Return what made the generator the limit, None where it kept up throughout."""
        return self.lost or self.saturation.verdict()

    def scope(self, ended_ns: int) -> Scope:
        """Return the whole run as it stands at ``ended_ns``."""
        return Scope(
            self.book.total(),
            sum(self.devices.values()),
            ended_ns,
            self.fleet_reading.states,
            self.book.blocks(),
            tuple(self.events_s),
            self.book.ends(),
        )

    def scopes(self, ended_ns: int) -> Scopes:
        """Return the run, each cohort and each phase as they stand at ``ended_ns``."""
        reading = self.fleet_reading
        return scopes_of(
            self.book,
            self.devices,
            ended_ns,
            states=reading.states,
            by_cohort=reading.cohorts,
            events_s=self.events_s,
        )

    def snapshot(self, *, name: str, target: str, stage: RunStage, at_ns: int, duration_s: float | None) -> Snapshot:
        """Return what the dashboard shows now: cumulative figures and the last minute, for once a second."""
        now_s = at_ns // _NS
        self._per_second.forget(now_s)
        if at_ns // SLICE_NS > self.book.slice:
            self.book.turn(at_ns // SLICE_NS)
        total = self.book.total(bins=False)
        scope = Scope(total, sum(self.devices.values()), at_ns)
        bins = [part.polls.bins for part in self.book.all_parts()]
        self._synchrony.advance(bins, first=self._first_poll, now=at_ns // BIN_NS, period_s=total.told.period_s())
        requests_per_s, certificates_per_s = self._per_second.last_minute(now_s)
        self.saturation.now_ns = at_ns
        saturated = self.verdict() if stage is RunStage.DONE else self.lost or self.saturation.so_far()
        fleet, readings = self.fleet_reading, [kept[-1] for kept in self._readings.values()]
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
            requests_per_s=requests_per_s,
            certificates_per_s=certificates_per_s,
            operations=operation_figures(total),
            waiting_deferred=fleet.waiting_deferred,
            exchanges_per_certificate=scope.exchanges_per_certificate,
            time_to_certificate_s=quantiles(incidence_in(total.enrolment_tally, at_ns, grain_ms=1000), 1.0),
            wakeups=fleet.wakeups,
            errors=errors(total),
            schedule_lag_ms=quantiles(self._per_second.recent_lags(now_s), 0.001),
            loop_delay_p99_ms=max((each.loop_delay_p99_ns / 1e6 for each in readings), default=None),
            cpu_share=max((each.cpu_share for each in readings), default=0.0),
            max_cpu=self.saturation.max_cpu,
            max_lag_ms=self.saturation.max_lag_s * 1000,
            rss_mib=sum(each.rss_bytes for each in readings) / 2**20,
            in_flight=sum(each.in_flight for each in readings),
            saturated=saturated.why if saturated else None,
            window=window_snapshot(self.book, at_ns),
            deferral=deferral_snapshot(total, self._synchrony),
            cohorts=self._cohort_snapshots(at_ns),
            generator=self._generator_snapshot(),
            marks=tuple(self._marks),
            awaiting=self.awaiting,
        )

    def _cohort_snapshots(self, at_ns: int) -> tuple[CohortSnapshot, ...]:
        """Return the cohorts' figures, worked out once a second."""
        second = at_ns // _NS
        if self._shown_cohorts[0] != second:
            moments = cohort_snapshots(self.book, self.devices, self.fleet_reading.cohorts, at_ns)
            self._shown_cohorts = (second, moments)
        return self._shown_cohorts[1]

    def _generator_snapshot(self) -> GeneratorSnapshot:
        ports_limit, descriptors_limit = self._limits
        kept = [*self._readings.values()]
        if not kept:
            return GeneratorSnapshot(ports_limit=ports_limit, descriptors_limit=descriptors_limit)
        readings = [reading for of_one in kept for reading in of_one]
        return GeneratorSnapshot(
            loop_delay_p99_ms=max(reading.loop_delay_p99_ns for reading in readings) / 1e6,
            cpu_share=max(sum(reading.cpu_share for reading in of_one) / len(of_one) for of_one in kept),
            rss_mib=sum(max(reading.rss_bytes for reading in of_one) for of_one in kept) / 2**20,
            ports=max(reading.ports for reading in readings),
            ports_limit=ports_limit,
            descriptors=max(reading.descriptors for reading in readings),
            descriptors_limit=descriptors_limit,
        )
