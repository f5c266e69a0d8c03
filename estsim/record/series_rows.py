"""What each second of a run came to, by cohort: the rows of table ``series`` as they grow."""

from typing import Final

from estsim.est.outcome import OutcomeClass
from estsim.record.histograms import LATENCY, Histogram
from estsim.record.rows import SeriesDelta
from estsim.record.sample import Enrolment, Sample

_NS: Final = 1_000_000_000


class SeriesRows:
    """The seconds since they were last taken; rows of one second add up, so it may be cut by a taking."""

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
        """Count a search in the second in which it was meant to begin."""
        self._delta(enrolment.intended_ns // _NS, enrolment.cohort).begun += 1

    def ended(self, enrolment: Enrolment) -> None:
        """Count the end of a search."""
        self._delta((enrolment.ended_ns or 0) // _NS, enrolment.cohort).ended += 1

    def take(self) -> list[SeriesDelta]:
        """Return what has come since it was last taken."""
        taken, self._deltas = [*self._deltas.values()], {}
        return taken

    def _delta(self, second: int, cohort: str) -> SeriesDelta:
        delta = self._deltas.get((second, cohort))
        if delta is None:
            delta = self._deltas[second, cohort] = SeriesDelta(second, cohort)
        return delta
