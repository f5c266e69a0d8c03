"""What the form of Locust's web UI may name, and what stays as the process was started: pure, on files."""

from argparse import Namespace
from pathlib import Path
from typing import Final

import pytest

from estsim.errors import ScenarioError, UsageError
from estsim.fleet.link_secret import INSECURE, VARIABLE, Secret
from estsim.fleet.telling import unquoted
from estsim.locust.form import FormRefused, check_host, scenario_file
from estsim.locust.start_options import StartOptions
from estsim.scenario.library import library
from estsim.scenario.loader import load_scenario

START: Final = StartOptions(
    scenarios=frozenset({"/opt/fleets/fleet.yaml"}), host="https://est.example.com:8443", i_may_test="load.example.com"
)
FLEET: Final = "version: 1\nduration: 1m\ncohorts: {meters: {devices: 1, boot: {burst: 1s}}}\n"


@pytest.fixture(name="folder", autouse=True)
def a_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a scenario, beside one where nobody may look."""
    folder = tmp_path / "here"
    (folder / "fleets").mkdir(parents=True)
    (folder / "fleets" / "fleet.yaml").write_text(FLEET, encoding="utf-8")
    (tmp_path / "secret.yaml").write_text(FLEET, encoding="utf-8")
    (folder / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "up").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    (folder / "inner.yaml").symlink_to("fleets/fleet.yaml")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", ["fleets/fleet.yaml", "./fleets/fleet.yaml", "inner.yaml"])
def test_files_below_the_working_directory_are_taken(name: str) -> None:
    """Also by a link that stays there."""
    assert scenario_file(name, START) == Path(name)


def test_what_comes_with_estsim_is_taken_by_name(folder: Path) -> None:
    """And what the process was started with, wherever it is."""
    assert scenario_file("power-cut", START) == library()["power-cut"]
    assert scenario_file("/opt/fleets/fleet.yaml", START) == Path("/opt/fleets/fleet.yaml")
    assert scenario_file(str(folder / "fleets/fleet.yaml"), START).is_file()


@pytest.mark.parametrize(
    "name",
    [
        "/etc/shadow", "/etc/passwd", "/dev/zero", "/proc/self/environ", "/", "../secret.yaml",
        "fleets/../../secret.yaml",
        "fleets/../fleets/fleet.yaml", "link.yaml", "up/secret.yaml", "up", "/nothing/there", "../nothing", "a\0b",
        "~/fleet.yaml/../..", "x" * 5000, "\x1b[2J/../x", "..",
    ],
)  # fmt: skip
def test_nothing_else_is_looked_at(name: str) -> None:
    """Whether it is there is not told, nor a word of what is in it."""
    with pytest.raises(FormRefused, match="scenario: expected a file below the working directory") as refused:
        scenario_file(name, START)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("name", ["nothing.yaml", "nosuch", "fleets", ".", "loop", "powercut", "file:///etc/shadow"])
def test_what_is_no_file_there_is_told(name: str) -> None:
    """It may be a word misspelt."""
    with pytest.raises(FormRefused, match=r"^scenario: "):
        scenario_file(name, START)


@pytest.mark.parametrize(
    ("host", "is_taken"),
    [
        ("", True),
        ("https://est.example.com:8443", True),
        ("https://est.example.com:9443/.well-known/est/other", True),
        ("https://load.example.com", True),
        ("https://127.0.0.1:9443", True),
        ("https://localhost:9443", True),
        ("https://est.attacker.example", False),
        ("https://est.example.com.attacker.example", False),
        ("https://est.example.com@attacker.example", False),
        ("http://est.example.com:8443", False),
        ("https://10.0.0.1", False),
        ("nonsense", False),
    ],
)
def test_a_form_names_no_host_that_nobody_named(host: str, is_taken: bool) -> None:  # noqa: FBT001 - a table's column
    """A fleet goes with its passwords; a hundred devices are as good as a thousand to get at them."""
    if is_taken:
        check_host(host, START)
        return
    with pytest.raises(FormRefused, match=r"^host: "):
        check_host(host, START)


def test_what_a_process_was_started_with_is_read_once() -> None:
    """Locust's options as they are at first; what is empty is not given."""
    options = Namespace(scenario="a.yaml", trust="ca.pem", results="out", i_may_test="", link_secret="", processes=2)
    assert StartOptions.read(options, host="https://est", of_users=["b.yaml"]) == StartOptions(
        scenarios=frozenset({"a.yaml", "b.yaml"}),
        host="https://est",
        trust=Path("ca.pem"),
        results=Path("out"),
        is_one_of_processes=True,
    )
    assert StartOptions.read(Namespace(), host="", of_users=[]) == StartOptions()


def test_processes_of_one_command_share_a_secret_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where none was given: they are forked, so it needs no way between them."""
    monkeypatch.delenv(VARIABLE, raising=False)
    start = StartOptions(is_one_of_processes=True)
    secret = start.secret_of_master("*")
    assert secret.is_shared
    assert start.secret_of_worker("127.0.0.1") == secret
    monkeypatch.setenv(VARIABLE, "correct horse battery staple")
    assert start.secret_of_master("*") == Secret.of(b"correct horse battery staple")


def test_a_warning_goes_where_the_process_was_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever Locust does with its log."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert StartOptions(insecure_link=True).secret_of_master("*").warning == INSECURE
    assert capsys.readouterr().err == f"estsim: {INSECURE}\n"
    with pytest.raises(UsageError, match=r"this master listens on \* \(--master-bind-host\), not only on this machine"):
        StartOptions().secret_of_master("*")
    with pytest.raises(UsageError, match="the master is at 10"):
        StartOptions().secret_of_worker("10.0.0.1")


@pytest.mark.parametrize(
    "text",
    [
        "root:$6$topsecret:19000:0:99999:7:::\n",
        "topsecret: 1\n",
        "[topsecret",
        FLEET + "include: {secret}\n",
        FLEET + "topsecret: 1\n",
        FLEET.replace("burst: 1s", "trace: {secret}"),
        FLEET + "target: {{url: 'https://est.example.com', trust: {{ca: {secret}}}}}\n",
        FLEET + "authorities: {{a: {{cert: {secret}, key: {secret}}}}}\n",
        FLEET + "sandbox: {{clients: {{bootstrap_cas: [{secret}]}}}}\n",
        FLEET.replace("boot:", "bootstrap: {kind: shared, path: {secret}}, boot:"),
        FLEET.replace("boot:", "bootstrap: {kind: files, path: {secret}}, boot:"),
        FLEET + "duration: topsecret\n",
        FLEET + "name: [topsecret]\n",
    ],
)
def test_no_error_that_a_log_shows_quotes_a_file(tmp_path: Path, text: str) -> None:
    """Nor the files that it names: places alone are told, and the whole where the process was started."""
    secret = tmp_path / "secret"
    secret.write_text("root:$6$topsecret:19000:0:99999:7:::\nat: topsecret\n", encoding="utf-8")
    file = tmp_path / "here" / "mine.yaml"
    file.write_text(text.replace("{{", "{").replace("}}", "}").replace("{secret}", str(secret)), encoding="utf-8")
    with pytest.raises(ScenarioError) as refused:
        load_scenario(file)
    told = unquoted(refused.value)
    assert "topsecret" not in told
    assert "root" not in told.replace(str(tmp_path), "")
    assert told.isprintable()
    assert ":1:" in told or "mine.yaml:" in told or "secret:" in told
