"""Where a driver's records go: to the run's recorder, or to a worker's gatherer on their way to it."""

from typing import Protocol

from estsim.measure.sample import Enrolment, GeneratorReading, Sample


class Records(Protocol):
    """What takes every sample of a fleet; :class:`Recorder` and :class:`Gatherer` do."""

    def exchange(self, sample: Sample) -> None:
        """Record an exchange that ended."""

    def enrolment_began(self, enrolment: Enrolment) -> None:
        """Record that a certificate is sought."""

    def enrolment_ended(self, enrolment: Enrolment) -> None:
        """Record how a search ended."""

    def enrolment_open(self, enrolment: Enrolment) -> None:
        """Record a search that is open at the end."""

    def finding(self, at_ns: int, text: str) -> None:
        """Take note of a device that the server ought to have refused and accepted."""

    def generator(self, reading: GeneratorReading) -> None:
        """Record what the generator says of itself."""
