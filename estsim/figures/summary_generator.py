"""What a run cost its generator, and whether that kept up, as summary.json has it."""

from dataclasses import dataclass

from estsim.record.statistic import Level, Statistic


@dataclass(frozen=True, slots=True)
class SaturationSummary:
    """The window that the verdict on the generator names, and the schedule lag that it quotes, if any."""

    cause: str
    from_s: int | None
    to_s: int | None
    lag_ms: float | None


@dataclass(frozen=True, slots=True)
class GeneratorSummary:
    """CPU, memory, schedule lag and event-loop delay of all processes, and the verdict on them."""

    cpu_s: float | None
    cpu_per_enrolment_ms: float | None
    enrolments_per_s: float | None
    cpu_per_handshake_ms: float | None
    peak_rss_mib: float | None
    schedule_lag_ms: Statistic
    saturated: bool | None
    why: str | None
    loop_delay_ms: Statistic
    peak_ports: int | None
    peak_descriptors: int | None
    longest_stall_ms: float | None
    saturation: SaturationSummary | None

    @property
    def error_bar(self) -> tuple[Level, float] | None:
        """The event-loop delay, which lies in every service time: its p99, of a short run its maximum."""
        if self.loop_delay_ms.p99 is not None:
            return "p99", self.loop_delay_ms.p99
        return None if self.loop_delay_ms.max is None else ("max", self.loop_delay_ms.max)
