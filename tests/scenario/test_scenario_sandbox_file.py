"""A sandbox's configuration file: its variables, and mistakes in their places."""

from pathlib import Path

import pytest

from estsim.errors import ScenarioError
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.sandbox_file import read_sandbox

USERS = 'clients:\n  users:\n    meter: {password: "${SRV_PASSWORD}"}\n'


def _written(folder: Path, text: str) -> Path:
    path = folder / "server.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def _told(folder: Path, text: str, environment: dict[str, str]) -> str:
    with pytest.raises(ScenarioError) as caught:
        read_sandbox(_written(folder, text), environment)
    return str(caught.value).replace(f"{folder}/", "")


def test_variables_are_filled_in_everywhere(tmp_path: Path) -> None:
    """Passwords as text, numbers as numbers, defaults, in lists and in trust centers."""
    text = (
        "seed: ${SEED}\nbase64: ${FORM:-wrapped}\ntrust_centers:\n  default:\n    capacity: {rate: '${RATE}/s'}\n"
        "    clients: {bootstrap_cas: ['${CA}'], users: {meter: {password: '${SRV_PASSWORD}'}}}\n"
    )
    environment = {"SEED": "7", "RATE": "20", "CA": "mfg.pem", "SRV_PASSWORD": "0123"}
    (tmp_path / "mfg.pem").write_bytes(ManufacturerCA.made("mfg").certificate_pem)
    config, written = read_sandbox(_written(tmp_path, text), environment)
    center = config.centers["default"]
    assert (config.seed, config.base64) == (7, "wrapped")
    assert center.capacity is not None
    assert center.capacity.rate == 20
    assert center.clients.bootstrap_cas == [tmp_path / "mfg.pem"]
    assert center.clients.users["meter"].password == "0123"
    assert written["seed"] == 7


def test_a_variable_that_is_not_set_is_told_in_its_place(tmp_path: Path) -> None:
    """With what to do."""
    assert _told(tmp_path, USERS, {}) == (
        "server.yaml:3:13: clients.users.meter.password: the variable SRV_PASSWORD is not set; "
        "set it, or write a default: ${SRV_PASSWORD:-…}"
    )


def test_a_password_of_a_variable_is_not_shown(tmp_path: Path) -> None:
    """Whatever is wrong with it, or near it."""
    wrong = USERS.replace("}\n", ", schemes: [ntlm]}\n").replace("password", "pasword")
    assert "hunter2" not in _told(tmp_path, wrong, {"SRV_PASSWORD": "hunter2"})
    assert _told(tmp_path, USERS, {"SRV_PASSWORD": ""}) == (
        "server.yaml:3:13: clients.users.meter.password: must not be empty"
    )
    assert _told(tmp_path, USERS, {"SRV_PASSWORD": "***"}) == (
        "server.yaml:3:13: clients.users.meter.password: is the mask ***, not a password: write the password"
    )


def test_what_is_filled_in_already_is_taken_as_it_is(tmp_path: Path) -> None:
    """A run hands its sandbox passwords with a dollar and a brace of their own."""
    config, _ = read_sandbox(_written(tmp_path, USERS), None)
    assert config.clients.users["meter"].password == "${SRV_PASSWORD}"
