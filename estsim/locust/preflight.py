"""Preflight in plain blocking calls: one recorded exchange before the fleet starts, as the first device would do it.

The twin of :mod:`estsim.engine.preflight`.
"""

from collections.abc import Sequence
from functools import partial

from estsim.device.commands import Exchange
from estsim.errors import TransportFailed
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun, Device
from estsim.fleet.errand import Errand
from estsim.fleet.preflight import Preflight, command_at, tried_with
from estsim.locust.exchanges import Exchanges
from estsim.locust.kept_line import KeptLine
from estsim.locust.wire import BlockingLine, BlockingWire
from estsim.measure.sample import Sample, Stamps
from estsim.net.source import unusable


def fly(cohorts: Sequence[CohortRun], wire: BlockingWire, *, seed: int, request_id: str | None) -> Preflight:
    """Do the exchange; whatever goes wrong is in the result."""
    flight = Preflight(lacking=unusable(wire.sources))
    if flight.lacking:
        return flight
    device, fetches = tried_with(cohorts, seed=seed)
    command = command_at(wire.clock)
    if not fetches:
        _knock(device, command, wire, flight)
        return flight

    def book(_device: Device, sample: Sample, _line: BlockingLine) -> None:
        flight.exchange(None, sample)

    ids = iter([request_id, request_id]) if request_id else None  # a challenge makes it two
    exchanges = Exchanges(wire.clock, book, request_ids=ids)
    flight.outcome = exchanges.perform(device, command, KeptLine(wire, device)).outcome
    return flight


def _knock(device: Device, command: Exchange, wire: BlockingWire, flight: Preflight) -> None:
    clock: RunClock = wire.clock
    errand = Errand.of(device, command, partial(wire.line, device.cohort))
    stamps = Stamps(clock.now_ns(), clock.now_ns(), clock.now_ns())
    failed: TransportFailed | None = None
    try:
        errand.line.knock(stamps)
    except TransportFailed as failure:
        failed = failure
    finally:
        errand.line.drop()
    flight.knocked(errand, stamps, failed)
