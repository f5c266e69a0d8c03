"""Mistakes of the user's making: each is named in its place, with the right exit code, and never by a traceback."""

import re
import subprocess
from pathlib import Path

import pytest
from cli_runs import COMMAND, DEADLINE_S, closed_port, estsim, results_in, write_scenario

FIVE_MISTAKES = """\
version: 1
duration: 30
sandbox:
  isue: {mode: deferred}
cohorts:
  meters:
    devices: -3
    boot: {burst: 5s}
    renew: {at: 150%}
thresholds:
  - simpleenroll.response.p99 < 3 parsecs
"""
PLACES = [
    ("2:1", "duration", "10s"),
    ("4:3", "sandbox.isue", "did you mean 'issue'?"),
    ("7:5", "cohorts.meters.devices", "greater than 0 (got -3)"),
    ("9:13", "cohorts.meters.renew.at", "150%"),
    ("11:5", "thresholds[0]", "parsecs"),
]


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_all_mistakes_are_told_at_once_in_their_places(tmp_path: Path, verb: str) -> None:
    """Five mistakes, five lines of file:line:column: key: what, nothing else, and nothing is started."""
    scenario = tmp_path / "fleet.yaml"
    scenario.write_text(FIVE_MISTAKES, encoding="utf-8")
    done = estsim(verb, "fleet.yaml", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert len(done.mistakes) == len(PLACES)
    for line, (place, key, words) in zip(done.mistakes, PLACES, strict=True):
        assert line.startswith(f"fleet.yaml:{place}: {key}: "), line
        assert words in line
    assert [path.name for path in tmp_path.iterdir()] == ["fleet.yaml"]


def test_validate_looks_at_every_file(tmp_path: Path) -> None:
    """Files that are missing, no YAML, no text, a folder or empty are told by name; one in order gets its line."""
    (tmp_path / "broken.yaml").write_text("cohorts: [", encoding="utf-8")
    (tmp_path / "binary.yaml").write_bytes(b"\x00\xff\xfe\x80" * 100)
    (tmp_path / "empty.yaml").touch()
    write_scenario(tmp_path)
    names = ["missing.yaml", "broken.yaml", "binary.yaml", ".", "empty.yaml"]
    done = estsim("validate", *names, "scenario.yaml", cwd=tmp_path)
    assert done.code == 2
    assert all(any(line.startswith(f"{name}:") for line in done.mistakes) for name in names)
    assert all(re.match(r"\S+:\d+:\d+: ", line) for line in done.mistakes)
    assert done.out.startswith("scenario.yaml: 5 devices in 1 cohort")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "nonsense"], ["--set: expected KEY=VALUE"]),
        (
            ["--set", "cohorts.meters.devcies=3", "--duration", "soon", "--url", "http://lo", "--trust", "nowhere.pem"],
            [
                "did you mean 'devices'?), from --set cohorts.meters.devcies=3",
                "from --duration soon",
                "from --url http://lo",
                "from --trust nowhere.pem",
            ],
        ),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: list[str], words: list[str]) -> None:
    """The message names the option; exit 2."""
    scenario = write_scenario(tmp_path)
    done = estsim("run", scenario, *options, cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert all(each in done.err for each in words), done.err
    assert not (tmp_path / "results").exists()


def test_results_that_cannot_be_written(tmp_path: Path) -> None:
    """A results folder under a file is named, before anything is started; exit 2."""
    scenario = write_scenario(tmp_path)
    done = estsim("run", scenario, "--results", scenario / "below")
    assert (done.code, done.out) == (2, "")
    assert done.mistakes == [f"{scenario / 'below'}: no results can be written there: Not a directory"]


def test_a_fleet_against_somebody_else_s_host_needs_permission(tmp_path: Path) -> None:
    """More than 100 devices against a host that is not this machine are refused before anything is sent."""
    cohort = {"devices": 101, "bootstrap": {"kind": "none"}}
    url = f"https://est.invalid:{closed_port()}/.well-known/est"
    scenario = write_scenario(tmp_path, target={"url": url, "trust": "system"}, cohort=cohort)
    done = estsim("run", scenario, "--results", tmp_path / "results")
    assert (done.code, done.out) == (2, "")
    assert "est.invalid" in done.err
    assert "--i-may-test est.invalid" in done.err
    assert not (tmp_path / "results").exists()


def test_a_name_that_begins_like_loopback_is_not_this_machine(tmp_path: Path) -> None:
    """``localhost.example.com`` is somebody else's host too."""
    cohort = {"devices": 101, "bootstrap": {"kind": "none"}}
    url = f"https://localhost.est.invalid:{closed_port()}/.well-known/est"
    scenario = write_scenario(tmp_path, target={"url": url}, cohort=cohort)
    # With no room for results, a run that were let through would end before it sent anything.
    done = estsim("run", scenario, "--results", scenario / "below")
    assert done.code == 2
    assert "--i-may-test" in done.err


def test_a_plan_that_this_machine_cannot_carry_honestly(tmp_path: Path) -> None:
    """10 000 devices in one second are refused with the reason and the way to insist."""
    scenario = write_scenario(tmp_path, cohort={"devices": 10_000, "boot": {"burst": "1s"}})
    done = estsim("run", scenario, "--results", tmp_path / "results")
    assert (done.code, done.out) == (2, "")
    assert "10000 devices boot within" in done.err
    assert "--force" in done.mistakes[-1]
    assert not (tmp_path / "results").exists()


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    """A full disk behind stdout is told in a line, not by a traceback, and the run's folder has the figures anyway."""
    scenario = write_scenario(tmp_path)
    command = [*COMMAND, "run", scenario, "--results", tmp_path / "results", "--json"]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)
    assert results_in(tmp_path / "results").summary["verdict"] == "passed"
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
