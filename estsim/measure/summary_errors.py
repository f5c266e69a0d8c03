"""What went wrong in a run, as summary.json has it: failed exchanges by kind, and bugs of ours."""

from dataclasses import dataclass, field

from estsim.measure.json_form import keyed


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
