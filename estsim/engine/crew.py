"""The crew: worker processes that share the fleet, as the one who leads the run sees them.

Theory of operation. Each worker gets a briefing through its standard input, makes its devices, and begins when it is
told, all by one clock: processes of a machine share the monotonic one. From then on it sends parcels, counts and rows
together, which are merged as they come: whatever becomes of a worker, what it sent is whole and what it did not send is
nowhere. One that dies is told by its devices, and the others go on.
"""

import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import trio

from estsim.engine.pipe import Pipe
from estsim.engine.shard import DRAIN_S
from estsim.errors import EstsimError, UsageError
from estsim.fleet.briefing import Briefing
from estsim.fleet.clock import RunClock
from estsim.fleet.losses import Losses
from estsim.fleet.part import Part
from estsim.measure.parcel import unpack
from estsim.measure.recorder import Recorder
from estsim.measure.sample import FleetReading
from estsim.measure.summary import GeneratorTotals, totals_of
from estsim.scenario.plan import Scenario

_LEAD_S: Final = 0.2  # for the order to begin to reach everybody
_GRACE_S: Final = 5.0  # beyond the drain of the workers, for their last parcels
_STOP_S: Final = 2.0
_SILENT_S: Final = 30.0  # a worker says something twice a second
_CHECK_S: Final = 1.0
_LAST_WORDS: Final = 300


@dataclass(slots=True, eq=False)
class _Hand:
    """One worker process."""

    number: int
    part: Part
    process: trio.Process
    pipe: Pipe
    words: Path  # what it writes on stderr
    made: int = 0
    lead_s: float = 0.0
    ready: bool = False
    done: bool = False
    gone: bool = False
    heard_s: float = 0.0  # by trio's clock
    totals: GeneratorTotals | None = None


@dataclass(slots=True)
class Crew:
    """Plays the fleet in several processes. Made by :func:`crew_of`."""

    scenario: Scenario
    recorder: Recorder
    losses: Losses
    nursery: trio.Nursery
    hands: list[_Hand] = field(default_factory=list)
    ramp_s: float = 0.0
    drain_s: float = DRAIN_S + _GRACE_S
    _clock: RunClock | None = None
    _failed: EstsimError | None = None
    _changed: trio.Event = field(default_factory=trio.Event)

    @property
    def in_flight(self) -> int:
        """How many exchanges are on the wire: the recorder knows."""
        return 0

    @property
    def lead_s(self) -> float:
        """How long the slowest of them takes from the start of the clock to what is planned at zero."""
        return _LEAD_S + max(hand.lead_s for hand in self.hands)

    async def prepare(self, tell: Callable[[int], None]) -> None:
        """Wait until all devices are made; tells now and then how many there are. Raises what stopped a worker."""
        while not all(hand.ready for hand in self.hands):
            if self._failed is not None:
                raise self._failed
            tell(sum(hand.made for hand in self.hands))
            await self._changed.wait()

    async def begin(self, clock: RunClock) -> None:
        """Tell all when it begins."""
        self._clock = clock
        for hand in self.hands:
            await hand.pipe.send("begin", [clock.mono_epoch_ns, clock.wall_epoch_s])

    async def run(self, *, until_settled: bool) -> None:  # noqa: ARG002 - workers know their scenario
        """Wait until every worker has sent its last parcel, or has been lost."""
        try:
            await self._all_over()
        finally:
            with trio.move_on_after(_GRACE_S, shield=True):
                for hand in self._at_work():
                    await hand.pipe.send("cut")
                await self._all_over()

    def stop(self) -> None:
        """Begin nothing more; what is under way may end."""
        for hand in self._at_work():
            self._order(hand, "stop")

    def reading(self) -> FleetReading:
        """Say where the fleet stands, as last heard."""
        return self.recorder.fleet_reading

    def held(self, number: int, held_s: float) -> None:
        """Tell all that an operator has let a mark pass."""
        for hand in self._at_work():
            self._order(hand, "held", [number, held_s])

    def totals(self, own: GeneratorTotals) -> GeneratorTotals:
        """Return what the run cost, in all its processes. Of a lost worker the cost is not known, and not in it."""
        return totals_of([own, *(hand.totals for hand in self.hands if hand.totals is not None)])

    # -- what is heard

    async def hear(self, hand: _Hand) -> None:
        """Take what a worker says until it has gone; then it was done, or it is lost."""
        while (message := await hand.pipe.receive()) is not None:
            hand.heard_s = trio.current_time()
            self._take(hand, *message)
            self._something_changed()
        with trio.move_on_after(_STOP_S):
            await hand.process.wait()
        hand.gone = True
        if not hand.done:
            self._lose(hand)
        self._something_changed()

    def _take(self, hand: _Hand, word: str, value: object) -> None:
        match word, value:
            case "made", int(made):
                hand.made = made
            case "ready", [int(made), float(lead_s)]:
                hand.made, hand.lead_s, hand.ready = made, lead_s, True
            case "parcel", bytes(packed):
                parcel = unpack(packed)
                hand.totals = parcel.totals
                self.recorder.merge(hand.number, parcel)
            case "refused", str(why):
                self._failed = UsageError(why)
            case "done", _:
                hand.done = True

    def _lose(self, hand: _Hand) -> None:
        how = _ending(hand.process.returncode)
        if self._clock is None:
            words = hand.words.read_text(encoding="utf-8", errors="replace").strip()[-_LAST_WORDS:]
            self._failed = self._failed or EstsimError(f"worker {hand.number} {how} before the run began: {words}")
            return
        self.losses.lose(hand.number, hand.part, how, at_ns=max(0, self._clock.now_ns()))

    async def watch(self) -> None:
        """Kill a worker that has said nothing for long, for ever; a pause of our own is not its fault."""
        while True:
            before_s = trio.current_time()
            await trio.sleep(_CHECK_S)
            now_s = trio.current_time()
            if now_s - before_s > 2 * _CHECK_S:
                for hand in self.hands:
                    hand.heard_s = now_s
            for hand in self._at_work():
                if now_s - hand.heard_s > _SILENT_S:
                    hand.process.kill()

    def _at_work(self) -> list[_Hand]:
        return [hand for hand in self.hands if not (hand.done or hand.gone)]

    async def _all_over(self) -> None:
        while self._at_work():
            await self._changed.wait()

    def _something_changed(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _order(self, hand: _Hand, word: str, value: object = None) -> None:
        """Send without waiting: orders are few and small."""
        self.nursery.start_soon(hand.pipe.send, word, value)


@asynccontextmanager
async def crew_of(
    scenario: Scenario, recorder: Recorder, losses: Losses, briefings: list[Briefing], folder: Path
) -> AsyncGenerator[Crew, None]:
    """Start a worker for each briefing, and see to it that none is left at the end.

    What workers write on stderr is kept in ``folder`` where there is any.
    """
    async with trio.open_nursery() as nursery:
        crew = Crew(scenario, recorder, losses, nursery)
        try:
            for number, briefing in enumerate(briefings):
                crew.hands.append(await _hire(number, briefing, scenario, folder))
            for hand in crew.hands:
                nursery.start_soon(crew.hear, hand)
            nursery.start_soon(crew.watch)
            yield crew
        finally:
            with trio.CancelScope(shield=True):
                for hand in crew.hands:
                    await _dismiss(hand)
            nursery.cancel_scope.cancel()


async def _hire(number: int, briefing: Briefing, scenario: Scenario, folder: Path) -> _Hand:
    words = folder / f"worker-{number}.log"
    with words.open("wb") as stderr:
        process = await _started(stderr)
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    pipe = Pipe(process.stdout, process.stdin)
    await pipe.send("briefing", [briefing.packed(), str(scenario.source.absolute())])
    return _Hand(number, briefing.part, process, pipe, words, heard_s=trio.current_time())


async def _started(stderr: IO[bytes]) -> trio.Process:
    return await trio.lowlevel.open_process(
        [sys.executable, "-m", "estsim.engine.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,  # the terminal's Ctrl-C is the leader's
    )


async def _dismiss(hand: _Hand) -> None:
    """End a worker's input, and its life if that is not enough."""
    await hand.pipe.close()
    with trio.move_on_after(_STOP_S):
        await hand.process.wait()
    if hand.process.returncode is None:
        hand.process.kill()
        await hand.process.wait()
    with suppress(OSError):
        if not hand.words.stat().st_size:
            hand.words.unlink()


def _ending(code: int | None) -> str:
    if code is None:
        return "went silent"
    if code < 0:
        return f"was killed ({signal.Signals(-code).name})"
    return f"ended with code {code}"
