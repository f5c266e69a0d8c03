"""A process of the generator looks at itself: CPU, memory, how late its loop runs; for any loop."""

import time
from collections.abc import Callable
from typing import Final

import psutil

from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.measure.histograms import Histogram
from estsim.measure.sample import GeneratorReading
from estsim.measure.summary import GeneratorTotals

HEARTBEAT_S: Final = 0.02  # a wake-up of the loop costs some 70 µs: half a per cent of a core, in each worker
READING_S: Final = 1.0
_P99: Final = 0.99


class SelfWatch:
    """Takes a reading when it is told to, and hands it on."""

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

    def late(self, late_s: float) -> None:
        """Take note of how late the loop woke a task."""
        self._delays_ns.append(round(late_s * NS_PER_S))

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
