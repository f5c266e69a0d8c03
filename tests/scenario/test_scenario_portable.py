"""A scenario as text for another process: read there to the same plan, with no password on the way but in a pipe."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from estsim.errors import ScenarioError
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.library import found, library
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import HttpAuth, Scenario
from estsim.scenario.portable import fingerprint, load_portable, portable_text
from estsim.scenario.source import Overrides

_SECRET: Final = """
version: 1
duration: 10s
defaults: {renew: off}
target: {url: "https://127.0.0.1:8443", trust: {ca: root.pem}}
cohorts:
  meters:
    devices: 3
    subject: "CN=meter-{index}"
    boot: {burst: 1s}
    bootstrap: {kind: basic, user: alice, password: "pa$${s}s-{site}"}
"""


def _secret(folder: Path) -> Scenario:
    file = folder / "fleet.yaml"
    (folder / "root.pem").write_bytes(ManufacturerCA.made("root").certificate_pem)
    file.write_text(_SECRET, encoding="utf-8")
    return load_scenario(file)


def _basic(scenario: Scenario) -> HttpAuth:
    auth = scenario.cohorts[0].http_auth
    assert auth is not None
    return auth


@pytest.mark.parametrize("name", library())
def test_every_shipped_scenario_reads_the_same_elsewhere(name: str, tmp_path: Path) -> None:
    """Options are in it, the folder is another, and its text stays the same by being read again."""
    here = load_scenario(found(Path(name)), overrides=Overrides(devices=40, seed=9))
    text = portable_text(here)
    there = load_portable(text, source=found(Path(name)))
    assert there.resolved == here.resolved
    assert (there.devices, there.seed, there.name) == (40, 9, here.name)
    assert portable_text(there) == text
    elsewhere = load_portable(text, source=tmp_path / "x.yaml")
    assert fingerprint(portable_text(elsewhere)) == fingerprint(text)


def test_whom_to_trust_is_sent_beside_the_text(tmp_path: Path) -> None:
    """The file of the reader's machine may be another, or none."""
    here = _secret(tmp_path)
    assert here.target is not None
    assert here.target.ca == tmp_path / "root.pem"
    there = load_portable(portable_text(here), source=tmp_path / "elsewhere" / "fleet.yaml", own=here)
    assert there.target is not None
    assert there.target.ca is None


def test_a_password_stays_at_home_and_is_filled_in_there(tmp_path: Path) -> None:
    """Masked between machines, taken from the reader's own file; between processes of one machine it is in the text."""
    here = _secret(tmp_path)
    secret = _basic(here).password
    assert secret == "pa${s}s-{site}"
    text = portable_text(here)
    assert secret not in text
    assert "pa$${s}s" not in text
    assert _basic(load_portable(text, source=tmp_path / "x.yaml", own=here)).password == secret
    with pytest.raises(ScenarioError, match=r"cohorts\.\w+\.bootstrap\.password: is the mask \*\*\*, not a password"):
        load_portable(text, source=tmp_path / "x.yaml", own=replace(here, document={}))
    assert _basic(load_portable(portable_text(here, passwords=True), source=tmp_path / "x.yaml")).password == secret
