"""The engine looks at itself on trio: how late its loop runs, what it takes each second, when to collect garbage."""

import gc
import sys
from typing import Final

import trio

from estsim.fleet.self_monitor import HEARTBEAT_S, READING_S, SelfMonitor
from estsim.fleet.usage import sockets_and_descriptors
from estsim.net.io_trio import watch_loop

# A full collection over 200 000 devices stalls the loop for 255 ms, these thresholds and a freeze each second of a
# ramp for 6 (docs/scale.md, rule 4).
_GC_THRESHOLDS: Final = (50_000, 20, 1_000_000)
_GIL_SWITCH_S: Final = 0.0005  # the dashboard draws in a thread; the loop must not wait 5 ms for it


class LoopMonitor(SelfMonitor):
    """Takes a reading each second."""

    async def beat(self) -> None:
        """Measure how late the loop wakes a task, fifty times a second, and see its stalls, for ever."""
        watch_loop()
        due = trio.current_time()
        while True:
            due += HEARTBEAT_S
            await trio.sleep_until(due)
            late = trio.current_time() - due
            self.late(late)
            if late > HEARTBEAT_S:
                due += late  # one stall is one delay, not a row of them

    async def read(self, *, ramp_s: float) -> None:
        """Take a reading each second, for ever; until ``ramp_s``, while the fleet grows, tidy up as well."""
        while True:
            await trio.sleep(READING_S)
            self.take(*await trio.to_thread.run_sync(sockets_and_descriptors))
            if self._clock.now_s() <= ramp_s + READING_S:
                gc.collect(1)
                gc.freeze()


def tune_process() -> None:
    """Set this process up to run a fleet: rare collections, quick hand-over between threads."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_GIL_SWITCH_S)
