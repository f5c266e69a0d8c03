"""The gatherer: what a worker process counts and keeps between two parcels to whoever leads the run.

It takes what a :class:`~estsim.measure.recorder.Recorder` takes, on the event loop, and adds up nothing over the run:
that is done once, where the parcels of all workers come together (:meth:`Recorder.merge`).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from estsim.errors import Trouble
from estsim.est.enrolment import Cause
from estsim.measure.book import SLICE_S, Stretch, phase_at
from estsim.measure.firsts import Firsts
from estsim.measure.lives import DEFAULT_WITHIN_S
from estsim.measure.parcel import Parcel
from estsim.measure.sample import Enrolment, FleetReading, GeneratorReading, Sample
from estsim.measure.saturation import SaturationWatch
from estsim.measure.series_book import SeriesBook
from estsim.measure.summary import GeneratorTotals
from estsim.measure.tally import Tally
from estsim.measure.waits import BIN_NS

_SLICE_NS: Final = round(SLICE_S * 1e9)


class Gatherer:
    """Counts and keeps what a worker's part of the fleet does, until it is taken."""

    def __init__(
        self,
        *,
        within_s: Iterable[float] = DEFAULT_WITHIN_S,
        max_lag_s: float = 0.02,
        max_cpu: float = 0.9,
        phases: Sequence[Stretch] = (),
    ) -> None:
        self._within_s = tuple(within_s)
        self._phases = tuple(phases)
        self._limits = (max_lag_s, max_cpu)
        self._watch = SaturationWatch(max_lag_s=max_lag_s, max_cpu=max_cpu)
        self._firsts = Firsts()
        self._series = SeriesBook()
        self._fleet: FleetReading | None = None
        self._sent = 0
        self._parcel = self._empty()

    def exchange(self, sample: Sample) -> None:
        """Record an exchange that ended; preflight is kept and counted nowhere."""
        parcel = self._parcel
        parcel.batch.exchanges.append(sample)
        if sample.cause is Cause.PREFLIGHT:
            return
        stamps = sample.stamps
        self._tally(sample.cohort, stamps.intended_ns, stamps.ended_ns).exchange(sample)
        lag_ns = stamps.schedule_lag_ns
        parcel.pace.exchange(sample)
        self._watch.exchange(stamps.started_ns, lag_ns)
        if sample.trouble is Trouble.GENERATOR:
            self._watch.out_of(stamps.ended_ns, sample.detail)
        if sample.poll is not None and parcel.first_poll is None:
            parcel.first_poll = stamps.started_ns // BIN_NS
        self._series.exchange(sample)

    def enrolment_began(self, enrolment: Enrolment) -> None:
        """Record that a certificate is sought."""
        self.enrolment_open(enrolment)
        self._tally(enrolment.cohort, enrolment.intended_ns, enrolment.intended_ns).enrolment_began(enrolment)
        self._series.began(enrolment)

    def enrolment_ended(self, enrolment: Enrolment) -> None:
        """Record how a search ended; ``ended_ns`` and ``end`` must be set."""
        self.enrolment_open(enrolment)
        ended_ns = enrolment.ended_ns or 0
        first = self._firsts.is_first(enrolment)
        self._tally(enrolment.cohort, enrolment.intended_ns, ended_ns).enrolment_ended(enrolment, first=first)
        self._series.ended(enrolment)

    def enrolment_open(self, enrolment: Enrolment) -> None:
        """Write a search as it stands."""
        key = (enrolment.cohort, enrolment.device, enrolment.number)
        self._parcel.batch.enrolments[key] = enrolment

    def fleet(self, reading: FleetReading) -> None:
        """Take note of where this part of the fleet stands."""
        self._fleet = reading

    def generator(self, reading: GeneratorReading) -> None:
        """Record what the generator says of itself."""
        self._watch.reading(reading)
        self._parcel.readings.append(reading)

    def finding(self, at_ns: int, text: str) -> None:
        """Take note of a device that the server ought to have refused and accepted."""
        self._parcel.findings.append((at_ns, text))

    def take_parcel(self, totals: GeneratorTotals | None = None) -> Parcel:
        """Return what has come since the parcel before and begin a new one; ``totals`` make it the last."""
        parcel = self._parcel
        self._sent += 1
        parcel.number = self._sent
        parcel.batch.series.extend(self._series.take())
        parcel.fleet = self._fleet
        parcel.watch = self._watch
        parcel.totals = totals
        self._watch = self._watch.successor()
        self._parcel = self._empty()
        return parcel

    def _tally(self, cohort: str, intended_ns: int, now_ns: int) -> Tally:
        phase = phase_at(self._phases, intended_ns) if self._phases else None
        key = (now_ns // _SLICE_NS, cohort, phase)
        found = self._parcel.tallies.get(key)
        if found is None:
            found = self._parcel.tallies[key] = Tally(self._within_s)
        return found

    def _empty(self) -> Parcel:
        max_lag_s, max_cpu = self._limits
        return Parcel(watch=SaturationWatch(max_lag_s=max_lag_s, max_cpu=max_cpu))
