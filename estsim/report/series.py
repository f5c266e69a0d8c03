"""The data of a report over time: rates, latencies, the devices by state, and the marks of the run."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.figures.catalogue import STATES
from estsim.record.histograms import Histogram
from estsim.record.nested import classes_of
from estsim.record.rows import FleetStates, Row
from estsim.record.run_reader import RunReader
from estsim.record.sample import MarkRow
from estsim.report.windows import Course, Cut, bin_width_s, cut_of

_COUNTS: Final = ("requests", "certificates", "begun", "ended")
FINDING: Final = "finding"
NOTICE: Final = "notice"

States = Mapping[str, tuple[int, ...]]  # by state, the devices at each point


@dataclass(frozen=True, slots=True)
class Rates:
    """Counts per second, in points of ``width_s`` seconds from the start of the run."""

    width_s: int = 1
    intended: tuple[float, ...] = ()  # enrolments, by their intended start
    certificates: tuple[float, ...] = ()
    requests: tuple[float, ...] = ()
    still_open: tuple[int, ...] = ()  # enrolments begun and not ended, at the end of the point
    failures: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # by class, a count for each point


class _Latencies:
    """The latencies of one operation in windows, of all cohorts together."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._window_of = {second: number for number, group in enumerate(cut.groups) for second in group}
        self._service = [Histogram() for _ in cut.groups]
        self._response = [Histogram() for _ in cut.groups]

    def add(self, second: int, service: Histogram | None, response: Histogram | None) -> None:
        """Add the latencies of a second; without a window (the sample is too small for any) they are dropped."""
        number = self._window_of.get(second)
        if number is not None and service is not None and response is not None:
            self._service[number].merge(service)
            self._response[number].merge(response)

    def courses(self) -> tuple[Course, Course]:
        """Return service and response time over time."""
        return self._cut.course(self._service), self._cut.course(self._response)


class Series:
    """The seconds of a stored run: counts, and latencies by operation."""

    def __init__(self, run: RunReader) -> None:
        self._counts: dict[str, Counter[int]] = {}
        self._failures: dict[str, Counter[int]] = {}
        ok: dict[str, Counter[int]] = {}  # by operation
        names = ("second", "classes", *_COUNTS)
        for at_s, classes, counts in run.read(_counted, "series", names=names, order="second"):
            for name, count in zip(_COUNTS, counts, strict=True):
                self._counts.setdefault(name, Counter())[at_s] += count
            for (operation, kind), count in classes.items():
                if OutcomeClass(kind).is_failure:
                    self._failures.setdefault(kind, Counter())[at_s] += count
                elif kind == OutcomeClass.OK:
                    ok.setdefault(operation, Counter())[at_s] += count
        self._latencies = {operation: _Latencies(cut_of(counted)) for operation, counted in ok.items()}
        for second in run.series():  # read again, because windows take less memory than seconds
            for operation, latencies in self._latencies.items():
                latencies.add(second.second, second.service.get(operation), second.response.get(operation))

    def leave_out_expected(self, expected: Mapping[tuple[str, int], int]) -> None:
        """Subtract the expected failures, by class and second."""
        for (name, second), count in expected.items():
            failures = self._failures.setdefault(name, Counter())
            failures[second] = max(0, failures[second] - count)

    def courses(self, operation: Operation) -> tuple[Course, Course]:
        """Return service and response time over time, of all cohorts."""
        found = self._latencies.get(operation)
        return (Course(0), Course(0)) if found is None else found.courses()

    def rates(self) -> Rates:
        """Return the counts in points of a chart."""
        seconds = {second for counter in self._counts.values() for second in counter if counter[second]}
        if not seconds:
            return Rates()
        span_s = max(0, *seconds) + 1  # the first point includes what was before the zero
        width_s = bin_width_s(span_s)
        points = -(-span_s // width_s)
        binned = {name: _binned(counter, width_s, points) for name, counter in self._counts.items()}
        lengths_s = [min(width_s, span_s - width_s * point) for point in range(points)]
        intended, certificates, requests = (
            tuple(count / length_s for count, length_s in zip(binned[name], lengths_s, strict=True))
            for name in ("begun", "certificates", "requests")
        )
        failures = {kind: _binned(counter, width_s, points) for kind, counter in sorted(self._failures.items())}
        return Rates(
            width_s,
            intended,
            certificates,
            requests,
            still_open=tuple(_still_open(binned["begun"], binned["ended"])),
            failures={kind: values for kind, values in failures.items() if any(values)},
        )


def _counted(row: Row) -> tuple[int, Mapping[tuple[str, str], int], Sequence[int]]:
    """Return the second of a row, its exchanges by operation and class, and its counts."""
    at_s, classes, *counts = row
    return at_s, classes_of(classes), counts


def _binned(counter: Counter[int], width_s: int, points: int) -> tuple[int, ...]:
    bins = [0] * points
    for second, count in counter.items():
        bins[min(max(0, second // width_s), points - 1)] += count
    return tuple(bins)


def _still_open(begun: tuple[int, ...], ended: tuple[int, ...]) -> list[int]:
    return [*accumulate(came - went for came, went in zip(begun, ended, strict=True))]


@dataclass(frozen=True, slots=True)
class FleetCourse:
    """Devices by cohort and state, at the end of each point of ``width_s`` seconds."""

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
class RunMark:
    """A mark of a run: an event, a finding, a notice or a note, with its time."""

    at_s: float
    kind: str
    text: str


def fleet_of(changes: Iterable[FleetStates], ended_ns: int) -> FleetCourse:
    """Return the states over time, made from their changes."""
    span_s = ended_ns // 1_000_000_000 + 1
    width_s = bin_width_s(span_s)
    points = -(-span_s // width_s)
    by_cohort: dict[str, list[FleetStates]] = {}
    for row in changes:
        by_cohort.setdefault(row.cohort, []).append(row)
    cohorts = {cohort: _held(rows, width_s, points) for cohort, rows in by_cohort.items()}
    return FleetCourse(width_s, points, cohorts) if cohorts else FleetCourse()


def _held(rows: Sequence[FleetStates], width_s: int, points: int) -> States:
    """Carry the states of one cohort forward; a point has the last change in its seconds."""
    at: dict[int, Mapping[str, int]] = {min(row.second // width_s, points - 1): row.states for row in rows}
    now: Mapping[str, int] = rows[0].states
    held: list[Mapping[str, int]] = []
    for point in range(points):
        now = at.get(point, now)
        held.append(now)
    names = {state for states in held for state in states}
    return in_order({name: tuple(states.get(name, 0) for states in held) for name in names})


def in_order(states: States) -> States:
    """Return states in the order of a device's life, without those that no device was ever in."""
    known = {name: number for number, name in enumerate(STATES)}
    shown = sorted((name for name in states if any(states[name])), key=lambda name: (known.get(name, len(known)), name))
    return {name: states[name] for name in shown}


def marks_of(rows: Iterable[MarkRow]) -> tuple[RunMark, ...]:
    """Return the marks of a run, from their rows."""
    return tuple(RunMark(mark.at_ns / 1e9, mark.kind, mark.text) for mark in rows)
