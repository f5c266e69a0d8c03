"""What Locust charts: held against Locust's own code, in a process of its own."""

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any, Final

import pytest

from estsim.errors import Phase
from estsim.est.enrolment import Cause
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.locust.worker.stats import StatsBook, failure_key, rounded_ms
from estsim.record.sample import Sample, Stamps

MS: Final = 1_000_000
# Does with the same requests what a worker of Locust's does, and with our reports what its master does.
LOCUST: Final = """
import json, sys
from locust.env import Environment
from locust.stats import StatsError, bucket_response_time, setup_distributed_stats_event_listeners

told = json.load(sys.stdin)
theirs, master = Environment(), Environment()
for each in (theirs, master):
    setup_distributed_stats_event_listeners(each.events, each.stats)
for name, response_ms, error in told["requests"]:
    theirs.stats.log_request("EST", name, response_ms, 0)
    if error:
        theirs.stats.log_error("EST", name, error)
report = {}
theirs.events.report_to_master.fire(client_id="w", data=report)
for each in told["reports"]:
    master.events.worker_report.fire(client_id="w", data=each)
lines = [*master.stats.entries.values(), master.stats.total]
json.dump({
    "rounded": [bucket_response_time(ms) for ms in told["times"]],
    "report": report,
    "table": [[e.method, e.name, e.num_requests, e.num_failures, e.max_response_time] for e in lines],
    "errors": sorted([each.to_name(), each.occurrences] for each in master.stats.errors.values()),
}, sys.stdout)
"""


def a_sample(
    kind: OutcomeClass,
    ms: int = 10,
    operation: Operation = Operation.SIMPLEENROLL,
    *,
    detail: str = "",
    phase: Phase | None = None,
) -> Sample:
    """Return an exchange of so many milliseconds."""
    stamps = Stamps(0, 0, 0, ended_ns=ms * MS)
    return Sample(0, "meters", operation, Cause.PLAN, 1, 1, "r-1", kind, stamps, phase=phase, detail=detail)


SAMPLES: Final = [
    a_sample(OutcomeClass.OK, 3, Operation.CACERTS),
    a_sample(OutcomeClass.OK, 147),
    a_sample(OutcomeClass.DEFERRED, 99),
    a_sample(OutcomeClass.REJECTED, 3432, detail="400 it's the subject"),
    a_sample(OutcomeClass.REJECTED, 58_760, detail="400 it's the subject"),
    a_sample(OutcomeClass.FAILED, 1, detail="unknown_ca", phase=Phase.HANDSHAKE),
]
TIMES: Final = [0.4, 0.5, 1.5, 99.4, 99.6, 100.0, 147.0, 995.0, 999.6, 3432.0, 9950.0, 9999.0, 10_500.0, 58_760.0, 2e6]


def reported(samples: list[Sample]) -> dict[str, Any]:
    """Return the report of these exchanges, as it is after its way over the wire as JSON."""
    book = StatsBook(1000.0)
    for sample in samples:
        book.exchange(sample, 1000.5)
    return json.loads(json.dumps(book.report()))  # type: ignore[no-any-return]


@pytest.fixture(scope="module", name="locust")
def what_locust_makes_of_it() -> dict[str, Any]:
    """Ask Locust."""
    requests = [[s.operation.value, s.stamps.service_ns / MS, failure_key(s)] for s in SAMPLES]
    told = {"requests": requests, "times": TIMES, "reports": [reported(SAMPLES), reported(SAMPLES[:2])]}
    words = [sys.executable, "-c", LOCUST]
    done = subprocess.run(words, input=json.dumps(told), text=True, capture_output=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_a_report_is_that_of_a_worker_of_locust_s(locust: dict[str, Any]) -> None:
    """Field by field, the clock's apart: names, counts, rounded times, keys of errors."""

    def timeless(report: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
        lines = [*report["stats"], report["stats_total"], *report["errors"].values()]
        clocks = {"start_time", "last_request_timestamp", "first_seen", "last_seen"}
        counts = [{key: value for key, value in line.items() if key not in clocks} for line in lines]
        return [
            {key: [*value.values()] if key.endswith("per_sec") else value for key, value in line.items()}
            for line in counts
        ], [*report["errors"]]

    assert timeless(reported(SAMPLES)) == timeless(locust["report"])


def test_a_master_adds_reports_up(locust: dict[str, Any]) -> None:
    """Deferrals count as requests and not as failures; what failed is told with its reason."""
    assert locust["table"] == [
        ["EST", "cacerts", 2, 0, 3],
        ["EST", "simpleenroll", 6, 3, 58_760],
        ["", "Aggregated", 8, 3, 58_760],
    ]
    assert locust["errors"] == [
        ['EST simpleenroll: ExchangeFailed("rejected: 400 it\'s the subject")', 2],
        ["EST simpleenroll: ExchangeFailed('failed in handshake: unknown_ca')", 1],
    ]


def test_times_are_rounded_as_locust_does(locust: dict[str, Any]) -> None:
    """So that those of all workers fall into the same lines."""
    assert [rounded_ms(each) for each in TIMES] == locust["rounded"]


@pytest.mark.parametrize("kind", OutcomeClass)
def test_what_a_failure_is(kind: OutcomeClass) -> None:
    """What is one in our books, if it is not part of the plan."""
    assert (failure_key(a_sample(kind)) is not None) == kind.is_failure
    assert failure_key(replace(a_sample(kind), expected=True)) is None


def test_seconds_and_moments_are_those_told() -> None:
    """By the master's clock, to whose charts they go; a report holds nothing of the one before."""
    book = StatsBook(1000.0)
    book.exchange(SAMPLES[0], 1000.5)
    book.begin(1003.0)
    book.exchange(SAMPLES[3], 1004.25)
    report: dict[str, Any] = dict(book.report())
    (line,) = report["stats"]
    assert (line["start_time"], line["last_request_timestamp"]) == (1003.0, 1004.25)
    assert line["num_reqs_per_sec"] == line["num_fail_per_sec"] == {1004: 1}
    book.begin(1006.0)
    assert book.report() == {
        "stats": [],
        "errors": {},
        "stats_total": {
            **dict.fromkeys(("num_requests", "num_none_requests", "num_failures", "total_content_length"), 0),
            **{name: {} for name in ("response_times", "num_reqs_per_sec", "num_fail_per_sec")},
            "name": "Aggregated",
            "method": "",
            "start_time": 1006.0,
            "last_request_timestamp": None,
            "total_response_time": 0.0,
            "max_response_time": 0.0,
            "min_response_time": None,
        },
    }
