"""What the design knows and this version does not is refused by name, in its place, never ignored."""

from pathlib import Path

import pytest

from estsim.errors import ScenarioError
from estsim.scenario.loader import load_scenario

HEAD = "version: 1\nduration: 1m\n"
COHORT = "cohorts: {{a: {{devices: 1, boot: {{burst: 0s}}, {}}}}}\n"

TOP = [
    ("target: {url: 'https://est.example', trust: {fingerprint: 'sha256:00'}}", "fingerprint"),
    ("fleet: saved.sqlite", "fleet"),
]
OF_A_COHORT = [
    ("enroll: {operation: serverkeygen}", "serverkeygen"),
    ("enroll: {operation: fullcmc}", "fullcmc"),
]


def _told(tmp_path: Path, text: str) -> str:
    path = tmp_path / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    return str(caught.value)


@pytest.mark.parametrize(("yaml", "name"), TOP)
def test_a_key_of_the_top_level_that_is_for_later_is_named(tmp_path: Path, yaml: str, name: str) -> None:
    """Fingerprints and the like."""
    text = HEAD + COHORT.format("bootstrap: {kind: none}") + yaml + "\n"
    told = _told(tmp_path, text)
    assert "fleet.yaml:4:" in told
    assert f"'{name}' is not supported by this version yet" in told


@pytest.mark.parametrize(("yaml", "name"), OF_A_COHORT)
def test_a_key_of_a_cohort_that_is_for_later_is_named(tmp_path: Path, yaml: str, name: str) -> None:
    """Where it stands, in a cohort and in the defaults alike."""
    in_cohort = _told(tmp_path, HEAD + COHORT.format(yaml))
    assert f"'{name}' is not supported by this version yet" in in_cohort
    assert "fleet.yaml:3:" in in_cohort
    in_defaults = _told(tmp_path, f"{HEAD}{COHORT.format('')}defaults:\n  {yaml}\n")
    assert f"'{name}' is not supported by this version yet" in in_defaults
    assert "fleet.yaml:5:" in in_defaults
    assert ": defaults." in in_defaults


def test_the_values_that_ask_for_nothing_are_allowed(tmp_path: Path) -> None:
    """``resume: false``, ``csrattrs: false``, ``workers: auto``, ``start: off`` say what this version does anyway."""
    path = tmp_path / "fleet.yaml"
    cohort = COHORT.format("tls: {resume: false}, enroll: {csrattrs: false}, start: off")
    path.write_text(f"{HEAD}{cohort}generator: {{workers: auto}}\n", encoding="utf-8")
    assert load_scenario(path).devices == 1
