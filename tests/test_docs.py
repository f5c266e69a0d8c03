"""What README and docs/ show is so: scenarios load, mistakes read as printed, commands exist, links lead somewhere."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from device_files import DeviceMaker, acme

from estsim.cli.app import _app
from estsim.device.states import State
from estsim.errors import ScenarioError
from estsim.est.names import name_text
from estsim.fleet.bootstrap import CredentialFolder
from estsim.scenario.library import library, question
from estsim.scenario.loader import load_scenario
from estsim.scenario.sandbox_file import read_sandbox
from estsim.server.fault_config import FaultKind

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
PAGES: Final = {
    path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
}
README: Final = PAGES["README.md"]


def block(marker: str, language: str) -> str:
    """Return the fenced block below a marker, wherever it is."""
    found = re.findall(rf"<!-- {marker} -->\n```{language}\n(.*?)```", "\n".join(PAGES.values()), re.DOTALL)
    assert len(found) == 1, marker
    return str(found[0])


def written(folder: Path, marker: str, name: str = "fleet.yaml") -> Path:
    """Write an example into a folder."""
    path = folder / name
    path.write_text(block(f"example: {marker}", "yaml"), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["run", "test"])
def test_the_two_commands_are_one_line_each_that_sets_everything_up(name: str) -> None:
    """A fresh machine with Python needs no other step."""
    command = block(f"command: {name}", "sh")
    assert command.count("\n") == 1
    assert command.startswith("python3 -m venv .venv && .venv/bin/pip install ")


def test_the_readme_is_what_a_newcomer_reads() -> None:
    """The rest is in docs/."""
    assert README.count("\n") < 200


def test_the_scenario_loads_and_is_as_short_as_promised(tmp_path: Path) -> None:
    """Twelve lines make a fleet."""
    path = written(tmp_path, "scenario")
    assert path.read_text(encoding="utf-8").count("\n") <= 12
    assert load_scenario(path).devices == 300


def test_the_whole_language_s_example_is_a_scenario(tmp_path: Path) -> None:
    """Every key that it shows is read."""
    scenario = load_scenario(written(tmp_path, "fleet"))
    assert (scenario.devices, len(scenario.events), len(scenario.phases)) == (3510, 5, 2)


def test_the_example_of_an_own_server_reads_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust anchors, a manufacturer's CA, and a password from the environment."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ManufacturerCA CA")])
    now = datetime.now(UTC)
    ca = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    for file in ("ca.pem", "factory-ca.pem"):
        (tmp_path / file).write_bytes(ca.public_bytes(pem))
    (tmp_path / "factory-ca.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    monkeypatch.setenv("EST_PASSWORD", "secret")
    scenario = load_scenario(written(tmp_path, "own server"))
    assert scenario.devices == 100


def test_the_example_of_two_files_is_one_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its variable, and without."""
    written(tmp_path, "include", "base.yaml")
    path = written(tmp_path, "including", "north.yaml")
    assert load_scenario(path).devices == 200
    monkeypatch.setenv("NORTH_DEVICES", "30")
    assert load_scenario(path).devices == 30


def test_the_example_of_devices_files_enrolls_for_their_names(tmp_path: Path) -> None:
    """Each device with the file of its place; nothing is to be warned of."""
    maker = DeviceMaker.made(tmp_path)
    (tmp_path / "ca.pem").write_bytes((tmp_path / "maker.crt").read_bytes())
    for number in (1, 2, 3):
        maker.write(tmp_path / "pki" / f"dev{number}.crt", acme(f"SN-000{number}"))
    scenario = load_scenario(written(tmp_path, "files"))
    (cohort,) = scenario.cohorts
    born = CredentialFolder.folder(tmp_path / "pki", 3)
    asked = [name_text(cohort.requested.of(number, born.of(number))[0]) for number in range(3)]
    assert asked == ["CN=SN-0001,O=Acme", "CN=SN-0002,O=Acme", "CN=SN-0003,O=Acme"]
    assert scenario.warnings == ()


def test_the_example_of_thresholds_is_read(tmp_path: Path) -> None:
    """Below any scenario."""
    fleet = block("example: scenario", "yaml").partition("thresholds:")[0]
    (tmp_path / "f.yaml").write_text(fleet + block("example: thresholds", "yaml"), encoding="utf-8")
    assert len(load_scenario(tmp_path / "f.yaml").thresholds) == 2


def test_the_library_s_table_is_that_of_the_scenarios() -> None:
    """Each with its question."""
    found = re.search(r"<!-- library: .* -->\n(.*?)<!-- end of library -->", README, re.DOTALL)
    assert found is not None
    rows = [f"| `{name}` | {question(path)} |" for name, path in library().items()]
    assert found[1].splitlines() == ["| name | question |", "|---|---|", *rows]


def test_mistakes_read_as_the_readme_prints_them(tmp_path: Path) -> None:
    """The same scenario with two slips."""
    path = tmp_path / "fleet.yaml"
    text = (
        block("example: scenario", "yaml").replace("devices: 300", "devices: many").replace("burst: 10s", "burst: 10")
    )
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert str(caught.value).replace(f"{tmp_path}/", "") in README


def script(name: str) -> ModuleType:
    """Import a script of docs/."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_scenario_reference_is_that_of_the_models() -> None:
    """Made anew when a key changes: ``python docs/make_reference.py`` writes it."""
    assert PAGES["scenario-reference.md"] == script("make_reference").reference()


def test_the_list_of_metrics_is_that_of_their_table() -> None:
    """Made anew when a metric changes: ``python docs/make_metrics.py`` writes it."""
    listing = script("make_metrics")
    assert PAGES["metrics.md"] == listing.page_with(listing.listed())


def test_the_state_diagram_is_that_of_the_transition_table() -> None:
    """Drawn anew when the table changes: ``python docs/make_diagram.py`` writes it. No state is forgotten."""
    drawing = script("make_diagram")
    assert PAGES["architecture.md"] == drawing.page_with(drawing.mermaid())
    assert all(state.value in drawing.mermaid() for state in State)


def _links() -> Iterator[tuple[str, str]]:
    for page, text in PAGES.items():
        yield from ((page, link) for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text))
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    yield from (("CONTRIBUTING.md", link) for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", contributing))


def test_links_lead_to_files_and_every_page_is_linked_from_the_readme() -> None:
    """Pictures too."""
    links = [(page, link) for page, link in _links() if " " not in link]
    for page, link in links:
        home = ROOT if page in ("README.md", "CONTRIBUTING.md") else DOCS
        assert (home / link).is_file(), f"{page}: {link}"
    assert {f"docs/{page}" for page in PAGES if page != "README.md"} <= {
        link for page, link in links if page == "README.md"
    }


def test_pages_that_the_code_refers_to_are_there() -> None:
    """With the numbered rule, where one is named."""
    for path in (*(ROOT / "estsim").rglob("*.py"), *(ROOT / "tests").rglob("*.py")):
        for page, rule in re.findall(r"docs/([\w-]+\.md)(?:, rule (\d+))?", path.read_text(encoding="utf-8")):
            assert page in PAGES, path
            assert not rule or re.search(rf"^{rule}\. ", PAGES[page], re.MULTILINE), path


def test_the_pictures_ask_nobody_for_anything() -> None:
    """No font from a host on the internet."""
    pictures = re.findall(r"!\[.*\]\((?:\.\./)?(.*)\)", "\n".join(PAGES.values()))
    assert len(pictures) == 2
    for picture in pictures:
        assert "@font-face" not in (ROOT / picture).read_text(encoding="utf-8")


def _shown_commands() -> list[str]:
    """Return every line of ours in the shell blocks, without its comment."""
    blocks = re.findall(r"```sh\n(.*?)```", "\n".join(PAGES.values()), re.DOTALL)
    lines = (line.partition(" #")[0].strip() for each in blocks for line in each.splitlines())
    return [line for line in lines if line.startswith("estsim ")]


@pytest.mark.parametrize("line", _shown_commands())
def test_the_commands_shown_exist_with_their_options(line: str) -> None:
    """Each with the options that its command has."""
    words = shlex.split(line.partition(" > ")[0])[1:]
    group = typer.main.get_command(_app(words[0]))
    command = group.commands[words[0]]  # type: ignore[attr-defined]
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= options


def test_the_sandbox_s_configuration_is_one(tmp_path: Path) -> None:
    """``estsim serve`` takes it as it is printed."""
    config, _ = read_sandbox(written(tmp_path, "sandbox"), {})
    assert set(config.centers) == {"default", "meters"}
    assert len(config.centers["meters"].faults) == 2


def test_every_fault_there_is_is_in_the_table() -> None:
    """Under the name that YAML has for it."""
    (row,) = (line for line in PAGES["server.md"].splitlines() if line.startswith("| `faults[].kind`"))
    assert set(re.findall(r"`([a-z0-9_]+)`", row)) == {kind.value for kind in FaultKind}


@pytest.mark.parametrize("name", ["portal", "factory"])
def test_the_servers_that_ship_are_configurations_that_open_with_their_question(name: str) -> None:
    """Each says what it is for, and how to run it."""
    path = ROOT / "scenarios" / "servers" / f"{name}.yaml"
    first, *others = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith("# ")
    assert first.endswith("?")
    assert any(f"estsim serve scenarios/servers/{name}.yaml" in line for line in others)
    assert read_sandbox(path, {})[0].centers
