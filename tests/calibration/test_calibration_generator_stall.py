"""A generator that is stopped by a signal while its server goes on, and the other way round: who is blamed.

Real processes, each stopped alone. A fleet of four has hardly anything due in such a time, one of four hundred a lot.
"""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

sys.path.extend(str(Path(__file__).parents[1] / folder) for folder in ("cli", "locust"))

from cli_runs import (
    MADE_BY_MAKER,
    Done,
    Keys,
    Results,
    Server,
    ended,
    recorded,
    results_in,
    serving,
    started,
    until,
    write_scenario,
)
from locust_runs import closed_port
from locust_runs import ended as locust_ended
from locust_runs import started as locust_started

pytestmark = [pytest.mark.alone, pytest.mark.full]  # CI takes those that are marked as long, too

FAILED, SATURATED = 3, 4  # exit codes
CERTIFICATES: Final = "SELECT COUNT(*) FROM enrolments WHERE end = 'issued'"
SEARCHES: Final = "SELECT COUNT(*) FROM enrolments"
EXCHANGES: Final = "SELECT COUNT(*) FROM exchanges WHERE"
READINGS: Final = "SELECT COUNT(*) FROM generator"
GENERATOR: Final[Keys] = {"max_lag": "100ms", "max_cpu": "100%"}  # so that a stall may last one second
PATIENT: Final[Keys] = {"max_lag": "1s", "max_cpu": "100%"}  # five
LATER: Final[Keys] = {"steps": [{"rate": "0/s", "for": "3s"}, {"rate": "1/s", "for": "1s"}]}

When = Callable[[Path], bool]


def after(query: str, count: int) -> When:
    """Return whether a run has written so many rows."""
    return lambda results: recorded(results, query) >= count


def slow(folder: Path, add: str) -> str:
    """Write the configuration of a server that takes its time over each answer."""
    config = folder / "sandbox.yaml"
    config.write_text(json.dumps({"faults": [{"kind": "latency", "add": add}]}), encoding="utf-8")
    return str(config)


@contextmanager
def fleet_against(folder: Path, server: Server, cohort: Keys, keys: Keys, **target: Any) -> Iterator[Path]:  # noqa: ANN401
    """Give the scenario of a fleet against a server of its own."""
    meters = {**MADE_BY_MAKER, "devices": 4, "enroll": {"cacerts": "never"}, **cohort}
    yield write_scenario(folder, **server.target(**target), cohort=meters, **{"generator": GENERATOR, **keys})


def stop(pid: int, seconds: float) -> None:
    """Stop a process for a time."""
    os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def child(process: int, words: str) -> int:
    """Return a process that another one has started, by words of its command line."""
    found: list[int] = []

    def is_there() -> bool:
        children = psutil.Process(process).children(recursive=True)
        found.extend(each.pid for each in children if words in " ".join(each.cmdline()))
        return bool(found)

    until(is_there)
    return found[0]


def stalled(scenario: Path, results: Path, when: When, seconds: float, *options: str, words: str = "") -> Done:
    """Run a scenario, and stop it, or the process of it that these words tell, for a time when something has come."""
    with started("run", scenario, "--results", results, *options) as run:
        pid = child(run.pid, words) if words else run.pid
        until(lambda: run.poll() is not None or when(results), 90)  # on a machine that others use
        if run.poll() is None:
            stop(pid, seconds)
        return ended(run, 60)


def assert_stalled(run: Results, at_least_s: float) -> None:
    """Check that the run says of itself that its loop stood still for so long, and what that spoils."""
    why = run.summary["generator"]["why"]
    assert run.summary["verdict"] == "saturated"
    assert why.startswith("the event loop stalled for ")
    assert at_least_s <= float(why.split()[5]) < at_least_s + 2.0
    assert "response times" in why
    assert run.summary["generator"]["longest_stall_ms"] >= at_least_s * 1000


@pytest.mark.parametrize(
    ("devices", "rate", "seconds"),
    [pytest.param(4, "40/s", 3.0, marks=pytest.mark.long), (400, "40/s", 3.0), (4, "40/s", 28.0)],
)
def test_a_generator_that_is_stopped_is_to_blame(tmp_path: Path, devices: int, rate: str, seconds: float) -> None:
    """Whatever failed meanwhile; exit code 4, with the time and the length of the stall."""
    cohort = {"devices": devices, "boot": {"rate": rate}, "renew": {"after": "1s", "times": 30}}
    demands = ["simplereenroll.response.max < 500ms", "time_to_certificate.max < 1s", "failures < 1%"]
    keys = {"duration": f"{seconds + devices / 40 + 3:g}s", "until": None, "thresholds": demands}
    with serving(tmp_path / "server") as server, fleet_against(tmp_path, server, cohort, keys) as scenario:
        done = stalled(scenario, tmp_path / "results", after(CERTIFICATES, 4), seconds)
    assert done.code == SATURATED, done.out
    assert "SATURATED" in done.out
    assert_stalled(results_in(tmp_path / "results"), seconds - 0.1)


def test_answers_that_came_while_we_stood_still_are_no_timeouts_and_no_servers_delay(tmp_path: Path) -> None:
    """Each took the server 1.5 s of the 2 s that it may; we looked after 4 s. The stall is within the run's limit."""
    demands = ["simpleenroll.response.max < 3s", "simpleenroll.service.max < 3s", "failures < 1%"]
    keys = {"generator": PATIENT, "thresholds": demands}
    cohort, timeouts = {"boot": {"at_once": True}}, {"timeouts": {"answer": "2s"}}
    with (
        serving(tmp_path / "server", slow(tmp_path, "1500ms")) as server,
        fleet_against(tmp_path, server, cohort, keys, **timeouts) as scenario,
    ):
        done = stalled(scenario, tmp_path / "results", after(SEARCHES, 4), 3.0)
    assert done.code == SATURATED, done.out
    run = results_in(tmp_path / "results")
    judged = {each["expression"]: each for each in run.summary["thresholds"]}
    assert judged["failures < 1%"]["passed"]
    for expression in demands[:2]:
        assert not judged[expression]["passed"]
        assert re.search(r"; \S.* without the generator's own delay", judged[expression]["why"])
    assert run.summary["generator"]["why"].startswith(f"{demands[0]} and {demands[1]} would pass without")
    waits = run.rows("SELECT (first_byte_ns - sent_ns) / 1e9 AS s FROM exchanges WHERE cause = 'plan'")
    assert all(1.5 <= wait["s"] < 2.0 for wait in waits)


def test_a_short_stall_spoils_a_tight_threshold_only(tmp_path: Path) -> None:
    """Less than a second is no saturation in itself, and a response that was late by that is not the server's."""
    demands = ["simplereenroll.response.max < 500ms", "simplereenroll.response.max < 5s"]
    keys = {"duration": "5s", "until": None, "thresholds": demands}
    cohort = {"boot": {"at_once": True}, "renew": {"after": "300ms", "times": 40}}
    with serving(tmp_path / "server") as server, fleet_against(tmp_path, server, cohort, keys) as scenario:
        done = stalled(scenario, tmp_path / "results", after(CERTIFICATES, 8), 0.8)
    assert done.code == SATURATED, done.out
    summary = results_in(tmp_path / "results").summary
    assert [each["passed"] for each in summary["thresholds"]] == [False, True]
    assert summary["generator"]["why"].startswith(f"{demands[0]} would pass without the generator's own delay")


@pytest.mark.parametrize(
    ("when", "cohort", "seconds"),
    [(after(READINGS, 1), {"devices": 1, "boot": LATER}, 1.4), (after(CERTIFICATES, 4), {}, 3.5)],
    ids=["before the first exchange", "over the end"],
)
def test_a_stall_in_which_nothing_was_due_counts(tmp_path: Path, when: When, cohort: Keys, seconds: float) -> None:
    """The run's first exchange came after it, or its time was over in it."""
    keys = {"duration": "4s", "until": None, "thresholds": ["failures < 1%"]}
    cohort = {"boot": {"at_once": True}, **cohort}
    with serving(tmp_path / "server") as server, fleet_against(tmp_path, server, cohort, keys) as scenario:
        done = stalled(scenario, tmp_path / "results", when, seconds)
    assert done.code == SATURATED, done.out
    run = results_in(tmp_path / "results")
    assert_stalled(run, seconds - 0.1)
    assert run.summary["operations"]["simpleenroll"]["failed"] == 0


@pytest.mark.long
def test_one_worker_of_two_that_is_stopped_is_enough(tmp_path: Path) -> None:
    """The others went on; its share of the figures is spoilt."""
    keys = {"duration": "5s", "until": None, "thresholds": ["failures < 1%"]}
    cohort = {"boot": {"at_once": True}, "renew": {"after": "500ms", "times": 40}}
    with serving(tmp_path / "server") as server, fleet_against(tmp_path, server, cohort, keys) as scenario:
        when, worker = after(CERTIFICATES, 8), "estsim.engine.worker"
        done = stalled(scenario, tmp_path / "results", when, 1.6, "--workers", "2", words=worker)
    assert done.code == SATURATED, done.out
    assert_stalled(results_in(tmp_path / "results"), 1.5)


def test_a_leader_that_is_stopped_spoils_what_it_had_to_do(tmp_path: Path) -> None:
    """The workers' figures are sound; the server they met is not the plan's, whose change came late."""
    change = {"at": "2s", "sandbox": {"capacity.rate": "50/s"}}
    keys = {
        "duration": "6s",
        "until": None,
        "generator": GENERATOR,
        "events": [change],
        "thresholds": ["failures < 1%"],
    }
    cohort = {"devices": 4, "boot": {"at_once": True}, "renew": {"after": "500ms", "times": 40}}
    scenario = write_scenario(tmp_path, cohort=cohort, sandbox={"capacity": {"rate": "100/s"}}, **keys)
    done = stalled(scenario, tmp_path / "results", after(CERTIFICATES, 4), 3.5, "--workers", "2")
    assert done.code == SATURATED, done.out
    summary = results_in(tmp_path / "results").summary
    assert "the sandbox change was " in summary["generator"]["why"]
    assert "because the event loop of the main process stalled" in summary["generator"]["why"]


def test_devices_whose_time_ran_out_while_we_stood_still_are_no_failures_of_the_server(tmp_path: Path) -> None:
    """A deadline of two seconds, a deferral of one, and a poll that comes after three."""
    config = tmp_path / "sandbox.yaml"
    config.write_text(json.dumps({"issue": {"mode": "deferred", "delay": "500ms", "retry_after": {"seconds": 1}}}))
    keys = {"generator": PATIENT, "duration": "8s", "thresholds": ["failures < 1%"]}
    cohort = {"boot": {"at_once": True}, "enroll": {"cacerts": "never", "deadline": "2s", "then": "give_up"}}
    with (
        serving(tmp_path / "server", str(config)) as server,
        fleet_against(tmp_path, server, cohort, keys) as scenario,
    ):
        done = stalled(scenario, tmp_path / "results", after(SEARCHES, 4), 3.0)
    assert done.code == SATURATED, done.out
    run = results_in(tmp_path / "results")
    assert run.one("SELECT COUNT(*) FROM enrolments WHERE end = 'deadline' AND spoilt") == 4
    assert run.summary["generator"]["why"].startswith("failures < 1% would pass without the generator's own delay")


def test_a_certificate_that_expired_while_we_stood_still_is_no_failure_of_the_server(tmp_path: Path) -> None:
    """It lives for six seconds, its renewal begins after three and is told to wait for two; then we stood still."""
    config = tmp_path / "sandbox.yaml"
    deferred = {"mode": "deferred", "delay": "500ms", "retry_after": {"seconds": 2}}
    config.write_text(json.dumps({"issuer": {"validity": "6s"}, "issue": deferred}))
    keys = {"generator": PATIENT, "duration": "12s", "until": None, "thresholds": ["failures < 1%"]}
    cohort = {"boot": {"at_once": True}, "renew": {"at": "50%"}}
    renewing = after(f"{EXCHANGES} operation = 'simplereenroll' AND kind = 'deferred'", 4)
    with (
        serving(tmp_path / "server", str(config)) as server,
        fleet_against(tmp_path, server, cohort, keys) as scenario,
    ):
        done = stalled(scenario, tmp_path / "results", renewing, 3.5)
    assert done.code == SATURATED, done.out
    run = results_in(tmp_path / "results")
    assert run.one("SELECT COUNT(*) FROM enrolments WHERE end = 'expired' AND spoilt") == 4
    assert run.summary["generator"]["why"].startswith("failures < 1% would pass without the generator's own delay")


# -- and the other way round


@pytest.mark.long
def test_a_server_that_is_stopped_is_to_blame(tmp_path: Path) -> None:
    """The sandbox of a run is a process of its own, and no part of the generator."""
    keys = {"duration": "5s", "until": None, "generator": GENERATOR}
    cohort = {"devices": 4, "boot": {"at_once": True}, "renew": {"after": "300ms", "times": 40}}
    scenario = write_scenario(tmp_path, cohort=cohort, thresholds=["simplereenroll.response.max < 1s"], **keys)
    done = stalled(scenario, tmp_path / "results", after(CERTIFICATES, 8), 2.0, words=" serve ")
    assert done.code == FAILED, done.out
    summary = results_in(tmp_path / "results").summary
    assert (summary["verdict"], summary["generator"]["why"]) == ("failed", None)
    assert "own delay" not in summary["thresholds"][0]["why"]


@pytest.mark.parametrize("devices", [4, 100])
def test_a_slow_server_is_to_blame_where_the_generator_keeps_up(tmp_path: Path, devices: int) -> None:
    """By response and by service, and by the time to a certificate."""
    demands = ["simpleenroll.response.max < 500ms", "simpleenroll.service.p50 < 500ms", "enrolled_within.500ms >= 99%"]
    keys = {"thresholds": demands, "duration": "20s", "generator": PATIENT}
    cohort = {"devices": devices, "boot": {"rate": "20/s", "shape": "even"}}
    with (
        serving(tmp_path / "server", slow(tmp_path, "700ms")) as server,
        fleet_against(tmp_path, server, cohort, keys) as scenario,
        started("run", scenario, "--results", tmp_path / "results") as run,
    ):
        done = ended(run, 60)
    assert done.code == FAILED, done.out
    summary = results_in(tmp_path / "results").summary
    assert (summary["verdict"], summary["generator"]["saturated"]) == ("failed", False)
    assert not any("own delay" in judged["why"] for judged in summary["thresholds"])


# -- under Locust


def locust_results(folder: Path) -> Path:
    """Return where the locustfile leaves its runs."""
    return folder / "results"


@pytest.mark.parametrize("kind", ["EstDevice", "estsim worker"])
def test_under_locust_it_is_the_same(tmp_path: Path, kind: str) -> None:
    """Whether the devices are users on gevent, or played by a worker on trio for a master."""
    keys = {"duration": "7s", "until": None, "thresholds": ["simplereenroll.response.max < 500ms"]}
    cohort = {"devices": 4, "boot": {"burst": "500ms"}, "renew": {"after": "500ms", "times": 40}}
    scenario = write_scenario(tmp_path, cohort=cohort, generator=GENERATOR, **keys)
    options: list[str | Path] = ["--headless", "--only-summary", "--scenario", scenario]
    when = after(CERTIFICATES, 8)
    if kind == "EstDevice":
        with locust_started(tmp_path, *options) as process:
            until(lambda: process.poll() is not None or when(locust_results(tmp_path)), 60)
            stop(process.pid, 1.6)
            done = locust_ended(process)
    else:
        port = closed_port()
        here = ["--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)]
        master = ["--master", *here, "--expect-workers", "1"]
        with (
            locust_started(tmp_path, *options, *master) as process,
            started("worker", scenario, "--master", f"127.0.0.1:{port}") as worker,
        ):
            until(lambda: process.poll() is not None or when(locust_results(tmp_path)), 60)
            stop(worker.pid, 1.6)
            done = locust_ended(process)
    assert done.code == SATURATED, done.log
    assert_stalled(results_in(locust_results(tmp_path)), 1.5)
