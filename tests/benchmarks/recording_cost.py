"""What recording costs: an exchange on the loop, a row in the writer's thread, a snapshot for the dashboard.

Each figure is CPU time, best of several rounds, the first beside one bare `record_value` of the histogram package:

    .venv/bin/python tests/benchmarks/recording_cost.py
"""

import gc
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import thread_time

from hdrh.histogram import HdrHistogram

from estsim.est.enrolment import Cause, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass, RetryAfter, RetryAfterForm
from estsim.measure.recorder import Recorder
from estsim.measure.sample import Enrolment, PollPlan, Sample, Stamps
from estsim.measure.snapshot import RunStage
from estsim.measure.store import RunStore

_COUNT = 4000
_OPEN = 20_000
_MS = 1_000_000


def main() -> None:
    """Print the figures."""
    samples = [a_sample(number) for number in range(_COUNT)]
    reference = HdrHistogram(1, 86_400_000_000, 3)
    bare = best(lambda: [reference.record_value(sample.stamps.ended_ns // 1000) for sample in samples])
    exchange = best(lambda: record(samples))
    print(f"exchange on the loop: {exchange:.1f} µs, {exchange / bare:.1f} times one bare record of {bare:.2f} µs")
    with tempfile.TemporaryDirectory() as folder:
        print(f"row in the writer:    {best(lambda: write(samples, Path(folder))):.1f} µs")
    recorder = record(samples)
    for number in range(_OPEN):
        recorder.enrolment_began(Enrolment(_COUNT + number, "meters", 1, Goal.ENROLL, number * 3 * _MS))
    took = best(lambda: recorder.snapshot(name="", target="", stage=RunStage.RUNNING, at_ns=10**11, duration_s=None))
    print(f"snapshot:             {took * _COUNT / 1000:.1f} ms with {_OPEN} enrolments open")


def best(act: Callable[[], object], rounds: int = 7) -> float:
    """Return the CPU of the best round, in µs for each of the samples."""
    costs = []
    for _ in range(rounds):
        gc.collect()
        started = thread_time()
        act()
        costs.append(thread_time() - started)
    return min(costs) / _COUNT * 1e6


def record(samples: list[Sample]) -> Recorder:
    """Record all samples."""
    recorder = Recorder(cohorts={"meters": _COUNT + _OPEN})
    for sample in samples:
        recorder.exchange(sample)
    return recorder


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
