"""What runs beside the fleet: the writer and its disk, signals, the clock of the run, the self-monitor."""

import gc
import os
import resource
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio
from engine_kit import NOWHERE, ONCE, Rig, closed_port, cohort, rig, sandbox, silence, until

from estsim.device.policy import Policy, RetryPolicy
from estsim.engine import live as live_module
from estsim.engine.live import Interrupts, Live
from estsim.engine.loop_monitor import LoopMonitor
from estsim.errors import StoreError
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.fleet.active_run import ActiveRun
from estsim.fleet.clock import RunClock
from estsim.fleet.run_books import RunBooks
from estsim.fleet.self_monitor import HEARTBEAT_S, suspended_ns
from estsim.load.arrivals import Even
from estsim.record.run_reader import RunReader
from estsim.record.sample import GeneratorReading
from estsim.record.store import RunStore
from estsim.scenario.plan import NoBootstrap

NS: Final = 1_000_000_000
MS: Final = 1_000_000
RETRYING: Final = replace(ONCE, retry=RetryPolicy(attempts=10**6, base_s=0.005, cap_s=0.01))


@dataclass
class Run:
    """A live fleet with its store."""

    made: Rig
    store: RunStore
    live: Live
    interrupts: Interrupts
    shown: list[Snapshot] = field(default_factory=list)

    def fill_disk(self) -> None:
        """Leave SQLite no room; it is a full disk to it."""
        (pages,) = self.store._connection.execute("PRAGMA page_count").fetchone()
        self.store._connection.execute(f"PRAGMA max_page_count = {pages}")

    def free_disk(self) -> None:
        """Make room again."""
        self.store._connection.execute("PRAGMA max_page_count = 1000000")


def run_of(made: Rig, store: RunStore, *, duration_s: float = 60.0, until_settled: bool = False) -> Run:
    """Put the services around a fleet."""
    shown: list[Snapshot] = []
    interrupts = Interrupts()
    books = RunBooks(replace(made.scenario, duration_s=duration_s, until_settled=until_settled))
    books.record, books.figures = made.recorder.record, made.recorder.figures
    run = ActiveRun(books, store.path.parent / "results")
    run.store.close()
    run.store, run.clock = store, made.clock
    return Run(made, store, Live(run, made.shard, interrupts=interrupts, show=shown.append), interrupts, shown)


@pytest.fixture(name="store")
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "RunStore":
    """Open a store; the writer is quick, so that its patience is short."""
    monkeypatch.setattr(live_module, "_WRITE_S", 0.02)
    monkeypatch.setattr(live_module, "_SHOW_S", 0.02)
    return RunStore(tmp_path / "run.sqlite")


@asynccontextmanager
async def going(run: Run) -> AsyncIterator[None]:
    """Let it live beside the block."""
    with trio.fail_after(15):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.live.run)
            yield


def written(run: Run) -> list[str | None]:
    """Write what is left, close, and return the request ids of all rows in the file."""
    run.store.write(run.made.recorder.take_batch())
    run.store.close()
    with RunReader(run.store.path) as reader:
        return [sample.request_id for sample in reader.exchanges()]


def in_file(run: Run) -> int:
    """Return how many rows have been written."""
    with RunReader(run.store.path) as reader:
        return len(list(reader.exchanges()))


def has_grown(run: Run, rows: int) -> bool:
    """Whether there are more rows in the file than there were."""
    return in_file(run) > rows


def has_failed(run: Run, times: int) -> bool:
    """Whether the disk has refused so many batches."""
    return run.made.recorder.record.write_failures >= times


def unreachable(devices: int, policy: Policy = RETRYING) -> Rig:
    """Return a fleet that finds nobody."""
    return rig(closed_port(), NOWHERE, None, cohort(devices, policy, bootstrap=NoBootstrap()))


# -- the store


async def test_rows_are_written_while_the_fleet_lives(tmp_path: Path, store: RunStore) -> None:
    """Readable before the end, whole after it."""
    async with sandbox(tmp_path / "s") as server:
        run = run_of(server.rig(cohort(10, Policy(renew=None), arrivals=Even(100.0))), store)
        async with going(run):
            with RunReader(store.path) as reader:
                await until(lambda: len(list(reader.exchanges())) == 20)
            run.interrupts.asked.set()
    ids = written(run)
    assert len(ids) == len(set(ids)) == len(run.made.recorder.samples) == 20
    with RunReader(store.path) as reader:
        assert sorted(each.device for each in reader.enrolments()) == list(range(10))


async def test_a_disk_that_stays_full_stops_the_run(store: RunStore) -> None:
    """After ten tries in a row, in order, with every row in hand that had no room; with room they can be written."""
    run = run_of(unreachable(20), store)
    run.fill_disk()
    async with going(run):
        pass
    recorder = run.made.recorder
    assert recorder.write_failures >= live_module._PATIENCE_WITH_DISK
    assert "the disk is full" in str(recorder.write_error)
    assert in_file(run) + len(recorder._pending.exchanges) == len(recorder.samples)  # a last page may hold a first few
    run.free_disk()
    assert written(run) == [sample.request_id for sample in recorder.samples]


async def test_a_disk_that_recovers_has_lost_nothing(store: RunStore) -> None:
    """Each row once, in order; the failures before do not count against the next."""
    run = run_of(unreachable(20), store)
    recorder = run.made.recorder
    async with going(run):
        for rounds in range(1, 4):
            run.fill_disk()
            await until(partial(has_failed, run, 4 * rounds))
            run.free_disk()
            await until(partial(has_grown, run, in_file(run)))
        assert recorder.write_failures > live_module._PATIENCE_WITH_DISK
        assert run.shown[-1].stage is RunStage.RUNNING
        run.interrupts.asked.set()
    assert written(run) == [sample.request_id for sample in recorder.samples]


async def test_a_store_that_is_gone_stops_the_run(store: RunStore) -> None:
    """Whatever SQLite says of it is a StoreError and not the end of the process."""
    run = run_of(unreachable(2), store)
    store.close()
    async with going(run):
        pass
    assert isinstance(run.made.recorder.write_error, StoreError)


# -- the end


async def test_the_duration_is_the_end(store: RunStore) -> None:
    """Whoever has not booted by then does not; the last picture says done."""
    made = rig(closed_port(), NOWHERE, None, cohort(100, ONCE, bootstrap=NoBootstrap(), arrivals=Even(20.0)))
    run = run_of(made, store, duration_s=0.2)
    async with going(run):
        pass
    assert 1 <= len(made.recorder.samples) <= 5
    assert made.clock.now_s() < 2.0
    assert run.shown[-1].stage is RunStage.DONE
    assert sum(run.shown[-1].states.values()) == 100
    assert run.live.totals().cpu_s > 0.0
    assert run.live.totals().peak_rss_bytes > 10**7


async def test_an_end_that_is_over_already_is_the_end(store: RunStore) -> None:
    """Preparing a fleet takes time; the clock was started before the run."""
    run = run_of(unreachable(1), store, duration_s=0.0)
    async with going(run):
        pass
    assert run.shown[-1].stage is RunStage.DONE


async def test_a_settled_fleet_ends_before_its_time(store: RunStore) -> None:
    """Nothing is planned, so there is nothing to wait for."""
    run = run_of(unreachable(3, ONCE), store, until_settled=True)
    async with going(run):
        pass
    assert run.made.clock.now_s() < 5.0
    assert run.shown[-1].states == {"gave_up": 3}


async def test_the_drain_has_an_end(store: RunStore) -> None:
    """An answer that does not come in that time is abandoned, and its row written; so is the open search's."""
    async with silence() as server:
        run = run_of(rig(server.url, NOWHERE, None, cohort(3, bootstrap=NoBootstrap())), store)
        run.made.shard.drain_s = 0.05
        async with going(run):
            await server.has(3)
            run.interrupts.asked.set()
            await until(lambda: bool(run.shown) and run.shown[-1].stage is not RunStage.RUNNING)
    assert run.made.recorder.kinds() == ["abandoned"] * 3
    assert run.shown[-1].stage is RunStage.DONE
    assert len(written(run)) == 3
    with RunReader(store.path) as reader:
        assert [each.exchanges for each in reader.enrolments()] == [1, 1, 1]


async def test_a_second_signal_ends_at_once(store: RunStore) -> None:
    """Within the drain; what was under way is abandoned."""
    async with silence() as server:
        run = run_of(rig(server.url, NOWHERE, None, cohort(3, bootstrap=NoBootstrap())), store)
        began = time.monotonic()
        async with going(run):
            await server.has(3)
            run.interrupts.asked.set()
            run.interrupts.at_once.set()
    assert time.monotonic() - began < run.made.shard.drain_s / 2
    assert run.made.recorder.kinds() == ["abandoned"] * 3
    assert len(written(run)) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_ask_first_and_then_insist(number: signal.Signals) -> None:
    """The first asks, the second insists; before the fleet lives, the first ends the preparation."""
    interrupts = Interrupts()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(interrupts.watch)
            with trio.CancelScope() as setting_up:
                interrupts.cancels(setting_up)
                os.kill(os.getpid(), number)
                await trio.sleep_forever()
            assert interrupts.asked.is_set()
            assert not interrupts.at_once.is_set()
            interrupts.cancels(None)
            os.kill(os.getpid(), number)
            await interrupts.at_once.wait()
            nursery.cancel_scope.cancel()


async def test_a_signal_that_came_first_still_counts() -> None:
    """Between two preparations nobody listens; the next is not begun."""
    interrupts = Interrupts()
    interrupts.asked.set()
    with trio.move_on_after(1), trio.CancelScope() as scope:
        interrupts.cancels(scope)
        await trio.sleep_forever()
    assert scope.cancelled_caught


# -- the self-monitor


async def test_a_stall_of_the_loop_shows() -> None:
    """Fifty milliseconds in which nothing else ran are one delay of about that; a calm loop has small ones."""
    readings: list[GeneratorReading] = []
    clock = RunClock.start()
    loop_monitor = LoopMonitor(clock, lambda: 7, readings.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop_monitor.beat)
        await trio.sleep(5 * HEARTBEAT_S)
        time.sleep(0.05)  # noqa: ASYNC251 - the stall
        await trio.sleep(5 * HEARTBEAT_S)
        nursery.cancel_scope.cancel()
    loop_monitor.take()
    loop_monitor.take()
    stalled, empty = readings
    assert 0.03 * NS < stalled.loop_delay_p99_ns < 0.5 * NS
    assert empty.loop_delay_p99_ns == 0
    assert stalled.in_flight == 7
    assert 0 < stalled.at_ns <= empty.at_ns <= clock.now_ns()


async def test_a_reading_has_the_longest_stall_since_the_last() -> None:
    """By the run's clock; a stall counts in the delays as often as a heartbeat every 20 ms would have met it."""
    readings: list[GeneratorReading] = []
    clock = RunClock.start()
    loop_monitor = LoopMonitor(clock, lambda: 0, readings.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(loop_monitor.beat)
        await trio.sleep(HEARTBEAT_S)
        from_ns = clock.now_ns()
        time.sleep(0.5)  # noqa: ASYNC251 - the stall
        to_ns = clock.now_ns()
        await trio.sleep(2 * HEARTBEAT_S)
        nursery.cancel_scope.cancel()
    loop_monitor.take()
    loop_monitor.take()
    stalled, calm = readings
    assert stalled.stalled_from_ns is not None
    assert stalled.stalled_to_ns is not None
    assert from_ns - 2 * HEARTBEAT_S * NS <= stalled.stalled_from_ns <= from_ns + HEARTBEAT_S * NS
    assert to_ns <= stalled.stalled_to_ns <= to_ns + 0.1 * NS
    assert (calm.stalled_from_ns, calm.stalled_to_ns) == (None, None)
    totals = loop_monitor.totals()
    assert totals.longest_stall_ns == stalled.stalled_to_ns - stalled.stalled_from_ns
    assert totals.loop_delay.count >= 0.4 / HEARTBEAT_S


async def test_a_suspended_machine_shows() -> None:
    """The clock that counts such a time is then ahead of the one that does not; a few µs between two looks are none."""
    readings: list[GeneratorReading] = []
    asleep_ns = iter([NS, NS + 1000, 61 * NS])
    loop_monitor = LoopMonitor(RunClock.start(), lambda: 0, readings.append, suspended=lambda: next(asleep_ns))
    loop_monitor.take()
    loop_monitor.take()
    assert [reading.suspended_ns for reading in readings] == [0, 60 * NS - 1000]
    assert -MS <= suspended_ns() < 1000 * 365 * 86400 * NS


async def test_a_reading_is_of_the_time_since_the_last() -> None:
    """A loop that worked is busy, one that slept is not; the memory's peak is kept."""
    readings: list[GeneratorReading] = []
    loop_monitor = LoopMonitor(RunClock.start(), lambda: 0, readings.append)
    until_s = time.process_time() + 0.1
    while time.process_time() < until_s:
        pass
    loop_monitor.take()
    await trio.sleep(0.1)
    loop_monitor.take()
    busy, idle = readings
    assert busy.cpu_share > 2 * idle.cpu_share
    assert loop_monitor.cpu_s >= 0.1
    assert loop_monitor.totals().peak_rss_bytes == max(busy.rss_bytes, idle.rss_bytes) > 10**7


async def test_a_reading_comes_each_second() -> None:
    """And what has lived that long is kept from the collector."""
    readings: list[GeneratorReading] = []
    frozen = gc.get_freeze_count()
    async with trio.open_nursery() as nursery:
        loop_monitor = LoopMonitor(RunClock.start(), lambda: 0, readings.append)
        nursery.start_soon(partial(loop_monitor.read, ramp_s=60.0))
        await until(lambda: bool(readings))
        nursery.cancel_scope.cancel()
    assert readings[0].at_ns >= 0.99 * NS
    assert gc.get_freeze_count() > frozen
    gc.unfreeze()


def test_a_reading_where_no_descriptor_is_left_has_the_memory_as_last_known() -> None:
    """The kernel tells it in a file; that nothing can be opened any more is the run's verdict, and no bug of ours."""
    readings: list[GeneratorReading] = []
    loop_monitor = LoopMonitor(RunClock.start(), lambda: 0, readings.append)
    loop_monitor.take()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        loop_monitor.take()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    known, last = readings
    assert last.rss_bytes == known.rss_bytes > 10**7
