"""Plans that this machine could not run honestly are told before they start; so is the clock that they run by."""

import resource
import subprocess
import sys
import time
from datetime import UTC, datetime

import pytest
from engine_kit import cohort, scenario
from hypothesis import given
from hypothesis import strategies as st

from estsim.engine import limits
from estsim.engine.clock import RunClock, to_ns
from estsim.engine.limits import BOOTS_PER_CORE_PER_S, WINDOW_S, local_ports, plan_problems, raise_descriptor_limit
from estsim.load.arrivals import Burst, Even, Ramp
from estsim.scenario.plan import Scenario

MOST = BOOTS_PER_CORE_PER_S * WINDOW_S


@pytest.mark.parametrize(
    "plan",
    [
        scenario(cohort(MOST)),
        scenario(cohort(20_000, arrivals=Even(BOOTS_PER_CORE_PER_S))),
        scenario(cohort(MOST // 2), cohort(MOST // 2, name="b", index=1)),
    ],
)
def test_what_a_core_can_start_is_fine(plan: Scenario) -> None:
    """In any ten seconds, all cohorts together."""
    assert plan_problems(plan) == []


@pytest.mark.parametrize(
    "plan",
    [
        scenario(cohort(MOST + 1)),
        scenario(cohort(MOST + 1, arrivals=Burst(9.9))),
        scenario(cohort(MOST // 2 + 1), cohort(MOST // 2, name="b", index=1)),
        scenario(cohort(20_000, arrivals=Ramp(1.0, 2.0 * BOOTS_PER_CORE_PER_S, 20.0))),
    ],
)
def test_more_than_a_core_can_start_is_told(plan: Scenario) -> None:
    """Also where only a part of the boot is too steep, and where two cohorts are too much together."""
    (problem,) = plan_problems(plan)
    assert "devices boot within 10 s, about 5000 is what one core can start" in problem
    assert "the generator would be measured" in problem


def test_more_connections_than_ports_are_told() -> None:
    """Everybody at once needs a port each."""
    problems = plan_problems(scenario(cohort(local_ports() + 1)))
    assert (
        f"{local_ports() + 1} devices boot within one second, this machine has {local_ports()} local ports" in problems
    )


def test_more_connections_than_descriptors_are_told() -> None:
    """The hard limit counts, because the soft one is raised; in a process of its own, whose limit can be lowered."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200));"
        "from engine_kit import *; from estsim.engine.limits import *;"
        "print(*plan_problems(scenario(cohort(200))), resource.getrlimit(resource.RLIMIT_NOFILE), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout.splitlines() == [
        "200 devices boot within one second, this machine has 136 open files",
        "(200, 200)",
    ]


def test_more_devices_than_memory_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each took a tebibyte: a fleet that is really too large would take long to plan."""
    monkeypatch.setattr(limits, "BYTES_PER_DEVICE", 1 << 40)
    (problem,) = plan_problems(scenario(cohort(3)))
    assert problem.startswith("3 devices need 3145728 MiB of memory, ")


def test_an_empty_second_is_no_problem() -> None:
    """Nobody boots, nothing is needed."""
    assert plan_problems(scenario()) == []


def test_the_descriptor_limit_is_raised_to_the_hard_one() -> None:
    """And told."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert raise_descriptor_limit() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# -- the clock


def test_the_clock_counts_from_its_start_and_never_back() -> None:
    """Nanoseconds and seconds are the same time; the wall is told once, at the start."""
    before = time.time()
    clock = RunClock.start()
    after = time.time()
    first_ns, second_s, third_ns = clock.now_ns(), clock.now_s(), clock.now_ns()
    assert 0 <= first_ns <= round(second_s * 1e9) <= third_ns
    assert before <= clock.wall_epoch_s <= after
    assert clock.wall_s(10.0) == clock.wall_epoch_s + 10.0


def test_a_clock_may_start_soon() -> None:
    """Below zero until then, with both of its epochs at the same moment."""
    clock = RunClock.start(in_s=5.0)
    assert -5.0 <= clock.now_s() < 0.0
    assert clock.wall_s(clock.now_s()) == pytest.approx(time.time(), abs=0.1)


def test_the_start_is_a_date_in_utc() -> None:
    """For the name of the results folder."""
    assert RunClock(0, 1_780_000_000.0).started() == datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)


@given(st.integers(min_value=0, max_value=30 * 86_400 * 10**9))
def test_a_stamp_survives_the_way_through_the_machine(stamp_ns: int) -> None:
    """The machine is told seconds and answers with seconds: a month long, no stamp moves by a nanosecond."""
    assert to_ns(stamp_ns / 1_000_000_000) == stamp_ns
