"""The phases of a run: stretches of its time, to which exchanges and enrolments belong by when they were to begin."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

WARMUP: Final = "warmup"  # the phase that nothing but its own block counts


@dataclass(frozen=True, slots=True)
class Stretch:
    """A phase: a name, and when it begins and ends (seconds of the run, the end not within it)."""

    name: str
    from_s: float
    to_s: float

    def lasted_s(self, ended_ns: int) -> float:
        """Return how much of it had passed when the run ended."""
        return max(0.0, min(self.to_s, ended_ns / 1e9) - self.from_s)


def judged_s(phases: Iterable[Stretch], ended_ns: int) -> float:
    """Return how much of a run is in its figures: all of it but the warm-up."""
    return ended_ns / 1e9 - sum(phase.lasted_s(ended_ns) for phase in phases if phase.name == WARMUP)


def phase_at(phases: Iterable[Stretch], intended_ns: int) -> str | None:
    """Return the phase in which something was meant to begin, None outside of all."""
    intended_s = intended_ns / 1e9
    return next((phase.name for phase in phases if phase.from_s <= intended_s < phase.to_s), None)
