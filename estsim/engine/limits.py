"""What this machine lets us have, and whether a plan fits it: descriptors, ports, memory, and what a core can start."""

import resource
from collections import Counter
from pathlib import Path
from typing import Final

import psutil

from estsim.load.arrivals import boot_times
from estsim.scenario.plan import Scenario

BYTES_PER_DEVICE: Final = 6 * 1024
BOOTS_PER_CORE_PER_S: Final = 500  # with an enrolment each, on the machine that SCALE.md's figures come from
WINDOW_S: Final = 10  # that of the saturation verdict
_OWN_DESCRIPTORS: Final = 64  # store, sandbox, terminal, epoll, Python itself
_PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LINUX_DEFAULT_PORTS: Final = 28_232


def raise_descriptor_limit() -> int:
    """Allow as many open files as the hard limit grants, and return that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def local_ports() -> int:
    """Return how many local ports connections to one server can be made from."""
    try:
        low, high = _PORT_RANGE.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return _LINUX_DEFAULT_PORTS
    return int(high) - int(low) + 1


def plan_problems(scenario: Scenario) -> list[str]:
    """Say what the plan needs that this machine does not have; such a run could not be honest."""
    problems = []
    memory, wanted = psutil.virtual_memory().available, scenario.devices * BYTES_PER_DEVICE
    if wanted > memory:
        problems.append(f"{scenario.devices} devices need {wanted >> 20} MiB of memory, {memory >> 20} MiB are free")
    boots = _boots_per_second(scenario)
    busiest = max((sum(boots[second + i] for i in range(WINDOW_S)) for second in boots), default=0)
    if busiest > BOOTS_PER_CORE_PER_S * WINDOW_S:
        problems.append(
            f"{busiest} devices boot within {WINDOW_S} s, about {BOOTS_PER_CORE_PER_S * WINDOW_S} is what one core "
            f"can start: the generator would be measured, not the server"
        )
    at_once = max(boots.values(), default=0)
    for what, have in (("open files", raise_descriptor_limit() - _OWN_DESCRIPTORS), ("local ports", local_ports())):
        if at_once > have:
            problems.append(f"{at_once} devices boot within one second, this machine has {have} {what}")
    return problems


def _boots_per_second(scenario: Scenario) -> Counter[int]:
    return Counter(
        int(at_s)
        for cohort in scenario.cohorts
        for at_s in boot_times(cohort.arrivals, cohort.devices, seed=scenario.seed, cohort=cohort.index)
    )
