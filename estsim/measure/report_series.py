"""The seconds of a stored run: what happened in each, and latencies by second and cohort."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.measure.histograms import Histogram
from estsim.measure.report_queries import FAILED, FLEET, RunQueries
from estsim.measure.report_windows import Course, bin_width_s, course_of, decoded

_NS = 1_000_000_000
_Seconds = dict[int, Histogram]


@dataclass(frozen=True, slots=True)
class Rates:
    """What happened per second, in points of ``width_s`` seconds from the run's start on."""

    width_s: int = 1
    intended: tuple[float, ...] = ()  # enrolments, by the second they were meant to start in
    certificates: tuple[float, ...] = ()
    requests: tuple[float, ...] = ()
    still_open: tuple[int, ...] = ()  # enrolments begun and not ended, at the end of the point
    failures: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # by class, a count for each point


class Series:
    """The seconds of a run: counts, and latencies by second."""

    def __init__(self, store: RunQueries) -> None:
        self.service: dict[tuple[str, Operation], _Seconds] = {}  # by cohort as well
        self.response: dict[tuple[str, Operation], _Seconds] = {}
        self._counts: dict[str, Counter[int]] = {}
        self._failures: dict[str, Counter[int]] = {}
        query = "SELECT second, cohort, requests, certificates, begun, ended, classes, service, response FROM series"
        for second, cohort, requests, certificates, begun, ended, classes, service, response in store.rows(query):
            counts = {"requests": requests, "certificates": certificates, "begun": begun, "ended": ended}
            for name, count in counts.items():
                self._counts.setdefault(name, Counter())[second] += count
            self._add_failures(second, json.loads(classes))
            _add(self.service, second, cohort, json.loads(service))
            _add(self.response, second, cohort, json.loads(response))

    def _add_failures(self, second: int, classes: Mapping[str, Mapping[str, int]]) -> None:
        for operation, kinds in classes.items():
            Operation(operation)  # of a word that is none, a report is not made
            for name, count in kinds.items():
                if OutcomeClass(name).is_failure:
                    self._failures.setdefault(name, Counter())[second] += count

    def leave_out_expected(self, store: RunQueries) -> None:
        """Take the failures that were part of the plan out of those by second."""
        query = f"SELECT kind, ended_ns / {_NS}, COUNT(*) {FLEET} AND kind IN ({FAILED}) AND expected GROUP BY 1, 2"
        for name, second, count in store.rows(query):
            failures = self._failures.setdefault(name, Counter())
            failures[second] = max(0, failures[second] - count)

    def courses(self, operation: Operation) -> tuple[Course, Course]:
        """Return service and response time over time, of all cohorts."""
        return _course(self.service, operation), _course(self.response, operation)

    def rates(self) -> Rates:
        """Return the counts in points of a chart."""
        seconds = {second for counter in self._counts.values() for second in counter if counter[second]}
        if not seconds:
            return Rates()
        span_s = max(seconds) + 1
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


def _add(
    latencies: dict[tuple[str, Operation], _Seconds], second: int, cohort: str, encoded: Mapping[str, str]
) -> None:
    for operation, text in encoded.items():
        seconds = latencies.setdefault((cohort, Operation(operation)), {})
        histogram = decoded(text)
        if second in seconds:
            seconds[second].merge(histogram)
        else:
            seconds[second] = histogram


def _course(latencies: Mapping[tuple[str, Operation], _Seconds], operation: Operation) -> Course:
    found = [seconds for (_, of), seconds in latencies.items() if of is operation]
    if len(found) == 1:
        return course_of(found[0])
    merged: _Seconds = {}
    for seconds in found:
        for second, histogram in seconds.items():
            merged.setdefault(second, Histogram()).merge(histogram)
    return course_of(merged)


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
