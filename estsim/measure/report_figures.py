"""The figures of a report: one run's store read once, into plain frozen values that a page can show.

The store alone is enough, also that of a run that was killed. Where summary.json exists its verdict is given along; no
figure is taken from it.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.measure.deferral import Scope
from estsim.measure.histograms import Histogram, StatisticBlock
from estsim.measure.report_deferral import DeferralFigures, PartsFigures, deferral_of, parts_of
from estsim.measure.report_queries import RunQueries, asked
from estsim.measure.report_windows import MAX_POINTS, Course, bin_width_s, course_of, decoded
from estsim.measure.survival import Survival
from estsim.measure.tally import OperationTally, Tally

MAX_ERRORS: Final = 20
_NS: Final = 1_000_000_000

Block = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rates:
    """What happened per second, in points of ``width_s`` seconds from the run's start on."""

    width_s: int = 1
    intended: tuple[float, ...] = ()  # enrolments, by the second they were meant to start in
    certificates: tuple[float, ...] = ()
    requests: tuple[float, ...] = ()
    still_open: tuple[int, ...] = ()  # enrolments begun and not ended, at the end of the point
    failures: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # by class, a count for each point


@dataclass(frozen=True, slots=True)
class OperationReport:
    """One operation: its requests by class, and the latency of those that ended ok."""

    name: str
    by_class: Mapping[str, int]
    service_ms: StatisticBlock
    response_ms: StatisticBlock
    service: Course
    response: Course

    @property
    def requests(self) -> int:
        """All exchanges."""
        return sum(self.by_class.values())


@dataclass(frozen=True, slots=True)
class GeneratorReport:
    """What the generator said of itself; the readings are (second, mean CPU share, longest p99 of loop delay in ms)."""

    lag_ms: StatisticBlock
    lag: Course
    readings: tuple[tuple[float, float, float], ...]
    peak_rss_bytes: int | None


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything that a page says of a run."""

    name: str  # of the folder
    facts: Mapping[str, str]
    summary: Block | None  # None for a run that did not end
    scenario: str
    ended_s: float  # the last moment in the store, on the run's clock
    certificates: int
    exchanges_per_certificate: float | None
    failures: float | None
    unfinished: int
    time_to_certificate: Survival
    rates: Rates
    operations: tuple[OperationReport, ...]
    deferral: DeferralFigures
    parts: tuple[PartsFigures, ...]
    error_kinds: int
    errors: tuple[tuple[str, str, str, int], ...]  # class, phase, detail, count
    generator: GeneratorReport
    handshakes: tuple[tuple[str, int], ...]

    @property
    def requests(self) -> int:
        """All exchanges but the preflight."""
        return sum(operation.requests for operation in self.operations)


def read_run(folder: Path) -> RunReport:
    """Read a run's folder. Raises UsageError where there is no run, StoreError where its store cannot be read."""
    with asked(folder) as store:
        ended_ns, handshakes = store.extent()
        series = _Series(store)
        tally = Tally()
        tally.operations = series.tallies()
        tally.polls, tally.told, tally.lives = store.polls(), store.told(), store.lives()
        scope = Scope(tally, 0, ended_ns)
        kinds, errors = store.errors(MAX_ERRORS)
        return RunReport(
            name=folder.resolve().name,
            facts=store.facts(),
            summary=_summary(folder / "summary.json"),
            scenario=_text(folder / "scenario.yaml"),
            ended_s=ended_ns / _NS,
            certificates=tally.certificates,
            exchanges_per_certificate=scope.exchanges_per_certificate,
            failures=scope.failures,
            unfinished=tally.lives.open,
            time_to_certificate=scope.time_to_certificate,
            rates=series.rates(),
            operations=series.operations(),
            deferral=deferral_of(store, scope),
            parts=parts_of(store),
            error_kinds=kinds,
            errors=errors,
            generator=_generator(store, ended_ns),
            handshakes=handshakes,
        )


class _Series:
    """The seconds of a run: counts, and latencies by second."""

    def __init__(self, store: RunQueries) -> None:
        self._counts: dict[str, Counter[int]] = {}
        self._failures: dict[str, Counter[int]] = {}
        self._classes: dict[Operation, Counter[OutcomeClass]] = {}
        self._latencies: dict[tuple[str, Operation], dict[int, Histogram]] = {}
        query = "SELECT second, requests, certificates, begun, ended, classes, service, response FROM series"
        for second, requests, certificates, begun, ended, classes, service, response in store.rows(query):
            counts = {"requests": requests, "certificates": certificates, "begun": begun, "ended": ended}
            for name, count in counts.items():
                self._counts.setdefault(name, Counter())[second] += count
            self._add_classes(second, json.loads(classes))
            self._add_latencies(second, "service", json.loads(service))
            self._add_latencies(second, "response", json.loads(response))

    def _add_classes(self, second: int, classes: Mapping[str, Mapping[str, int]]) -> None:
        for operation, kinds in classes.items():
            for name, count in kinds.items():
                kind = OutcomeClass(name)
                self._classes.setdefault(Operation(operation), Counter())[kind] += count
                if kind.is_failure:
                    self._failures.setdefault(name, Counter())[second] += count

    def _add_latencies(self, second: int, which: str, encoded: Mapping[str, str]) -> None:
        for operation, text in encoded.items():
            seconds = self._latencies.setdefault((which, Operation(operation)), {})
            histogram = decoded(text)
            if second in seconds:
                seconds[second].merge(histogram)
            else:
                seconds[second] = histogram

    def tallies(self) -> dict[Operation, OperationTally]:
        """Return the operations as counted: their classes only."""
        tallies = {}
        for operation, classes in self._classes.items():
            tallies[operation] = OperationTally()
            tallies[operation].by_class = classes
        return tallies

    def operations(self) -> tuple[OperationReport, ...]:
        """Return the operations in the order of their declaration."""
        return tuple(self._operation(operation) for operation in Operation if operation in self._classes)

    def _operation(self, operation: Operation) -> OperationReport:
        service, response = (self._latencies.get((which, operation), {}) for which in ("service", "response"))
        classes = self._classes[operation]
        return OperationReport(
            operation.value,
            {kind.value: classes[kind] for kind in OutcomeClass},
            _whole(service).block(0.001),
            _whole(response).block(0.001),
            course_of(service),
            course_of(response),
        )

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
        return Rates(
            width_s,
            intended,
            certificates,
            requests,
            still_open=tuple(_still_open(binned["begun"], binned["ended"])),
            failures={kind: _binned(counter, width_s, points) for kind, counter in sorted(self._failures.items())},
        )


def _binned(counter: Counter[int], width_s: int, points: int) -> tuple[int, ...]:
    bins = [0] * points
    for second, count in counter.items():
        bins[max(0, second // width_s)] += count
    return tuple(bins)


def _still_open(begun: tuple[int, ...], ended: tuple[int, ...]) -> list[int]:
    total, course = 0, []
    for came, went in zip(begun, ended, strict=True):
        total += came - went
        course.append(total)
    return course


def _whole(seconds: Mapping[int, Histogram]) -> Histogram:
    whole = Histogram()
    for histogram in seconds.values():
        whole.merge(histogram)
    return whole


def _generator(store: RunQueries, ended_ns: int) -> GeneratorReport:
    lags = store.lags()
    width_ns = max(1, ended_ns // MAX_POINTS)
    query = (
        f"SELECT MAX(at_ns) / 1e9, AVG(cpu_share), MAX(loop_delay_p99_ns) / 1e6 FROM generator "  # noqa: S608 - a number
        f"GROUP BY at_ns / {width_ns} ORDER BY 1"
    )
    readings = tuple((at_s, share, delay_ms) for at_s, share, delay_ms in store.rows(query))
    (rss,) = store.one("SELECT MAX(rss_bytes) FROM generator")
    return GeneratorReport(_whole(lags).block(0.001), course_of(lags), readings, rss)


def _summary(path: Path) -> Block | None:
    """Return summary.json; what is cut short or of another kind says as little as none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
