"""A worker of a Locust master as a state machine: what comes in and the time make what is to be done. No I/O.

Theory of operation. A worker says hello until a master has proved that it knows the link's secret; then it joins, and
is ready once the master has taken it in as Locust does. A plan makes it prepare its devices,
orders to spawn say how many of them are to have begun, and an order to stop ends the test: the fleet is stopped, the
last worker report goes out before ``client_stopped``, as the master counts on, and the worker is ready again. What
arrives while the fleet comes to its end waits until that is over, as it does in Locust's worker, which is deaf
meanwhile. In Locust's eyes a worker that stops still runs until it has stopped.

Locust's own messages prove nothing, and count only on a connection over which the master has proved itself: by its
answer to the hello, or after a new connection by the first sealed word, for which the worker asks it the time. So who
takes a master's place can stop nothing and move nothing, and is a master that is gone.

Locust's worker is the model (``WorkerRunner`` in ``locust/runners.py``), but for a master that is gone: Locust's worker
ends, this one stops its fleet, whose figures nobody takes any more, and calls again
(:mod:`estsim.locust.worker.liveness`).
"""

from math import inf
from typing import Final

from estsim.locust.worker.acts import (
    Act,
    Boot,
    End,
    Ending,
    HandOn,
    Prepare,
    Reopen,
    Report,
    Say,
    SetClock,
    StopDevices,
    StopFleet,
    Tell,
)
from estsim.locust.worker.liveness import Liveness
from estsim.locust.worker.messages import (
    Ack,
    AllSpawned,
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
    Unproved,
)
from estsim.locust.worker.rhythm import Calls, Rhythm
from estsim.locust.worker.states import After, Fleet, State
from estsim.units import counted

# What is the master's own because it is sealed; a refusal before that can only end a worker that has no fleet.
_SEALED: Final = (Proved, Plan, ClockTold, Refused)
_ORDERS: Final = (Spawn, StopOrder, QuitOrder, ReconnectOrder)
_LEAVING: Final = Tell("finishing current exchanges, then leaving; press Ctrl-C again to leave now")


class Session:
    """One worker. All methods return what is to be done, in that order; ``now_s`` is of a clock that never jumps."""

    def __init__(self, *, master: str, patience_s: float, now_s: float) -> None:
        self.state = State.CALLING
        self.fleet = Fleet.NONE
        self._master = master
        self._patience_s = patience_s
        self._call_afresh(now_s)

    def _call_afresh(self, now_s: float) -> None:
        """Know nothing of any master."""
        self.state = State.CALLING
        self._liveness = Liveness()
        self._calls = Calls(self._master, self._patience_s, now_s)
        self._rhythm = Rhythm()
        self._is_proved = False  # the master, on this connection
        self._held: list[Plan | Spawn] = []
        self._spawned_s = -inf  # the master's stamp of the last order to spawn
        self._wanted: Spawn | None = None
        self._users: dict[str, int] = {}
        self._begun = 0
        self._after, self._ending = After.SERVE, End(Ending.TOLD)

    # -- the connection

    def linked(self, now_s: float) -> list[Act]:
        """Go on with a connection that was made."""
        self._liveness.link(now_s)
        return self.tick(now_s)

    def unlinked(self, now_s: float) -> list[Act]:
        """Take note that the connection is lost: there may be another soon."""
        was_linked = self._liveness.linked
        self._liveness.unlink(now_s)
        self._is_proved = False
        self._calls.at_once()
        is_news = was_linked and self.state is not State.CALLING
        return [Tell(f"lost the connection to {self._master}")] if is_news else []

    def tick(self, now_s: float) -> list[Act]:
        """Do what is due by time; to be called a few times a second."""
        if self.state is State.CALLING:
            acts = self._calls.due(now_s, linked=self._liveness.linked)
            self._is_proved = self._is_proved and Say(Hello()) not in acts  # who says hello anew wants another proof
            return acts
        if self._liveness.is_lost(now_s) and self._after not in (After.RETURN, After.LEAVE):
            return self._lose_master(now_s)
        if not self._liveness.linked:
            return []
        state = State.RUNNING if self.state is State.STOPPING else self.state
        counts = self.fleet is Fleet.PLAYING and self._after is not After.REPLACE
        if not self._is_proved:
            due = self._rhythm.asks(now_s)
        else:
            due = self._rhythm.due(now_s, self._users, counts=counts) if self._liveness.is_sure else []
        return [*self._rhythm.beats(now_s, state.value), *due]

    def _lose_master(self, now_s: float) -> list[Act]:
        told = Tell("lost the master; reconnecting…")
        if self.fleet is Fleet.NONE:
            self._call_afresh(now_s)
            return [told, Reopen(as_another=True)]
        self._held.clear()
        return [told, *self._stop(After.RETURN, at_once=True)]

    # -- what the master says

    def received(self, message: FromMaster, now_s: float) -> list[Act]:
        """Take a message; one of Locust's on a connection where the master has not proved itself is nobody's."""
        if isinstance(message, Unproved):
            return self._leave(End(Ending.REFUSED, f"{self._master} does not have this link secret: {message.why}"))
        if not isinstance(message, _SEALED) and not self._is_proved:
            return self._calls.ignored() if isinstance(message, _ORDERS) else []
        self._is_proved = self._is_proved or not isinstance(message, Refused)
        self._liveness.hear(now_s)
        return self._said(message, now_s)

    def _said(self, message: FromMaster, now_s: float) -> list[Act]:
        match message:
            case Proved():
                return [Say(Join()), Say(ClientReady())]
            case Ack(index):
                return self._taken_in(index)
            case Plan() | Spawn() | StopOrder():
                return self._ordered(message, now_s)
            case QuitOrder():
                return self._leave(End(Ending.TOLD))
            case Refused(why):
                return self._leave(End(Ending.REFUSED, f"{self._master} refused this worker: {why}"))
            case ReconnectOrder():
                self.unlinked(now_s)
                return [Tell(f"{self._master} requested a reconnect"), Reopen(as_another=False)]
            case AllSpawned():
                return [Tell(f"{counted(self._begun, 'device')} running")] if self.state is State.RUNNING else []
            case ClockTold(sent_s, master_s):
                return [SetClock(sent_s, master_s)]
        return []

    def _ordered(self, order: Plan | Spawn | StopOrder, now_s: float) -> list[Act]:
        """Take an order; one of a master that has not taken us in is for somebody else."""
        if self.state is State.CALLING:
            return []
        if self.state is State.STOPPING:
            self._hold(order)
            return []
        match order:
            case Plan():
                return self._planned(order)
            case Spawn():
                return self._spawn(order)
            case StopOrder():
                return self._stop(After.SERVE) if self.fleet is not Fleet.NONE else self._over(now_s)

    def _hold(self, order: Plan | Spawn | StopOrder) -> None:
        """Keep an order until the fleet has stopped; one to stop overtakes what was to come after."""
        if isinstance(order, Plan | Spawn):
            self._held.append(order)
        else:
            self._held.clear()
            self._after = After.SERVE if self._after is After.REPLACE else self._after

    def _taken_in(self, index: int) -> list[Act]:
        """Become ready; an acknowledgement of every later ``client_ready`` says nothing new."""
        if self.state is not State.CALLING:
            return []
        self.state, self._rhythm = State.READY, Rhythm()
        return [Tell(f"connected to {self._master} as worker {index}")]

    def _planned(self, plan: Plan) -> list[Act]:
        if self.fleet is Fleet.NONE:
            self.fleet = Fleet.MAKING
            self.state = State.SPAWNING if self._wanted else State.READY
            return [Tell("plan received"), Prepare(plan.packed)]
        self._held = [plan]
        return self._stop(After.REPLACE, at_once=True)

    def _spawn(self, spawn: Spawn) -> list[Act]:
        """Take an order to spawn; one that was overtaken on its way is dropped."""
        if spawn.timestamp_s <= self._spawned_s:
            return []
        self._spawned_s = spawn.timestamp_s
        self._wanted = spawn
        if self.fleet is Fleet.NONE:  # who joins a test gets its plan a moment later, and from a plain master never
            self._users = dict.fromkeys(spawn.users, 0)
            return [Say(Spawning()), Say(SpawningComplete(dict(self._users)))]
        self.state = State.SPAWNING
        return [Say(Spawning()), *(self._move() if self.fleet is Fleet.PLAYING else [])]

    def _move(self) -> list[Act]:
        """Let as many devices begin or stop as are wanted."""
        if self._wanted is None:
            return []
        wanted, self._wanted = self._wanted, None
        more, self._begun = wanted.total - self._begun, wanted.total
        self.state, self._users = State.RUNNING, dict(wanted.users)
        moved: list[Act] = [Boot(more)] if more > 0 else [StopDevices(-more)] if more < 0 else []
        return [*moved, Say(SpawningComplete(dict(self._users)))]

    # -- what becomes of the fleet

    def prepared(self, devices: int) -> list[Act]:
        """Go on with devices that are made."""
        if self.state is State.STOPPING:
            return []
        self.fleet = Fleet.PLAYING
        return [Tell(f"{counted(devices, 'device')} ready"), *self._move()]

    def failed(self, why: str, unquoted: str) -> list[Act]:
        """End where what the plan asks for cannot be had here; the master is told what quotes no file."""
        self.fleet = Fleet.NONE
        return [Say(Complaint(unquoted)), *self._leave(End(Ending.REFUSED, why))]

    def stopped(self, now_s: float) -> list[Act]:
        """Go on after the end of the fleet."""
        counted = self.fleet is Fleet.PLAYING
        self.fleet, self._begun, self._wanted = Fleet.NONE, 0, None
        self._users = dict.fromkeys(self._users, 0)
        last: list[Act] = [HandOn(last=True)] if counted else []
        match self._after:
            case After.SERVE if self._liveness.linked:
                return [*last, *self._over(now_s)]
            case After.REPLACE:
                self.state = State.READY
                return self._replay(now_s)
            case After.LEAVE:
                return [*last, *self._goodbye()]
            case _:
                self._call_afresh(now_s)
                return [Reopen(as_another=True)]

    def _stop(self, after: After, *, at_once: bool = False) -> list[Act]:
        """Let the fleet come to its end; an earlier order to leave, or to call again, stands."""
        if self.state is State.STOPPING and after is After.SERVE:
            return []
        self.state, self._after = State.STOPPING, after
        return [StopFleet(at_once)]

    def _over(self, now_s: float) -> list[Act]:
        """End the test: this worker has no users any more, and is there for the next."""
        self.state, self._wanted = State.READY, None
        told = Tell("test finished; waiting for the next")
        said: list[Act] = [Say(ClientStopped()), Say(Join()), Say(ClientReady())]
        return [told, Report(dict(self._users)), *said, *self._replay(now_s)]

    def _replay(self, now_s: float) -> list[Act]:
        held, self._held = self._held, []
        self._after = After.SERVE
        return [act for message in held for act in self.received(message, now_s)]

    # -- the end

    def interrupted(self) -> list[Act]:
        """Leave in order; asked again, at once."""
        at_once = self._after is After.LEAVE
        told = [] if at_once or self.fleet is Fleet.NONE else [_LEAVING]
        return [*told, *self._leave(End(Ending.INTERRUPTED), at_once=at_once)]

    def _leave(self, end: End, *, at_once: bool = False) -> list[Act]:
        if self._ending.how is not Ending.INTERRUPTED:
            self._ending = end
        self._held.clear()
        if self.fleet is not Fleet.NONE:
            return self._stop(After.LEAVE, at_once=at_once)
        self._after = After.LEAVE
        return self._goodbye()

    def _goodbye(self) -> list[Act]:
        if self.state is State.CALLING:
            return [self._ending]
        return [Report(dict(self._users)), Say(Leaving()), self._ending]
