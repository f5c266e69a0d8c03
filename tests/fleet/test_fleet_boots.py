"""When each device is meant to begin: with its cohort, by its event, and its part of it."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from estsim.fleet.boots import AHEAD_S, boots_of, is_timely
from estsim.fleet.part import Part
from estsim.scenario.library import library
from estsim.scenario.loader import load_scenario

FLEET = """
version: 1
duration: 1m
cohorts:
  meters: {devices: 5, boot: {rate: 1/s, shape: even}, renew: off}
  line: {devices: 3, boot: {stations: 2}, renew: off}
  late: {devices: 2, boot: {at_once: true}, renew: off}
events: [{at: 20s, cohort_join: {cohort: late}}]
"""


def test_every_device_begins_once_and_in_order(tmp_path: Path) -> None:
    """A line is there from the start; who joins begins after the event."""
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET, encoding="utf-8")
    boots = boots_of(load_scenario(file))
    assert sorted(device for _, device in boots) == [*range(10)]
    assert [at_s for at_s, _ in boots] == sorted(at_s for at_s, _ in boots)
    assert {device: at_s for at_s, device in boots if device >= 5} == {5: 0, 6: 0, 7: 0, 8: 20.0, 9: 20.0}


@given(st.sampled_from(sorted(library())), st.integers(1, 4))
def test_parts_begin_as_the_fleet_does(name: str, of: int) -> None:
    """Together they are its boots."""
    scenario = load_scenario(library()[name])
    parts = [boot for slot in range(of) for boot in boots_of(scenario, Part(slot, of))]
    assert sorted(parts) == boots_of(scenario)


def test_only_what_lies_just_ahead_is_on_time() -> None:
    """What is past begins at once, what is far ahead was not asked for by the plan."""
    assert is_timely(10.0, 10.0)
    assert is_timely(10.0 + AHEAD_S, 10.0)
    assert not is_timely(9.9, 10.0)
    assert not is_timely(100.0, 10.0)
