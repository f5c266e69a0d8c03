"""Where a worker goes, by its own file and options, and by a master that has proved the secret or has not."""

import json
from pathlib import Path
from typing import Final

import pytest

from estsim.fleet.assignment import Assignment, AssignmentError
from estsim.fleet.destination import OwnDestination
from estsim.fleet.trust import Trust, trust_file
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.loader import load_scenario
from estsim.scenario.target_url import parse_url

OWN: Final = "https://est.example.com:8443/.well-known/est/meters"
OTHER: Final = "https://est.attacker.example:8443/.well-known/est/meters"
LOCAL: Final = "https://127.0.0.1:9443/.well-known/est"
THEIRS: Final = (b"whoever the master says",)


def own(
    folder: Path, url: str | None = OWN, *, option: str | None = None, trust: Trust | None = None
) -> OwnDestination:
    """Return what a worker's scenario and options say; without a URL the scenario has a sandbox."""
    (folder / "ca.pem").write_bytes(ManufacturerCA.made("own").certificate_pem)
    target = {"target": {"url": url, "trust": {"ca": "ca.pem"}}} if url else {"sandbox": {}}
    path = folder / "fleet.yaml"
    cohorts = {"meters": {"devices": 1, "boot": {"burst": "1s"}, "bootstrap": {"kind": "none"}}}
    path.write_text(json.dumps({"version": 1, "duration": "1m", **target, "cohorts": cohorts}), encoding="utf-8")
    return OwnDestination(load_scenario(path), parse_url(option) if option else None, trust)


def named(url: str) -> Assignment:
    """Return what a master says."""
    return Assignment("r1", "", url, THEIRS, explicit=True)


@pytest.mark.parametrize("url", [OWN, OTHER, LOCAL])
def test_a_proved_master_says_where_to_go_and_whom_to_trust(tmp_path: Path, url: str) -> None:
    """But for what the options say."""
    assert own(tmp_path).of(named(url), is_proved=True) == named(url)
    trust = Trust((b"own",), explicit=False, authorities=None)
    went = own(tmp_path, option=LOCAL, trust=trust).of(named(url), is_proved=True)
    assert (went.url, went.anchors, went.explicit) == (LOCAL, (b"own",), False)
    assert own(tmp_path, option=LOCAL).of(named(url), is_proved=True).anchors == THEIRS


@pytest.mark.parametrize(
    "url",
    [
        OTHER, LOCAL, "https://est.example.com/.well-known/est/meters", "https://est.example.com:8443/.well-known/est",
        "https://est.example.com:8443/x/.well-known/est/meters", "http://est.example.com:8443/.well-known/est/meters",
        "https://est.example.com.attacker.example:8443/.well-known/est/meters", "", "\x1b[2J",
        "https://u:p@est.example.com:8443/.well-known/est/meters",
    ],
)  # fmt: skip
def test_a_master_that_has_proved_nothing_moves_nobody(tmp_path: Path, url: str) -> None:
    """Another host, port, path or label is refused by name, in words that a terminal only shows."""
    with pytest.raises(AssignmentError, match=r"the master (names the server|sent an invalid server URL)") as refused:
        own(tmp_path).of(named(url), is_proved=False)
    assert str(refused.value).isprintable()
    if url == OTHER:
        assert "est.attacker.example" in str(refused.value)
        assert OWN in str(refused.value)


@pytest.mark.parametrize("url", [OWN, "https://EST.example.com:8443/.well-known/est/meters/"])
def test_where_the_own_file_says_the_own_trust_holds(tmp_path: Path, url: str) -> None:
    """A master that has proved nothing cannot have a worker trust another server of that name."""
    destination = own(tmp_path)
    went = destination.of(named(url), is_proved=False)
    assert (went.url, went.anchors, went.explicit) == (OWN, trust_file(tmp_path / "ca.pem").anchors, True)


def test_an_option_is_the_worker_s_own_word(tmp_path: Path) -> None:
    """It goes there, whatever a master says, with its own trust."""
    went = own(tmp_path, option=LOCAL).of(named(OTHER), is_proved=False)
    assert (went.url, went.anchors) == (LOCAL, trust_file(tmp_path / "ca.pem").anchors)
    trust = Trust((b"own",), explicit=True, authorities=None)
    assert own(tmp_path, option=LOCAL, trust=trust).of(named(OTHER), is_proved=False).anchors == (b"own",)


def test_a_sandbox_is_on_this_machine(tmp_path: Path) -> None:
    """Its PKI is new for each run, so the master says whom to trust there; nowhere else."""
    assert own(tmp_path, None).of(named(LOCAL), is_proved=False) == named(LOCAL)
    for url in (OWN, OTHER):
        with pytest.raises(AssignmentError, match="this worker's scenario names a sandbox on this machine"):
            own(tmp_path, None).of(named(url), is_proved=False)
