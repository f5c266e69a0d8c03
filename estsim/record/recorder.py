"""The recorder: counts and keeps what a process plays of a run, from one report to the next.

Every process has one, whether it plays a part of the fleet or all of it. It is called on the event loop, does no I/O,
and adds up nothing over the run: that is done once, where all reports are merged
(:class:`~estsim.record.run_record.RunRecord`).
"""

from collections.abc import Iterable, Sequence

from estsim.errors import Trouble
from estsim.est.enrolment import Cause
from estsim.record.enrolment_tally import DEFAULT_WITHIN_S, FirstCertificateOnce
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.internal_errors import InternalErrors
from estsim.record.per_second import SeriesRows
from estsim.record.phases import Stretch
from estsim.record.sample import Enrolment, FleetReading, GeneratorReading, Impact, InternalErrorRow, Sample
from estsim.record.saturation import SaturationWatch
from estsim.record.slice_counts import CountedSlices
from estsim.record.waits import BIN_NS
from estsim.record.worker_report import WorkerReport


class Recorder:
    """Counts and keeps what the devices of one process do, until it is taken as a report."""

    def __init__(
        self,
        *,
        within_s: Iterable[float] = DEFAULT_WITHIN_S,
        max_lag_s: float = 0.02,
        max_cpu: float = 0.9,
        phases: Sequence[Stretch] = (),
        secrets: frozenset[str] = frozenset(),
    ) -> None:
        self.within_s, self.phases = tuple(within_s), tuple(phases)
        self.max_lag_s, self.max_cpu = max_lag_s, max_cpu
        self._counted = CountedSlices(self.within_s, self.phases, max_lag_s=max_lag_s)
        self._watch = SaturationWatch(max_lag_s=max_lag_s, max_cpu=max_cpu)
        self._first_certificates = FirstCertificateOnce()
        self._series = SeriesRows()
        self._fleet: FleetReading | None = None
        self._sent = 0
        self._noticed: set[str] = set()
        self._internal_errors = InternalErrors(secrets)
        self._worker_report = self._empty()

    def exchange(self, sample: Sample) -> None:
        """Record an exchange that ended; preflight is kept and counted nowhere."""
        worker_report = self._worker_report
        worker_report.batch.exchanges.append(sample)
        if sample.cause is Cause.PREFLIGHT:
            return
        stamps = sample.stamps
        self._counted.at(sample.cohort, intended_ns=stamps.intended_ns, now_ns=stamps.ended_ns).exchange(sample)
        lag_ns = stamps.schedule_lag_ns
        worker_report.pace.exchange(sample)
        self._watch.exchange(stamps.started_ns, lag_ns)
        if sample.trouble is Trouble.GENERATOR:
            self._watch.out_of(stamps.ended_ns, sample.detail)
        if sample.poll is not None and worker_report.first_poll is None:
            worker_report.first_poll = stamps.started_ns // BIN_NS
        self._series.exchange(sample)

    def enrolment_began(self, enrolment: Enrolment) -> None:
        """Record that a certificate is sought."""
        self._keep_enrolment(enrolment)
        begun_ns = enrolment.intended_ns
        self._counted.at(enrolment.cohort, intended_ns=begun_ns, now_ns=begun_ns).tally.enrolment_began(enrolment)
        self._series.began(enrolment)

    def enrolment_ended(self, enrolment: Enrolment) -> None:
        """Record how a search ended; ``ended_ns`` and ``end`` must be set."""
        self._keep_enrolment(enrolment)
        first = self._first_certificates.is_first(enrolment)
        counts = self._counted.at(enrolment.cohort, intended_ns=enrolment.intended_ns, now_ns=enrolment.ended_ns or 0)
        counts.enrolment_ended(enrolment, first=first)
        self._series.ended(enrolment)

    def enrolment_open(self, enrolment: Enrolment) -> None:
        """Record a search that is open at the end; it has been counted since it began."""
        self._keep_enrolment(enrolment)

    def _keep_enrolment(self, enrolment: Enrolment) -> None:
        key = (enrolment.cohort, enrolment.device, enrolment.number)
        self._worker_report.batch.enrolments[key] = enrolment

    def impact_began(self, impact: Impact) -> None:
        """Record that an event struck a device."""
        self._keep_impact(impact)
        since_ns = impact.since_ns
        self._counted.at(impact.cohort, intended_ns=since_ns, now_ns=since_ns).tally.impact_began(impact)

    def impact_ended(self, impact: Impact) -> None:
        """Record that a device has come through, or will not; ``ended_ns`` and ``end`` must be set."""
        self._keep_impact(impact)
        counts = self._counted.at(impact.cohort, intended_ns=impact.since_ns, now_ns=impact.ended_ns or 0)
        counts.tally.impact_ended(impact)

    def _keep_impact(self, impact: Impact) -> None:
        self._worker_report.batch.impacts[impact.cohort, impact.device, impact.kind, impact.since_ns] = impact

    def fleet(self, reading: FleetReading) -> None:
        """Take note of where this part of the fleet stands."""
        self._fleet = reading

    def generator(self, reading: GeneratorReading) -> None:
        """Record what the generator says of itself."""
        self._watch.reading(reading)
        self._worker_report.readings.append(reading)

    def finding(self, at_ns: int, text: str) -> None:
        """Take note of a device that the server ought to have refused and accepted."""
        self._worker_report.findings.append((at_ns, text))

    def internal_error(
        self, error: BaseException, *, at_ns: int, device: int | None = None, cohort: str | None = None
    ) -> None:
        """Take note of a bug of ours; ``device`` is the one that it stopped, if any."""
        worker_report = self._worker_report
        for noted in self._internal_errors.note(error, at_ns=at_ns, device=device):
            worker_report.batch.internal_errors.append(
                InternalErrorRow(at_ns, device, cohort, noted.error, noted.place)
            )

    def notice(self, at_ns: int, text: str) -> None:
        """Take note of what a reader of the figures has to know, once for each text."""
        if text not in self._noticed:
            self._noticed.add(text)
            self._worker_report.notices.append((at_ns, text))

    def take_report(self, totals: GeneratorTotals | None = None) -> WorkerReport:
        """Return what has come since the worker report before and begin a new one; ``totals`` make it the last."""
        worker_report = self._worker_report
        self._sent += 1
        worker_report.number = self._sent
        worker_report.batch.series.extend(self._series.take())
        worker_report.batch.keep_open_ones()
        worker_report.counted = self._counted.take()
        worker_report.fleet = self._fleet
        worker_report.watch = self._watch
        worker_report.totals = totals
        worker_report.internal_errors = self._internal_errors
        self._watch, self._internal_errors = self._watch.successor(), self._internal_errors.successor()
        self._worker_report = self._empty()
        return worker_report

    def _empty(self) -> WorkerReport:
        return WorkerReport(watch=SaturationWatch(max_lag_s=self.max_lag_s, max_cpu=self.max_cpu))
