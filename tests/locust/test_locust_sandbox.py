"""A sandbox started for a run in plain blocking calls: where it is, what it can be told, and that it goes."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from estsim.errors import PreflightError, UsageError
from estsim.locust.master.sandbox import Sandbox, start
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario

TEXT = """
version: 1
duration: 10s
authorities: {mfg: {made: true}}
sandbox: {clients: {bootstrap_cas: [mfg]}}
cohorts:
  meters: {devices: 1, subject: CN=meter, boot: {at_once: true}, bootstrap: {kind: manufacturer, authority: mfg}}
"""


@pytest.fixture(name="scenario")
def a_scenario(tmp_path: Path) -> Scenario:
    """Read a scenario with a manufacturer that is made for the run."""
    path = tmp_path / "scenario.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return load_scenario(path)


@pytest.fixture(name="sandbox")
def a_sandbox(scenario: Scenario, tmp_path: Path) -> Iterator[Sandbox]:
    """Run its sandbox."""
    sandbox = start(scenario, {"mfg": ManufacturerCA.made("mfg")}, keep_log_in=tmp_path)
    yield sandbox
    sandbox.stop()


def test_it_listens_is_told_and_goes_with_all_that_it_had(sandbox: Sandbox, tmp_path: Path) -> None:
    """Its log is kept; its folder, with the keys of its authorities, is not."""
    assert str(sandbox.url).startswith("https://127.0.0.1:")
    assert sandbox.trust.read_text(encoding="utf-8").startswith("-----BEGIN CERTIFICATE")
    sandbox.begin(time.time())
    sandbox.change({"capacity.rate": "20/s"})
    with pytest.raises(UsageError, match=r"capacity\.rat: unknown key"):
        sandbox.change({"capacity.rat": "20/s"})
    for _ in range(2):
        sandbox.stop()
    assert sandbox.process.returncode == 0
    assert not sandbox.folder.parent.exists()
    assert (tmp_path / "sandbox.sqlite").stat().st_size > 0


def test_one_that_has_died_is_told_of_a_change_in_vain(sandbox: Sandbox) -> None:
    """A run goes on and tells it."""
    sandbox.process.kill()
    sandbox.process.wait()
    with pytest.raises(UsageError, match="it exited with code -9"):
        sandbox.change({"capacity.rate": "20/s"})


def test_one_that_does_not_come_up_says_why(scenario: Scenario, tmp_path: Path) -> None:
    """With its own words, and nothing is left of it."""
    broken = replace(scenario, sandbox_text="trust_centers: 7\n")
    with pytest.raises(PreflightError, match=r"the sandbox ended with code 2 .*trust_centers"):
        start(broken, {}, keep_log_in=tmp_path)
    assert not (tmp_path / "sandbox.sqlite").exists()
