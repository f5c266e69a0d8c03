"""The tally of a cohort: every count and histogram behind the figures of docs/metrics.md; it merges by addition.

A run's totals are the sum of its cohorts, a cohort is the sum of its shards, in any order.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from estsim.est.operations import Operation
from estsim.est.outcome import NonConformance, OutcomeClass
from estsim.record.enrolment_tally import DEFAULT_WITHIN_S, EnrolmentTally
from estsim.record.error_kinds import UNTOLD, ErrorKey, without_ids
from estsim.record.histograms import LATENCY, Histogram
from estsim.record.own_delay import OwnDelays
from estsim.record.sample import Enrolment, Impact, Sample
from estsim.record.waits import Polls, ToldWaits

MAX_ERRORS: Final = 500  # distinct errors; a server may put a timestamp into each message
LATENCIES: Final = ("service", "response", "deferred", "failed")  # the histograms of an operation
_CERTIFICATE_STATUSES: Final = frozenset({200, 201})  # the second breaks a rule and is used


class OperationTally:
    """The exchanges of one operation: by class, and their durations by outcome."""

    __slots__ = ("by_class", "deferred", "failed", "response", "service")

    def __init__(self) -> None:
        self.by_class: Counter[OutcomeClass] = Counter()
        self.service = Histogram(LATENCY)  # of those that ended ok
        self.response = Histogram(LATENCY)
        self.deferred = Histogram(LATENCY)  # service times of deferrals, neither success nor failure
        self.failed = Histogram(LATENCY)  # service times of failures

    def record(self, sample: Sample) -> None:
        """Count one exchange."""
        kind = sample.kind
        self.by_class[kind] += 1
        if kind is OutcomeClass.OK:
            self.service.record_ns(sample.stamps.service_ns)
            self.response.record_ns(sample.stamps.response_ns)
        elif kind is OutcomeClass.DEFERRED:
            self.deferred.record_ns(sample.stamps.service_ns)
        elif kind.is_failure and not sample.expected:
            self.failed.record_ns(sample.stamps.service_ns)

    def merge(self, other: "OperationTally") -> None:
        """Add another shard's counts."""
        self.by_class.update(other.by_class)
        self.service.merge(other.service)
        self.response.merge(other.response)
        self.deferred.merge(other.deferred)
        self.failed.merge(other.failed)

    @property
    def requests(self) -> int:
        """All exchanges: the sum of the ten classes."""
        return self.by_class.total()


class Connections:
    """Connections: full handshakes, resumed ones, and reused connections."""

    __slots__ = ("full", "resumed", "reused")

    def __init__(self) -> None:
        self.full = 0
        self.resumed = 0
        self.reused = 0

    def record(self, sample: Sample) -> None:
        """Count the connection that an exchange opened or reused."""
        if sample.reused:
            self.reused += 1
        elif sample.stamps.handshaken_ns is not None:
            if sample.resumed:
                self.resumed += 1
            else:
                self.full += 1

    def merge(self, other: "Connections") -> None:
        """Add another shard's counts."""
        self.full += other.full
        self.resumed += other.resumed
        self.reused += other.reused

    @property
    def handshakes(self) -> int:
        """All completed handshakes."""
        return self.full + self.resumed


class Tally:
    """The counts of a cohort, without the preflight."""

    __slots__ = (
        "connections",
        "enrolment_tally",
        "errors",
        "issued",
        "non_conformances",
        "operations",
        "own",
        "polls",
        "schedule_lag",
        "told",
    )

    def __init__(self, within_s: Iterable[float] = DEFAULT_WITHIN_S) -> None:
        self.operations: dict[Operation, OperationTally] = {}
        self.connections = Connections()
        self.schedule_lag = Histogram(LATENCY)
        self.issued = 0  # answers of status 200 to a request for a certificate, valid or not
        self.errors: Counter[ErrorKey] = Counter()
        self.non_conformances: Counter[NonConformance] = Counter()
        self.told = ToldWaits()
        self.polls = Polls()
        self.enrolment_tally = EnrolmentTally(within_s)
        self.own = OwnDelays()

    def exchange(self, sample: Sample) -> None:
        """Count one exchange."""
        tally = self.operations.get(sample.operation)
        if tally is None:
            tally = self.operations[sample.operation] = OperationTally()
        tally.record(sample)
        self.connections.record(sample)
        self.schedule_lag.record_ns(max(0, sample.stamps.schedule_lag_ns))
        self.own.exchange(sample)
        if sample.status in _CERTIFICATE_STATUSES and sample.operation.seeks_certificate:
            self.issued += 1
        if sample.poll is not None:
            self.polls.record(sample, sample.poll)
        if sample.kind is OutcomeClass.DEFERRED and sample.retry_after is not None:
            self.told.record(sample.retry_after)
        elif sample.kind.is_failure and not sample.expected:
            self._error(sample)
        for broken in sample.non_conformances:
            self.non_conformances[broken] += 1

    def _error(self, sample: Sample) -> None:
        operation, kind = sample.operation.value, sample.kind.value
        key = (operation, kind, sample.phase.value if sample.phase else "", without_ids(sample.detail))
        if key not in self.errors and len(self.errors) >= MAX_ERRORS:
            key = (operation, kind, "", UNTOLD)
        self.errors[key] += 1

    def enrolment_began(self, enrolment: Enrolment) -> None:
        """Count an enrolment that begins."""
        self.enrolment_tally.begin(enrolment)

    def enrolment_ended(self, enrolment: Enrolment, *, first: bool) -> None:
        """Count an enrolment that ended; ``first`` marks the device's first certificate."""
        self.enrolment_tally.end(enrolment, first=first)
        self.own.enrolment(enrolment, self.enrolment_tally.limits_ms, first=first)

    def impact_began(self, impact: Impact) -> None:
        """Count a device under the impact of an event."""
        self.enrolment_tally.impact_began(impact)

    def impact_ended(self, impact: Impact) -> None:
        """Count the end of an impact."""
        self.enrolment_tally.impact_ended(impact)
        self.own.impact(impact, self.enrolment_tally.limits_ms)

    def merge(self, other: "Tally", *, bins: bool = True) -> None:
        """Add another shard's or cohort's counts; ``bins=False`` leaves out those that grow with the run's length."""
        for operation, theirs in other.operations.items():
            self.operations.setdefault(operation, OperationTally()).merge(theirs)
        self.connections.merge(other.connections)
        self.schedule_lag.merge(other.schedule_lag)
        self.issued += other.issued
        self.errors.update(other.errors)
        self.non_conformances.update(other.non_conformances)
        self.told.merge(other.told)
        self.polls.merge(other.polls, bins=bins)
        self.enrolment_tally.merge(other.enrolment_tally)
        self.own.merge(other.own)

    @property
    def requests(self) -> int:
        """All exchanges."""
        return sum(tally.requests for tally in self.operations.values())

    @property
    def certificate_exchanges(self) -> int:
        """Exchanges that asked for a certificate: simpleenroll, simplereenroll, serverkeygen."""
        return sum(tally.requests for operation, tally in self.operations.items() if operation.seeks_certificate)

    @property
    def certificates(self) -> int:
        """Certificates that passed every check."""
        return sum(
            tally.by_class[OutcomeClass.OK]
            for operation, tally in self.operations.items()
            if operation.seeks_certificate
        )


def total_of(tallies: Iterable[Tally], within_s: Iterable[float] = DEFAULT_WITHIN_S, *, bins: bool = True) -> Tally:
    """Return the sum of all tallies, which must have the same limits ``within_s``."""
    total = Tally(within_s)
    for tally in tallies:
        total.merge(tally, bins=bins)
    return total
