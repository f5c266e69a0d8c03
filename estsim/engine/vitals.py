"""The generator looks at itself: how late its loop runs, what CPU and memory it takes, and when to collect garbage."""

import gc
import sys
import time
from collections.abc import Callable
from typing import Final

import psutil
import trio

from estsim.engine.usage import descriptors_in_use, ports_in_use
from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.measure.histograms import Histogram
from estsim.measure.sample import GeneratorReading
from estsim.measure.summary import GeneratorTotals

HEARTBEAT_S: Final = 0.02  # a wake-up of the loop costs some 70 µs: half a per cent of a core, in each worker
_READING_S: Final = 1.0
_P99: Final = 0.99
# A full collection over 200 000 devices stalls the loop for 255 ms, these thresholds and a freeze each second of a
# ramp for 6 (SCALE.md, rule 4).
_GC_THRESHOLDS: Final = (50_000, 20, 1_000_000)
_GIL_SWITCH_S: Final = 0.0005  # the dashboard draws in a thread; the loop must not wait 5 ms for it


class Vitals:
    """Takes a reading each second and hands it on."""

    def __init__(
        self, clock: RunClock, in_flight: Callable[[], int], hand_on: Callable[[GeneratorReading], None]
    ) -> None:
        self._clock = clock
        self._in_flight = in_flight
        self._hand_on = hand_on
        self._process = psutil.Process()
        self._delays_ns: list[int] = []
        self._started_cpu_ns = self._last_cpu_ns = time.process_time_ns()
        self._last_ns = clock.now_ns()
        self._peak_rss_bytes = self._peak_ports = self._peak_descriptors = 0
        self._loop_delay = Histogram()

    def totals(self) -> GeneratorTotals:
        """Return what the run has cost this process, and what it has taken of the machine."""
        return GeneratorTotals(
            self.cpu_s, self._peak_rss_bytes, self._loop_delay, self._peak_ports, self._peak_descriptors
        )

    @property
    def cpu_s(self) -> float:
        """CPU time of this process, all threads, since these vitals were started."""
        return (time.process_time_ns() - self._started_cpu_ns) / NS_PER_S

    async def beat(self) -> None:
        """Measure how late the loop wakes a task, fifty times a second, for ever."""
        due = trio.current_time()
        while True:
            due += HEARTBEAT_S
            await trio.sleep_until(due)
            late = trio.current_time() - due
            self._delays_ns.append(round(late * NS_PER_S))
            if late > HEARTBEAT_S:
                due += late  # one stall is one delay, not a row of them

    async def read(self, *, ramp_s: float) -> None:
        """Take a reading each second, for ever; until ``ramp_s``, while the fleet grows, tidy up as well."""
        while True:
            await trio.sleep(_READING_S)
            self.take(*await trio.to_thread.run_sync(_usage))
            if self._clock.now_s() <= ramp_s + _READING_S:
                gc.collect(1)
                gc.freeze()

    def take(self, ports: int = 0, descriptors: int = 0) -> None:
        """Take a reading now; 0 ports or descriptors are not known."""
        now_ns, cpu_ns = self._clock.now_ns(), time.process_time_ns()
        elapsed_ns = max(1, now_ns - self._last_ns)
        delays, self._delays_ns = sorted(self._delays_ns), []
        rss_bytes = self._process.memory_info().rss
        self._peak_rss_bytes = max(self._peak_rss_bytes, rss_bytes)
        self._peak_ports = max(self._peak_ports, ports)
        self._peak_descriptors = max(self._peak_descriptors, descriptors)
        for delay_ns in delays:
            self._loop_delay.record_ns(delay_ns)
        self._hand_on(
            GeneratorReading(
                at_ns=now_ns,
                cpu_share=(cpu_ns - self._last_cpu_ns) / elapsed_ns,
                rss_bytes=rss_bytes,
                in_flight=self._in_flight(),
                loop_delay_p99_ns=delays[int(len(delays) * _P99)] if delays else 0,
                ports=ports,
                descriptors=descriptors,
            )
        )
        self._last_ns, self._last_cpu_ns = now_ns, cpu_ns


def _usage() -> tuple[int, int]:
    return ports_in_use(), descriptors_in_use()


def tune_process() -> None:
    """Set this process up to run a fleet: rare collections, quick hand-over between threads."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    sys.setswitchinterval(_GIL_SWITCH_S)
