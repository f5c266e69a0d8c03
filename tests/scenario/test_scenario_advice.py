"""Messages that say what was meant: every line of ``advice.txt`` is a slip of a scenario's author, with its answer.

The file has a part for each place that a slip is put into; below each slip, indented, is the whole message.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from estsim.errors import ScenarioError
from estsim.scenario.loader import load_scenario
from estsim.scenario.source import Overrides

FLEET: Final = """\
version: 1
duration: 10m
cohorts:
  extra:
    devices: 30
    boot: {burst: 5s}
"""
PLACES: Final = {
    "cohort": lambda slip: f"{FLEET}    {slip}\n",
    "top": lambda slip: f"{FLEET}{slip}\n",
    "event": lambda slip: f"{FLEET}events:\n  - {{at: 1m, {slip}}}\n",
    "threshold": lambda slip: f"{FLEET}phases: {{recovery: 5m..8m}}\nthresholds:\n  - {slip}\n",
    "devices": lambda slip: FLEET.replace("30", slip),
    "boot": lambda slip: FLEET.replace("{burst: 5s}", slip),
}


def _table() -> Iterator[tuple[str, str, str]]:
    place, slip = "", ""
    for line in (Path(__file__).parent / "advice.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            place = line.removeprefix("== ")
        elif line.startswith("    "):
            yield place, slip, line.strip()
        elif line:
            slip = line


def _told(folder: Path, text: str, overrides: Overrides = Overrides()) -> list[str]:  # noqa: B008 - frozen
    path = folder / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, overrides=overrides)
    return [f"{each.path}: {each.message}" for each in caught.value.mistakes]


@pytest.mark.parametrize(("place", "slip", "told"), list(_table()))
def test_a_slip_is_told_once_with_what_was_meant(tmp_path: Path, place: str, slip: str, told: str) -> None:
    """In one message, and in the words of the table."""
    assert _told(tmp_path, PLACES[place](slip)) == [told]


def test_a_metric_that_nothing_is_near_to_is_answered_with_how_metrics_are_named(tmp_path: Path) -> None:
    """By families: what all operations have is named once."""
    (told,) = _told(tmp_path, PLACES["threshold"]("throughput > 5"))
    assert told.startswith("thresholds[0]: unknown metric throughput: expected one of failures, unfinished, ")
    assert told.endswith(", OPERATION.{service, response, deferred, failed}.pNN")
    assert "time_to_certificate.pNN" in told


def test_keys_of_a_cohort_without_its_name_are_told_once(tmp_path: Path) -> None:
    """Not one by one, as cohorts of these names."""
    text = "version: 1\nduration: 1m\ncohorts:\n  devices: 5\n  boot: {burst: 5s}\n"
    assert _told(tmp_path, text) == [
        "cohorts.devices: expected the name of a cohort: write cohorts: {NAME: {devices: …}}"
    ]


@pytest.mark.parametrize("key", ["http_auth", "bootstrap.password", "http_auth.password"])
def test_no_option_repeats_a_password(tmp_path: Path, key: str) -> None:
    """Wherever it was meant to stand."""
    (told,) = _told(tmp_path, FLEET, Overrides(set=((f"cohorts.extra.{key}", "alice:hunter2"),)))[:1]
    assert "hunter2" not in told
