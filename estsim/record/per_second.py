"""The counts of each second: of the last ones for displays, and by cohort the rows of table ``series``."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from estsim.est.outcome import OutcomeClass
from estsim.record.histograms import LATENCY, Histogram, merged
from estsim.record.rows import SeriesDelta
from estsim.record.sample import Enrolment, Sample
from estsim.record.saturation import WINDOW_S

SERIES_S: Final = 60  # of the dashboard's series
_NS: Final = 1_000_000_000


@dataclass(slots=True)
class PerSecond:
    """Exchanges, certificates and schedule lags by the second in which an exchange ended; they merge by addition."""

    requests: Counter[int] = field(default_factory=Counter)
    certificates: Counter[int] = field(default_factory=Counter)
    lags: dict[int, Histogram] = field(default_factory=dict)

    def exchange(self, sample: Sample) -> None:
        """Count an exchange."""
        second = sample.stamps.ended_ns // _NS
        self.requests[second] += 1
        if sample.kind is OutcomeClass.OK and sample.operation.seeks_certificate:
            self.certificates[second] += 1
        lags = self.lags.get(second)
        if lags is None:
            lags = self.lags[second] = Histogram(LATENCY)
        lags.record_ns(max(0, sample.stamps.schedule_lag_ns))

    def merge(self, other: "PerSecond") -> None:
        """Add another process's counts."""
        self.requests.update(other.requests)
        self.certificates.update(other.certificates)
        for second, lags in other.lags.items():
            self.lags.setdefault(second, Histogram(LATENCY)).merge(lags)

    def last_minute(self, now_s: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return exchanges and certificates of the last 60 complete seconds, oldest first."""
        seconds = range(max(0, now_s - SERIES_S), now_s)
        return tuple(self.requests[s] for s in seconds), tuple(self.certificates[s] for s in seconds)

    def recent_lags(self, now_s: int) -> Histogram:
        """Return the schedule lags of the last 10 s."""
        return merged(lags for second, lags in self.lags.items() if second >= now_s - WINDOW_S)

    def forget(self, now_s: int) -> None:
        """Drop the seconds that no display shows any more."""
        for counter in (self.requests, self.certificates):
            for second in [second for second in counter if second < now_s - SERIES_S - 1]:
                del counter[second]
        for second in [second for second in self.lags if second < now_s - WINDOW_S]:
            del self.lags[second]


class SeriesRows:
    """The seconds since the last `take`, by cohort; rows of the same second add up."""

    def __init__(self) -> None:
        self._deltas: dict[tuple[int, str], SeriesDelta] = {}

    def exchange(self, sample: Sample) -> None:
        """Count an exchange in the second of its end."""
        delta = self._delta(sample.stamps.ended_ns // _NS, sample.cohort)
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
            delta.certificates += sample.operation.seeks_certificate

    def began(self, enrolment: Enrolment) -> None:
        """Count an enrolment in the second of its intended start."""
        self._delta(enrolment.intended_ns // _NS, enrolment.cohort).begun += 1

    def ended(self, enrolment: Enrolment) -> None:
        """Count the end of an enrolment."""
        self._delta((enrolment.ended_ns or 0) // _NS, enrolment.cohort).ended += 1

    def take(self) -> list[SeriesDelta]:
        """Return the seconds since the last call."""
        taken, self._deltas = [*self._deltas.values()], {}
        return taken

    def _delta(self, second: int, cohort: str) -> SeriesDelta:
        delta = self._deltas.get((second, cohort))
        if delta is None:
            delta = self._deltas[second, cohort] = SeriesDelta(second, cohort)
        return delta
