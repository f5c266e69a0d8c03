"""The resources that a plan needs by its forecast, and those of this machine."""

import os
from math import ceil
from typing import Final

from estsim.figures.forecast import Need, busiest
from estsim.fleet.limits import (
    BOOTS_PER_CORE_PER_S,
    BYTES_PER_DEVICE,
    BYTES_PER_SESSION,
    is_loopback,
    memory_bytes,
    open_files,
    ports,
    time_wait_s,
    vanishes,
    workers_of,
)
from estsim.fleet.usage import memory_available_bytes
from estsim.record.saturation import WINDOW_S
from estsim.scenario.plan import Scenario
from estsim.virtual.counts import ForecastCounts

_MIB: Final = 1 << 20
_MS_PER_ENROLMENT: Final = 1000 / BOOTS_PER_CORE_PER_S


def needs_of(scenario: Scenario, counts: ForecastCounts) -> tuple[Need, ...]:
    """Return the needs of a plan: processor, local ports, open files, memory."""
    return _processor(scenario, counts), _ports(scenario, counts), _files(scenario, counts), _memory(scenario)


def _processor(scenario: Scenario, counts: ForecastCounts) -> Need:
    """A poll costs a handshake and a request like any other exchange that asks for a certificate."""
    begins_s, most = busiest(counts.enrolling, WINDOW_S)
    needed = most / (WINDOW_S * BOOTS_PER_CORE_PER_S)
    workers, cores = workers_of(scenario), os.cpu_count() or 1
    uses = f"a run of {workers} workers uses" if workers > 1 else "a run uses"
    has = min(workers, cores)
    why = (
        f"{most} enrolment exchanges in the {WINDOW_S} s from {begins_s} s on, {_MS_PER_ENROLMENT:g} ms each; "
        f"{uses} {'one core' if has == 1 else f'{has} cores'} (of {cores})"
    )
    return Need("processor", needed, float(has), "core", why)


def _ports(scenario: Scenario, counts: ForecastCounts) -> Need:
    window_s = time_wait_s(loopback=is_loopback(scenario))
    _, lingering = busiest(counts.lingering, window_s)
    why = f"connections within {window_s} s, for which their ports stay in use; or open at once"
    return Need("local ports", max(lingering, counts.most_in_flight), ports(scenario), "", why)


def _files(scenario: Scenario, counts: ForecastCounts) -> Need:
    keep_alive_s = max((cohort.tls.keep_alive_s for cohort in scenario.cohorts), default=0.0)
    idle = busiest(counts.connections, 1 + ceil(keep_alive_s))[1] if keep_alive_s > 0 else 0
    why = "connections open at once" + (
        "; half of the limit is reserved for vanished connections" if vanishes(scenario) else ""
    )
    return Need("open files", max(idle, counts.most_in_flight), open_files(scenario), "", why)


def _memory(scenario: Scenario) -> Need:
    resuming = any(cohort.tls.resume for cohort in scenario.cohorts)
    why = f"{BYTES_PER_DEVICE >> 10} KiB per device" + (
        f", plus {BYTES_PER_SESSION >> 10} KiB where TLS sessions are kept" if resuming else ""
    )
    return Need("memory", memory_bytes(scenario) / _MIB, memory_available_bytes() / _MIB, "MiB", why)
