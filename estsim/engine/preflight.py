"""Preflight: one recorded exchange before the fleet starts, so that a wrong address or trust costs a second, not a run.

It resolves, connects, shakes hands and, where the fleet will, fetches the CA certificates, as the first device would.
"""

from functools import partial

from estsim.device.commands import Exchange
from estsim.engine.exchange_task import ExchangeTask
from estsim.engine.wire import Wire
from estsim.errors import TransportFailed
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun, Device
from estsim.fleet.errand import Errand
from estsim.fleet.preflight import Preflight, command_at, tried_with
from estsim.measure.sample import Stamps
from estsim.net.source import unusable


async def fly(cohorts: list[CohortRun], wire: Wire, clock: RunClock, *, seed: int, request_id: str | None) -> Preflight:
    """Do the exchange; whatever goes wrong is in the result."""
    flight = Preflight(lacking=unusable(wire.sources))
    if flight.lacking:
        return flight
    device, fetches = tried_with(cohorts, seed=seed)
    command = command_at(clock)
    if fetches:
        ids = iter([request_id, request_id]) if request_id else None  # a challenge makes it two
        settled = await ExchangeTask(wire, flight, clock, request_ids=ids).perform(device, command)
        flight.outcome = settled.outcome
    else:
        await _knock(device, command, wire, flight, clock)
    return flight


async def _knock(device: Device, command: Exchange, wire: Wire, flight: Preflight, clock: RunClock) -> None:
    errand = Errand.of(device, command, partial(wire.line, device.cohort))
    stamps = Stamps(clock.now_ns(), clock.now_ns(), clock.now_ns())
    failed: TransportFailed | None = None
    try:
        await errand.line.knock(stamps)
    except TransportFailed as failure:
        failed = failure
    finally:
        errand.line.drop()
    flight.knocked(errand, stamps, failed)
