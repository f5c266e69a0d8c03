"""The same seed is the same server: two runs of one file compared row by row; each has a PKI and keys of its own."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from cli_runs import Keys, Results, estsim, results_in, write_scenario

pytestmark = pytest.mark.long  # four runs

FAULTS: Final = [
    {"kind": "reset", "when": "after", "rate": "12%"},
    {"kind": "wrong_status", "status": 500, "rate": "12%"},
    {"kind": "retry_after_missing", "rate": "10%"},
    {"kind": "latency", "add": "5ms..20ms", "rate": "15%"},
]
# Ready before anybody can repeat: a longer delay would make the answer to a repeat hang on when it comes.
DEFERRED: Final = {
    "mode": "deferred",
    "share": "40%",
    "delay": "0s..1ms",
    "retry_after": {"kind": "random", "from": 1, "to": 2},
}
DEVICES: Final = 40
COHORT: Final = {
    "devices": DEVICES,
    "boot": {"burst": "500ms"},
    "renew": {"after": "500ms", "times": 1},
    "deferral": {"when_missing": "1s"},
    "retry": {"base": "100ms", "attempts": 8},
}
Row = tuple[Any, ...]


def ran(folder: Path, name: str, *options: str, sandbox: Keys) -> Results:
    """Run a fleet against a server that defers and fails."""
    (folder / name).mkdir()
    scenario = write_scenario(folder / name, seed=7, cohort=COHORT, thresholds=["failures <= 100%"], sandbox=sandbox)
    done = estsim("run", scenario, "--results", folder / name / "results", *options)
    assert done.code == 0, done.out + done.err
    return results_in(folder / name / "results")


def met(run: Results) -> dict[Row, Row]:
    """Return what each request of each device met: outcome, status, Retry-After, and the fault that the log has."""
    faults = {row["request_id"]: row["fault"] for row in run.log("SELECT request_id, fault FROM exchanges")}
    query = "SELECT device, operation, kind, status, retry_after_s, request_id FROM exchanges"
    counts: Counter[Row] = Counter()
    rows: dict[Row, Row] = {}
    for row in run.rows(f"{query} WHERE cause != 'preflight' ORDER BY started_ns"):
        who = (row["device"], row["operation"])
        rows[*who, counts[who]] = (row["kind"], row["status"], row["retry_after_s"], faults[row["request_id"]])
        counts[who] += 1
    return rows


def test_two_runs_meet_the_same_row_by_row_on_one_worker_and_on_three(tmp_path: Path) -> None:
    """Device, operation and attempt decide on class, status, Retry-After and fault where no capacity does."""
    sandbox = {"issue": DEFERRED, "faults": FAULTS}
    with ThreadPoolExecutor() as both:
        runs = [both.submit(ran, tmp_path, workers, "--workers", workers, sandbox=sandbox) for workers in ("1", "3")]
    one, three = (met(run.result()) for run in runs)
    assert one == three
    assert len({device for device, *_ in one}) == DEVICES
    assert {"deferred", "server_error", "failed", "ok"} <= {kind for kind, *_ in one.values()}
    assert {"reset", "wrong_status", "retry_after_missing", "latency", None} <= {row[-1] for row in one.values()}
    assert {1.0, 2.0, None} <= {told for _, _, told, _ in one.values()}


def drawn(run: Results) -> Iterator[tuple[Row, Row]]:
    """Yield what the log says was drawn for each request, in the order in which a device's came."""
    counts: defaultdict[Row, int] = defaultdict(int)
    asked = "SELECT peer_subject, operation, fault, retry_after FROM exchanges"
    for row in run.log(f"{asked} WHERE request_id NOT LIKE '%preflight%' ORDER BY at_unix"):
        who = (row["peer_subject"], row["operation"])
        yield (*who, counts[who]), (row["fault"], row["retry_after"])
        counts[who] += 1


def test_where_capacity_decides_by_order_of_arrival_the_draws_are_the_same(tmp_path: Path) -> None:
    """Who gets a token is a race; what a request meets, and is told when it loses, is not."""
    sandbox = {
        "issue": {"retry_after": {"kind": "random", "from": 1, "to": 3}},
        "capacity": {"rate": "20/s", "burst": 2, "overflow": "defer_forget"},
        "faults": [{"kind": "latency", "add": "5ms..20ms", "rate": "30%"}],
    }
    first, second = (dict(drawn(ran(tmp_path, name, sandbox=sandbox))) for name in ("first", "second"))
    both = first.keys() & second.keys()
    assert len(both) > 2 * DEVICES  # each device has fetched and enrolled in both
    assert {key: first[key][0] for key in both} == {key: second[key][0] for key in both}
    told = [key for key in both if first[key][1] and second[key][1]]
    assert {key: first[key][1] for key in told} == {key: second[key][1] for key in told}
    assert len({first[key][1] for key in told}) > 1
