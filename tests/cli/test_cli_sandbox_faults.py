"""A fleet against a sandbox that misbehaves on command: what the server logged is what the fleet's rows say, by id."""

from collections import Counter
from typing import Final

import pytest
from cli_runs import Keys, Results, assert_books_balance, assert_log_agrees, estsim, results_in, write_scenario

DEVICES: Final = 60
FAULTS: Final[list[Keys]] = [
    {"kind": "reset", "when": "before", "rate": "20%", "match": {"operation": "simpleenroll"}},
    {"kind": "reset", "when": "after", "rate": "20%", "match": {"operation": "simpleenroll"}},
    {"kind": "truncated_body", "rate": "20%"},
    {"kind": "garbage", "match": {"operation": "simpleenroll", "subject": "CN=meter-00001[0-9]"}},
    {"kind": "wrong_key", "match": {"subject": "CN=meter-00000[0-4]"}},
    {"kind": "wrong_status", "status": 500, "from": "2s", "match": {"operation": "cacerts"}},
]
METERS: Final[Keys] = {
    "devices": DEVICES,
    "subject": "CN=meter-{index:6}",
    "boot": {"burst": "4s"},
    "retry": {"attempts": 3, "base": "200ms", "cap": "1s"},
    "renew": "off",
}
STRANGERS: Final[Keys] = {**METERS, "devices": 2, "faults": {"unknown_ca": "100%"}, "tls": {"versions": "1.2..1.2"}}
# What a row of the fleet says of an answer that the fault has spoilt.
TOLD: Final[dict[str | None, set[tuple[str, str | None]]]] = {
    "reset": {("failed", "reset")},
    "truncated_body": {("failed", "reset"), ("failed", "protocol")},
    "garbage": {("malformed", None)},
    "wrong_key": {("malformed", None)},
    "wrong_status": {("server_error", None)},
    None: {("ok", None)},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Run sixty devices over four seconds against the trust center `meters`, which is full of faults.

    Two more are refused in the handshake: nobody there knows who made them.
    """
    folder = tmp_path_factory.mktemp("faults")
    scenario = write_scenario(
        folder,
        target={"label": "meters"},
        sandbox={"trust_centers": {"default": {}, "meters": {"faults": FAULTS}}},
        cohorts={"meters": METERS, "strangers": STRANGERS},
    )
    done = estsim("run", scenario, "--results", folder / "results")
    assert done.code == 3, done.err
    return results_in(folder / "results")


def test_every_request_is_in_the_log_and_in_the_rows_whatever_happened_to_its_answer(run: Results) -> None:
    """Resets and truncations included: by request id, each once; and the books balance."""
    assert_log_agrees(run)
    assert_books_balance(run)


def test_a_row_and_its_line_are_of_the_same_request(run: Results) -> None:
    """No two have changed places: device and operation are the same on both sides, and the status where both know it.

    Of what was cut on its way only one side knows a status; of what went wrong in TLS or before it there is no line.
    """
    rows = {row["request_id"]: row for row in run.rows("SELECT * FROM exchanges WHERE sent_ns IS NOT NULL")}
    lines = {line["request_id"]: line for line in run.log("SELECT * FROM exchanges")}
    assert None not in rows.keys() | lines.keys()
    assert rows.keys() == lines.keys()
    for name, row in rows.items():
        line = lines[name]
        assert line["operation"] == row["operation"]
        if line["peer_subject"] is not None and row["cause"] != "preflight":
            assert line["peer_subject"] == f"CN=meter-{row['device']:06}"
        if row["status"] is not None and line["status"] is not None:
            assert line["status"] == row["status"]
    assert {name for name, line in lines.items() if line["fault"] and "reset" in line["fault"].split(",")} <= {
        name for name, row in rows.items() if row["trouble"] == "reset" and row["status"] is None
    }
    refused = run.rows("SELECT request_id, cohort, trouble FROM exchanges WHERE sent_ns IS NULL")
    assert {(row["cohort"], row["trouble"]) for row in refused} == {("strangers", "tls")}
    assert not {row["request_id"] for row in refused} & lines.keys()


def test_each_fault_shows_in_the_row_of_its_request(run: Results) -> None:
    """The last fault that had something to spoil is what the device saw; the good ones were good."""
    log = {row["request_id"]: row for row in run.log("SELECT * FROM exchanges")}
    seen: Counter[str | None] = Counter()
    for row in run.rows("SELECT request_id, kind, trouble FROM exchanges WHERE sent_ns IS NOT NULL"):
        faults = (log[row["request_id"]]["fault"] or "").split(",")
        fault = next((kind for kind in ("reset", "truncated_body") if kind in faults), faults[0] or None)
        assert (row["kind"], row["trouble"]) in TOLD[fault], (fault, dict(row))
        seen[fault] += 1
    assert set(seen) == set(TOLD), "each fault was met"


def test_a_window_counts_from_the_beginning_of_the_run(run: Results) -> None:
    """No cacerts fails in the first two seconds of the run's clock, every one does after that."""
    answered = run.rows(
        "SELECT intended_ns, kind FROM exchanges WHERE operation = 'cacerts' AND cause = 'plan'"
        " AND kind IN ('ok', 'server_error')"
    )
    early = {row["kind"] for row in answered if row["intended_ns"] < 1.9e9}
    late = {row["kind"] for row in answered if row["intended_ns"] > 2.1e9}
    assert (early, late) == ({"ok"}, {"server_error"})


def test_only_the_trust_center_that_was_meant_was_asked(run: Results) -> None:
    """Each line of the log names it."""
    assert {row["center"] for row in run.log("SELECT center FROM exchanges")} == {"meters"}
