"""What runs beside the users of one process while a test lasts: its look at itself, and what it hands on."""

import time
from collections.abc import Callable

import gevent
from gevent import Greenlet

from estsim.fleet.clock import RunClock
from estsim.fleet.self_watch import HEARTBEAT_S, READING_S, SelfWatch
from estsim.fleet.usage import descriptors_in_use, ports_in_use
from estsim.measure.sample import GeneratorReading
from estsim.measure.summary import GeneratorTotals


class Watch:
    """Watches this process until it is stopped. ``each_second`` is called after every reading."""

    def __init__(
        self,
        clock: RunClock,
        in_flight: Callable[[], int],
        hand_on: Callable[[GeneratorReading], None],
        each_second: Callable[[], None],
    ) -> None:
        self._self = SelfWatch(clock, in_flight, hand_on)
        self._each_second = each_second
        self._greenlets: tuple[Greenlet[..., None], ...] = (gevent.spawn(self._beat), gevent.spawn(self._read))

    def stop(self) -> GeneratorTotals:
        """Stop watching; returns what the run has cost this process."""
        gevent.killall(self._greenlets)
        self._self.take()
        return self._self.totals()

    def _beat(self) -> None:
        """Measure how late the loop wakes a greenlet."""
        while True:
            due_s = time.monotonic() + HEARTBEAT_S
            gevent.sleep(HEARTBEAT_S)
            self._self.late(max(0.0, time.monotonic() - due_s))

    def _read(self) -> None:
        pool = gevent.get_hub().threadpool
        while True:
            gevent.sleep(READING_S)
            self._self.take(*pool.apply(_usage))
            self._each_second()


def _usage() -> tuple[int, int]:
    return ports_in_use(), descriptors_in_use()
