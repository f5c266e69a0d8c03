"""A bug of ours stops one device, and no other; one that belongs to no device ends at most the run, which is saved."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from engine_kit import NOWHERE, ONCE, Rig, Server, closed_port, cohort, renewing, rig, sandbox, silence, until

from estsim.device.events import PowerCut, RenewNow, StopAsked
from estsim.device.exchange import Conversation
from estsim.device.machine import Machine
from estsim.device.policy import AfterRenewals, EnrollPolicy, Fetch, Policy, RenewPolicy
from estsim.engine.exchange_task import ExchangeTask
from estsim.engine.kept_connections import KeptConnections
from estsim.engine.loop_monitor import LoopMonitor
from estsim.engine.run import Run, RunOptions
from estsim.engine.timer_queue import TimerQueue
from estsim.est.enrolment import EnrolmentEnd
from estsim.figures import summary_builder as summary_module
from estsim.figures.exits import OF_VERDICT, Exit
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.figures.verdict import Verdict
from estsim.fleet.exchange_context import ExchangeContext
from estsim.fleet.kept_connection import KeptConnection
from estsim.fleet.ledger import Ledger
from estsim.fleet.results import RunResult
from estsim.fleet.run_books import RunBooks
from estsim.load.arrivals import Burst
from estsim.record.enrolment_tally import FAILURES
from estsim.record.recorder import Recorder
from estsim.record.run_reader import RunReader
from estsim.record.run_record import RunRecord
from estsim.record.sample import Sample
from estsim.record.saturation import Saturation
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import NoBootstrap
from estsim.scenario.target_url import TargetUrl

DEVICE: Final = 3
LEAVING: Final = renewing(after_s=0.1, times=1, then=AfterRenewals.LEAVE)
KEPT: Final = Policy(enroll=EnrollPolicy(cacerts=Fetch.NEVER), renew=RenewPolicy())

Said = Callable[..., bool]


def patched(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, strikes: Said, bug: BaseException) -> None:
    """Have a function of ours raise where ``strikes`` says so of its arguments."""
    real = getattr(owner, name)

    def raising(*words: Any, **keys: Any) -> Any:  # noqa: ANN401 - whatever it takes and gives
        if strikes(*words):
            raise bug
        return real(*words, **keys)

    monkeypatch.setattr(owner, name, raising)


# Where a device may meet a bug: the owner and the name of a function, and whether its arguments are of that device.
PLACES: Final[dict[str, tuple[type, str, Said]]] = {
    "reading an answer": (Conversation, "answered", lambda self, *_: self._device == DEVICE),
    "making a request": (Conversation, "request", lambda self, *_: self._device == DEVICE),
    "setting out": (Conversation, "__init__", lambda *words: words[2] == DEVICE),
    "making a key": (ExchangeContext, "ready", lambda self, *_: self.device.index == DEVICE),
    "making a row": (ExchangeContext, "_sample", lambda self, *_: self.device.index == DEVICE),
    "settling": (ExchangeContext, "settled", lambda self, *_: self.device.index == DEVICE),
    "deciding": (Machine, "step", lambda self, *_: self.device == DEVICE),
    "booking a row": (Ledger, "exchange", lambda _, __, sample: sample.device == DEVICE),
    "booking a command": (Ledger, "command", lambda _, device, *__: device.index == DEVICE),
    "counting a row": (Recorder, "exchange", lambda _, sample: sample.device == DEVICE),
    "counting a search": (Recorder, "enrolment_began", lambda _, enrolment: enrolment.device == DEVICE),
    "looking for its line": (KeptConnections, "of", lambda _, device: device.index == DEVICE),
    "taking a line": (KeptConnection, "take", lambda self, _: self.device.index == DEVICE),
    "giving a line back": (
        KeptConnection,
        "give_back",
        lambda kept, line: kept.device.index == DEVICE and not line.drop(),
    ),
    "closing a line in time": (KeptConnections, "close_in_time", lambda _, kept: kept.device.index == DEVICE),
    "forgetting what a line kept": (KeptConnection, "forget", lambda self: self.device.index == DEVICE),
    "forgetting a line": (KeptConnections, "forget", lambda _, device: device.index == DEVICE),
}


@pytest.mark.parametrize("place", PLACES)
async def test_a_bug_stops_the_device_that_meets_it(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is met, again and again: the others enroll, renew and leave, and the accounts are right."""
    owner, name, strikes = PLACES[place]
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(6, LEAVING))
        patched(monkeypatch, owner, name, strikes, KeyError("a bug"))
        await made.shard.run(until_settled=True)
    assert made.shard.reading().states == {"retired": 5, "internal_error": 1}
    assert made.shard.in_flight == 0
    assert_the_others_lived(made)
    errors = made.recorder.internal_errors
    assert errors.devices == 1
    assert next((kind.error, kind.numbers) for kind in errors.kinds.values()) == ("KeyError", (DEVICE,))
    assert_it_is_nobody_s_failure(made)


def assert_the_others_lived(made: Rig) -> None:
    """Check that five devices have two certificates each."""
    ends = Counter(each.end for each in made.recorder.ended if each.device != DEVICE)
    assert ends == {EnrolmentEnd.ISSUED: 10}
    assert {sample.kind.value for sample in made.recorder.samples if sample.device != DEVICE} == {"ok"}


def assert_it_is_nobody_s_failure(made: Rig) -> None:
    """Check that what the device sought ended as an error of ours, in no class that is the server's."""
    enrolment_tally = made.recorder.book.total().enrolment_tally
    assert (enrolment_tally.open, enrolment_tally.failures) == (0, 0)
    assert {each.end for each in made.recorder.ended if each.device == DEVICE} <= {
        EnrolmentEnd.INTERNAL_ERROR,
        EnrolmentEnd.ISSUED,
    }
    rows = [sample for sample in made.recorder.samples if sample.device == DEVICE]
    assert {sample.kind.value for sample in rows} <= {"ok", "abandoned"}
    for sample in rows:
        if sample.kind.value == "abandoned":
            assert sample.detail == "internal error of estsim: see errors.log"
    assert EnrolmentEnd.INTERNAL_ERROR not in FAILURES


async def test_the_exchange_under_way_has_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has answered: so there is a row with its id and stamps, as one that we have cut short."""
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(6, ONCE))
        patched(monkeypatch, *PLACES["reading an answer"], KeyError("a bug"))
        await made.shard.run(until_settled=True)
        served = {request_id for (request_id,) in server.logged("request_id")}
    (row,) = [sample for sample in made.recorder.samples if sample.device == DEVICE]
    assert row.kind.value == "abandoned"
    assert row.stamps.first_byte_ns is not None
    assert served == {sample.request_id for sample in made.recorder.samples}
    (ended,) = [each for each in made.recorder.ended if each.device == DEVICE]
    assert ended.ended_ns is not None
    assert ended.ended_ns >= row.stamps.ended_ns


async def test_a_thousand_bugs_are_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each with a message of its own: all devices stop, the fleet is settled, and the log is small."""

    def raising(_: object, __: object, device: int, *___: object) -> None:
        raise KeyError(f"bug {device}" + "x" * 10 * device)

    monkeypatch.setattr(Conversation, "__init__", raising)
    made = rig(closed_port(), NOWHERE, None, cohort(1000, ONCE, bootstrap=NoBootstrap()))
    await made.shard.run(until_settled=True)
    assert made.shard.reading().states == {"internal_error": 1000}
    errors = made.recorder.internal_errors
    assert (len(errors.kinds), errors.count, errors.devices) == (1, 1000, 1000)
    assert len(errors.log("1")) < 5000
    assert {each.end for each in made.recorder.ended} == {EnrolmentEnd.INTERNAL_ERROR}
    assert made.recorder.book.total().enrolment_tally.open == 0


@pytest.mark.parametrize("event", [RenewNow, PowerCut])
async def test_an_event_that_meets_a_bug_strikes_one_device(
    event: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It cannot be carried out on that device, and is on the others."""
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(6, KEPT))
        patched(
            monkeypatch,
            Machine,
            "step",
            lambda self, what, _: self.device == DEVICE and isinstance(what, event),
            ValueError("a bug"),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run, made)
            await until(lambda: made.shard.reading().states == {"operational": 6})
            for device in made.fleet.devices:
                made.shard.order(made.clock.now_s(), device, lambda at_s: event() if event is PowerCut else event(at_s))
            expected = {"off": 5} if event is PowerCut else {"operational": 5}
            await until(lambda: made.shard.reading().states == {**expected, "internal_error": 1})
            await until(lambda: made.shard.in_flight == 0)
            made.shard.stop()
    assert made.recorder.internal_errors.devices == 1
    assert made.recorder.book.total().enrolment_tally.open == 0


async def _run(made: Rig) -> None:
    await made.shard.run(until_settled=False)


async def test_a_stop_that_meets_a_bug_stops_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device before it and the device after it are told, and the run ends."""
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(6, KEPT))
        patched(
            monkeypatch,
            Machine,
            "step",
            lambda self, what, _: self.device == DEVICE and isinstance(what, StopAsked),
            ValueError("a bug"),
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run, made)
            await until(lambda: made.shard.reading().states == {"operational": 6})
            made.shard.stop()
    assert made.shard.reading().states == {"operational": 5, "internal_error": 1}
    assert all(device.machine.stopped for device in made.fleet.devices)
    assert made.shard.reading().planned == 0


async def test_what_is_open_at_the_end_is_booked_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose search cannot be booked as open has it ended as an error of ours."""
    async with silence() as server:
        made = _waiting(server.url)
        patched(monkeypatch, Ledger, "open_at_the_end", lambda _, device: device.index == DEVICE, ValueError("a bug"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run, made)
            await server.has(6)
            nursery.cancel_scope.cancel()
    assert sorted(each.device for each in made.recorder.left_open) == [0, 1, 2, 4, 5]
    assert [(each.device, each.end) for each in made.recorder.ended] == [(DEVICE, EnrolmentEnd.INTERNAL_ERROR)]
    assert set(made.recorder.kinds()) == {"abandoned"}
    assert {sample.detail for sample in made.recorder.samples} == {"cut by estsim"}


def _waiting(url: TargetUrl) -> Rig:
    """Return six devices that ask a server for certificates that never answers."""
    return rig(url, NOWHERE, None, cohort(6, ONCE, bootstrap=NoBootstrap()))


async def test_a_cancellation_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug that comes with it is noted, out of the same group, and the cancellation goes on."""
    real = ExchangeTask.perform

    async def perform(self: ExchangeTask, device: Any, command: Any) -> Any:  # noqa: ANN401 - as it is
        if device.index != DEVICE:
            return await real(self, device, command)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_raise_at_the_end)
            return await real(self, device, command)

    monkeypatch.setattr(ExchangeTask, "perform", perform)
    async with silence() as server:
        made = _waiting(server.url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_run, made)
            await server.has(6)
            nursery.cancel_scope.cancel()
    assert [kind.error for kind in made.recorder.internal_errors.kinds.values()] == ["KeyError"]
    assert made.recorder.internal_errors.devices == 1
    assert made.shard.reading().states["internal_error"] == 1


async def _raise_at_the_end() -> None:
    try:
        await trio.sleep_forever()
    finally:
        raise KeyError("a bug")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_an_order_to_end_is_no_bug(
    kind: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the fleet, whatever task it reaches."""
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(6, ONCE))
        patched(monkeypatch, *PLACES["reading an answer"], kind())
        with pytest.RaisesGroup(kind, flatten_subgroups=True):
            await made.shard.run(until_settled=True)
    assert not made.recorder.internal_errors


async def test_who_waits_for_the_place_of_a_device_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A station is not blocked for ever by a device that was stopped at it."""
    async with sandbox(tmp_path) as server:
        made = server.rig(cohort(6, ONCE, arrivals=Burst()))
        made.fleet.boots.clear()
        made.fleet.stationed.append((1, [*made.fleet.devices]))
        patched(monkeypatch, *PLACES["reading an answer"], KeyError("a bug"))
        shard = type(made.shard)(made.fleet, made.shard._exchanges, made.shard._ledger, made.clock)
        await shard.run(until_settled=True)
        states = shard.reading().states
    assert states == {"operational": 5, "internal_error": 1}


# -- runs, whole


def run_file(folder: Path, server: Server, **keys: object) -> Path:
    """Write a scenario of twenty devices against a sandbox."""
    maker = str(server.here.place.manufacturer)
    meters = {
        "devices": 20,
        "boot": {"burst": "500ms"},
        "renew": "off",
        "bootstrap": {"kind": "manufacturer", "authority": "maker"},
    }
    plan = {
        "version": 1,
        "name": "bugs",
        "duration": "20s",
        "until": "settled",
        "generator": {"max_lag": "30s", "max_cpu": "100%"},
        "target": {"url": str(server.url), "trust": {"ca": str(server.here.trust)}},
        "authorities": {"maker": {"cert": maker, "key": maker}},
        "cohorts": {"meters": meters},
        **keys,
    }
    path = folder / "bugs.yaml"
    path.write_text(json.dumps(plan), encoding="utf-8")
    return path


async def ran(
    folder: Path, server: Server, show: Callable[[Snapshot], None] = lambda _: None, **keys: object
) -> RunResult:
    """Run it to its end."""
    run = Run(load_scenario(run_file(folder, server, **keys)), RunOptions(folder / "results"), show)
    return await run.go()


def errors_log(result: RunResult) -> str:
    """Return the log that a run has left; its mode is its owner's alone."""
    path = result.folder / "errors.log"
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_text(encoding="ascii")


def assert_saved(result: RunResult) -> list[Sample]:
    """Check that a run's verdict is an error of ours and that it was saved; return its rows."""
    assert result.summary.verdict == "error"
    assert OF_VERDICT[Verdict(result.summary.verdict)] is Exit.ERROR
    assert json.loads((result.folder / "summary.json").read_text(encoding="utf-8")) == result.summary.as_dict()
    with RunReader(result.folder / "run.sqlite") as reader:
        assert "ended" in reader.facts()
        return [*reader.exchanges()]


async def test_a_run_whose_device_met_a_bug_is_an_error_and_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """States, figures, verdict and log tell of the one device; the threshold holds and does not decide."""
    async with sandbox(tmp_path / "s") as server:
        patched(monkeypatch, *PLACES["reading an answer"], KeyError("a bug"))
        result = await ran(tmp_path, server)
    rows = assert_saved(result)
    assert len(rows) == 2 * 20  # a preflight, two for each device but one
    summary = result.summary
    assert summary.fleet.states == {"operational": 19, "internal_error": 1}
    assert [each.passed for each in summary.thresholds] == [True, True]
    assert summary.operations["cacerts"].abandoned == 1
    met = summary.internal_errors
    assert met is not None
    assert (met.count, met.devices) == (1, 1)
    assert "KeyError: 'a bug'" in errors_log(result)
    told = result.log.told()
    assert told is not None
    assert "1 device stopped, the others continued" in told
    assert str(result.folder / "errors.log") in told


async def test_a_bug_comes_before_a_saturated_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 1 is before 4 and 3 (README, "Read the result")."""
    async with sandbox(tmp_path / "s") as server:
        patched(monkeypatch, *PLACES["reading an answer"], KeyError("a bug"))
        monkeypatch.setattr(RunRecord, "verdict", lambda _: Saturation(0, 1, "it was late"))
        result = await ran(tmp_path, server, thresholds=["certificates.issued > 1000"])
    assert result.summary.generator.saturated
    assert [each.passed for each in result.summary.thresholds] == [False]
    assert_saved(result)


async def test_a_preflight_that_meets_a_bug_starts_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is not to blame: no exit 5."""
    async with sandbox(tmp_path / "s") as server:
        patched(monkeypatch, Conversation, "answered", lambda *_: True, KeyError("a bug"))
        result = await ran(tmp_path, server)
    (row,) = assert_saved(result)
    assert (row.cause.value, row.kind.value) == ("preflight", "abandoned")
    assert result.summary.fleet.states == {"off": 20}


async def test_a_scheduler_that_meets_a_bug_ends_the_run_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to no device: what happened until then is there, with what was open."""
    seen: list[float] = []

    def strikes(_: object, now_s: float) -> bool:
        seen.append(now_s)
        return now_s > 0.3

    async with sandbox(tmp_path / "s") as server:
        patched(monkeypatch, TimerQueue, "pop_due", strikes, KeyError("a bug"))
        result = await ran(tmp_path, server)
    assert len(assert_saved(result)) >= 1
    assert sum((result.summary.fleet.states or {}).values()) == 20
    assert "0 devices stopped" in errors_log(result)


@pytest.mark.parametrize(("owner", "name"), [(LoopMonitor, "late"), (LoopMonitor, "take"), (RunBooks, "snapshot")])
async def test_a_service_that_meets_a_bug_ends_no_run(
    owner: type, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heartbeat, the look at itself, the display's figures: all devices have their certificates."""
    async with sandbox(tmp_path / "s") as server:
        patched(monkeypatch, owner, name, lambda *_: True, KeyError("a bug"))
        result = await ran(tmp_path, server)
    assert result.summary.certificates.issued == 20
    assert_saved(result)


async def test_a_display_that_meets_a_bug_ends_no_run(tmp_path: Path) -> None:
    """It is asked again once, then left alone; the run goes on to its end."""
    asked: list[RunStage] = []

    def show(snapshot: Snapshot) -> None:
        asked.append(snapshot.stage)
        raise KeyError("a bug")

    async with sandbox(tmp_path / "s") as server:
        result = await ran(tmp_path, server, show)
    assert result.summary.certificates.issued == 20
    assert asked.count(RunStage.RUNNING) <= 2
    assert_saved(result)
    assert len(result.log.errors.kinds) <= 3


async def test_a_row_that_cannot_be_made_costs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer leaves out that one, and the run goes on."""

    def spoils(_: Recorder, sample: Any) -> bool:  # noqa: ANN401 - what is no sample any more
        if sample.device == DEVICE:
            sample.tls_version = {"a": "bug"}
        return False

    async with sandbox(tmp_path / "s") as server:
        patched(monkeypatch, Recorder, "exchange", spoils, KeyError("never"))
        result = await ran(tmp_path, server)
    rows = assert_saved(result)
    assert result.summary.certificates.issued == 20
    assert {row.device for row in rows} == set(range(20)) - {DEVICE}


async def test_figures_that_cannot_be_reckoned_leave_a_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what the run was, and that a bug of ours kept it from being judged."""
    async with sandbox(tmp_path / "s") as server:
        monkeypatch.setattr(summary_module, "_deferral", lambda _: 1 / 0)
        result = await ran(tmp_path, server)
    assert len(assert_saved(result)) == 41
    assert result.summary.run.scenario == "bugs"
    assert "ZeroDivisionError" in errors_log(result)
