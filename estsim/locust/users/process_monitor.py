"""What runs beside the users of one process while a test lasts: its look at itself, and what it hands on."""

import time
from collections.abc import Callable
from typing import Final

import gevent
from gevent import Greenlet

from estsim.errors import noting
from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.fleet.self_monitor import HEARTBEAT_S, READING_S, SelfMonitor
from estsim.fleet.usage import sockets_and_descriptors
from estsim.net.loop_stalls import LOOP_STALLS
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.sample import GeneratorReading

_BEATS_NS: Final = round(HEARTBEAT_S * NS_PER_S)


class ProcessMonitor:
    """Watches this process until it is stopped. ``each_second`` is called after every reading.

    A bug of ours in that is handed to ``note``, and the watch goes on.
    """

    def __init__(
        self,
        clock: RunClock,
        in_flight: Callable[[], int],
        hand_on: Callable[[GeneratorReading], None],
        each_second: Callable[[], None],
        note: Callable[[Exception], None],
    ) -> None:
        self._note = note
        self._self = SelfMonitor(clock, in_flight, hand_on)
        LOOP_STALLS.begin_to_beat(time.perf_counter_ns(), beats_ns=_BEATS_NS)
        self._each_second = each_second
        self._greenlets: tuple[Greenlet[..., None], ...] = (gevent.spawn(self._beat), gevent.spawn(self._read))

    def stop(self) -> GeneratorTotals:
        """Stop watching; returns what the run has cost this process."""
        gevent.killall(self._greenlets)
        LOOP_STALLS.beat(time.perf_counter_ns())
        with noting(self._note):
            self._self.take()
        LOOP_STALLS.begin_to_beat(0, beats_ns=None)
        return self._self.totals()

    def _beat(self) -> None:
        """Measure how late the loop wakes a greenlet, for ever, or until a bug of ours ends it."""
        with noting(self._note):
            while True:
                due_s = time.monotonic() + HEARTBEAT_S
                gevent.sleep(HEARTBEAT_S)
                LOOP_STALLS.beat(time.perf_counter_ns())
                self._self.late(max(0.0, time.monotonic() - due_s))

    def _read(self) -> None:
        pool = gevent.get_hub().threadpool
        while True:
            gevent.sleep(READING_S)
            with noting(self._note):
                self._self.take(*pool.apply(sockets_and_descriptors))
            with noting(self._note):
                self._each_second()
