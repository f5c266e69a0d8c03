"""Where a driver's records go: to the recorder of its process, perhaps past somebody who listens."""

from collections.abc import Callable
from typing import Protocol

from estsim.fleet.clock import RunClock
from estsim.record.sample import Enrolment, GeneratorReading, Impact, Sample


def noting_by(clock: RunClock, records: "Records") -> Callable[[BaseException], None]:
    """Return what takes note of a bug of ours that belongs to no device, at the time of the run's clock."""

    def note(bug: BaseException) -> None:
        records.internal_error(bug, at_ns=max(0, clock.now_ns()))

    return note


class Records(Protocol):
    """What takes every sample of a fleet; a :class:`~estsim.record.recorder.Recorder` does."""

    def exchange(self, sample: Sample) -> None:
        """Record an exchange that ended."""

    def enrolment_began(self, enrolment: Enrolment) -> None:
        """Record that a certificate is sought."""

    def enrolment_ended(self, enrolment: Enrolment) -> None:
        """Record how a search ended."""

    def enrolment_open(self, enrolment: Enrolment) -> None:
        """Record a search that is open at the end."""

    def impact_began(self, impact: Impact) -> None:
        """Record that an event struck a device."""

    def impact_ended(self, impact: Impact) -> None:
        """Record that a device has come through an event, or will not."""

    def finding(self, at_ns: int, text: str) -> None:
        """Take note of a device that the server ought to have refused and accepted."""

    def internal_error(
        self, error: BaseException, *, at_ns: int, device: int | None = None, cohort: str | None = None
    ) -> None:
        """Take note of a bug of ours, and of the device that it stopped, if any."""

    def notice(self, at_ns: int, text: str) -> None:
        """Take note of what a reader of the figures has to know, once for each text."""

    def generator(self, reading: GeneratorReading) -> None:
        """Record what the generator says of itself."""
