"""The worker's fleet of a Locust worker: as many devices as Locust has users, against the real sandbox, none twice."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estsim.engine.run_server import RunServer, server_of
from estsim.errors import UsageError
from estsim.figures.live import LiveFigures
from estsim.fleet.assignment import Assignment, Maker
from estsim.fleet.demands import record_of
from estsim.fleet.part import Part
from estsim.locust.worker.worker_fleet import WorkerFleet
from estsim.pki.keys import make_key
from estsim.record.run_record import RunRecord
from estsim.record.worker_report import pack, unpack
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import KeyKind, Scenario
from estsim.scenario.portable import portable_text

FLEET: Final = """
version: 1
duration: 60s
generator: {max_lag: 10s, max_cpu: 100%}
cohorts:
  meters: {devices: 6, boot: {burst: 30s}, renew: off}
  late: {devices: 2, boot: {burst: 1s}, renew: off}
events:
  - {at: 300ms, cohort_join: {cohort: late}}
"""
OWN_KEY: Final = make_key(KeyKind.EC_P256)


def plan(folder: Path, text: str = FLEET) -> Scenario:
    """Write and read a scenario."""
    file = folder / "fleet.yaml"
    file.write_text(text, encoding="utf-8")
    return load_scenario(file)


def assignment(server: RunServer, part: Part, *, epoch_s: float = 0.0) -> Assignment:
    """Return what a master tells a worker: certificates of manufacturers, no key."""
    host = server.host
    public = OWN_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    makers = {
        name or "": Maker.branch(each, public, "worker", ends_in_s=3600.0) for name, each in host.factories.items()
    }
    return Assignment(
        "r1",
        portable_text(host.scenario),
        str(host.url),
        host.trust.anchors,
        explicit=True,
        makers=makers,
        part=part,
        wall_epoch_s=epoch_s or time.time(),
    )


async def cast(server: RunServer, part: Part, *, offset_s: float = 0.0) -> WorkerFleet:
    """Return a worker's fleet of a part of the server's scenario."""
    scenario = server.host.scenario
    told = assignment(server, part, epoch_s=time.time() + offset_s)
    return await WorkerFleet.cast(told, source=scenario.source, own=scenario, own_key=OWN_KEY, offset_s=offset_s)


@asynccontextmanager
async def playing(*troupes: WorkerFleet, record: RunRecord) -> AsyncIterator[None]:
    """Let troupes play beside the block, then stop them, and merge what they counted."""
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for worker_fleet in troupes:
                await nursery.start(worker_fleet.run)
            yield
            for worker_fleet in troupes:
                await worker_fleet.stop()
        for worker, worker_fleet in enumerate(troupes):
            record.merge(worker, unpack(pack(worker_fleet.take_report(last=True))))


async def until_certified(troupes: list[WorkerFleet], record: RunRecord, count: int) -> None:
    """Take worker reports until so many certificates have been issued."""
    while record.book.total().certificates < count:
        await trio.sleep(0.02)
        for worker, worker_fleet in enumerate(troupes):
            record.merge(worker, unpack(pack(worker_fleet.take_report())))


async def test_two_workers_play_the_fleet_and_no_device_twice(tmp_path: Path) -> None:
    """By devices of their own manufacturers, which the sandbox trusts for the one above them."""
    async with server_of(plan(tmp_path), tmp_path) as server:
        record = record_of(server.host.scenario)
        troupes = [await cast(server, Part(slot, 2)) for slot in range(2)]
        assert [worker_fleet.devices for worker_fleet in troupes] == [4, 4]
        async with playing(*troupes, record=record):
            for worker_fleet in troupes:
                await worker_fleet.boot(4, over_s=0.2)
                assert worker_fleet.running == 4
            await until_certified(troupes, record, 8)
    scope = LiveFigures(record).scopes(record.fleet_reading.at_ns).run
    assert scope.tally.certificates == 8
    assert dict(scope.states) == {"operational": 8}
    batch = record.take_batch()
    rows = [row for rows in batch.ready for row in rows["exchanges"]]
    assert {row[0] for row in rows} == set(range(8))
    ids = [row[6] for row in rows]
    assert len(set(ids)) == len(ids)
    assert {(row[0] % 2, str(row[6]).split("-")[1]) for row in rows} == {(0, "w0"), (1, "w1")}


async def test_locust_says_when_and_the_plan_says_who(tmp_path: Path) -> None:
    """The first to boot by the plan are the first users, whatever the plan's times are; nobody begins unasked."""
    async with server_of(plan(tmp_path), tmp_path) as server:
        record, worker_fleet = record_of(server.host.scenario), await cast(server, Part())
        async with playing(worker_fleet, record=record):
            await worker_fleet.boot(2, over_s=0.0)
            await until_certified([worker_fleet], record, 2)
            await trio.sleep(0.3)  # the event that lets a cohort join is Locust's, too
            assert record.book.total().certificates == 2
    rows = [row for rows in record.take_batch().ready for row in rows["enrolments"]]
    assert {row[1] for row in rows} == {"late"}  # whose plan has them boot after 300 ms, the others within 30 s


async def test_more_users_than_devices_are_devices_beyond_the_plan(tmp_path: Path) -> None:
    """A worker that has come late has none of the plan, and one whose users grow takes others like its own."""
    async with server_of(plan(tmp_path), tmp_path) as server:
        record = record_of(server.host.scenario)
        early, late = await cast(server, Part(0, 1)), await cast(server, Part(1, 1))
        assert (early.devices, late.devices) == (8, 0)
        async with playing(early, late, record=record):
            await early.boot(10, over_s=0.0)
            await late.boot(3, over_s=0.0)
            await until_certified([early, late], record, 13)
    rows = [row for rows in record.take_batch().ready for row in rows["enrolments"]]
    assert len({row[0] for row in rows}) == 13
    assert sorted({row[0] for row in rows})[:8] == [*range(8)]


async def test_users_that_locust_stops_are_the_youngest(tmp_path: Path) -> None:
    """They stop where they are; the others live on."""
    async with server_of(plan(tmp_path, FLEET.replace("renew: off", "renew: {after: 200ms}")), tmp_path) as server:
        record, worker_fleet = record_of(server.host.scenario), await cast(server, Part())
        async with playing(worker_fleet, record=record):
            await worker_fleet.boot(6, over_s=0.0)
            await until_certified([worker_fleet], record, 6)
            worker_fleet.retire(4)
            assert worker_fleet.running == 2
            await trio.sleep(0.2)
            before = worker_fleet.take_report()
            await trio.sleep(0.6)
            after = worker_fleet.take_report()
            record.merge(0, before)
            record.merge(0, after)
    renewed = {row[0] for row in unpack(pack(after)).rows["enrolments"]}
    assert len(renewed) == 2


async def test_the_clock_is_the_master_s(tmp_path: Path) -> None:
    """An hour apart by their clocks, they count from one moment."""
    async with server_of(plan(tmp_path), tmp_path) as server:
        worker_fleet = await cast(server, Part(), offset_s=3600.0)
        record = record_of(server.host.scenario)
        async with playing(worker_fleet, record=record):
            await worker_fleet.boot(1, over_s=0.0)
            await until_certified([worker_fleet], record, 1)
    assert 0 <= record.fleet_reading.at_ns < 20 * 10**9


async def test_devices_of_the_sandbox_s_own_minting_are_refused_by_name(tmp_path: Path) -> None:
    """Its key is not the worker's."""
    text = FLEET.replace("boot: {burst: 30s}", "start: {operational: {age: 0%..100%}}")
    async with server_of(plan(tmp_path, text), tmp_path) as server:
        with pytest.raises(
            UsageError, match=r"cohorts.meters.start: operational devices are supported by estsim run only"
        ):
            await cast(server, Part())


async def test_a_closed_loop_is_refused_by_name(tmp_path: Path) -> None:
    """Its stations would be as many in each worker."""
    text = FLEET.replace("boot: {burst: 30s}", "boot: {stations: 2}")
    async with server_of(plan(tmp_path, text), tmp_path) as server:
        with pytest.raises(
            UsageError, match=r"cohorts.meters.boot.stations: stations are supported by estsim run only"
        ):
            await cast(server, Part())
