"""A worker's records, with somebody who listens to the exchanges on their way: Locust's statistics."""

from collections.abc import Callable
from dataclasses import dataclass

from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.measure.gatherer import Gatherer
from estsim.measure.sample import Enrolment, GeneratorReading, Sample

Heard = Callable[[Sample, float], None]  # an exchange, and when it ended by the master's clock (UNIX seconds)


@dataclass(frozen=True, slots=True)
class Overheard:
    """Hands everything to the gatherer; ``offset_s`` is how far the master's wall clock is ahead of the run's."""

    gatherer: Gatherer
    heard: Heard
    clock: RunClock
    offset_s: float

    def exchange(self, sample: Sample) -> None:
        """Record an exchange that ended."""
        self.gatherer.exchange(sample)
        self.heard(sample, self.clock.wall_s(sample.stamps.ended_ns / NS_PER_S) + self.offset_s)

    def enrolment_began(self, enrolment: Enrolment) -> None:
        """Record that a certificate is sought."""
        self.gatherer.enrolment_began(enrolment)

    def enrolment_ended(self, enrolment: Enrolment) -> None:
        """Record how a search ended."""
        self.gatherer.enrolment_ended(enrolment)

    def enrolment_open(self, enrolment: Enrolment) -> None:
        """Record a search that is open at the end."""
        self.gatherer.enrolment_open(enrolment)

    def finding(self, at_ns: int, text: str) -> None:
        """Take note of a device that the server ought to have refused and accepted."""
        self.gatherer.finding(at_ns, text)

    def generator(self, reading: GeneratorReading) -> None:
        """Record what the generator says of itself."""
        self.gatherer.generator(reading)
