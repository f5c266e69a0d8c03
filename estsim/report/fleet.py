"""The fleet over time: devices by state and cohort, held from one change to the next, and what was told meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from estsim.figures.catalogue import STATES
from estsim.record.rows import FleetStates
from estsim.record.run_reader import RunReader
from estsim.report.windows import bin_width_s

MAX_MARKS: Final = 40  # lines on a chart; a run may have told more
FINDING: Final = "finding"
NOTICE: Final = "notice"

States = Mapping[str, tuple[int, ...]]  # by state, the devices at each point


@dataclass(frozen=True, slots=True)
class FleetCourse:
    """Where the devices stood, at points of ``width_s`` seconds: at the end of each, by cohort and state."""

    width_s: int = 1
    points: int = 0
    cohorts: Mapping[str, States] = field(default_factory=dict)

    @property
    def total(self) -> States:
        """All cohorts together."""
        summed: dict[str, tuple[int, ...]] = {}
        for states in self.cohorts.values():
            for state, counts in states.items():
                before = summed.get(state, (0,) * self.points)
                summed[state] = tuple(map(sum, zip(before, counts, strict=True)))
        return in_order(summed)


@dataclass(frozen=True, slots=True)
class Told:
    """Something that was told of a run, when."""

    at_s: float
    kind: str
    text: str


def fleet_of(run: RunReader, ended_ns: int) -> FleetCourse:
    """Return the states over time, at no more points than a chart has."""
    span_s = ended_ns // 1_000_000_000 + 1
    width_s = bin_width_s(span_s)
    points = -(-span_s // width_s)
    by_cohort: dict[str, list[FleetStates]] = {}
    for row in run.fleet():
        by_cohort.setdefault(row.cohort, []).append(row)
    cohorts = {cohort: _held(rows, width_s, points) for cohort, rows in by_cohort.items()}
    return FleetCourse(width_s, points, cohorts) if cohorts else FleetCourse()


def _held(rows: Sequence[FleetStates], width_s: int, points: int) -> States:
    """Carry the states of one cohort forward; a point shows the last change in its seconds."""
    at: dict[int, Mapping[str, int]] = {min(row.second // width_s, points - 1): row.states for row in rows}
    now: Mapping[str, int] = rows[0].states
    held: list[Mapping[str, int]] = []
    for point in range(points):
        now = at.get(point, now)
        held.append(now)
    names = {state for states in held for state in states}
    return in_order({name: tuple(states.get(name, 0) for states in held) for name in names})


def in_order(states: States) -> States:
    """Return states in the order of a device's life, those that never held a device left out."""
    known = {name: number for number, name in enumerate(STATES)}
    shown = sorted((name for name in states if any(states[name])), key=lambda name: (known.get(name, len(known)), name))
    return {name: states[name] for name in shown}


def told_of(run: RunReader) -> tuple[Told, ...]:
    """Return what was told, in the order of time."""
    return tuple(Told(mark.at_ns / 1e9, mark.kind, mark.text) for mark in run.marks())
