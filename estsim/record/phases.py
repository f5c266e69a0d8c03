"""The phases of a run: exchanges and enrolments belong to the phase of their intended start."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

WARMUP: Final = "warmup"  # the phase that only its own block counts


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase: its name, its start and its end (exclusive) in seconds of the run."""

    name: str
    from_s: float
    to_s: float

    def lasted_s(self, ended_ns: int) -> float:
        """Return the part of it, in seconds, that had passed when the run ended."""
        return max(0.0, min(self.to_s, ended_ns / 1e9) - self.from_s)


def judged_s(phases: Iterable[Stretch], ended_ns: int) -> float:
    """Return the seconds of a run that its figures cover: all but the warm-up."""
    return ended_ns / 1e9 - sum(phase.lasted_s(ended_ns) for phase in phases if phase.name == WARMUP)


def phase_at(phases: Iterable[Stretch], intended_ns: int) -> str | None:
    """Return the phase of an intended start, None outside all phases."""
    intended_s = intended_ns / 1e9
    return next((phase.name for phase in phases if phase.from_s <= intended_s < phase.to_s), None)
