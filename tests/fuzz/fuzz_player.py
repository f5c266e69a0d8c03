"""Plays blocks of inputs against one target in one process, and adds up what they came to."""

import gc
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Final

sys.path.append(str(Path(__file__).parent.parent / "foreign"))  # where DER is written by hand

from fuzz_coverage import KeptConnections, tracing
from fuzz_report import SLOW_S, Report, Target

TARGETS: Final = {
    "client": ("client_target", "ClientTarget"),
    "sandbox": ("sandbox_target", "SandboxTarget"),
    "readers": ("reader_target", "ReaderTarget"),
    "scenarios": ("scenario_target", "ScenarioTarget"),
}
_SLOWEST: Final = 20
_TRIES: Final = 3  # of a slow input alone
_GROWTH_MIB: Final = 300.0  # of a process, from its first block to its last: caches fill, nothing else


@dataclass(slots=True)
class Tally:
    """What a run came to so far."""

    inputs: int = 0
    steps: int = 0
    cpu_s: float = 0.0
    tags: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)
    slowest: list[tuple[float, int]] = field(default_factory=list)
    reached: KeptConnections = field(default_factory=set)
    rss_mib: float = 0.0

    def add(self, other: "Tally") -> None:
        """Add what a block came to."""
        self.inputs += other.inputs
        self.steps += other.steps
        self.cpu_s += other.cpu_s
        self.tags.update(other.tags)
        self.failures += other.failures
        self.slowest = sorted([*self.slowest, *other.slowest], reverse=True)[:_SLOWEST]
        self.reached |= other.reached
        self.rss_mib = max(self.rss_mib, other.rss_mib)

    def report(self, report: Report) -> None:
        """Add what an input came to."""
        self.inputs += 1
        self.steps += report.steps
        self.tags.update(report.tags)
        self.failures += [(report.number, problem) for problem in report.problems]
        self.slowest.append((report.cpu_s, report.number))
        if len(self.slowest) > 2 * _SLOWEST:
            self.slowest = sorted(self.slowest, reverse=True)[:_SLOWEST]


def made(name: str) -> Target:
    """Make a target, which needs its own modules only."""
    module, kind = TARGETS[name]
    target: Target = getattr(import_module(module), kind)()
    return target


class Player:
    """Plays blocks of inputs against one target, in this process."""

    def __init__(self, name: str, seed: int) -> None:
        self._target = made(name)
        self._seed = seed
        self._first_mib: float | None = None

    def block(self, numbers: range, *, traced: bool = False) -> Tally:
        """Play a block; what was slow is played again alone."""
        tally, began_s = Tally(), time.process_time()
        if traced:
            with tracing(tally.reached):
                self._play(numbers, tally)
            return tally  # of whose times nothing can be said
        self._play(numbers, tally)
        tally.cpu_s = time.process_time() - began_s
        for cpu_s, number in tally.slowest:
            if cpu_s > SLOW_S and (alone_s := self._alone(number)) > SLOW_S:
                tally.failures.append((number, f"took {alone_s * 1000:.0f} ms of CPU"))
        self._weigh(tally, numbers)
        return tally

    def _play(self, numbers: range, tally: Tally) -> None:
        for report in self._target.play(self._seed, numbers):
            tally.report(report)

    def _alone(self, number: int) -> float:
        """Return the least CPU that an input takes in a few tries; a collection of garbage is not its fault."""
        tries: list[float] = []
        for _ in range(_TRIES):
            gc.collect()
            tries += [report.cpu_s for report in self._target.play(self._seed, range(number, number + 1))]
        return min(tries)

    def _weigh(self, tally: Tally, numbers: range) -> None:
        """See that this process does not grow."""
        tally.rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if self._first_mib is None:
            self._first_mib = tally.rss_mib
        elif tally.rss_mib > self._first_mib + _GROWTH_MIB:
            tally.failures.append((numbers.start, f"the process has grown to {tally.rss_mib:.0f} MiB"))
            self._first_mib = tally.rss_mib
