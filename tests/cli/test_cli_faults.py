"""Servers that die and servers that refuse: devices cope, and every request is accounted for."""

import os
import signal
from functools import partial
from pathlib import Path

from cli_runs import (
    MADE_BY_MAKER,
    Done,
    Results,
    Server,
    assert_books_balance,
    at_once,
    ended,
    estsim,
    recorded,
    results_in,
    serving,
    started,
    until,
    write_scenario,
)

DEVICES = 12
RENEWALS = 3
STEADY = {
    **MADE_BY_MAKER,
    "devices": DEVICES,
    "boot": {"burst": "500ms"},
    "renew": {"after": "400ms", "times": RENEWALS, "then": "leave"},
    "retry": {"base": "100ms", "cap": "500ms", "attempts": 100},
}
REFUSED = "SELECT COUNT(*) FROM exchanges WHERE trouble = 'refused'"


def test_a_refused_client_certificate_is_told_by_its_alert(tmp_path: Path) -> None:
    """A maker whom the server does not know: preflight names the alert, and without it so does every row."""
    stranger = {"devices": 3, "bootstrap": {"kind": "manufacturer", "authority": "stranger"}}
    stranger |= {"boot": {"burst": "0s"}, "retry": {"base": "50ms", "attempts": 2}}
    scenario = write_scenario(
        tmp_path,
        authorities={"stranger": {"made": True}},
        sandbox={},
        cohorts={f"tls{v}": {**stranger, "tls": {"versions": f"1.{v}..1.{v}"}} for v in (3, 2)},
    )
    run = partial(estsim, "run", scenario)
    done = at_once(
        {
            "preflight": partial(run, "--results", tmp_path / "preflight"),
            "fleet": partial(run, "--results", tmp_path / "fleet", "--no-preflight"),
        }
    )
    assert done["preflight"].code == 5
    assert "unknown_ca" in done["preflight"].err
    assert_refused_by_alert(done["fleet"], results_in(tmp_path / "fleet"))


def assert_refused_by_alert(done: Done, run: Results) -> None:
    """Check that six devices, three of either version of TLS, were refused with ``unknown_ca`` and nothing else."""
    assert (done.code, run.summary["fleet"]["states"]) == (3, {"gave_up": 6})
    rows = run.rows("SELECT cohort, device, kind, phase, trouble, status, detail FROM exchanges")
    assert {(row["cohort"], row["kind"], row["trouble"], row["status"]) for row in rows} == {
        ("tls3", "failed", "tls", None),
        ("tls2", "failed", "tls", None),
    }
    assert len({row["device"] for row in rows}) == 6
    assert all("unknown_ca" in row["detail"] and row["phase"] for row in rows)
    assert run.log("SELECT * FROM exchanges") == []
    assert_books_balance(run)


def test_a_server_that_dies_and_comes_back(tmp_path: Path) -> None:
    """Killed with -9 in the middle, back on the same port: devices back off, recover, and all get every certificate."""
    folder, results = tmp_path / "server", tmp_path / "results"
    with serving(folder) as first:
        scenario = write_scenario(tmp_path, **first.target(), cohort=STEADY, duration="60s")
        with started("run", scenario, "--results", results) as process:
            until(lambda: recorded(results, "SELECT COUNT(*) FROM enrolments WHERE end = 'issued'") > DEVICES)
            os.kill(first.process.pid, signal.SIGKILL)
            first.process.wait()
            until(lambda: recorded(results, REFUSED) > 2 * DEVICES)
            with serving(folder, port=first.port) as second:
                done = ended(process)
                run = results_in(results)
                assert done.code == 0, done.err
                assert_recovered(run)
                assert_books_balance(run)
                assert_answers_are_in_the_log(run, second)


def assert_recovered(run: Results) -> None:
    """Check that nobody was lost: every device has all the certificates that it was to get, and is done."""
    assert run.summary["fleet"]["states"] == {"retired": DEVICES}
    per_device = run.rows("SELECT COUNT(DISTINCT serial) AS n FROM enrolments WHERE end = 'issued' GROUP BY device")
    assert [row["n"] for row in per_device] == [1 + RENEWALS] * DEVICES
    assert run.one("SELECT COUNT(*) FROM enrolments WHERE end != 'issued' OR end IS NULL") == 0
    assert run.one("SELECT COUNT(DISTINCT device) FROM enrolments WHERE backoff_ns > 0") > DEVICES // 2


def assert_answers_are_in_the_log(run: Results, server: Server) -> None:
    """Check failed rows for their reasons, and answered ones against the record that outlived the server."""
    failed = run.rows("SELECT phase, trouble, detail, sent_ns, status FROM exchanges WHERE kind = 'failed'")
    assert len(failed) > 2 * DEVICES
    assert all(row["phase"] and row["trouble"] and row["detail"] and row["status"] is None for row in failed)
    assert {row["trouble"] for row in failed} <= {"refused", "reset"}
    assert all(row["sent_ns"] is None for row in failed if row["trouble"] == "refused")
    answered = run.rows("SELECT request_id, status FROM exchanges WHERE status IS NOT NULL")
    served = server.log("SELECT request_id, status FROM exchanges")
    assert len(served) == len({row["request_id"] for row in served}), "a request was served twice"
    assert {tuple(row) for row in answered} <= {tuple(row) for row in served}
    # What was served and not answered was cut in the middle, when the server was killed.
    cut = {row["request_id"] for row in served} - {row["request_id"] for row in answered}
    ended_badly = {
        row["request_id"] for row in run.rows("SELECT request_id FROM exchanges WHERE kind = 'failed' AND sent_ns > 0")
    }
    assert cut <= ended_badly
