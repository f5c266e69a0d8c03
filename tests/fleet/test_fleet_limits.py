"""Plans that this machine could not run honestly are told before they start; so is the clock that they run by."""

import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from engine_kit import ONCE, cohort, scenario
from hypothesis import given
from hypothesis import strategies as st

from estsim.device.policy import Policy
from estsim.fleet import limits
from estsim.fleet.clock import RunClock, to_ns
from estsim.fleet.limits import BOOTS_PER_CORE_PER_S, local_ports, plan_problems, raise_descriptor_limit
from estsim.load.arrivals import Burst, Even, Ramp
from estsim.record.saturation import WINDOW_S
from estsim.scenario.happenings import CohortJoin, Happening
from estsim.scenario.plan import Close, Generator, Operational, Scenario, Target, Tls
from estsim.scenario.target_url import TargetUrl
from estsim.units import Constant

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
    assert "devices boot within 10 s, but one core can start about 5000" in problem
    assert "the run would measure the generator" in problem


def test_more_connections_than_ports_are_told() -> None:
    """Everybody at once needs a port each."""
    problems = plan_problems(scenario(cohort(local_ports() + 1)))
    assert (
        f"{local_ports() + 1} devices boot within one second, but this machine has {local_ports()} local ports"
        in problems
    )


def test_more_connections_than_descriptors_are_told() -> None:
    """The hard limit counts, because the soft one is raised; in a process of its own, whose limit can be lowered."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200));"
        "from engine_kit import *; from estsim.fleet.limits import *;"
        "print(*plan_problems(scenario(cohort(200))), resource.getrlimit(resource.RLIMIT_NOFILE), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert done.stdout.splitlines() == [
        "200 devices boot within one second, but this machine has 136 open files",
        "(200, 200)",
    ]


def test_more_devices_than_memory_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if each took a tebibyte: a fleet that is really too large would take long to plan."""
    monkeypatch.setattr(limits, "BYTES_PER_DEVICE", 1 << 40)
    (problem,) = plan_problems(scenario(cohort(3)))
    assert problem.startswith("3 devices need 3145728 MiB of memory, ")


def quick(devices: int = 30_000, *, chain: bool = False, tls: Tls = Tls()) -> Scenario:  # noqa: B008 - frozen
    """Return a plan of 250 devices a second, at a server elsewhere."""
    plan = cohort(devices, Policy() if chain else ONCE, arrivals=Even(250.0))
    target = Target(TargetUrl("est.example", 443))
    return replace(scenario(replace(plan, tls=tls)), sandbox=None, target=target)


def ports(monkeypatch: pytest.MonkeyPatch, count: int, *, reuse: str = "2") -> None:
    """Make this machine one with so many local ports and such a tcp_tw_reuse."""
    sysctl = Path(tempfile.mkdtemp()) / "tcp_tw_reuse"
    sysctl.write_text(f"{reuse}\n", encoding="ascii")
    monkeypatch.setattr(limits, "_REUSE", sysctl)
    monkeypatch.setattr(limits, "local_ports", lambda: count)


def test_ports_that_time_wait_will_use_up_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the number, what there is, and what helps."""
    ports(monkeypatch, 10_000)
    (problem,) = plan_problems(quick())
    assert problem == (
        "15000 connections within 60 s, each of which keeps its local port for that long (TIME_WAIT), and this machine "
        "has 10000 of them: add generator.source_addresses (now 0), keep connections with tls.keep_alive, or end "
        "them with tls.close: rst"
    )


@pytest.mark.parametrize(
    ("count", "chain", "tls", "fits"),
    [
        (15_000, False, Tls(), True),
        (14_999, False, Tls(), False),
        (29_999, True, Tls(), False),
        (30_000, True, Tls(), True),
        (15_000, True, Tls(keep_alive_s=30.0), True),
        (1_000, True, Tls(close=Close.RST), True),
        (14_999, False, Tls(close=Close.VANISH), False),
    ],
)
def test_how_many_ports_a_plan_needs(
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    chain: bool,  # noqa: FBT001 - a parameter
    tls: Tls,
    fits: bool,  # noqa: FBT001 - the same
) -> None:
    """One for each exchange of an enrolment, or one for all that share a connection; a reset gives it back at once."""
    ports(monkeypatch, count)
    monkeypatch.setattr(limits, "raise_descriptor_limit", lambda: 1 << 20)
    assert (plan_problems(quick(chain=chain, tls=tls)) == []) == fits


def test_each_source_address_has_its_own_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two have twice as many."""
    ports(monkeypatch, 7_500)
    plan = quick()
    two = replace(plan, generator=Generator(source_addresses=("10.0.0.1", "10.0.0.2")))
    assert len(plan_problems(plan)) == 1
    assert plan_problems(two) == []


@pytest.mark.parametrize(
    ("reuse", "host", "fits"),
    [
        ("2", "est.example", False),
        ("2", "127.0.0.1", True),
        ("2", "[::1]", True),
        ("2", "localhost", True),
        ("2", None, True),
        ("1", "est.example", True),
        ("0", "localhost", False),
    ],
)
def test_linux_gives_ports_back_early_on_loopback(
    monkeypatch: pytest.MonkeyPatch,
    reuse: str,
    host: str | None,
    fits: bool,  # noqa: FBT001 - a parameter
) -> None:
    """After a second, where tcp_tw_reuse says so; a sandbox is on loopback."""
    ports(monkeypatch, 10_000, reuse=reuse)
    target = Target(TargetUrl(host, 443)) if host else None
    assert (plan_problems(replace(quick(), target=target)) == []) == fits


@pytest.mark.parametrize(("hard", "have"), [(48, 0), (64, 0), (65, 1), (resource.RLIM_INFINITY, (1 << 30) - 64)])
def test_open_files_are_never_fewer_than_none(monkeypatch: pytest.MonkeyPatch, hard: int, have: int) -> None:
    """However few a process may have; no limit is a large one."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (hard, hard))
    plan = scenario(cohort())
    assert limits.open_files(plan) == have
    told = [problem for problem in plan_problems(plan) if "open files" in problem]
    assert told == (
        [] if have else [f"{plan.devices} devices boot within one second, but this machine has 0 open files"]
    )


def test_where_the_kernel_does_not_tell_it_is_taken_for_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """As that comes."""
    monkeypatch.setattr(limits, "_REUSE", Path("/nowhere"))
    assert (limits.time_wait_s(loopback=True), limits.time_wait_s(loopback=False)) == (1, 60)


def test_kept_and_vanished_connections_count_as_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept one for as long as it is kept; the vanished may have half of what there is."""
    monkeypatch.setattr(limits, "raise_descriptor_limit", lambda: 1064)
    monkeypatch.setattr(limits, "held_at_most", lambda: 532)
    monkeypatch.setattr(limits, "local_ports", lambda: 1 << 20)
    plans = [quick(tls=Tls(keep_alive_s=2.5)), quick(tls=Tls(keep_alive_s=3.5)), quick(tls=Tls(close=Close.VANISH))]
    many = replace(plans[2].cohorts[0], arrivals=Burst(), devices=469)
    plans.append(replace(plans[2], cohorts=(many,)))
    vanishing = "open files, excluding those reserved for vanished connections"
    assert [problem for plan in plans for problem in plan_problems(plan)] == [
        "1250 devices boot within 5 s, with connections kept open, but this machine has 1000 open files",
        f"469 devices boot within one second, but this machine has 468 {vanishing}",
    ]


def test_only_those_that_boot_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not owners of a certificate, not those in line for a station, and a cohort that joins from when it does."""
    monkeypatch.setattr(limits, "BOOTS_PER_CORE_PER_S", 1)
    crowd = cohort(MOST)
    owners, stationed = replace(crowd, start=Operational(Constant(0.0))), replace(crowd, stations=WINDOW_S)
    assert plan_problems(scenario(owners)) == plan_problems(scenario(stationed)) == []
    few, more = cohort(WINDOW_S), replace(cohort(WINDOW_S, name="more", index=1), joins=True)
    together = scenario(few, more)
    assert len(plan_problems(together)) == 1
    assert plan_problems(replace(together, events=(Happening(60.0, CohortJoin("more")),))) == []


def test_sessions_to_resume_take_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those devices that keep one."""
    monkeypatch.setattr(limits, "BYTES_PER_SESSION", 1 << 40)
    assert plan_problems(quick(3)) == []
    (problem,) = plan_problems(quick(3, tls=Tls(resume=True)))
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
