"""A worker's records, with somebody who listens to the exchanges on their way: Locust's statistics."""

from collections.abc import Callable
from dataclasses import dataclass

from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.record.internal_errors import InternalErrors
from estsim.record.recorder import Recorder
from estsim.record.sample import Enrolment, GeneratorReading, Impact, Sample

ExchangeListener = Callable[
    [Sample, float], None
]  # an exchange, and when it ended by the master's clock (UNIX seconds)


@dataclass(frozen=True, slots=True)
class RecordsTee:
    """Hands everything to the recorder; ``offset_s`` is how far the master's wall clock is ahead of the run's."""

    recorder: Recorder
    heard: ExchangeListener
    clock: RunClock
    offset_s: float
    errors: InternalErrors  # of this process, for its own end

    def exchange(self, sample: Sample) -> None:
        """Record an exchange that ended."""
        self.recorder.exchange(sample)
        self.heard(sample, self.clock.wall_s(sample.stamps.ended_ns / NS_PER_S) + self.offset_s)

    def enrolment_began(self, enrolment: Enrolment) -> None:
        """Record that a certificate is sought."""
        self.recorder.enrolment_began(enrolment)

    def enrolment_ended(self, enrolment: Enrolment) -> None:
        """Record how a search ended."""
        self.recorder.enrolment_ended(enrolment)

    def enrolment_open(self, enrolment: Enrolment) -> None:
        """Record a search that is open at the end."""
        self.recorder.enrolment_open(enrolment)

    def impact_began(self, impact: Impact) -> None:
        """Record that an event struck a device."""
        self.recorder.impact_began(impact)

    def impact_ended(self, impact: Impact) -> None:
        """Record that a device has come through an event, or will not."""
        self.recorder.impact_ended(impact)

    def finding(self, at_ns: int, text: str) -> None:
        """Take note of a device that the server ought to have refused and accepted."""
        self.recorder.finding(at_ns, text)

    def internal_error(
        self, error: BaseException, *, at_ns: int, device: int | None = None, cohort: str | None = None
    ) -> None:
        """Take note of a bug of ours, and of the device that it stopped, if any."""
        self.recorder.internal_error(error, at_ns=at_ns, device=device, cohort=cohort)
        self.errors.note(error, at_ns=at_ns, device=device)

    def notice(self, at_ns: int, text: str) -> None:
        """Take note of what a reader of the figures has to know, once for each text."""
        self.recorder.notice(at_ns, text)

    def generator(self, reading: GeneratorReading) -> None:
        """Record what the generator says of itself."""
        self.recorder.generator(reading)
