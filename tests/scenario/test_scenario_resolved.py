"""A scenario that a run has left has no passwords in it, and is not run with what stands in their place."""

from pathlib import Path

import pytest

from estsim.errors import ScenarioError
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import HttpAuth
from estsim.scenario.sandbox_file import read_sandbox
from estsim.scenario.source import Overrides

MASKED = "is the mask ***, not a password"
WHY = f"{MASKED}: set the variable EST_PASSWORD (or EST_PASSWORD_ALICE), or write the password"
FLEET = """\
version: 1
duration: 10s
target: {url: "https://127.0.0.1:8443"}
cohorts:
  a:
    devices: 1
    boot: {burst: 1s}
    bootstrap: {kind: basic, user: alice, password: PASSWORD}
"""


def _written(folder: Path, text: str, name: str = "fleet.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _told(folder: Path, text: str, *settings: tuple[str, str]) -> str:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(_written(folder, text), overrides=Overrides(set=settings))
    return str(caught.value).replace(f"{folder}/", "")


def test_what_a_run_left_is_refused_at_the_password(tmp_path: Path) -> None:
    """As it lies in the run's folder, where its password was written in the file: it says which variable is wanted."""
    scenario = load_scenario(_written(tmp_path, FLEET.replace("PASSWORD", "secret")))
    told = _told(tmp_path, scenario.resolved)
    (place, _, message) = told.partition(" cohorts.a.bootstrap.password: ")
    assert (place[:11], message) == ("fleet.yaml:", WHY)
    line = int(place.split(":")[1])
    assert scenario.resolved.splitlines()[line - 1].strip() == "password: '***'"


@pytest.mark.parametrize(("name", "other"), [("EST_PASSWORD", "UNUSED"), ("EST_PASSWORD_ALICE", "EST_PASSWORD")])
def test_what_a_run_left_is_run_again_with_the_variable_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, other: str
) -> None:
    """That of the user before that of all; and what this run leaves names it itself."""
    left = load_scenario(_written(tmp_path, FLEET.replace("PASSWORD", "secret"))).resolved
    monkeypatch.setenv(other, "another")
    monkeypatch.setenv(name, "s3cret")
    again = load_scenario(_written(tmp_path, left))
    assert again.cohorts[0].http_auth == HttpAuth("alice", "s3cret", preemptive=False)
    assert f"password: ${{{name}}}" in again.resolved
    assert "s3cret" not in again.resolved


@pytest.mark.parametrize("written", ["${EST_SECRET}", "${EST_SECRET:-fallback}"])
def test_a_password_from_a_variable_stays_this_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """What a run leaves can be run as it is; a default, which is a password too, is not in it."""
    monkeypatch.setenv("EST_SECRET", "a${b}'\"")
    first = load_scenario(_written(tmp_path, FLEET.replace("PASSWORD", f"'{written}'")))
    assert "password: ${EST_SECRET}\n" in first.resolved
    assert "fallback" not in first.resolved
    again = load_scenario(_written(tmp_path, first.resolved))
    assert again.cohorts[0].http_auth == first.cohorts[0].http_auth
    assert again.resolved == first.resolved
    monkeypatch.delenv("EST_SECRET")
    assert "the variable EST_SECRET is not set" in _told(tmp_path, first.resolved)


def test_a_password_that_is_only_partly_a_variable_is_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written beside the variable is of the password."""
    monkeypatch.setenv("EST_SECRET", "x")
    kept = load_scenario(_written(tmp_path, FLEET.replace("PASSWORD", "'pre${EST_SECRET}'"))).resolved
    assert "password: '***'" in kept
    assert "pre" not in kept.partition("password")[2]


def test_a_sandbox_has_the_password_and_its_folder_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a user of the sandbox has it."""
    monkeypatch.setenv("EST_SECRET", "x9")
    text = FLEET.replace("PASSWORD", "'${EST_SECRET}'").replace('target: {url: "https://127.0.0.1:8443"}\n', "")
    scenario = load_scenario(
        _written(tmp_path, text + "sandbox: {clients: {users: {alice: {password: '${EST_SECRET}'}}}}\n")
    )
    assert "password: x9" in scenario.sandbox_text
    assert scenario.resolved.count("password: ${EST_SECRET}") == 2
    assert "x9" not in scenario.resolved


def test_it_is_refused_however_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Included, set, from a variable, in the sandbox, in an event; reported where it was written."""
    _written(tmp_path, FLEET.replace("PASSWORD", "'***'"), "base.yaml")
    assert _told(tmp_path, "include: base.yaml\n") == f"base.yaml:8:43: cohorts.a.bootstrap.password: {WHY}"
    key = "cohorts.a.bootstrap.password"
    said = _told(tmp_path, FLEET.replace("PASSWORD", "secret"), (key, "'***'"))
    assert said == f"fleet.yaml:8:43: {key}: {WHY}, from --set {key}=***"
    monkeypatch.setenv("EST_PASSWORD", "***")
    assert WHY in _told(tmp_path, FLEET.replace("PASSWORD", "'${EST_PASSWORD}'"))
    sandbox = FLEET.replace("PASSWORD", "secret").replace('target: {url: "https://127.0.0.1:8443"}\n', "")
    users = "{clients: {users: {alice: {password: '***'}}}}"
    assert "sandbox.clients.users.alice.password: is the mask ***, not a password: " in _told(
        tmp_path, f"{sandbox}sandbox: {users}\n"
    )
    event = f"events: [{{at: 1s, sandbox: {users}}}]\n"
    assert "events[0].sandbox.clients.users.alice.password: is the mask ***, not a password: " in _told(
        tmp_path, sandbox + event
    )


def test_a_sandbox_of_masked_passwords_does_not_serve(tmp_path: Path) -> None:
    """Its configuration is refused in the same words."""
    path = _written(tmp_path, "clients:\n  users: {alice: {password: '***'}}\n")
    with pytest.raises(ScenarioError) as caught:
        read_sandbox(path, {})
    assert str(caught.value) == f"{path}:2:19: clients.users.alice.password: {MASKED}: write the password"


def test_a_password_of_an_option_is_not_repeated(tmp_path: Path) -> None:
    """Whatever is wrong with it."""
    key = "cohorts.a.bootstrap.password"
    told = _told(tmp_path, FLEET.replace("PASSWORD", "secret"), (key, "12345"))
    assert "12345" not in told
    assert told.endswith(f"from --set {key}=***")
