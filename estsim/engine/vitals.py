"""The engine looks at itself on trio: how late its loop runs, what it takes each second, when to collect garbage."""

import gc
import sys
from typing import Final

import trio

from estsim.fleet.self_watch import HEARTBEAT_S, READING_S, SelfWatch
from estsim.fleet.usage import descriptors_in_use, ports_in_use

# A full collection over 200 000 devices stalls the loop for 255 ms, these thresholds and a freeze each second of a
# ramp for 6 (SCALE.md, rule 4).
_GC_THRESHOLDS: Final = (50_000, 20, 1_000_000)
_GIL_SWITCH_S: Final = 0.0005  # the dashboard draws in a thread; the loop must not wait 5 ms for it


class Vitals(SelfWatch):
    """Takes a reading each second."""

    async def beat(self) -> None:
        """Measure how late the loop wakes a task, fifty times a second, for ever."""
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
            self.take(*await trio.to_thread.run_sync(_usage))
            if self._clock.now_s() <= ramp_s + READING_S:
                gc.collect(1)
                gc.freeze()


def _usage() -> tuple[int, int]:
    return ports_in_use(), descriptors_in_use()


def tune_process() -> None:
    """Set this process up to run a fleet: rare collections, quick hand-over between threads."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_GIL_SWITCH_S)
