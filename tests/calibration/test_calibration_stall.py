"""Coordinated omission: a server that stands still for two seconds, as an open loop and as a closed one see it.

The sandbox's process is stopped by a signal, so nothing of it moves, its handshakes included. Both loops ask the same
server in the same seconds.
"""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest
from calibration_runs import GENERATOR, assert_agree, pairs_of, quantile, valid_run
from cli_runs import (
    MADE_BY_MAKER,
    Done,
    Results,
    Server,
    ended,
    interrupt,
    recorded,
    serving,
    started,
    until,
    write_scenario,
)
from closed_loop import Turn, enroll_until

pytestmark = [pytest.mark.alone, pytest.mark.full]

RATE_PER_S, DEVICES = 40, 300
STALL_S = 2.0
BEFORE = 80  # certificates
CERTIFICATES = "SELECT COUNT(*) FROM enrolments WHERE end = 'issued'"
LATENCY_MS = 26  # longer than from one boot to the next: whenever the stall comes, somebody waits for an answer
CLOCKS_S = 0.003  # by which the run's clock, told from the sandbox's, may be off
SAW_IT_S = STALL_S / 2
LAG_S = 0.02  # the generator's limit as it ships
# Eighty answers come at once when the server is back, and the boots due just then are late. Those in the stall are not.
GENEROUS = {**GENERATOR, "max_lag": "1s"}


@dataclass(frozen=True, slots=True)
class Stall:
    """When the server stood still, by the wall clock."""

    wall_from_s: float
    wall_to_s: float


@dataclass(frozen=True, slots=True)
class Boot:
    """A device's enrolment, by the wall clock."""

    wall_intended_s: float
    response_s: float
    lag_s: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it."""

    run: Results
    log: list[Any]
    stall: Stall
    turns: list[Turn]

    @property
    def boots(self) -> list[Boot]:
        """The open loop's enrolments; the log says what the wall clock was when the run's clock began."""
        at_s = {line["request_id"]: line["at_unix"] for line in self.log}
        rows = self.run.rows("SELECT * FROM exchanges WHERE cause = 'plan'")
        epoch_s = min(at_s[row["request_id"]] - row["sent_ns"] / 1e9 for row in rows)
        return [
            Boot(
                epoch_s + row["intended_ns"] / 1e9,
                (row["ended_ns"] - row["intended_ns"]) / 1e9,
                (row["started_ns"] - max(row["intended_ns"], row["ready_ns"])) / 1e9,
            )
            for row in rows
        ]

    @property
    def due_in_the_stall(self) -> list[Boot]:
        """Those of the plan's boots that the server was not there for."""
        return [boot for boot in self.boots if self.stall.wall_from_s <= boot.wall_intended_s < self.stall.wall_to_s]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Boot devices at an even rate, beside one client in a closed loop; stop the server in the middle."""
    folder, config = tmp_path_factory.mktemp("stall"), tmp_path_factory.mktemp("server") / "sandbox.yaml"
    config.write_text(json.dumps({"faults": [{"kind": "latency", "add": f"{LATENCY_MS}ms"}]}), encoding="utf-8")
    with serving(config.parent / "sandbox", str(config)) as server:
        boot = {"boot": {"rate": f"{RATE_PER_S}/s", "shape": "even"}, "enroll": {"cacerts": "never"}}
        cohort = {**MADE_BY_MAKER, **boot, "devices": DEVICES}
        scenario = write_scenario(folder, **server.target(), generator=GENEROUS, cohort=cohort)
        run, (stall, turns) = valid_run(folder, partial(stalled_run, server, scenario))
        interrupt(server.process)  # it writes its last handling times as it stops
        ended(server.process)
        log = server.log("SELECT * FROM exchanges")
    return Seen(run, log, stall, turns)


def stalled_run(server: Server, scenario: Path, results: Path) -> tuple[Done, tuple[Stall, list[Turn]]]:
    """Run both loops to the end of the open one."""
    stop = Event()
    with started("run", scenario, "--results", results) as run, ThreadPoolExecutor(1) as one:
        try:
            until(lambda: recorded(results, CERTIFICATES) > 0)
            turns = one.submit(enroll_until, stop, server)
            until(lambda: recorded(results, CERTIFICATES) > BEFORE)
            stall = stop_for(STALL_S, server.process.pid)
            done = ended(run)
        finally:
            stop.set()
    return done, (stall, turns.result())


def stop_for(seconds: float, pid: int) -> Stall:
    """Stop a process for a time."""
    process = psutil.Process(pid)
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: process.status() == psutil.STATUS_STOPPED)
        wall_from_s = time.time()
        time.sleep(seconds)
        wall_to_s = time.time()
    finally:
        os.kill(pid, signal.SIGCONT)
    return Stall(wall_from_s, wall_to_s)


def test_boots_go_on_being_due_while_the_server_stands_still(seen: Seen) -> None:
    """As many as the plan has in that time, and the generator starts them on time: the stall is no lag of ours."""
    due = seen.due_in_the_stall
    assert len(due) == pytest.approx(RATE_PER_S * (seen.stall.wall_to_s - seen.stall.wall_from_s), abs=1)
    assert quantile([boot.lag_s for boot in due], 0.99) <= LAG_S


def test_every_boot_due_in_the_stall_has_what_was_left_of_it_in_its_response_time(seen: Seen) -> None:
    """None is quicker than the server's return, whether it came first or last."""
    left_s = [(seen.stall.wall_to_s - boot.wall_intended_s, boot.response_s) for boot in seen.due_in_the_stall]
    assert [pair for pair in left_s if pair[1] < pair[0] - CLOCKS_S] == []


def test_a_closed_loop_sees_the_stall_once(seen: Seen) -> None:
    """In the same seconds against the same server its p99 misses what the open loop's has in full."""
    boots = seen.boots
    first_s, last_s = boots[0].wall_intended_s, boots[-1].wall_intended_s
    turns = [turn.took_s for turn in seen.turns if first_s <= turn.wall_began_s <= last_s]
    assert len(turns) >= 100, "fewer have no p99 but the largest"
    assert sum(took_s > SAW_IT_S for took_s in turns) == 1
    assert max(turns) > STALL_S
    assert quantile(turns, 0.99) < SAW_IT_S
    responses = [boot.response_s for boot in boots]
    assert sum(response_s > SAW_IT_S for response_s in responses) >= RATE_PER_S * (STALL_S - SAW_IT_S)
    assert quantile(responses, 0.99) > STALL_S - 0.1


def test_waits_are_what_the_server_took_also_across_a_stall(seen: Seen) -> None:
    """Whoever had asked when it stopped waited two seconds, and the sandbox logged two seconds."""
    pairs = pairs_of(seen.run, seen.log)
    assert_agree(pairs)
    stalled = [pair for pair in pairs if pair.wait_ms > STALL_S * 1000]
    assert stalled
    assert all(pair.handling_ms > STALL_S * 1000 for pair in stalled)
