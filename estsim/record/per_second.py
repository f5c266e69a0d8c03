"""The pace of a run: what happened in each of the last seconds, for displays; mergeable by addition."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from estsim.est.outcome import OutcomeClass
from estsim.record.histograms import LATENCY, Histogram, merged
from estsim.record.sample import Sample
from estsim.record.saturation import WINDOW_S

SERIES_S: Final = 60  # how far back the dashboard's series go
_NS: Final = 1_000_000_000


@dataclass(slots=True)
class PerSecond:
    """Exchanges, certificates and schedule lags by second of the run in which an exchange ended."""

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
        """Return exchanges and certificates of the last 60 whole seconds, oldest first; one under way is not whole."""
        seconds = range(max(0, now_s - SERIES_S), now_s)
        return tuple(self.requests[s] for s in seconds), tuple(self.certificates[s] for s in seconds)

    def recent_lags(self, now_s: int) -> Histogram:
        """Return the schedule lags of the last 10 s."""
        return merged(lags for second, lags in self.lags.items() if second >= now_s - WINDOW_S)

    def forget(self, now_s: int) -> None:
        """Drop what no display shows any more."""
        for counter in (self.requests, self.certificates):
            for second in [second for second in counter if second < now_s - SERIES_S - 1]:
                del counter[second]
        for second in [second for second in self.lags if second < now_s - WINDOW_S]:
            del self.lags[second]
