"""The live drivers of devices, each playing a place's scenario: the trio engine, plain threads, and Locust's users.

The last run in a process of their own, because Locust patches the interpreter.
"""

import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio
from locust_kit import Boards, Place, Rows, Story, Words, fleet_of

from estsim.engine.exchange_task import ExchangeTask
from estsim.engine.shard import Shard
from estsim.fleet.clock import RunClock
from estsim.fleet.device_loop import DeviceLoop
from estsim.fleet.exchange_context import request_ids
from estsim.fleet.exchanges import Exchanges
from estsim.fleet.ledger import Ledger
from estsim.fleet.offer import groups_offered
from estsim.fleet.orders import orders_of
from estsim.fleet.server_access import ServerAccess

HERE: Final = Path(__file__).parent
DRIVERS: Final = ("trio", "threads", "gevent")


@dataclass(frozen=True, slots=True)
class Played:
    """What each device did, in its order, and what its rows say in words."""

    story: Story
    words: Words


async def on_trio(place: Place) -> Rows:
    """Play it with the engine."""
    scenario = place.plan()
    host = place.host(scenario)
    fleet, clock = fleet_of(host), RunClock.start()
    rows = Rows()
    ledger = Ledger(rows, clock)
    access = ServerAccess.to(host, groups_offered(scenario), clock)
    shard = Shard(fleet, ExchangeTask(access, ledger, clock, request_ids=request_ids("t")), ledger, clock)
    devices = {device.index: device for device in fleet.devices}
    for number, event in enumerate(scenario.events):
        for order in orders_of(scenario, number, event.at_s):
            shard.order(order.at_s, devices[order.device], order.make)
    await shard.run(until_settled=True)
    return rows


async def on_threads(place: Place) -> Rows:
    """Play it with the loop of a Locust user, a thread for each device."""
    boards = Boards(place.host(place.plan()))
    alarm = threading.Event()
    exchanges = Exchanges(
        boards.clock,
        lambda device, sample, _: boards.ledger.exchange(device.enrolment, sample),
        request_ids=boards.request_ids,
    )
    async with trio.open_nursery() as nursery:
        while (device := boards.take(None)) is not None:
            nursery.start_soon(trio.to_thread.run_sync, DeviceLoop(device, boards, exchanges, alarm).run)
        while not boards.is_settled:  # noqa: ASYNC110 - nothing announces it
            await trio.sleep(0.01)
        alarm.set()
    return boards.rows


async def on_gevent(place: Place) -> Played:
    """Play it with Locust users, in a process of their own."""
    told = json.loads(await in_locust(place))
    assert not told["trio"]
    story = {int(device): [tuple(each) for each in rows] for device, rows in told["story"].items()}
    return Played(story, {int(device): rows for device, rows in told["words"].items()})


async def in_locust(place: Place) -> bytes:
    """Play a place in a process with Locust in it and return what it prints."""
    driver = HERE / "gevent_driver.py"
    done = await trio.run_process(
        [sys.executable, "-W", "error", str(driver), place.packed()], capture_stdout=True, stderr=subprocess.STDOUT
    )
    return done.stdout


async def played_by(driver: str, place: Place) -> Played:
    """Return what each device did with one of the live drivers."""
    if driver == "gevent":
        return await on_gevent(place)
    rows = await (on_trio if driver == "trio" else on_threads)(place)
    return Played(rows.story(), rows.words())
