"""The seconds of a stored run: what happened in each, and latencies by second and cohort."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.record.histograms import Histogram
from estsim.record.nested import classes_of
from estsim.record.rows import Row
from estsim.record.run_reader import RunReader
from estsim.report.windows import Course, Cut, bin_width_s, cut_of

_COUNTS: Final = ("requests", "certificates", "begun", "ended")


@dataclass(frozen=True, slots=True)
class Rates:
    """What happened per second, in points of ``width_s`` seconds from the run's start on."""

    width_s: int = 1
    intended: tuple[float, ...] = ()  # enrolments, by the second they were meant to start in
    certificates: tuple[float, ...] = ()
    requests: tuple[float, ...] = ()
    still_open: tuple[int, ...] = ()  # enrolments begun and not ended, at the end of the point
    failures: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # by class, a count for each point


class _Latencies:
    """The latencies of one operation, of all cohorts, in windows."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._window_of = {second: number for number, group in enumerate(cut.groups) for second in group}
        self._service = [Histogram() for _ in cut.groups]
        self._response = [Histogram() for _ in cut.groups]

    def add(self, second: int, service: Histogram | None, response: Histogram | None) -> None:
        """Add those of a second; one that has no window, of a sample too small for any, is left out."""
        number = self._window_of.get(second)
        if number is not None and service is not None and response is not None:
            self._service[number].merge(service)
            self._response[number].merge(response)

    def courses(self) -> tuple[Course, Course]:
        """Return service and response time over time."""
        return self._cut.course(self._service), self._cut.course(self._response)


class Series:
    """The seconds of a run: counts, and latencies by second."""

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
        for second in run.series():  # a second time: windows take less memory than seconds
            for operation, latencies in self._latencies.items():
                latencies.add(second.second, second.service.get(operation), second.response.get(operation))

    def leave_out_expected(self, expected: Mapping[tuple[str, int], int]) -> None:
        """Take the failures that were part of the plan, by class and second, out of those by second."""
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
        span_s = max(0, *seconds) + 1  # what was before the zero is in the first point
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
    total, course = 0, []
    for came, went in zip(begun, ended, strict=True):
        total += came - went
        course.append(total)
    return course
