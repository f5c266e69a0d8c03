"""Mistakes of the user's making: each is named in its place, with the right exit code, and never by a traceback."""

import re
import subprocess
from functools import partial
from pathlib import Path

import pytest
from cli_runs import COMMAND, DEADLINE_S, Done, at_once, closed_port, estsim, results_in, write_scenario

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
BROKEN = ("missing.yaml", "broken.yaml", "binary.yaml", ".", "empty.yaml")
STRANGERS = {"bootstrap": {"kind": "none"}, "devices": 101}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """What the commands of this file say, each of them wrong, all in one folder where nothing must be left."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "five.yaml").write_text(FIVE_MISTAKES, encoding="utf-8")
    (folder / "broken.yaml").write_text("cohorts: [", encoding="utf-8")
    (folder / "binary.yaml").write_bytes(b"\x00\xff\xfe\x80" * 100)
    (folder / "empty.yaml").touch()
    write_scenario(folder).rename(folder / "good.yaml")
    write_scenario(folder, cohort={"devices": 10_000, "boot": {"burst": "1s"}}).rename(folder / "burst.yaml")
    for name, host in {"elsewhere": "est.invalid", "lookalike": "localhost.est.invalid"}.items():
        target = {"url": f"https://{host}:{closed_port()}/.well-known/est"}
        write_scenario(folder, target=target, cohort=STRANGERS).rename(folder / f"{name}.yaml")
    commands = {
        "run": ["run", "five.yaml"],
        "validate": ["validate", "five.yaml"],
        "files": ["validate", *BROKEN, "good.yaml"],
        "nonsense": ["run", "good.yaml", "--set", "nonsense"],
        "options": [
            *("run", "good.yaml", "--set", "cohorts.meters.devcies=3", "--duration", "soon"),
            *("--url", "http://lo", "--trust", "nowhere.pem"),
        ],
        "unwritable": ["run", "good.yaml", "--results", "good.yaml/below"],
        "elsewhere": ["run", "elsewhere.yaml"],
        # With no room for results, a run that were let through would end before it sent anything.
        "lookalike": ["run", "lookalike.yaml", "--results", "good.yaml/below"],
        "burst": ["run", "burst.yaml"],
    }
    before = set(folder.iterdir())
    done = at_once({name: partial(estsim, *words, cwd=folder) for name, words in commands.items()})
    assert set(folder.iterdir()) == before, "something was started"
    return done


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_all_mistakes_are_told_at_once_in_their_places(said: dict[str, Done], verb: str) -> None:
    """Five mistakes, five lines of file:line:column: key: what, and nothing else."""
    done = said[verb]
    assert (done.code, done.out) == (2, "")
    assert len(done.mistakes) == len(PLACES)
    for line, (place, key, words) in zip(done.mistakes, PLACES, strict=True):
        assert line.startswith(f"five.yaml:{place}: {key}: "), line
        assert words in line


def test_validate_looks_at_every_file(said: dict[str, Done]) -> None:
    """Files that are missing, no YAML, no text, a folder or empty are told by name; one in order gets its line."""
    done = said["files"]
    assert done.code == 2
    assert all(any(line.startswith(f"{name}:") for line in done.mistakes) for name in BROKEN)
    assert all(re.match(r"\S+:\d+:\d+: ", line) for line in done.mistakes)
    assert done.out.startswith("good.yaml: 5 devices in 1 cohort")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nonsense", ["--set: expected KEY=VALUE, such as cohorts.meters.devices=100 (got nonsense)"]),
        (
            "options",
            [
                "did you mean 'devices'?), from --set cohorts.meters.devcies=3",
                "from --duration soon",
                "from --url http://lo",
                "from --trust nowhere.pem",
            ],
        ),
    ],
)
def test_options_that_cannot_be(said: dict[str, Done], name: str, words: list[str]) -> None:
    """Each message names its option; exit 2."""
    done = said[name]
    assert (done.code, done.out) == (2, "")
    assert all(each in done.err for each in words), done.err


def test_results_that_cannot_be_written(said: dict[str, Done]) -> None:
    """A results folder under a file is named, before anything is started; exit 2."""
    done = said["unwritable"]
    assert (done.code, done.out) == (2, "")
    assert done.mistakes == ["good.yaml/below: no results can be written there: Not a directory"]


def test_a_fleet_against_somebody_else_s_host_needs_permission(said: dict[str, Done]) -> None:
    """More than 100 devices against a host that is not this machine are refused before anything is sent."""
    done = said["elsewhere"]
    assert (done.code, done.out) == (2, "")
    assert "101 devices against est.invalid" in done.err
    assert "--i-may-test est.invalid" in done.err


def test_a_name_that_begins_like_loopback_is_not_this_machine(said: dict[str, Done]) -> None:
    """``localhost.example.com`` is somebody else's host too."""
    done = said["lookalike"]
    assert done.code == 2
    assert "--i-may-test localhost.est.invalid" in done.err


def test_a_plan_that_this_machine_cannot_carry_honestly(said: dict[str, Done]) -> None:
    """10 000 devices in one second are refused with the reason and the way to insist."""
    done = said["burst"]
    assert (done.code, done.out) == (2, "")
    assert "10000 devices boot within" in done.err
    assert "--force" in done.mistakes[-1]


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    """A full disk behind stdout is told in a line, not by a traceback, and the run's folder has the figures anyway."""
    scenario = write_scenario(tmp_path)
    command = [*COMMAND, "run", str(scenario), "--results", str(tmp_path / "results"), "--json"]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)
    assert results_in(tmp_path / "results").summary["verdict"] == "passed"
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
    assert "No space left on device" in done.stderr


def test_serve_refuses_a_variable_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its place, and before a PKI is made: the text itself must not become a password."""
    config = tmp_path / "server.yaml"
    config.write_text('clients:\n  users:\n    meter: {password: "${SRV_PASSWORD}"}\n', encoding="utf-8")
    monkeypatch.delenv("SRV_PASSWORD", raising=False)
    done = estsim("serve", "server.yaml", "--port", "0", "--dir", "made", cwd=tmp_path)
    assert (done.code, done.out, done.err) == (
        2,
        "",
        (
            "server.yaml:3:13: clients.users.meter.password: the variable SRV_PASSWORD is not set; "
            "set it, or write a default: ${SRV_PASSWORD:-…}\n"
        ),
    )
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serve", "--port", "80a"), "'--port': must be a number from 0 to 65535 (got 80a)"),
        (("serve", "--port", "65536"), "'--port': must be a number from 0 to 65535 (got 65536)"),
        (("run", "quickstart", "--devices", "1,000"), "'--devices': must be a number, at least 1 (got 1,000)"),
        (("validate", "quickstart", "--seed", "-1"), "'--seed': must be a number, at least 0 (got -1)"),
        (("export", "RUN", "--format", "xml"), "'--format': must be csv, jsonl or hgrm (got xml)"),
        (("pending", "lst", "DIR"), "must be list, approve or reject (got lst)"),
        (("recipe", "wget", "URL"), "must be curl or libest (got wget)"),
    ],
)
def test_an_option_s_value_is_told_with_what_it_must_be(words: tuple[str, ...], said: str) -> None:
    """Numbers with their bounds, choices with their words."""
    done = estsim(*words)
    assert (done.code, done.out) == (2, "")
    assert done.mistakes[-1].endswith(said)


def test_validate_takes_the_overrides_of_a_run(tmp_path: Path) -> None:
    """And tells their mistakes as a run does; options that no scenario has are told as such."""
    write_scenario(tmp_path)
    right = estsim("validate", "scenario.yaml", "--devices", "7", "--duration", "3s", cwd=tmp_path)
    assert (right.code, right.out) == (
        0,
        "scenario.yaml: 7 devices in 1 cohort, booting within 0s, until settled, at most 3s, against the sandbox\n",
    )
    wrong = estsim("validate", "scenario.yaml", "--set", "cohorts.meters.devices=0", "--seed", "3", cwd=tmp_path)
    assert (wrong.code, wrong.out) == (2, "")
    assert "cohorts.meters.devices: must be greater than 0 (got 0), from --set cohorts.meters.devices=0" in wrong.err
    nonsense = estsim("validate", "scenario.yaml", "--set", "nonsense", cwd=tmp_path)
    assert nonsense.mistakes == ["--set: expected KEY=VALUE, such as cohorts.meters.devices=100 (got nonsense)"]


def test_validate_checks_the_configurations_of_serve(tmp_path: Path) -> None:
    """Each kind of file says what it is where the other is expected."""
    write_scenario(tmp_path)
    (tmp_path / "server.yaml").write_text(
        "seed: 3\ntrust_centers:\n  default: {}\n  meters: {clients: {bootstrap_cas: [no.pem]}}\n", encoding="utf-8"
    )
    done = estsim("validate", "--server", "server.yaml", "scenario.yaml", cwd=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.mistakes == [
        (
            "server.yaml:4:38: trust_centers.meters.clients.bootstrap_cas[0]: cannot be read: No such file or directory"
            " (got no.pem)"
        ),
        "scenario.yaml:1:1: is a scenario, not a sandbox configuration: expected what a scenario has under `sandbox:`",
    ]
    (tmp_path / "server.yaml").write_text("trust_centers: {default: {}, meters: {}}\n", encoding="utf-8")
    assert estsim("validate", "--server", "server.yaml", cwd=tmp_path).out == (
        "server.yaml: 2 trust centers (default, meters)\n"
    )
    assert estsim("validate", "server.yaml", cwd=tmp_path).mistakes == [
        "server.yaml:1:1: is a sandbox configuration, not a scenario: check with validate --server, run with serve"
    ]
    both = estsim("validate", "--server", "server.yaml", "--seed", "3", cwd=tmp_path)
    assert both.mistakes == ["--server: cannot be combined with options that override a scenario"]
