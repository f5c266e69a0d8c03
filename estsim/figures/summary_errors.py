"""What went wrong in a run, as summary.json has it: failed exchanges by kind, and bugs of ours."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from estsim.figures.json_form import keyed
from estsim.record.error_kinds import ErrorKinds, others
from estsim.record.internal_errors import InternalErrors


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """A kind of failed exchange; the last may be all others, of which only ``detail`` and ``count`` are told."""

    operation: str | None
    kind: str | None = field(metadata=keyed("class"))
    phase: str | None
    detail: str
    count: int


@dataclass(frozen=True, slots=True)
class InternalErrorSummary:
    """A kind of bug of ours: how often it was met, and how many devices it stopped."""

    error: str
    place: str
    count: int
    devices: int


@dataclass(frozen=True, slots=True)
class InternalErrorsSummary:
    """All bugs of ours that a run met."""

    count: int
    devices: int
    kinds: tuple[InternalErrorSummary, ...]


def error_summaries(found: ErrorKinds) -> tuple[ErrorSummary, ...]:
    """Return failed exchanges by kind; what is not listed by itself is the last entry, so that all add up."""
    listed = [
        ErrorSummary(kind.operation, kind.kind, kind.phase or None, kind.detail, kind.count) for kind in found.top
    ]
    rest = found.count - sum(kind.count for kind in found.top)
    if rest:
        further = others(found.kinds - len(found.top), at_least=found.at_least)
        listed.append(ErrorSummary(None, None, None, further, rest))
    return tuple(listed)


def internal_errors_summary(met: InternalErrors) -> InternalErrorsSummary:
    """Return the bugs of ours that a run has met."""
    kinds = [(kind.error, kind.place, kind.count, kind.devices) for kind in met.kinds.values()]
    return internal_errors_of(kinds, count=met.count, devices=met.devices)


def internal_errors_of(
    kinds: Iterable[tuple[str, str, int, int]], *, count: int, devices: int
) -> InternalErrorsSummary:
    """Return them of kinds as (error, place, count, devices)."""
    return InternalErrorsSummary(count, devices, tuple(InternalErrorSummary(*kind) for kind in kinds))
