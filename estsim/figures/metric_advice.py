"""The message for an unknown metric: a misspelt phase or cohort, the name of another tool, or a near name."""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

from estsim.nearness import nearest, suggestion

_STATISTICS: Final = {
    "median": "p50",
    "med": "p50",
    "avg": "mean",
    "average": "mean",
    "maximum": "max",
    "p100": "max",
    "min": "p1",
    "n": "count",
}
# What k6, Gatling, Locust and JMeter call them.
_OTHERS: Final = {
    "errors": "failures",
    "error_rate": "failures",
    "failure_rate": "failures",
    "fail_ratio": "failures",
    "http_req_failed": "failures",
    "latency": "simpleenroll.response",
    "duration": "simpleenroll.response",
    "response_time": "simpleenroll.response",
    "http_req_duration": "simpleenroll.response",
    "iteration_duration": "time_to_certificate",
    "enroll": "simpleenroll",
    "reenroll": "simplereenroll",
    "renew": "simplereenroll",
    "enrollment": "simpleenroll",
    "enrolment": "simpleenroll",
}
_STATISTIC: Final = re.compile(r"p[0-9]{1,2}(?:_[0-9]+)?|mean|max|count")
_FIRST: Final = "simpleenroll"  # the operation of most thresholds
_EXAMPLE_TIME: Final = "10s"
_PREFIXES: Final = ("operations.", "deferral.")


@dataclass(frozen=True, slots=True)
class Known:
    """The known names of metrics, their patterns, and the scenario's cohorts and phases.

    ``is_metric`` returns whether a path without a phase is a metric.
    """

    names: Collection[str]
    roots: Iterable[str]
    cohorts: Collection[str]
    phases: Collection[str]
    is_metric: Callable[[str], bool]
    prefix: str = ""  # of the path: its cohort


def unknown_metric(path: str, known: Known) -> str:
    """Return the message for a path that is no metric."""
    first, dot, rest = path.partition(".")
    unknown = f"unknown metric {known.prefix}{path}"
    if dot and first in known.cohorts and (meant := _meant(rest, known)):
        return f"{unknown}: write cohorts.{first}.{meant}"
    if known.is_metric(timed := f"{path}.{_EXAMPLE_TIME}"):
        return f"{unknown}: add the time, {known.prefix}{timed}"
    if (meant := _meant(path, known)) and meant != path:
        return f"{unknown} (did you mean {known.prefix}{meant}?)"
    meant = _renamed(path)
    if dot and known.is_metric(rest) and not any(name.startswith(f"{first}.") for name in known.names):
        near = suggestion(first, tuple(known.phases)) or _cohort_near(first, known.cohorts)
        return f"{path}: there is no phase '{first}'{near}"
    if near_name := nearest(meant, tuple(known.names), of_all=True):
        return f"{unknown} (did you mean {known.prefix}{near_name}?)"
    return f"{unknown}: expected one of {', '.join(known.roots)}"


def _cohort_near(first: str, cohorts: Collection[str]) -> str:
    near = nearest(first, tuple(cohorts))
    return f" (did you mean 'cohorts.{near}'?)" if near else ""


def _meant(path: str, known: Known) -> str | None:
    """Return the metric of a path with other names, or without its operation or kind of time."""
    renamed = _renamed(path)
    operation, _, statistic = renamed.rpartition(".")
    candidates = [renamed]
    if _STATISTIC.fullmatch(statistic):
        candidates += [f"{operation or _FIRST}.response.{statistic}", f"{_FIRST}.{renamed}"]
    return next((each for each in candidates if known.is_metric(each)), None)


def _renamed(path: str) -> str:
    """Return a path with the names of the catalogue."""
    for prefix in _PREFIXES:
        path = path.removeprefix(prefix)
    steps = [step.removesuffix("_ms").removesuffix("_s") for step in path.split(".")]
    steps[0] = _OTHERS.get(steps[0], steps[0])
    last = steps[-1].lower()
    steps[-1] = f"p{last}" if last.isdecimal() and len(steps) > 1 else _STATISTICS.get(last, last)
    return ".".join(steps)
