"""What recording costs: an exchange on the loop, a row in the writer's thread, a snapshot for the dashboard, a fleet.

Each of the first figures is CPU time, best of several rounds, the first beside one bare `record_value` of the histogram
package. Then the longest that any call of the recorder holds up the loop, over two minutes of a run. Last, whole runs
over TLS with recording on and off in turn, which differ in nothing else: their CPU per enrolment, and, because that
scatters more than recording costs, the CPU inside the recorder and the writer by their own clock. Run it on a quiet
machine, it takes three minutes:

    .venv/bin/python tests/benchmarks/recording_cost.py [--devices 800] [--rate 60] [--rounds 5]
"""

import argparse
import gc
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from time import thread_time
from typing import Any, ParamSpec, TypeVar

from hdrh.histogram import HdrHistogram

from estsim.cli.app import main as command_line
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass, RetryAfter, RetryAfterForm
from estsim.figures.live import LiveFigures
from estsim.figures.snapshot import RunStage
from estsim.record.recorder import Recorder
from estsim.record.run_record import RunRecord
from estsim.record.sample import Enrolment, PollPlan, Sample, Stamps
from estsim.record.store import RunStore

P = ParamSpec("P")
T = TypeVar("T")

_COUNT = 4000
_OPEN = 20_000
_MS = 1_000_000
_RUN_MS = 120_000  # of a run, with an exchange in each: a dozen slices of the tallies begin and end in it
_BATCH = 500  # exchanges: the writer takes one twice a second
_ADDS_AT_MOST = 0.05
_HOLDS_AT_MOST_MS = 5.0
_DONE = object()
_TAKES = ("exchange", "enrolment_began", "enrolment_ended", "enrolment_open")
_CALLS = (*_TAKES, "collect")  # which a batch and a snapshot begin with


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--devices", type=int, default=800)
    options.add_argument("--rate", type=int, default=60)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--timed", metavar="FILE", type=Path, help=argparse.SUPPRESS)
    options.add_argument("--unrecorded", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.words:
        run_command([*given.words, "--json"], None if given.unrecorded else given.timed)
        return
    parts()
    for cohorts in (1, 10):
        holds(cohorts)
    fleets(given.devices, given.rate, given.rounds)


def parts() -> None:
    """Print what the parts of it cost."""
    samples = [a_sample(number) for number in range(_COUNT)]
    reference = HdrHistogram(1, 86_400_000_000, 3)
    bare = best(lambda: [reference.record_value(sample.stamps.ended_ns // 1000) for sample in samples])
    exchange = best(lambda: record(samples))
    print(f"exchange on the loop: {exchange:.1f} µs, {exchange / bare:.1f} times one bare record of {bare:.2f} µs")
    with tempfile.TemporaryDirectory() as folder:
        print(f"row in the writer:    {best(lambda: write(samples, Path(folder))):.1f} µs")
    recorded = record(samples)
    for number in range(_OPEN):
        recorded.own.enrolment_began(Enrolment(_COUNT + number, "meters", 1, Goal.ENROLL, number * 3 * _MS))
    figures = LiveFigures(recorded)
    took = best(lambda: figures.snapshot(name="", target="", stage=RunStage.RUNNING, at_ns=10**11, duration_s=None))
    print(f"snapshot:             {took * _COUNT / 1000:.1f} ms with {_OPEN} enrolments open")


class Stopwatch:
    """CPU of the calling thread inside timed calls, by name: all of it, and the longest call."""

    def __init__(self) -> None:
        self.total_s: dict[str, float] = {}
        self.longest_s: dict[str, float] = {}

    def around(self, name: str, act: Callable[P, T]) -> Callable[P, T]:
        """Return a call that is timed."""
        self.total_s[name] = self.longest_s[name] = 0.0

        @wraps(act)
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            began_s = thread_time()
            try:
                return act(*args, **kwargs)
            finally:
                took_s = thread_time() - began_s
                self.total_s[name] += took_s
                self.longest_s[name] = max(self.longest_s[name], took_s)

        return timed


def holds(cohorts: int) -> None:
    """Print the longest call of each kind, in CPU of this thread: other people's processes are not in it.

    Nor is the collection of garbage, which every object of a run brings nearer, recorded or not.
    """
    names = [f"meters-{number}" for number in range(cohorts)]
    recorder, stopwatch = Recorder(), Stopwatch()
    record = RunRecord(dict.fromkeys(names, _RUN_MS), recorder)
    exchange = stopwatch.around("exchange", recorder.exchange)
    began = stopwatch.around("enrolment_began", recorder.enrolment_began)
    ended = stopwatch.around("enrolment_ended", recorder.enrolment_ended)
    take_batch = stopwatch.around("take_batch", record.take_batch)
    settle = stopwatch.around("settle", lambda steps: next(steps, _DONE))
    gc.collect()
    gc.disable()
    for number in range(_RUN_MS):
        sample = replace(a_sample(number), cohort=names[number % cohorts])
        enrolment = Enrolment(number, sample.cohort, 1, Goal.ENROLL, sample.stamps.intended_ns)
        began(enrolment)
        exchange(sample)
        enrolment.end, enrolment.ended_ns = EnrolmentEnd.ISSUED, sample.stamps.ended_ns
        ended(enrolment)
        if number % _BATCH == 0:
            take_batch()
            steps, step = record.book.settle(), None
            while step is not _DONE:
                step = settle(steps)
    gc.enable()
    said = ", ".join(f"{name} {longest_s * 1000:.2f} ms" for name, longest_s in stopwatch.longest_s.items())
    print(f"longest calls:        {said} with {cohorts} cohorts (aim ≤ {_HOLDS_AT_MOST_MS:g} ms)", flush=True)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run cost per enrolment; of which ``loop_ms`` in the recorder, ``writer_ms`` in the writer's thread."""

    enrolment_ms: float
    loop_delay_p95_ms: float
    loop_ms: float = 0.0
    writer_ms: float = 0.0
    longest_ms: float = 0.0

    @property
    def share(self) -> float:
        """What recording adds to all the rest."""
        recording_ms = self.loop_ms + self.writer_ms
        return recording_ms / (self.enrolment_ms - recording_ms)


def fleets(devices: int, rate: int, rounds: int) -> None:
    """Run a fleet with recording off and on in turn, and print what recording adds."""
    on, off = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, rounds + 1):
            off.append(fleet(Path(folder), devices, rate, recorded=False))
            on.append(fleet(Path(folder), devices, rate, recorded=True))
            each = f"off {off[-1].enrolment_ms:.3f} ms, on {on[-1].enrolment_ms:.3f} ms CPU per enrolment"
            print(f"round {number}: {each}, recorder {on[-1].loop_ms:.3f}, writer {on[-1].writer_ms:.3f}", flush=True)
    off_ms, on_ms = (statistics.median(cost.enrolment_ms for cost in costs) for costs in (off, on))
    share = statistics.median(cost.share for cost in on)
    off_late_ms, on_late_ms = (statistics.median(cost.loop_delay_p95_ms for cost in costs) for costs in (off, on))
    by_runs = on_ms / off_ms - 1
    print(f"recording adds {by_runs:+.1%} by the runs, {share:+.1%} by its own clock (aim ≤ {_ADDS_AT_MOST:.0%})")
    print(f"longest call on the loop: {max(cost.longest_ms for cost in on):.2f} ms (aim ≤ {_HOLDS_AT_MOST_MS:g} ms)")
    print(f"loop delay p95: off {off_late_ms:.2f} ms, on {on_late_ms:.2f} ms (medians of the rounds)")


def fleet(folder: Path, devices: int, rate: int, *, recorded: bool) -> Cost:
    """Run a fleet once, in a process of its own."""
    scenario, timed = folder / "fleet.yaml", folder / "timed.json"
    meters = {"devices": devices, "boot": {"rate": f"{rate}/s", "shape": "even"}, "renew": "off"}
    keys = {"version": 1, "name": "cost", "duration": "10m", "until": "settled", "sandbox": {}}
    limits = {"max_cpu": "100%", "max_lag": "30s"}
    scenario.write_text(json.dumps({**keys, "generator": limits, "cohorts": {"meters": meters}}), encoding="utf-8")
    how = ["--timed", str(timed)] if recorded else ["--unrecorded"]
    command = [sys.executable, __file__, *how, "--", "run", str(scenario), "--results", str(folder / "results")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    summary: dict[str, Any] = json.loads(done.stdout)
    if summary["fleet"]["states"].get("operational") != devices:
        raise SystemExit(f"not all devices were enrolled: {summary['fleet']}\n{done.stderr}")
    generator = summary["generator"]
    cost = Cost(generator["cpu_s"] * 1000 / devices, generator["loop_delay_ms"]["p95"])
    if not recorded:
        return cost
    took = json.loads(timed.read_text(encoding="utf-8"))
    return replace(
        cost,
        loop_ms=sum(took["total_s"][name] for name in _CALLS) * 1000 / devices,
        writer_ms=took["total_s"]["write"] * 1000 / devices,
        longest_ms=max(took["longest_s"][name] for name in _CALLS) * 1000,
    )


def run_command(words: list[str], timed: Path | None) -> None:
    """Run a command with recording timed; without, its recorder takes nothing of exchanges and enrolments."""
    stopwatch = Stopwatch()

    def nothing(_recorder: Recorder, _taken: object) -> None:
        """Take nothing."""

    if timed is None:
        for name in _TAKES:
            setattr(Recorder, name, nothing)
    else:
        for name in _CALLS:
            owner = Recorder if name in _TAKES else RunRecord
            setattr(owner, name, stopwatch.around(name, getattr(owner, name)))
        RunStore.write = stopwatch.around("write", RunStore.write)  # type: ignore[method-assign]
    sys.argv = ["estsim", *words]
    try:
        command_line()
    finally:
        if timed is not None:
            took = {"total_s": stopwatch.total_s, "longest_s": stopwatch.longest_s}
            timed.write_text(json.dumps(took), encoding="utf-8")


def best(act: Callable[[], object], rounds: int = 7) -> float:
    """Return the CPU of the best round, in µs for each of the samples."""
    costs = []
    for _ in range(rounds):
        gc.collect()
        started = thread_time()
        act()
        costs.append(thread_time() - started)
    return min(costs) / _COUNT * 1e6


def record(samples: list[Sample]) -> RunRecord:
    """Record all samples."""
    recorder = Recorder()
    for sample in samples:
        recorder.exchange(sample)
    return RunRecord({"meters": _COUNT + _OPEN}, recorder)


def write(samples: list[Sample], folder: Path) -> None:
    """Write all samples to a new store."""
    batch = record(samples).take_batch()
    path = folder / "run.sqlite"
    path.unlink(missing_ok=True)
    with RunStore(path) as store:
        store.write(batch)


def a_sample(number: int) -> Sample:
    """Return an exchange of a herd that polls: every other one deferred."""
    deferred = number % 2 == 1
    at_ns = number * _MS
    ended_ns = at_ns + (number * 7919) % (50 * _MS) + _MS
    return Sample(
        device=number,
        cohort="meters",
        operation=Operation.SIMPLEENROLL,
        cause=Cause.POLL,
        enrolment=1,
        attempt=2,
        request_id=f"herd-{number}",
        kind=OutcomeClass.DEFERRED if deferred else OutcomeClass.OK,
        stamps=Stamps(at_ns, at_ns, at_ns, at_ns, at_ns, at_ns, ended_ns, ended_ns),
        status=202 if deferred else 200,
        retry_after=RetryAfter(3.0, RetryAfterForm.SECONDS) if deferred else None,
        poll=PollPlan(at_ns - 3000 * _MS, 3.0, 0.0, "seconds"),
    )


if __name__ == "__main__":
    main()
