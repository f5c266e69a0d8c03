"""The resources that a plan needs, by its forecast."""

from dataclasses import replace

import pytest
from dry_runs import HERD, STAYS, forecast
from engine_kit import cohort

from estsim.fleet.limits import BOOTS_PER_CORE_PER_S
from estsim.load.arrivals import Even
from estsim.scenario.plan import (
    Close,
    Tls,
)


def test_the_needs_follow_the_plan() -> None:
    """Processor from the busiest ten seconds, ports from connections, memory from devices."""
    made = forecast(cohort(1000, STAYS, arrivals=Even(100.0)))
    needs = {need.what: need for need in made.needs}
    assert needs["processor"].needed == pytest.approx(100 / BOOTS_PER_CORE_PER_S, rel=0.01)
    assert needs["local ports"].needed == pytest.approx(200, abs=3)  # two connections each; loopback: for a second
    assert all(need.is_met for need in made.needs)
    much = forecast(cohort(6_000, HERD))
    assert [need.what for need in much.needs if not need.is_met][:1] == ["processor"]


def test_connections_that_are_reset_leave_no_port_behind() -> None:
    """Only those open at once need one."""
    made = forecast(replace(cohort(100, HERD, arrivals=Even(10.0)), tls=Tls(close=Close.RST)))
    (ports,) = [need for need in made.needs if need.what == "local ports"]
    assert ports.needed == 1
