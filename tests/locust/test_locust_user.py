"""A device as a Locust user: what Locust is told of it, how it stops, and what is refused before it starts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from locust_kit import Place, serving

HERE: Final = Path(__file__).parent
DEFERRED: Final = {"mode": "deferred", "delay": "500ms", "retry_after": {"kind": "fixed", "seconds": 1}}


def scenario(sandbox: dict[str, Any] | None = None, **meters: object) -> str:
    """Return a scenario of five meters that enroll at once and stay."""
    base: dict[str, object] = {
        "devices": 5,
        "subject": "CN=meter-{index}",
        "boot": {"at_once": True},
        "enroll": {"cacerts": "never"},
        "renew": "off",
        "retry": {"attempts": 1},
    }
    plan = {
        "version": 1,
        "name": "users",
        "duration": "20s",
        "until": "settled",
        "sandbox": sandbox or {},
        "cohorts": {"meters": base | meters},
    }
    return json.dumps(plan)


async def played(place: Place, *options: str) -> dict[str, Any]:
    """Play it with Locust users in a process of their own."""
    command = [sys.executable, "-W", "error", str(HERE / "gevent_driver.py"), place.packed(), *options]
    done = await trio.run_process(command, capture_stdout=True, stderr=subprocess.STDOUT)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


async def test_each_exchange_is_a_request_of_locust_s_and_a_deferral_is_no_failure(tmp_path: Path) -> None:
    """Type, name, service time, size and context; ten requests of five devices, none of them failed."""
    async with serving(scenario({"issue": DEFERRED}), tmp_path) as place:
        told = await played(place)
    assert (told["counted"], told["failures"]) == (10, 0)
    assert {(each["request_type"], each["name"]) for each in told["requests"]} == {("EST", "simpleenroll")}
    deferred, issued = told["requests"][0], told["requests"][-1]
    device = deferred["context"].pop("device")
    assert device in range(5)
    assert deferred["context"] == {"cohort": "meters", "outcome": "deferred", "retry_after_s": 1.0}
    assert issued["context"]["outcome"] == "ok"
    assert issued["context"]["retry_after_s"] is None
    assert issued["response_length"] > 500
    assert all(0 < each["response_time"] < 1000 for each in told["requests"])
    assert {each["exception"] for each in told["requests"]} == {None}
    assert issued["start_time"] == pytest.approx(deferred["start_time"] + 1, abs=0.5)
    assert issued["url"] == "https://" + place.url.split("/")[2]
    assert told["given_back"] == [0, 1, 2, 3, 4]


async def test_a_failure_has_its_words(tmp_path: Path) -> None:
    """What the exchange came to, where it failed, and why."""
    async with serving(scenario({"faults": [{"kind": "reset", "rate": "100%"}]}), tmp_path) as place:
        told = await played(place)
    assert (told["counted"], told["failures"]) == (5, 5)
    assert {each["exception"] for each in told["requests"]} == {"failed in wait: the peer reset the connection"}


async def test_a_refusal_that_is_part_of_the_plan_is_no_failure(tmp_path: Path) -> None:
    """Devices with an expired bootstrap certificate are refused, as they should be."""
    faulty = scenario(faults={"expired_bootstrap": "40%"})
    async with serving(faulty, tmp_path) as place:
        told = await played(place)
    assert (told["counted"], told["failures"]) == (5, 0)
    assert sorted(each["context"]["outcome"] for each in told["requests"]) == ["failed"] * 2 + ["ok"] * 3


async def test_an_exchange_under_way_ends_before_its_user_stops(tmp_path: Path) -> None:
    """Locust stops its users in the middle of an answer: it is taken, and nothing new is begun."""
    slow = {"faults": [{"kind": "latency", "add": "800ms", "rate": "100%"}]}
    async with serving(scenario(slow, renew={"after": "10ms"}), tmp_path) as place:
        told = await played(place, "0.4")
    assert told["story"] == {str(device): [["simpleenroll", "plan", "ok", 1, 1]] for device in range(5)}
    assert told["given_back"] == [0, 1, 2, 3, 4]


async def test_a_user_that_waits_stops_at_once(tmp_path: Path) -> None:
    """A device that was told to come again in an hour leaves its search open."""
    hour = DEFERRED | {"retry_after": {"kind": "fixed", "seconds": 3600}}
    async with serving(scenario({"issue": hour}), tmp_path) as place:
        with trio.fail_after(10):
            told = await played(place, "0.5")
    assert {tuple(rows[0]) for rows in told["story"].values()} == {("simpleenroll", "plan", "deferred", 1, 1)}
    assert sorted(told["open"]) == [0, 1, 2, 3, 4]


# -- as anyone's locustfile


def locust(tmp_path: Path, body: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run Locust with a locustfile of this body."""
    file = tmp_path / "locustfile.py"
    file.write_text(body, encoding="utf-8")
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--host", "http://127.0.0.1:1", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)


REFUSED: Final = [
    (
        {"network": {"rtt": "40ms"}},
        "cohorts.meters.network: a simulated network is supported by estsim run and estsim worker only",
    ),
    (
        {"boot": {"stations": 2}},
        "cohorts.meters.boot.stations: stations are supported by estsim run only",
    ),
]


@pytest.mark.parametrize(("meters", "words"), REFUSED, ids=["network", "stations"])
def test_what_only_the_engine_can_do_is_refused_by_name(tmp_path: Path, meters: dict[str, Any], words: str) -> None:
    """Before anything is spawned, with the exit code of a usage error."""
    (tmp_path / "plan.yaml").write_text(scenario(**meters), encoding="utf-8")
    body = (
        "from estsim.locust.user import EstDevice\n\n"
        'class Meter(EstDevice):\n    scenario = "plan.yaml"\n    cohort = "meters"\n'
    )
    done = locust(tmp_path, body, "-u", "1", "-t", "2s")
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cohort_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With the names that there are."""
    body = (
        "from estsim.locust.user import EstDevice\n\n"
        'class Meter(EstDevice):\n    scenario = "quickstart"\n    cohort = "nobody"\n'
    )
    done = locust(tmp_path, body, "-u", "1", "-t", "2s")
    assert done.returncode == 2, done.stderr
    assert "has no cohort nobody (it has meters)" in done.stderr


def test_a_user_without_a_run_says_so_and_stops(tmp_path: Path) -> None:
    """Where no run of estsim's is under way, each user ends with one line, and the others go on."""
    body = (
        "import gevent, sys, types\n"
        "from locust import User, task\n"
        "from estsim.errors import UsageError\n"
        "from estsim.locust.user import EstDevice\n\n"
        'play = types.ModuleType("estsim.locust.users.process_fleet")\n\n'
        "def fleet_for(environment, scenario):\n"
        '    raise UsageError("no run here")\n\n'
        "play.fleet_for = fleet_for\n"
        'sys.modules["estsim.locust.users.process_fleet"] = play\n\n'
        "class Meter(EstDevice):\n    fixed_count = 1\n\n"
        'class Other(User):\n    @task\n    def rest(self):\n        print("resting")\n        gevent.sleep(60)\n'
    )
    done = locust(tmp_path, body, "-u", "2", "-r", "2", "-t", "2s")
    assert 1 <= done.stderr.count("no run here") <= 4, done.stderr
    assert "resting" in done.stdout + done.stderr
