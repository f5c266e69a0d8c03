"""A process of the generator looks at itself: CPU, memory, how late its loop runs; for any loop."""

import time
from collections.abc import Callable
from typing import Final

from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.fleet.usage import OwnProcess
from estsim.net.loop_stalls import LOOP_STALLS
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.histograms import Histogram
from estsim.record.sample import GeneratorReading

HEARTBEAT_S: Final = 0.02  # a wake-up of the loop costs some 70 µs: half a per cent of a core, in each worker
READING_S: Final = 1.0
_P99: Final = 0.99
_HEARTBEAT_NS: Final = round(HEARTBEAT_S * NS_PER_S)
_MOST_RECORDS: Final = 1000  # of one delay
_LEAST_SUSPENSION_NS: Final = 100_000_000  # two clocks are read one after the other


def suspended_ns() -> int:
    """Return for how long this machine has been suspended since it booted: a laptop whose lid was closed."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class SelfMonitor:
    """Takes a reading when it is told to, and hands it on."""

    def __init__(
        self,
        clock: RunClock,
        in_flight: Callable[[], int],
        hand_on: Callable[[GeneratorReading], None],
        *,
        suspended: Callable[[], int] = suspended_ns,
    ) -> None:
        self._clock = clock
        self._in_flight = in_flight
        self._hand_on = hand_on
        self._process = OwnProcess()
        self._delays_ns: list[int] = []
        self._started_cpu_ns = self._last_cpu_ns = time.process_time_ns()
        self._last_ns = clock.now_ns()
        self._stalls_since_ns = min(0, self._last_ns)  # what there was while all this was set up counts from zero on
        self._longest_stall_ns = 0
        self._suspended = suspended
        self._last_suspended_ns = suspended()
        self._peak_rss_bytes = self._peak_ports = self._peak_descriptors = 0
        self._loop_delay = Histogram()

    def totals(self) -> GeneratorTotals:
        """Return what the run has cost this process, and what it has taken of the machine."""
        return GeneratorTotals(
            self.cpu_s,
            self._peak_rss_bytes,
            self._loop_delay,
            self._peak_ports,
            self._peak_descriptors,
            self._longest_stall_ns,
        )

    @property
    def cpu_s(self) -> float:
        """CPU time of this process, all threads, since these self-monitor were started."""
        return (time.process_time_ns() - self._started_cpu_ns) / NS_PER_S

    def late(self, late_s: float) -> None:
        """Take note of how late the loop woke a task."""
        self._delays_ns.append(round(late_s * NS_PER_S))

    def take(self, ports: int = 0, descriptors: int = 0) -> None:
        """Take a reading now; 0 ports or descriptors are not known."""
        now_ns, cpu_ns = self._clock.now_ns(), time.process_time_ns()
        elapsed_ns = max(1, now_ns - self._last_ns)
        delays, self._delays_ns = sorted(self._delays_ns), []
        rss_bytes = self._process.rss_bytes()
        self._peak_rss_bytes = max(self._peak_rss_bytes, rss_bytes)
        self._peak_ports = max(self._peak_ports, ports)
        self._peak_descriptors = max(self._peak_descriptors, descriptors)
        for delay_ns in delays:
            self._record(delay_ns)
        stall = self._stall(now_ns)
        self._hand_on(
            GeneratorReading(
                at_ns=now_ns,
                cpu_share=(cpu_ns - self._last_cpu_ns) / elapsed_ns,
                rss_bytes=rss_bytes,
                in_flight=self._in_flight(),
                loop_delay_p99_ns=delays[int(len(delays) * _P99)] if delays else 0,
                ports=ports,
                descriptors=descriptors,
                stalled_from_ns=stall[0] if stall else None,
                stalled_to_ns=stall[1] if stall else None,
                suspended_ns=self._slept_ns(),
            )
        )
        self._last_ns, self._last_cpu_ns = now_ns, cpu_ns

    def _record(self, delay_ns: int) -> None:
        """Count a delay as often as a heartbeat would have met it, had there been one every 20 ms all along.

        A heartbeat that waits for the one before it sees a stall of ten seconds once in five hundred, and the p99
        would hide it: coordinated omission, of our own making.
        """
        step_ns = max(_HEARTBEAT_NS, delay_ns // _MOST_RECORDS)
        self._loop_delay.record_ns(delay_ns)
        for met_ns in range(delay_ns - step_ns, 0, -step_ns):
            self._loop_delay.record(met_ns // self._loop_delay.layout.unit_ns, round(step_ns / _HEARTBEAT_NS))

    def _stall(self, now_ns: int) -> tuple[int, int] | None:
        """Return the longest stall since the reading before, by the run's clock."""
        epoch_ns, since_ns = self._clock.mono_epoch_ns, self._stalls_since_ns
        self._stalls_since_ns = now_ns
        found = LOOP_STALLS.longest(since_ns + epoch_ns, now_ns + epoch_ns)
        if found is None:
            return None
        from_ns, to_ns = found[0] - epoch_ns, found[1] - epoch_ns
        self._longest_stall_ns = max(self._longest_stall_ns, to_ns - max(0, from_ns))
        return from_ns, to_ns

    def _slept_ns(self) -> int:
        """Return for how long the machine was suspended since the reading before."""
        before_ns, self._last_suspended_ns = self._last_suspended_ns, self._suspended()
        slept_ns = self._last_suspended_ns - before_ns
        return slept_ns if slept_ns >= _LEAST_SUSPENSION_NS else 0
