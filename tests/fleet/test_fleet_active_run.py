"""A run that is led: worker reports counted once, the lost told, and left on the disk as any run is."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.figures.exits import Exit
from estsim.figures.summary import FleetSummary
from estsim.figures.verdict import Ending
from estsim.fleet.active_run import ActiveRun
from estsim.fleet.clock import RunClock
from estsim.fleet.demands import recorder_of
from estsim.fleet.offsets import Offsets
from estsim.fleet.part import Part
from estsim.fleet.run_books import RunBooks
from estsim.net.io import run_through
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.recorder import Recorder
from estsim.record.sample import Enrolment, FleetReading, Sample, Stamps
from estsim.record.worker_report import pack, unpack
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario

MS = 1_000_000


@pytest.fixture(name="scenario")
def four_meters(tmp_path: Path) -> Scenario:
    """Return a small plan."""
    file = tmp_path / "fleet.yaml"
    file.write_text(
        "version: 1\nduration: 9s\nsandbox: {}\ncohorts: {meters: {devices: 4, boot: {burst: 2s}, renew: off}}\n"
        "thresholds: [certificates.verified == 4]\n",
        encoding="utf-8",
    )
    return load_scenario(file)


@pytest.fixture(name="run")
def begun(scenario: Scenario, tmp_path: Path) -> ActiveRun:
    """Return a run that has begun, with two workers."""
    books = RunBooks(scenario)
    books.target = "https://est.example"
    run = ActiveRun(books, tmp_path / "results")
    run.clock = RunClock.start()
    for name in ("one", "other"):
        run.workers.add(name, run.workers.next_part(of=2))
    run.introduce()
    return run


def enrols(gatherer: Recorder, device: int) -> None:
    """Let a device enroll, in 10 ms."""
    enrolment = Enrolment(device, "meters", 1, Goal.ENROLL, 0)
    gatherer.enrolment_began(enrolment)
    stamps = Stamps(0, 0, 0, 1 * MS, 2 * MS, 3 * MS, 9 * MS, 10 * MS)
    gatherer.exchange(
        Sample(
            device,
            "meters",
            Operation.SIMPLEENROLL,
            Cause.PLAN,
            1,
            1,
            f"r-{device}",
            OutcomeClass.OK,
            stamps,
            status=200,
        )
    )
    enrolment.ended_ns, enrolment.end = 10 * MS, EnrolmentEnd.ISSUED
    gatherer.enrolment_ended(enrolment)


def worked(scenario: Scenario, *devices: int) -> Recorder:
    """Return what a worker has counted whose devices have all enrolled."""
    gatherer = recorder_of(scenario)
    for device in devices:
        enrols(gatherer, device)
    gatherer.fleet(
        FleetReading(20 * MS, {"operational": len(devices)}, cohorts={"meters": {"operational": len(devices)}})
    )
    return gatherer


def test_it_leaves_what_any_run_leaves(scenario: Scenario, run: ActiveRun) -> None:
    """Folder, scenario, rows, summary and verdict; what workers cost is added up, how their clocks stand is kept."""
    for name, devices in (("one", (0, 2)), ("other", (1, 3))):
        worker_report = worked(scenario, *devices).take_report(GeneratorTotals(1.5, 100))
        run.workers.merge(name, unpack(pack(worker_report)))
    run.workers.by_name["other"].offset_s, run.workers.by_name["other"].round_trip_s = 0.25, 0.001
    assert not run.workers.pending
    end = run.finish()
    assert (end.exit_code, end.lost) == (Exit.PASSED, ())
    assert end.summary.run.workers == 2
    assert end.summary.fleet == FleetSummary(4, {"operational": 4})
    assert end.summary.generator.cpu_s == 3.0
    assert {path.name for path in end.folder.iterdir()} == {"run.sqlite", "scenario.yaml", "summary.json"}
    with closing(sqlite3.connect(end.folder / "run.sqlite")) as store:
        facts = dict(store.execute("SELECT key, value FROM run").fetchall())
        assert store.execute("SELECT COUNT(*) FROM exchanges").fetchone() == (4,)
    assert json.loads(facts["clock_offsets"]) == {"0": [None, None], "1": [0.25, 0.001]}
    assert (facts["ending"], facts["workers"], facts["target"]) == ("finished", "2", "https://est.example")


def test_a_parcel_counts_once_and_a_stranger_s_never(scenario: Scenario, run: ActiveRun) -> None:
    """A network may bring it twice; whoever is no worker of this run is not heard."""
    packed = pack(worked(scenario, 0).take_report())
    run.workers.merge("one", unpack(packed))
    run.workers.merge("one", unpack(packed))
    run.workers.merge("nobody", unpack(packed))
    assert run.record.book.total().certificates == 1
    run.store.close()


def test_a_worker_that_is_gone_is_lost_once(scenario: Scenario, run: ActiveRun) -> None:
    """Its devices by number; the verdict is that the generator was the limit."""
    run.workers.merge("one", worked(scenario, 0, 2).take_report(GeneratorTotals(1.0, 1)))
    for _ in range(2):
        run.workers.lose("one", "left")  # it has said all that it had to say
        run.workers.lose("other", "stopped responding")
    assert run.workers.pending == []
    end = run.finish()
    assert end.exit_code is Exit.SATURATED
    assert "worker 1 stopped responding after" in (end.summary.generator.why or "")
    assert "its 2 devices were lost (numbers 1, 3)" in (end.summary.generator.why or "")
    assert end.summary.fleet.states == {"operational": 2, "lost": 2}


def test_who_comes_late_gets_a_part_of_its_own(run: ActiveRun) -> None:
    """None of the plan's devices is in it."""
    assert run.workers.next_part(of=2) == Part(2, 2)
    run.store.close()


def test_an_interrupted_run_says_so(run: ActiveRun) -> None:
    """With the exit code of Ctrl-C."""
    run.ending = Ending.ABORTED
    assert run.finish().exit_code is Exit.INTERRUPTED


def test_settled_is_when_nothing_is_planned(scenario: Scenario, run: ActiveRun) -> None:
    """By what the workers say of their devices."""
    gatherer = recorder_of(scenario)
    gatherer.fleet(FleetReading(1, {"deferred": 1}, cohorts={"meters": {"deferred": 1}}, planned=1))
    run.workers.merge("one", gatherer.take_report())
    settled = [run.is_settled]
    gatherer.fleet(FleetReading(1, {"retired": 1}, cohorts={"meters": {"retired": 1}}))
    run.workers.merge("one", gatherer.take_report())
    assert [*settled, run.is_settled] == [False, True]
    run.store.close()


def test_a_full_disk_keeps_the_rows_for_later(scenario: Scenario, run: ActiveRun) -> None:
    """Told while it is so, and nothing is missing once there is room."""
    (pages,) = run.store._connection.execute("PRAGMA page_count").fetchone()
    run.store._connection.execute(f"PRAGMA max_page_count = {pages}")
    run.workers.merge("one", worked(scenario, *range(4)).take_report(GeneratorTotals(1.0, 1)))
    for device in range(4, 400):
        enrols(gatherer := recorder_of(scenario), device)
        run.record.merge(0, gatherer.take_report())
    run_through(run.write())
    told = [run.trouble]
    run.store._connection.execute("PRAGMA max_page_count = 1000000")
    run_through(run.write())
    assert "the disk is full" in (told[0] or "")
    assert run.trouble is None
    assert run.store._connection.execute("SELECT COUNT(*) FROM exchanges").fetchone() == (400,)
    run.store.close()


def test_clocks_are_compared_by_the_shortest_round_trip() -> None:
    """An answer that took long says little; one that took none backwards nothing."""
    offsets = Offsets()
    offsets.answer(sent_s=10.0, told_s=110.6, now_s=11.0)
    assert offsets.offset_s == pytest.approx(100.1)
    offsets.answer(sent_s=20.0, told_s=120.01, now_s=20.02)
    assert offsets.offset_s == pytest.approx(100.0)
    assert offsets.round_trip_s == pytest.approx(0.02)
    offsets.answer(sent_s=30.0, told_s=135.0, now_s=31.0)
    offsets.answer(sent_s=30.0, told_s=135.0, now_s=29.0)
    assert offsets.offset_s == pytest.approx(100.0)


def test_a_parcel_that_did_not_arrive_is_told(scenario: Scenario, run: ActiveRun) -> None:
    """A connection that breaks may swallow one: the run cannot be judged, and says how many are missing."""
    gatherer = worked(scenario, 0, 2)
    gatherer.take_report()  # on its way for ever
    enrols(gatherer, 4)
    run.workers.merge("one", gatherer.take_report(GeneratorTotals(1.0, 1)))
    run.workers.merge("other", worked(scenario, 1, 3).take_report(GeneratorTotals(1.0, 1)))
    end = run.finish()
    assert end.exit_code is Exit.SATURATED
    assert "1 report from worker 0 was lost" in (end.summary.generator.why or "")
