"""The cost of a run for the generator, by process and in all."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from estsim.record.histograms import Histogram


@dataclass(frozen=True, slots=True)
class GeneratorTotals:
    """The cost of a run, from the first device's start to the end."""

    cpu_s: float
    peak_rss_bytes: int
    loop_delay: Histogram = field(default_factory=Histogram)  # of tasks woken by the event loop
    peak_ports: int = 0
    peak_descriptors: int = 0
    longest_stall_ns: int = 0


def totals_of(parts: Iterable[GeneratorTotals]) -> GeneratorTotals:
    """Return the totals of several processes; memory is the sum of their peaks, ports are the machine's."""
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
