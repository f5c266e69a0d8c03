"""``estsim run --dry-run``: a forecast and nothing else; its exit codes, its JSON, and nothing left behind."""

import json
from functools import partial
from pathlib import Path

from cli_runs import at_once, ended, estsim, interrupt, started, write_scenario

ENDLESS = {"devices": 20, "renew": {"after": "100ms", "times": 1_000_000}}


def test_a_plan_is_forecast_and_nothing_is_started(tmp_path: Path) -> None:
    """Exit 0, with the scenario as it would be run below; as JSON too. No folder is made."""
    words = ("run", "quickstart", "--dry-run", "--results", tmp_path / "results")
    done = at_once(
        {"text": partial(estsim, *words, cwd=tmp_path), "json": partial(estsim, *words, "--json", cwd=tmp_path)}
    )
    assert [(each.code, each.err) for each in done.values()] == [(0, "")] * 2
    assert [*tmp_path.iterdir()] == []
    forecast, _, resolved = done["text"].out.partition("# Scenario as run")
    for heading in ("DRY RUN", "OFFERED LOAD", "simplereenroll", "RESOURCES", "NOTES", "evaluated in a real run only"):
        assert heading in forecast
    assert max(map(len, forecast.splitlines())) <= 80
    assert "name: quickstart" in resolved
    said = json.loads(done["json"].out)
    assert said["certificates"]["issued"] == 1000
    assert said["run"]["settled"] is True
    assert resolved.rstrip() in said["scenario"]


def test_a_plan_that_this_machine_cannot_carry_is_told(tmp_path: Path) -> None:
    """Exit 2 with the forecast all the same, 0 where it is forced. Nobody's permission is needed: nothing is sent."""
    path = write_scenario(tmp_path, cohort={"devices": 9000, "bootstrap": {"kind": "none"}})
    elsewhere = ("--url", "https://est.example.com/.well-known/est")
    done = at_once(
        {
            "refused": partial(estsim, "run", path, "--dry-run"),
            "forced": partial(estsim, "run", path, "--dry-run", *elsewhere, "--force", "--json"),
        }
    )
    assert {name: each.code for name, each in done.items()} == {"refused": 2, "forced": 0}
    assert "SHORT     processor" in done["refused"].out
    assert "one core can start about 5000" in done["refused"].err
    assert "--force" in done["refused"].err
    said = json.loads(done["forced"].out)
    assert "9000 devices boot within 10 s" in said["problems"][0]
    assert "an ideal server" in said["run"]["server"]


def test_a_long_one_says_how_far_it_is_and_can_be_interrupted(tmp_path: Path) -> None:
    """After a second a line on stderr; Ctrl-C ends it at once, with 130."""
    path = write_scenario(tmp_path, cohort=ENDLESS, duration="30d", sandbox={"issuer": {"validity": "365d"}})
    with started("run", path, "--dry-run") as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("dry run: simulated ")
        interrupt(process)
        done = ended(process)
    assert (done.code, done.out) == (130, "")
    assert "interrupted; nothing was started" in done.err
