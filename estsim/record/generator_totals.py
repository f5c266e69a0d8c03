"""What a run cost the generator, process by process and in all."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from estsim.record.histograms import Histogram


@dataclass(frozen=True, slots=True)
class GeneratorTotals:
    """What the run cost the generator, from the first device's start to the end."""

    cpu_s: float
    peak_rss_bytes: int
    loop_delay: Histogram = field(default_factory=Histogram)  # how late the loop woke a task
    peak_ports: int = 0
    peak_descriptors: int = 0
    longest_stall_ns: int = 0


def totals_of(parts: Iterable[GeneratorTotals]) -> GeneratorTotals:
    """Return what several processes cost together; memory is the sum of their peaks, ports are the machine's."""
    known = tuple(parts)
    delay = Histogram()
    for each in known:
        delay.merge(each.loop_delay)
    return GeneratorTotals(
        cpu_s=sum(each.cpu_s for each in known),
        peak_rss_bytes=sum(each.peak_rss_bytes for each in known),
        loop_delay=delay,
        peak_ports=max((each.peak_ports for each in known), default=0),
        peak_descriptors=max((each.peak_descriptors for each in known), default=0),
        longest_stall_ns=max((each.longest_stall_ns for each in known), default=0),
    )
