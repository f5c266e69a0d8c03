"""The figures of a run under way, made of its record: for its thresholds, and for what displays show twice a second."""

from typing import Final

from estsim.figures.incidence import incidence_in
from estsim.figures.scopes import Scope, Scopes, scopes_of
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
from estsim.record.run_record import RunRecord
from estsim.record.slice_counts import SLICE_NS
from estsim.record.waits import BIN_NS

_NS: Final = 1_000_000_000


class LiveFigures:
    """What the record of a run says now. The limits are this machine's, 0 where they are not known."""

    def __init__(self, record: RunRecord, *, ports_limit: int = 0, descriptors_limit: int = 0) -> None:
        self._record = record
        self._limits = (ports_limit, descriptors_limit)
        self._synchrony = RunningSynchrony()
        self._shown_cohorts: tuple[int, tuple[CohortSnapshot, ...]] = (-1, ())

    def scopes(self, ended_ns: int) -> Scopes:
        """Return the run, each cohort and each phase as they stand at ``ended_ns``."""
        record = self._record
        record.collect()
        reading = record.fleet_reading
        return scopes_of(
            record.book,
            record.devices,
            ended_ns,
            states=reading.states,
            by_cohort=reading.cohorts,
            events_s=record.events_s,
        )

    def snapshot(self, *, name: str, target: str, stage: RunStage, at_ns: int, duration_s: float | None) -> Snapshot:
        """Return what the dashboard shows now: cumulative figures and the last minute, for once a second."""
        record, book, now_s = self._record, self._record.book, at_ns // _NS
        record.collect()
        record.per_second.forget(now_s)
        book.turn(at_ns // SLICE_NS)
        total = book.total(bins=False)
        scope = Scope(total, sum(record.devices.values()), at_ns)
        bins = [part.polls.bins for part in book.all_parts()]
        self._synchrony.advance(bins, first=record.first_poll, now=at_ns // BIN_NS, period_s=total.told.period_s())
        requests_per_s, certificates_per_s = record.per_second.last_minute(now_s)
        record.saturation.now_ns = at_ns
        saturated = record.verdict() if stage is RunStage.DONE else record.lost or record.saturation.so_far()
        fleet, readings = record.fleet_reading, [kept[-1] for kept in record.readings.values()]
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
            schedule_lag_ms=quantiles(record.per_second.recent_lags(now_s), 0.001),
            loop_delay_p99_ms=max((each.loop_delay_p99_ns / 1e6 for each in readings), default=None),
            cpu_share=max((each.cpu_share for each in readings), default=0.0),
            max_cpu=record.saturation.max_cpu,
            max_lag_ms=record.saturation.max_lag_s * 1000,
            rss_mib=sum(each.rss_bytes for each in readings) / 2**20,
            in_flight=sum(each.in_flight for each in readings),
            saturated=saturated.why if saturated else None,
            window=window_snapshot(book, at_ns),
            deferral=deferral_snapshot(total, self._synchrony),
            cohorts=self._cohort_snapshots(at_ns),
            generator=self._generator_snapshot(),
            marks=tuple(record.marks),
            awaiting=record.awaiting,
        )

    def _cohort_snapshots(self, at_ns: int) -> tuple[CohortSnapshot, ...]:
        """Return the cohorts' figures, worked out once a second."""
        record, second = self._record, at_ns // _NS
        if self._shown_cohorts[0] != second:
            moments = cohort_snapshots(record.book, record.devices, record.fleet_reading.cohorts, at_ns)
            self._shown_cohorts = (second, moments)
        return self._shown_cohorts[1]

    def _generator_snapshot(self) -> GeneratorSnapshot:
        ports_limit, descriptors_limit = self._limits
        kept = [*self._record.readings.values()]
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
