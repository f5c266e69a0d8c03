"""A worker's session as tables: what comes in and when, and what is to be done about it."""

from collections.abc import Callable
from typing import Final

import pytest

from estsim.locust.worker.acts import (
    Act,
    AskTime,
    Boot,
    End,
    Ending,
    HandOn,
    Prepare,
    Reopen,
    Report,
    Say,
    SayAlive,
    SetClock,
    StopDevices,
    StopFleet,
    Tell,
)
from estsim.locust.worker.messages import (
    Ack,
    AllSpawned,
    Beat,
    ClientReady,
    ClientStopped,
    ClockTold,
    Complaint,
    FromMaster,
    Hello,
    Join,
    Leaving,
    Plan,
    Proved,
    QuitOrder,
    ReconnectOrder,
    Refused,
    Spawn,
    Spawning,
    SpawningComplete,
    StopOrder,
    Unknown,
    Unproved,
)
from estsim.locust.worker.session import Session
from estsim.locust.worker.states import Fleet, State

MASTER: Final = "master:5557"
PLAN, OTHER_PLAN = Plan({"run_id": "a"}), Plan({"run_id": "b"})
CALL: Final[list[Act]] = [Say(Hello())]
JOIN: Final[list[Act]] = [Say(Join()), Say(ClientReady())]
OVER: Final[list[Act]] = [Report({"Meter": 0}), Say(ClientStopped()), *JOIN]
GOODBYE: Final[list[Act]] = [Report({}), Say(Leaving())]
LAST: Final[list[Act]] = [HandOn(last=True), Report({"Meter": 0}), Say(Leaving())]

Step = Callable[[Session], list[Act]]  # something that comes in


def session() -> Session:
    """Return one that has just begun to call, at 0 s."""
    return Session(master=MASTER, patience_s=60.0, now_s=0.0)


def spawn(users: int, timestamp_s: float = 1.0) -> Spawn:
    """Return an order to have so many users."""
    return Spawn(timestamp_s, {"Meter": users})


def spawned(users: int) -> Act:
    """Return what is said when there are."""
    return Say(SpawningComplete({"Meter": users}))


def hears(message: FromMaster, at_s: float = 1.0) -> Step:
    """Say that a message arrives."""
    return lambda worker: worker.received(message, at_s)


def makes(devices: int) -> Step:
    """Say that the devices are made."""
    return lambda worker: worker.prepared(devices)


def ends(at_s: float = 2.0) -> Step:
    """Say that the fleet has come to its end."""
    return lambda worker: worker.stopped(at_s)


def linked(at_s: float = 0.0) -> Step:
    """Say that there is a connection."""
    return lambda worker: worker.linked(at_s)


def ctrl_c() -> Step:
    """Say that somebody wants it to go."""
    return lambda worker: worker.interrupted()


PROVED: Final[list[Step]] = [linked(), hears(Proved())]
READY: Final[list[Step]] = [*PROVED, hears(Ack(3))]
MAKING: Final[list[Step]] = [*READY, hears(PLAN)]
SPAWNING: Final[list[Step]] = [*MAKING, hears(spawn(2))]
PLAYING: Final[list[Step]] = [*MAKING, makes(5), hears(spawn(5))]
STOPPING: Final[list[Step]] = [*PLAYING, hears(StopOrder())]


def after(steps: list[Step]) -> tuple[Session, list[Act]]:
    """Take all steps; returns what the last of them has to be answered with, but for what people are told."""
    worker, acts = session(), []
    for step in steps:
        acts = step(worker)
    return worker, [act for act in acts if not isinstance(act, Tell)]


@pytest.mark.parametrize(
    ("before", "step", "acts", "state"),
    [
        ([], linked(), CALL, State.CALLING),
        ([linked()], hears(Proved()), JOIN, State.CALLING),
        (PROVED, hears(Ack(3)), [], State.READY),
        (PROVED, hears(PLAN), [], State.CALLING),
        (PROVED, hears(spawn(5)), [], State.CALLING),
        (PROVED, hears(StopOrder()), [], State.CALLING),
        (READY, hears(Ack(3)), [], State.READY),
        (READY, hears(PLAN), [Prepare(PLAN.packed)], State.READY),
        (READY, hears(StopOrder()), [Report({}), Say(ClientStopped()), *JOIN], State.READY),
        (READY, hears(ClockTold(1.0, 2.0)), [SetClock(1.0, 2.0)], State.READY),
        (READY, hears(Unknown("later")), [], State.READY),
        (READY, hears(Beat()), [], State.READY),
        (MAKING, hears(spawn(5)), [Say(Spawning())], State.SPAWNING),
        (MAKING, makes(5), [], State.READY),
        ([*MAKING, makes(5)], hears(spawn(2)), [Say(Spawning()), Boot(2), spawned(2)], State.RUNNING),
        (SPAWNING, makes(5), [Boot(2), spawned(2)], State.RUNNING),
        ([*SPAWNING, hears(spawn(4, 2.0))], makes(5), [Boot(4), spawned(4)], State.RUNNING),
        (PLAYING, hears(spawn(8, 2.0)), [Say(Spawning()), Boot(3), spawned(8)], State.RUNNING),
        (PLAYING, hears(spawn(1, 2.0)), [Say(Spawning()), StopDevices(4), spawned(1)], State.RUNNING),
        (PLAYING, hears(spawn(5, 2.0)), [Say(Spawning()), spawned(5)], State.RUNNING),
        (PLAYING, hears(spawn(8, 1.0)), [], State.RUNNING),
        (PLAYING, hears(spawn(8, 0.5)), [], State.RUNNING),
        (PLAYING, hears(AllSpawned()), [], State.RUNNING),
        (PLAYING, hears(StopOrder()), [StopFleet()], State.STOPPING),
        (STOPPING, hears(StopOrder()), [], State.STOPPING),
        (STOPPING, ends(), [HandOn(last=True), *OVER], State.READY),
        ([*MAKING, hears(StopOrder())], ends(), [Report({}), Say(ClientStopped()), *JOIN], State.READY),
        ([*MAKING, hears(StopOrder())], makes(5), [], State.STOPPING),
    ],
)  # fmt: skip
def test_a_test_from_its_plan_to_its_end(before: list[Step], step: Step, acts: list[Act], state: State) -> None:
    """Each message in each state, and what it makes of it."""
    worker, done = after([*before, step])
    assert (done, worker.state) == (acts, state)


@pytest.mark.parametrize("held", [[PLAN], [PLAN, spawn(2, 3.0)], [OTHER_PLAN, spawn(2, 3.0)]])
def test_what_comes_while_the_fleet_stops_waits_for_its_end(held: list[FromMaster]) -> None:
    """A master may begin the next test before a worker has ended the last."""
    steps = [*STOPPING, *(hears(message) for message in held)]
    assert after(steps)[1] == []
    worker, done = after([*steps, ends()])
    assert done[: len(OVER) + 1] == [HandOn(last=True), *OVER]
    assert done[len(OVER) + 1 :] == [Prepare(held[0].packed), *[Say(Spawning())][: len(held) - 1]]  # type: ignore[union-attr]
    assert worker.fleet is Fleet.MAKING


def test_a_stop_takes_back_what_waits() -> None:
    """Nobody plays a test that has been stopped before it could begin."""
    _, done = after([*STOPPING, hears(PLAN), hears(spawn(2, 3.0)), hears(StopOrder()), ends()])
    assert done == [HandOn(last=True), *OVER]


def test_another_plan_takes_the_place_of_one_under_way() -> None:
    """A fleet of a run that nobody leads any more is cut, and hands on nothing: it would count for the new run."""
    worker, done = after([*PLAYING, hears(OTHER_PLAN)])
    assert done == [StopFleet(at_once=True)]
    assert HandOn() not in worker.tick(1.5)
    assert worker.stopped(2.0)[-1] == Prepare(OTHER_PLAN.packed)
    assert worker.fleet is Fleet.MAKING


def test_a_worker_that_joins_is_told_of_users_before_it_has_a_plan() -> None:
    """Locust's master spawns at once; the plan follows the hello. Without one it says that it has nobody."""
    worker, done = after([*READY, hears(spawn(3))])
    assert done == [Say(Spawning()), spawned(0)]
    assert worker.state is State.READY
    _, done = after([*READY, hears(spawn(3)), hears(PLAN), makes(5)])
    assert done == [Boot(3), spawned(3)]


@pytest.mark.parametrize(
    ("before", "step", "how", "acts"),
    [
        (READY, hears(QuitOrder()), Ending.TOLD, GOODBYE),
        ([linked()], ctrl_c(), Ending.INTERRUPTED, []),
        (READY, ctrl_c(), Ending.INTERRUPTED, GOODBYE),
        (READY, hears(Refused("protocol 2")), Ending.REFUSED, GOODBYE),
        (MAKING, lambda w: w.failed("a: got x", "a"), Ending.REFUSED, [Say(Complaint("a")), *GOODBYE]),
        ([*PLAYING, hears(QuitOrder())], ends(), Ending.TOLD, LAST),
        ([*PLAYING, ctrl_c()], ends(), Ending.INTERRUPTED, LAST),
        ([*PLAYING, ctrl_c(), hears(QuitOrder())], ends(), Ending.INTERRUPTED, LAST),
        ([*STOPPING, hears(QuitOrder())], ends(), Ending.TOLD, LAST),
        ([*STOPPING, ends(), hears(Ack(3))], hears(QuitOrder()), Ending.TOLD, [Report({"Meter": 0}), Say(Leaving())]),
    ],
)  # fmt: skip
def test_how_a_worker_ends(before: list[Step], step: Step, how: Ending, acts: list[Act]) -> None:
    """Whatever ends it, the last worker report goes first, then what Locust charts, then the goodbye."""
    _, done = after([*before, step])
    assert done[:-1] == acts
    assert isinstance(end := done[-1], End)
    assert end.how is how


def test_a_second_interrupt_cuts_what_is_under_way() -> None:
    """The first lets it end."""
    assert after([*PLAYING, ctrl_c()])[1] == [StopFleet(at_once=False)]
    assert after([*PLAYING, ctrl_c(), ctrl_c()])[1] == [StopFleet(at_once=True)]


# -- by the clock


def between(worker: Session, from_s: float, to_s: float, *, answers: bool = True) -> list[tuple[float, Act]]:
    """Let time pass, a tenth of a second at a time; a master answers heartbeats."""
    done: list[tuple[float, Act]] = []
    for tenth in range(round(from_s * 10), round(to_s * 10)):
        acts = worker.tick(tenth / 10)
        done += [(tenth / 10, act) for act in acts]
        if answers and any(isinstance(act, SayAlive) for act in acts):
            worker.received(Beat(), tenth / 10)
    return done


def times(done: list[tuple[float, Act]], kind: type[Act]) -> list[float]:
    """Return when a kind of act was to be done."""
    return [at_s for at_s, act in done if isinstance(act, kind)]


def test_a_worker_calls_every_few_seconds_until_its_patience_is_over() -> None:
    """And says so; where there is no connection it has nothing to call into."""
    worker = session()
    done = between(worker, 0, 61)
    assert times(done, Say) == []
    assert times(done, Tell)[:3] == [5.0, 10.0, 15.0]
    assert done[0][1] == Tell("no master at master:5557 yet; retrying for 55 s")
    ends_at = [at_s for at_s, act in done if isinstance(act, End)]
    assert ends_at[0] == 60.0
    worker = session()
    assert worker.linked(0.5)[-2:] == CALL
    assert [at_s for at_s, act in between(worker, 0.5, 11) if act == CALL[0]] == [5.5, 10.5]


def test_a_connection_that_comes_is_called_into_at_once() -> None:
    """A master that was restarted while we called has not heard the call before."""
    worker = session()
    worker.linked(0.0)
    worker.unlinked(1.0)
    assert worker.linked(1.5) == CALL


def test_what_is_said_by_the_clock() -> None:
    """Locust's heartbeat each second and statistics each three; worker reports each second while there is a fleet."""
    worker, _ = after(PLAYING)
    worker.received(ClockTold(1.0, 1.0), 1.0)
    done = between(worker, 1, 41)
    assert times(done, SayAlive) == [float(second) for second in range(1, 41)]
    assert times(done, Report) == [float(second) for second in range(1, 41, 3)]
    assert times(done, HandOn) == [float(second) for second in range(1, 41)]
    assert times(done, AskTime) == [1.0, 1.2, 1.4, 1.6, 31.6]
    assert times(done, Tell) == []


@pytest.mark.parametrize(
    ("steps", "state"),
    [(READY, "ready"), (MAKING, "ready"), (SPAWNING, "spawning"), (PLAYING, "running"), (STOPPING, "running")],
)
def test_what_locust_is_told_of_the_state(steps: list[Step], state: str) -> None:
    """A worker that stops still runs, as Locust's own says; else its master would take the test for over."""
    worker, _ = after(steps)
    assert SayAlive(state) in worker.tick(1.0)


def test_who_is_there_and_is_no_master_of_estsim_s_is_told_and_given_up() -> None:
    """After a few seconds, once; a plain Locust warns of each hello, and gets no worker for whom it has no plan."""
    worker = session()
    worker.linked(1.0)
    done = between(worker, 1, 61)
    assert [at_s for at_s, act in done if act == CALL[0]] == [float(second) for second in range(6, 61, 5)]
    ((told_s, told),) = [(at_s, act.words) for at_s, act in done if isinstance(act, Tell)]
    assert told_s == 6.0
    assert "no response from an estsim master" in told
    assert times(done, Say) == [float(second) for second in range(6, 61, 5)]
    (end,) = worker.tick(61.0)
    assert isinstance(end, End)
    assert end.how is Ending.REFUSED
    assert "no response from an estsim master at master:5557 within 60 s" in end.why


# -- a master that has proved nothing

LOCUST_S_OWN: Final[list[FromMaster]] = [
    Ack(0), spawn(5, 9.0), StopOrder(), QuitOrder(), ReconnectOrder(), Beat(), AllSpawned(), Unknown("later"),
]  # fmt: skip


@pytest.mark.parametrize("message", LOCUST_S_OWN)
@pytest.mark.parametrize("steps", [[linked()], PLAYING, STOPPING], ids=["calling", "playing", "stopping"])
def test_who_takes_a_master_s_place_moves_nobody(steps: list[Step], message: FromMaster) -> None:
    """On a new connection Locust's own messages are nobody's; the master of before is gone, and that cuts the fleet."""
    worker, _ = after(steps)
    worker.unlinked(2.0)
    worker.linked(2.5)
    state, fleet = worker.state, worker.fleet
    done = worker.received(message, 2.6)
    assert [act for act in done if not isinstance(act, Tell)] == []
    assert (worker.state, worker.fleet) == (state, fleet)
    for tenth in range(26, 60):
        worker.received(message, tenth / 10)
        done += worker.tick(tenth / 10)
    is_in_service = state is not State.CALLING
    assert worker.state is (State.STOPPING if is_in_service else State.CALLING)
    assert done.count(StopFleet(at_once=True)) == is_in_service


def test_orders_of_a_master_that_has_proved_nothing_are_told_once() -> None:
    """In the end that is why there was no master."""
    worker = session()
    worker.linked(0.0)
    told = [act for second in (1, 2, 3) for act in worker.received(QuitOrder(), float(second))]
    assert told == [Tell("ignoring orders from master:5557: it has not proved that it has the link secret")]
    ends = [act for act in worker.tick(60.0) if isinstance(act, End)]
    assert [end.how for end in ends] == [Ending.REFUSED]


def test_an_answer_to_an_earlier_hello_does_not_count() -> None:
    """Who says hello anew wants another proof, also of a master that was slow to take it in."""
    worker, _ = after(PROVED)
    assert CALL[0] in worker.tick(6.0)
    assert worker.received(Ack(3), 6.1) == []
    assert worker.state is State.CALLING
    assert worker.received(Proved(), 6.2) == JOIN
    assert worker.received(Ack(4), 6.3) == [Tell("connected to master:5557 as worker 4")]


def test_a_master_with_another_secret_ends_a_worker() -> None:
    """There is no working for it."""
    worker = session()
    worker.linked(0.0)
    assert worker.received(Unproved("failed authentication"), 0.1) == [
        End(Ending.REFUSED, "master:5557 does not have this link secret: failed authentication")
    ]


# -- a master that is gone


def test_a_silent_master_is_gone_after_a_minute() -> None:
    """As Locust's worker has it; the fleet is cut, and the worker is another for whom it finds next."""
    worker, _ = after(PLAYING)
    done = between(worker, 1, 70, answers=False)
    ((at_s, act),) = [(at_s, act) for at_s, act in done if isinstance(act, StopFleet)]
    assert at_s == pytest.approx(61.1)
    assert act.at_once
    assert worker.stopped(70.0) == [Reopen(as_another=True)]
    assert worker.state is State.CALLING
    assert worker.linked(71.0) == CALL


def test_a_master_that_was_restarted_answers_no_heartbeat() -> None:
    """Its connection was cut, and it cannot know us: three seconds are enough, and nothing of the test is sent."""
    worker, _ = after(PLAYING)
    between(worker, 1, 5)
    worker.unlinked(5.0)
    assert between(worker, 5, 6) == []
    worker.linked(6.0)
    done = between(worker, 6.1, 12, answers=False)
    assert {type(act) for _, act in done} == {SayAlive, AskTime, Tell, StopFleet}
    assert times(done, AskTime)[:3] == [6.5, 7.0, 7.5]
    assert times(done, StopFleet) == [pytest.approx(9.1)]


def test_a_connection_that_was_lost_for_a_moment_changes_nothing() -> None:
    """The same master answers, and gets what was counted meanwhile."""
    worker, _ = after(PLAYING)
    between(worker, 1, 5)
    assert worker.unlinked(5.0) == [Tell("lost the connection to master:5557")]
    between(worker, 5, 9)
    assert worker.linked(9.0) == [SayAlive("running"), AskTime()]
    worker.received(ClockTold(9.0, 9.0), 9.1)
    done = between(worker, 9.2, 80)
    assert times(done, StopFleet) == []
    assert times(done, HandOn)[0] == 9.2


def test_a_connection_that_does_not_come_back() -> None:
    """Without a fleet the worker calls again, and in the end gives up."""
    worker, _ = after(READY)
    worker.received(ClockTold(0.0, 0.0), 1.0)
    worker.unlinked(5.0)
    done = between(worker, 5, 100)
    assert [(at_s, act) for at_s, act in done if not isinstance(act, Tell)][:2] == [
        (15.1, Reopen(as_another=True)),
        (75.1, End(Ending.UNREACHABLE, "no response from a master at master:5557 within 60 s")),
    ]


def test_a_new_connection_that_the_master_asks_for_is_the_same_worker_s() -> None:
    """It has read something that it did not understand; the test goes on."""
    worker, done = after([*PLAYING, hears(ReconnectOrder())])
    assert done == [Reopen(as_another=False)]
    assert worker.linked(1.5) == [SayAlive("running"), AskTime()]
    worker.received(ClockTold(1.0, 1.0), 1.6)
    assert times(between(worker, 1.7, 10), StopFleet) == []


def test_a_master_that_goes_while_the_fleet_stops_gets_no_last_parcel() -> None:
    """There is nobody to take it."""
    worker, _ = after(STOPPING)
    worker.unlinked(1.5)
    assert worker.stopped(2.0) == [Reopen(as_another=True)]
