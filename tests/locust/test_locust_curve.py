"""How many users Locust is to have, moment by moment: the boot curve of a scenario."""

import json
from bisect import bisect_right
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.fleet.boots import AHEAD_S
from estsim.locust.master.curve import FIRST_TICK, Tick, curve_of, plan_ends_s, tick_to, users_at
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario

METERS: dict[str, Any] = {"devices": 10, "subject": "CN=meter-{index}", "renew": "off"}


def plan(folder: Path, cohorts: dict[str, Any], events: tuple[dict[str, Any], ...] = ()) -> Scenario:
    """Read a scenario with cohorts of ten meters each."""
    whole = {
        "version": 1,
        "duration": "60s",
        "cohorts": {name: METERS | cohort for name, cohort in cohorts.items()},
        "events": [*events],
    }
    path = folder / "plan.yaml"
    path.write_text(json.dumps(whole), encoding="utf-8")
    return load_scenario(path)


@pytest.mark.parametrize(
    ("boot", "at_s", "users"),
    [
        ({"at_once": True}, -5.0, 0),
        ({"at_once": True}, -AHEAD_S, 10),
        ({"rate": "1/s", "shape": "even"}, -AHEAD_S, 1),
        ({"rate": "1/s", "shape": "even"}, 4.0 - AHEAD_S, 5),
        ({"rate": "1/s", "shape": "even"}, 60.0, 10),
        (
            {"steps": [{"rate": "1/s", "for": "3s"}, {"rate": "0/s", "for": "10s"}, {"rate": "1/s", "for": "9s"}]},
            8.0,
            3,
        ),
    ],
    ids=["before", "at once", "first", "fifth", "all", "between steps"],
)
def test_there_is_a_user_for_each_device_that_has_begun(
    tmp_path: Path, boot: dict[str, Any], at_s: float, users: int
) -> None:
    """A little ahead of its boot, whatever the arrivals."""
    assert users_at(curve_of(plan(tmp_path, {"meters": {"boot": boot}})), at_s) == users


def test_cohorts_add_up_and_one_that_joins_counts_from_its_event(tmp_path: Path) -> None:
    """Ten at the start, ten more from second thirty on."""
    even = {"boot": {"rate": "1/s", "shape": "even"}}
    scenario = plan(tmp_path, {"first": even, "late": even}, ({"at": "30s", "cohort_join": "late"},))
    curve = curve_of(scenario)
    assert [users_at(curve, at_s - AHEAD_S) for at_s in (0, 5, 20, 29.9, 30, 34.5, 50)] == [1, 6, 10, 10, 11, 15, 20]


def test_a_plan_ends_with_the_last_of_its_boots_and_orders(tmp_path: Path) -> None:
    """Also with power that comes back long after the event, and with an event that orders nothing."""
    even = {"boot": {"rate": "1/s", "shape": "even"}}
    cut = {"cohorts": ["first"], "off": "10s", "return": {"at_once": True}}
    assert plan_ends_s(plan(tmp_path, {"first": even})) == 9.0
    assert plan_ends_s(plan(tmp_path, {"first": even}, ({"at": "20s", "power_cut": cut},))) == 30.0
    assert plan_ends_s(plan(tmp_path, {"first": even}, ({"at": "40s", "mark": "calm"},))) == 40.0


@given(curve=st.lists(st.floats(0, 100)).map(sorted), ticks=st.lists(st.floats(-5, 120)).map(sorted))
def test_locust_is_asked_anew_only_where_a_device_begins(curve: list[float], ticks: list[float]) -> None:
    """Users never fall, each tick's rate makes the difference in one second, and equal ticks are the same."""
    before: Tick = FIRST_TICK
    for now_s in ticks:
        users = users_at(curve, now_s)
        tick = tick_to(users, before)
        assert tick[0] == max(1, bisect_right(curve, now_s + AHEAD_S))
        assert tick == before or tick[1] == tick[0] - before[0] >= 1
        before = tick
    if ticks and ticks[-1] >= 100:
        assert before[0] == max(1, len(curve))
