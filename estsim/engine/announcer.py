"""What an event is beside its orders to devices: a mark told, an operator waited for, the sandbox changed.

One process does it, whoever leads the run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import trio

from estsim.engine.sandbox import Sandbox
from estsim.errors import EstsimError
from estsim.fleet.clock import RunClock, to_ns
from estsim.fleet.orders import changed, disturbs, told, unconfirmed
from estsim.record.run_record import RunRecord
from estsim.scenario.happenings import Happening, Mark, SandboxChange


@dataclass(slots=True)
class GoAhead:
    """The operator's Enter, which comes from another thread."""

    awaited: bool = False
    _token: trio.lowlevel.TrioToken | None = None
    _pressed: trio.Event = field(default_factory=trio.Event)

    def give(self) -> None:
        """Go on; safe from any thread, and nothing where nobody waits."""
        if self.awaited and self._token is not None:
            self._token.run_sync_soon(self._pressed.set)

    async def wait(self) -> None:
        """Wait for the operator."""
        self._token, self._pressed, self.awaited = trio.lowlevel.current_trio_token(), trio.Event(), True
        try:
            await self._pressed.wait()
        finally:
            self.awaited = False


class Announcer:
    """Tells what happens, in the run's own rows. ``go_ahead`` None says that nobody is there to press Enter.

    ``held`` is told when an operator held back what follows: the event's place, and for how long (seconds).
    """

    def __init__(
        self,
        record: RunRecord,
        clock: RunClock,
        *,
        sandbox: Sandbox | None,
        go_ahead: GoAhead | None,
        held: Callable[[int, float], None] = lambda _number, _held_s: None,
    ) -> None:
        self._record = record
        self._clock = clock
        self._sandbox = sandbox
        self._go_ahead = go_ahead
        self._held = held

    async def __call__(self, number: int, happening: Happening) -> float:
        """Tell what happens now, and do what is not a device's to do; returns how long it held back what follows."""
        what, began_s = happening.what, self._clock.now_s()
        match what:
            case SandboxChange(changes):
                self._judge_lateness(happening, began_s)
                await self._change(changes)
            case Mark(text, wait_for_enter=True):
                await self._wait_for_operator(text)
                held_s = self._clock.now_s() - began_s
                self._held(number, held_s)
                return held_s
            case _:
                self._tell(told(what), stirs=disturbs(what))
        return 0.0

    def _judge_lateness(self, happening: Happening, began_s: float) -> None:
        """Say so where a change of the sandbox comes late because this process stood still: the plan is another then.

        Where the devices are played elsewhere, nothing else of that shows.
        """
        late_ns = self._clock.stalled_ns(to_ns(happening.at_s), to_ns(began_s))
        if late_ns > to_ns(self._record.saturation.stall_limit_s):
            why = "because the event loop of the main process stalled"
            self._record.miss(at_ns=to_ns(began_s), told=f"the sandbox change was {late_ns / 1e9:.1f} s late {why}")

    async def _change(self, changes: Mapping[str, object]) -> None:
        assert self._sandbox is not None  # noqa: S101 - checked as the scenario was read
        try:
            await self._sandbox.change(changes)
        except EstsimError as error:
            self._tell(changed(changes, error))
        else:
            self._tell(changed(changes))

    async def _wait_for_operator(self, text: str) -> None:
        if self._go_ahead is None:
            self._tell(unconfirmed(text))
            return
        self._record.awaiting = f"press Enter: {text}"
        try:
            await self._go_ahead.wait()
        finally:
            self._record.awaiting = None
        self._tell(text)

    def _tell(self, text: str, *, stirs: bool = False) -> None:
        self._record.mark(max(0, to_ns(self._clock.now_s())), text, kind="event" if stirs else "mark", stirs=stirs)
