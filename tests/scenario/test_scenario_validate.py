"""``estsim validate`` and the scenario that newcomers see first."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from estsim.cli.validate import validate
from estsim.scenario.loader import load_scenario

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "scenarios" / "quickstart.yaml"

app = typer.Typer(add_completion=False)
app.command()(validate)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Return a scenario with two mistakes."""
    path = tmp_path / "bad.yaml"
    path.write_text("version: 1\ncohorts:\n  a: {devices: 5, boot: {rate: -3/s}}\n", encoding="utf-8")
    return path


def test_a_scenario_in_order_is_told_in_a_line() -> None:
    """Devices, cohorts, boot window, duration, server; exit code 0."""
    result = CliRunner().invoke(app, [str(QUICKSTART)])
    assert result.exit_code == 0
    assert result.stdout == (
        f"{QUICKSTART}: 500 devices in 1 cohort, booting within 15s, until settled, at most 55s, against the sandbox\n"
    )
    assert result.stderr == ""


def test_every_mistake_of_every_file_is_printed_and_the_exit_code_is_2(bad: Path, tmp_path: Path) -> None:
    """On stderr, a line each; the file that is in order is reported too."""
    missing = tmp_path / "missing.yaml"
    result = CliRunner().invoke(app, [str(bad), str(QUICKSTART), str(missing)])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"{bad}:1:1: duration: is missing",
        f"{bad}:3:26: cohorts.a.boot.rate: must be greater than 0 (got -3/s)",
        f"{missing}:1:1: no such file",
    ]
    assert result.stdout.startswith(f"{QUICKSTART}: 500 devices")


def test_help_has_examples() -> None:
    """A newcomer copies one."""
    result = CliRunner().invoke(app, ["--help"])
    assert "estsim validate fleet.yaml" in result.stdout


def test_the_quickstart_opens_with_its_question_and_is_what_it_promises() -> None:
    """500 devices, a fifth deferred at 2 to 4 s, one renewal each within the validity, over in under a minute."""
    assert QUICKSTART.read_text(encoding="utf-8").splitlines()[0].endswith("?")
    scenario = load_scenario(QUICKSTART)
    assert scenario.devices == 500
    assert scenario.until_settled
    assert scenario.duration_s < 60
    assert scenario.sandbox is not None
    issue = scenario.sandbox.centers["default"].issue
    assert (issue.mode, issue.share, issue.delay.low, issue.delay.high) == ("deferred", 0.2, 2, 4)
    renew = scenario.cohorts[0].policy.renew
    assert renew is not None
    assert (renew.times, renew.then) == (1, "leave")
    assert (renew.at + renew.spread.high) * scenario.sandbox.centers["default"].issuer.validity < 20


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_scenario_of_the_project_is_in_order(path: Path) -> None:
    """Each opens with the question it answers."""
    load_scenario(path)
    assert path.read_text(encoding="utf-8").splitlines()[0].endswith("?")
