"""What this machine lets us have, and whether a plan fits it: descriptors, ports, memory, and what a core can start."""

import os
import resource
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address
from itertools import repeat
from math import ceil
from pathlib import Path
from typing import Final

from estsim.device.policy import Attributes, Fetch
from estsim.figures.forecast import busiest
from estsim.fleet.usage import memory_available_bytes
from estsim.load.arrivals import boot_times
from estsim.net.sockets import held_at_most
from estsim.record.saturation import WINDOW_S
from estsim.scenario.happenings import CohortJoin
from estsim.scenario.plan import Close, Cohort, Scenario

BYTES_PER_DEVICE: Final = 6 * 1024
BYTES_PER_SESSION: Final = 12 * 1024  # a TLS session kept for resumption (docs/tls.md, rule 12)
BOOTS_PER_CORE_PER_S: Final = 500  # with an enrolment each, on the machine that docs/scale.md's figures come from
_OWN_DESCRIPTORS: Final = 64  # store, sandbox, terminal, epoll, Python itself
_NO_LIMIT: Final = 1 << 30  # the kernel's own: fs.nr_open can be no larger
_PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_REUSE: Final = Path("/proc/sys/net/ipv4/tcp_tw_reuse")
_TIME_WAIT_S: Final = 60
_LINUX_DEFAULT_PORTS: Final = 28_232


def raise_descriptor_limit() -> int:
    """Allow as many open files as the hard limit grants, and return that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return _NO_LIMIT if hard == resource.RLIM_INFINITY else hard


def workers_of(scenario: Scenario) -> int:
    """Return how many processes share the fleet: as told, or a core each, less one with the sandbox beside them."""
    told = scenario.generator.workers
    cores = len(os.sched_getaffinity(0)) - (scenario.target is None)
    return min(scenario.devices, max(1, cores) if told is None else told)


def local_ports() -> int:
    """Return how many local ports connections to one server can be made from."""
    try:
        low, high = map(int, _PORT_RANGE.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return _LINUX_DEFAULT_PORTS
    return max(0, high - low + 1)


def ports(scenario: Scenario) -> int:
    """Return how many local ports the run may use, over all of its source addresses."""
    return local_ports() * max(1, len(scenario.generator.source_addresses))


def vanishes(scenario: Scenario) -> bool:
    """Say whether devices leave without a word, so that their sockets are held."""
    return any(cohort.tls.close is Close.VANISH for cohort in scenario.cohorts)


def open_files(scenario: Scenario) -> int:
    """Return how many files connections may open, beside our own and those that are held for vanished devices."""
    return max(0, raise_descriptor_limit() - _OWN_DESCRIPTORS - (held_at_most() if vanishes(scenario) else 0))


def time_wait_s(*, loopback: bool) -> int:
    """Return for how long the kernel keeps the port of a connection that we ended first (RFC 9293 §3.3.2, TIME-WAIT).

    Linux counts 60 s (``TCP_TIMEWAIT_LEN``), and gives the port to a new connection after one second where
    ``net.ipv4.tcp_tw_reuse`` is 1, or, as by default, 2 and the connection is one on loopback.
    """
    try:
        reuse = _REUSE.read_text(encoding="ascii").strip()
    except OSError:
        reuse = "2"
    return 1 if reuse == "1" or (reuse == "2" and loopback) else _TIME_WAIT_S


def plan_problems(scenario: Scenario) -> list[str]:
    """Say what the plan needs that this machine does not have; such a run could not be honest.

    An estimate from the boots and what each begins: retries, polls and renewals come on top.
    """
    problems = []
    memory, wanted = memory_available_bytes(), memory_bytes(scenario)
    if wanted > memory:
        problems.append(
            f"{scenario.devices} devices need {wanted >> 20} MiB of memory, but {memory >> 20} MiB are free"
        )
    boots = _Boots(scenario)
    at_most = busiest(boots.all, WINDOW_S)[1]
    workers = workers_of(scenario)
    if at_most > BOOTS_PER_CORE_PER_S * WINDOW_S * workers:
        cores = "one core" if workers == 1 else f"{workers} workers"
        problems.append(
            f"{at_most} devices boot within {WINDOW_S} s, but {cores} can start about "
            f"{BOOTS_PER_CORE_PER_S * WINDOW_S * workers}: the run would measure the generator, not the server"
        )
    return [*problems, *_descriptor_problems(scenario, boots), *_port_problems(scenario, boots)]


class _Boots:
    """How many devices boot in each second of the plan: in all, and of each cohort."""

    def __init__(self, scenario: Scenario) -> None:
        self.of_cohorts = [(cohort, Counter(map(int, _boots_of(cohort, scenario)))) for cohort in scenario.cohorts]
        self.all: Counter[int] = Counter()
        for _, counts in self.of_cohorts:
            self.all.update(counts)


def _boots_of(cohort: Cohort, scenario: Scenario) -> Iterable[float]:
    """Return when devices of a cohort begin to seek a certificate, as far as the plan says: at stations, the first."""
    if cohort.start is not None:
        return ()
    if cohort.stations is not None:
        return repeat(0.0, min(cohort.stations, cohort.devices))
    joined_s = 0.0
    if cohort.joins:
        joined_s = next((h.at_s for h in scenario.events if h.what == CohortJoin(cohort.name)), 0.0)
    times = boot_times(cohort.arrivals, cohort.devices, seed=scenario.seed, cohort=cohort.index)
    return (joined_s + at_s for at_s in times)


def _descriptor_problems(scenario: Scenario, boots: _Boots) -> list[str]:
    """Compare connections open at once with open files: those of a second, and for how long a cohort keeps them."""
    have, what = open_files(scenario), "open files"
    if vanishes(scenario):
        what = "open files, excluding those reserved for vanished connections"
    window_s = 1 + ceil(max((cohort.tls.keep_alive_s for cohort in scenario.cohorts), default=0.0))
    at_once = busiest(boots.all, window_s)[1]
    if at_once <= have:
        return []
    when = "one second" if window_s == 1 else f"{window_s} s, with connections kept open"
    return [f"{at_once} devices boot within {when}, but this machine has {have} {what}"]


def _port_problems(scenario: Scenario, boots: _Boots) -> list[str]:
    """Compare connections to the one server with the local ports of all source addresses."""
    named = len(scenario.generator.source_addresses)
    have, at_once = ports(scenario), max(boots.all.values(), default=0)
    if at_once > have:
        return [f"{at_once} devices boot within one second, but this machine has {have} local ports"]
    window_s = time_wait_s(loopback=is_loopback(scenario))
    connections: Counter[int] = Counter()
    for cohort, counts in boots.of_cohorts:
        if cohort.tls.close is not Close.RST:  # which leaves nothing behind
            for second, devices in counts.items():
                connections[second] += devices * _connections_to_enroll(cohort)
    needed = busiest(connections, window_s)[1]
    if needed <= have:
        return []
    problem = (
        f"{needed} connections within {window_s} s, each of which keeps its local port for that long (TIME_WAIT), and "
        f"this machine has {have} of them: add generator.source_addresses (now {named}), keep connections with "
        f"tls.keep_alive, or end them with tls.close: rst"
    )
    return [problem]


def _connections_to_enroll(cohort: Cohort) -> int:
    """Return how many connections a first enrolment takes: one for each exchange, or one that is kept for all."""
    enroll = cohort.policy.enroll
    before = (enroll.cacerts is not Fetch.NEVER) + (enroll.csrattrs is not Attributes.OFF)
    return 1 if cohort.tls.keep_alive_s > 0 else 1 + before


def memory_bytes(scenario: Scenario) -> int:
    """Return the memory that waiting devices take, with the sessions that they keep."""
    return sum(
        cohort.devices * (BYTES_PER_DEVICE + (BYTES_PER_SESSION if cohort.tls.resume else 0))
        for cohort in scenario.cohorts
    )


def is_loopback(scenario: Scenario) -> bool:
    """Say whether the server is on this machine: a sandbox always is."""
    if scenario.target is None:
        return True
    host = scenario.target.url.host
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
