"""Thresholds as summary.json has them: what each came to, and whether its sample supports that."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SupportSummary:
    """How many samples a threshold rests on, how many it takes, and whether these do."""

    samples: int
    needed: int | None
    supported: bool | None


@dataclass(frozen=True, slots=True)
class ThresholdSummary:
    """What a threshold came to; ``value`` is in the unit ``ms``, ``s``, ``share`` (0 to 1) or ``count``."""

    expression: str
    value: float | None
    unit: str
    passed: bool | None
    why: str
    support: SupportSummary | None

    @property
    def is_thin(self) -> bool:
        """Whether the sample does not support what it came to."""
        return self.support is not None and self.support.supported is False
