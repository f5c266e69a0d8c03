"""The Python API: what the command line does, as functions; its examples in docs/ run."""

import asyncio
import re
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
import trio

import estsim
from estsim.device.behaviour import Draw
from estsim.device.policy import Policy
from estsim.errors import ScenarioError, UsageError
from estsim.figures.exits import Exit
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.report.file import write_report

ROOT: Final = Path(__file__).parents[1]
FLEET: Final = """
version: 1
duration: 10s
until: settled
generator: {max_lag: 5s, max_cpu: 100%}
cohorts: {meters: {devices: 5, boot: {burst: 200ms}, renew: off}}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Write a small fleet."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET, encoding="utf-8")
    return path


@pytest.fixture
def long_fleet(fleet: Path) -> Path:
    """Write one whose run goes on after the last exchange."""
    fleet.write_text(FLEET.replace("until: settled", "thresholds: [failures < 1%]"), encoding="utf-8")
    return fleet


async def test_a_run_under_trio_leaves_what_its_rows_add_up_to(fleet: Path, tmp_path: Path) -> None:
    """Its folder has the report too; the summary made of the rows alone has the same counts."""
    scenario = estsim.load_scenario(fleet, devices=4, seed=3)
    finished = await estsim.run_async(scenario, results=tmp_path)
    assert (finished.verdict, finished.passed, finished.exit_code) == ("passed", True, Exit.PASSED)
    assert (finished.folder / "report.html").is_file()
    with estsim.open_run(finished.folder) as run:
        rows = [*run.rows("exchanges")]
        assert sum(row["operation"] == "simpleenroll" for row in rows) == 4
        assert len([*run.rows("certificates")]) == finished.summary.certificates.verified == 4
        assert run.facts["seed"] == "3"
        assert run.summary() == finished.summary
        assert finished.summary.to_json() == (finished.folder / "summary.json").read_text(encoding="utf-8")
        (finished.folder / "summary.json").unlink()
        made = run.summary().operations
        assert {name: (each.requests, each.ok) for name, each in made.items() if each.requests} == {
            "cacerts": (4, 4),
            "simpleenroll": (4, 4),
        }


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_run_that_is_cancelled_keeps_all_its_exchanges(long_fleet: Path, tmp_path: Path, workers: int) -> None:
    """Also those since the last batch; its summary says aborted, as does that of a run that was killed."""
    scenario = estsim.load_scenario(long_fleet, devices=4, workers=workers)
    counted = 0
    with trio.CancelScope() as scope:
        token = trio.lowlevel.current_trio_token()

        def show(snapshot: Snapshot) -> None:
            nonlocal counted
            counted = max(counted, snapshot.requests)
            if snapshot.stage is RunStage.RUNNING and counted:
                token.run_sync_soon(scope.cancel)

        await estsim.run_async(scenario, results=tmp_path / "results", show=show)
    assert scope.cancelled_caught
    (folder,) = (tmp_path / "results").iterdir()
    assert not (folder / "summary.json").exists()
    with estsim.open_run(folder) as run:
        assert run.facts["ending"] == "aborted"
        assert len([*run.rows("exchanges")]) >= counted > 0
        assert run.summary().verdict == "aborted"
    with closing(sqlite3.connect(folder / "run.sqlite", isolation_level=None)) as store:
        store.execute("DELETE FROM run WHERE key IN ('ended', 'ending')")
    with estsim.open_run(folder) as run:
        assert "ending" not in run.facts
        assert run.summary().verdict == "aborted"
    assert "DID NOT END" in write_report(folder).read_text(encoding="utf-8")


def test_a_run_that_cannot_reach_its_server_is_a_result(fleet: Path, tmp_path: Path) -> None:
    """With the reason; a mistake of a scenario is an error with all its places."""
    (tmp_path / "fleet.yaml").write_text(
        FLEET.replace("renew: off", "renew: off, bootstrap: {kind: none}"), encoding="utf-8"
    )
    scenario = estsim.load_scenario(fleet, url="https://127.0.0.1:1/.well-known/est")
    finished = estsim.run(scenario, results=tmp_path, report=False)
    assert (finished.verdict, finished.exit_code) == ("unreachable", Exit.UNREACHABLE)
    assert finished.why is not None
    assert "127.0.0.1:1" in finished.why
    with pytest.raises(ScenarioError, match=r"devices.*many"):
        estsim.load_scenario(fleet, settings={"cohorts.meters.devices": "many"})


def test_a_fleet_against_another_machine_needs_permission(fleet: Path, tmp_path: Path) -> None:
    """As on the command line."""
    fleet.write_text(FLEET.replace("renew: off", "renew: off, bootstrap: {kind: none}"), encoding="utf-8")
    scenario = estsim.load_scenario(fleet, devices=101, url="https://est.example.com/.well-known/est")
    with pytest.raises(UsageError, match=r"est\.example\.com"):
        estsim.run(scenario, results=tmp_path)
    assert [*tmp_path.iterdir()] == [fleet]


def test_a_forecast_answers_at_once(fleet: Path) -> None:
    """In virtual time."""
    predicted = estsim.forecast(estsim.load_scenario(fleet))
    assert predicted.certificates == 5


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """A folder without a run, an attribute that the package does not have."""
    with pytest.raises(UsageError, match="no such folder"):
        estsim.open_run(tmp_path / "none")
    with pytest.raises(AttributeError, match="no_such"):
        _ = estsim.no_such


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("devices", float("nan"), "devices: expected a whole number (got nan)"),
        ("devices", "10", "devices: expected a whole number (got '10')"),
        ("devices", 2.5, "devices: expected a whole number (got 2.5)"),
        ("devices", True, "devices: expected a whole number (got True)"),
        pytest.param("devices", 10**5000, "devices: expected a whole number of at most 20 digits", id="long"),
        ("duration", 10, "duration: expected a str, such as '10m' (got 10)"),
        ("seed", "7", "seed: expected a whole number (got '7')"),
        ("url", 5, "url: expected a str"),
        ("trust", 5, "trust: expected a path, as str or Path (got 5)"),
        ("workers", 1.5, "workers: expected a whole number or 'auto' (got 1.5)"),
        ("strict", "yes", "strict: expected True or False (got 'yes')"),
        ("settings", {1: 2}, "(got the key 1)"),
        ("settings", ["a"], "settings: expected a mapping of keys to values"),
        ("source", None, "source: expected a path, as str or Path (got None)"),
        ("source", b"fleet.yaml", "source: expected a path"),
    ],
)
def test_a_scenario_is_loaded_with_arguments_of_their_types(fleet: Path, option: str, value: object, told: str) -> None:
    """Another is refused at once, with its name, what was expected and what came."""
    given: dict[str, Any] = {"source": fleet, option: value}
    with pytest.raises(UsageError, match=re.escape(told)):
        estsim.load_scenario(**given)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("results", "a\0b", "results: expected a path, as str or Path (got 'a\\x00b')"),
        ("results", "\ud800", "results: expected a path"),
        ("results", None, "results: expected a path"),
        ("preflight", 1, "preflight: expected True or False (got 1)"),
        ("force", "no", "force: expected True or False"),
        ("report", None, "report: expected True or False"),
        ("i_may_test", True, "i_may_test: expected a str"),
        ("show", "loud", "show: expected a function (got 'loud')"),
        ("scenario", "fleet.yaml", "scenario: expected a Scenario, from load_scenario (got 'fleet.yaml')"),
    ],
)
def test_a_run_takes_arguments_of_their_types(
    fleet: Path, tmp_path: Path, option: str, value: object, told: str
) -> None:
    """Another is refused before there is a folder."""
    given: dict[str, Any] = {"scenario": estsim.load_scenario(fleet), "results": tmp_path / "results", option: value}
    with pytest.raises(UsageError, match=re.escape(told)):
        estsim.run(**given)
    assert [*tmp_path.iterdir()] == [fleet]


def test_a_forecast_and_a_folder_have_arguments_of_their_types() -> None:
    """As a run has."""
    with pytest.raises(UsageError, match="scenario: expected a Scenario"):
        estsim.forecast(None)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="folder: expected a path"):
        estsim.open_run(None)  # type: ignore[arg-type]


def test_a_run_is_refused_where_it_gets_no_signals(fleet: Path, tmp_path: Path) -> None:
    """In another thread, within trio, and under trio's name without trio: before there is a folder."""
    scenario = estsim.load_scenario(fleet)

    async def within() -> None:
        estsim.run(scenario, results=tmp_path / "results")

    with ThreadPoolExecutor(1) as pool, pytest.raises(UsageError, match="expected to be called in the main thread"):
        pool.submit(estsim.run, scenario, results=tmp_path / "results").result()
    with pytest.raises(UsageError, match="await run_async"):
        trio.run(within)
    with pytest.raises(UsageError, match="in a task of trio"):
        asyncio.run(estsim.run_async(scenario, results=tmp_path / "results"))
    assert [*tmp_path.iterdir()] == [fleet]


@pytest.mark.parametrize("stage", [RunStage.RUNNING, RunStage.DONE])
def test_what_show_raises_is_raised(fleet: Path, tmp_path: Path, stage: RunStage) -> None:
    """From a thread or at the end; it is the caller's own, and no bug of estsim."""

    def show(snapshot: Snapshot) -> None:
        if snapshot.stage is stage:
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        estsim.run(estsim.load_scenario(fleet), results=tmp_path / "results", show=show)
    (folder,) = (tmp_path / "results").iterdir()
    assert not (folder / "errors.log").exists()
    with estsim.open_run(folder) as run:
        assert run.facts["ending"] == ("aborted" if stage is RunStage.RUNNING else "finished")
    assert (folder / "summary.json").exists() == (stage is RunStage.DONE)


def test_the_package_alone_loads_no_engine() -> None:
    """The pure rooms import its version."""
    code = "import sys, estsim; assert not {'trio', 'httpx', 'OpenSSL'} & {*sys.modules}; assert callable(estsim.run)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def example(name: str, *words: str, cwd: Path) -> str:
    """Run an example of docs/ and return what it prints."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "examples" / f"{name}.py"), *words],
        cwd=cwd, check=False, capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_the_examples_of_the_docs_run(tmp_path: Path) -> None:
    """One after the other: the last reads what the first has left."""
    assert "certificates, see" in example("first_run", str(tmp_path / "results"), cwd=tmp_path)
    (folder,) = (tmp_path / "results").iterdir()
    assert example("slowest_exchanges", str(folder), cwd=tmp_path).count(" ms  device ") == 5
    narrow, _, wide = (int(line.split()[2]) for line in example("compare_spreads", cwd=tmp_path).splitlines())
    assert narrow > wide
    obedient, patient, ran = example("patient_devices", str(tmp_path / "patient"), cwd=tmp_path).splitlines()
    assert int(obedient.split()[1]) > int(patient.split()[1])
    assert ran == "passed"


class Hasty(estsim.Behaviour):
    """Polls ten times as often as it was told to."""

    def deferral_wait(self, retry_after_s: float | None, deferrals: int, draw: Draw) -> float:
        """Return a tenth."""
        return super().deferral_wait(retry_after_s, deferrals, draw) / 10


def test_a_behaviour_is_given_by_cohort() -> None:
    """It is loaded with the scenario, and played in virtual time too."""
    obedient = estsim.forecast(estsim.load_scenario("deferral-herd", devices=20))
    scenario = estsim.load_scenario("deferral-herd", devices=20, behaviours={"meters": Hasty})
    assert "behaviour: test_api:Hasty" in scenario.resolved
    assert estsim.forecast(scenario).ended_s < obedient.ended_s / 2


def test_a_behaviour_that_a_file_names_needs_leave(fleet: Path) -> None:
    """The option is named as the API has it."""
    fleet.write_text(FLEET.replace("renew: off", "renew: off, behaviour: 'test_api:Hasty'"), encoding="utf-8")
    with pytest.raises(ScenarioError, match="names Python code: add allow_code=True to import it"):
        estsim.load_scenario(fleet)
    (cohort,) = estsim.load_scenario(fleet, allow_code=True).cohorts
    assert cohort.behaviour is Hasty


def test_behaviours_that_cannot_be_used_are_refused(fleet: Path) -> None:
    """By argument, by cohort, and where worker processes could not import them."""

    class Local(estsim.Behaviour):
        """Is nowhere to be found."""

    for wrong in ([Hasty], {"meters": int}, {"meters": Hasty(Policy())}, {3: Hasty}):
        with pytest.raises(UsageError, match="behaviours: expected a mapping of names to subclasses of Behaviour"):
            estsim.load_scenario(fleet, behaviours=wrong)  # type: ignore[arg-type]
    with pytest.raises(ScenarioError, match="there is no cohort 'metres'"):
        estsim.load_scenario(fleet, behaviours={"metres": Hasty})
    assert estsim.load_scenario(fleet, behaviours={"meters": Local}).cohorts[0].behaviour is Local
    with pytest.raises(UsageError, match="worker processes cannot import test_api:Local: define it in a module"):
        estsim.load_scenario(fleet, behaviours={"meters": Local}, workers=2)
