"""What a run stores of its counts is what its rows come to: of every kind of run, random, killed at any moment."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estsim.errors import StoreError
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal, ImpactKind
from estsim.est.outcome import OutcomeClass
from estsim.record.phases import Stretch
from estsim.record.recorder import Recorder
from estsim.record.sample import Enrolment, FleetReading, Impact, Sample
from estsim.record.store import RunStore
from estsim.record.worker_report import pack, unpack

_TESTS = Path(__file__).parents[1]
sys.path.extend(str(_TESTS / folder) for folder in ("corpus",))

from corpus_figures import names, unpacked  # noqa: E402 - where the path says
from oracle_counts import differences  # noqa: E402 - where the path says
from record_builders import COHORTS, OneProcess, S, a_sample, enrolments, samples  # noqa: E402 - where the path says

PHASES = (Stretch("warmup", 0.0, 30.0), Stretch("steady", 30.0, 150.0))
_FAULT = "CREATE TEMP TRIGGER fault AFTER INSERT ON tallies BEGIN SELECT RAISE(FAIL, 'no disk'); END"
Told = Sample | Enrolment | Impact


def introduce(store: RunStore, phases: Sequence[Stretch]) -> None:
    """Write the facts that a report asks for."""
    spans = [[phase.name, phase.from_s, phase.to_s] for phase in phases]
    store.put(cohorts=json.dumps(COHORTS), phases=json.dumps(spans))


def tell(recorder: Recorder, each: Told) -> None:
    """Tell a recorder of an exchange that ended, or of what began and may have ended."""
    if isinstance(each, Sample):
        recorder.exchange(each)
    elif isinstance(each, Enrolment):
        recorder.enrolment_began(each)
        if each.end is not None:
            recorder.enrolment_ended(each)
    else:
        recorder.impact_began(each)
        if each.end is not None:
            recorder.impact_ended(each)


def write(store: RunStore, recorder: OneProcess, *, fails: bool = False) -> None:
    """Write what has come; where the disk fails after some counts, it is kept, and written the next time."""
    batch = recorder.take_batch()
    if not (fails and batch.counted):
        store.write(batch)
        return
    store._connection.execute(_FAULT)
    with pytest.raises(StoreError) as caught:
        store.write(batch)
    recorder.keep(batch, caught.value)
    store._connection.execute("DROP TRIGGER fault")


@pytest.mark.parametrize("name", names())
def test_runs_of_every_kind(name: str, tmp_path: Path) -> None:
    """Played by one process, by several, by Locust's users; ended, or killed."""
    assert differences(unpacked(name, tmp_path)) == []


@st.composite
def any_samples(draw: st.DrawFn) -> Sample:
    """Draw an exchange of any kind, with what only some drivers and servers bring about."""
    sample = draw(samples())
    sample.expected = draw(st.booleans())
    sample.reused, sample.resumed = draw(st.booleans()), draw(st.booleans())
    sample.status = draw(st.sampled_from([None, 200, 201, 202, 500]))
    sample.tls_version, sample.tls_group = draw(st.sampled_from([(None, None), ("1.3", "X25519"), ("1.2", None)]))
    sample.cause = draw(st.sampled_from([Cause.PLAN, Cause.POLL, Cause.PREFLIGHT]))
    sample.stamps.loop_delay_ns = draw(st.sampled_from([0, 2_000_000, 1_500_000_000]))
    return sample


@st.composite
def impacts(draw: st.DrawFn) -> Impact:
    """Draw what an event did to a device."""
    since_ns, took_ns = draw(st.integers(0, 100 * S)), draw(st.one_of(st.none(), st.integers(0, 90 * S)))
    impact = Impact(draw(st.integers(0, 39)), "north", draw(st.sampled_from(ImpactKind)), since_ns)
    if took_ns is not None:
        impact.ended_ns, impact.end = since_ns + took_ns, draw(st.sampled_from(EnrolmentEnd))
    return impact


@settings(max_examples=60)
@given(
    told=st.lists(any_samples(), max_size=60),
    searches=enrolments(),
    struck=st.lists(impacts(), max_size=10, unique_by=lambda impact: (impact.device, impact.kind, impact.since_ns)),
    order=st.randoms(use_true_random=False),
    phased=st.booleans(),
    workers=st.integers(0, 3),
)
def test_whatever_happens_in_a_run(  # noqa: PLR0917 - drawn
    tmp_path_factory: pytest.TempPathFactory,
    told: list[Sample],
    searches: Sequence[Enrolment],
    struck: list[Impact],
    order: random.Random,
    phased: bool,  # noqa: FBT001 - drawn
    workers: int,
) -> None:
    """In any order, written in any number of batches, by the process that leads or by others."""
    phases = PHASES if phased else ()
    led = OneProcess(cohorts=COHORTS, phases=phases)
    others = [Recorder(phases=phases) for _ in range(workers)]
    everything: list[Told] = [*told, *searches, *struck]
    order.shuffle(everything)
    folder = tmp_path_factory.mktemp("run")
    with RunStore(folder / "run.sqlite") as store:
        introduce(store, phases)
        for each in everything:
            tell(others[each.device % workers] if others else led, each)
            if order.random() < 0.2:
                for number, other in enumerate(others):
                    led.merge(number, unpack(pack(other.take_report())))
                write(store, led, fails=order.random() < 0.3)
        for number, other in enumerate(others):
            led.merge(number, unpack(pack(other.take_report())))
        led.fleet(FleetReading(200 * S, {"off": 80}, cohorts={"north": {"off": 40}, "south": {"off": 40}}))
        write(store, led)
    assert differences(folder) == []


_RUN = """
import random, sys
sys.setswitchinterval(1e-5)
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from threading import Thread
from test_oracle_counts import PHASES, a_life, introduce
from record_builders import COHORTS, OneProcess
from estsim.record.store import RunStore
from estsim.record.recorder import Recorder
from estsim.record.worker_report import pack, unpack
rng, led, other = random.Random(7), OneProcess(cohorts=COHORTS, phases=PHASES), Recorder(phases=PHASES)
store, writer = RunStore(Path(sys.argv[1])), None
introduce(store, PHASES)
print("begun", flush=True)
open_ones = []
for number in range(1_000_000):
    a_life(rng, (led, other)[number % 2], number, open_ones)
    if number % 50 == 0:
        if writer:
            writer.join()
        led.merge(0, unpack(pack(other.take_report())))
        writer = Thread(target=store.write, args=(led.take_batch(),))
        writer.start()
"""


def a_life(rng: random.Random, recorder: Recorder, number: int, open_ones: list[Enrolment]) -> None:
    """Let a device seek a certificate, and end what another sought some time before: while rows are being written."""
    at_ns, cohort = number * S // 10, "north" if number % 4 < 2 else "south"  # each recorder has both cohorts
    enrolment = Enrolment(number, cohort, 1, rng.choice([*Goal]), at_ns)
    recorder.enrolment_began(enrolment)
    open_ones.append(enrolment)
    kind = rng.choice([*OutcomeClass])
    recorder.exchange(a_sample(kind, device=number, cohort=cohort, at_ns=at_ns, lag_ns=rng.randrange(S // 10)))
    if len(open_ones) > 3 and open_ones[0].device % 2 == number % 2:
        ended = open_ones.pop(0)
        ended.ended_ns, ended.end = at_ns, rng.choice([*EnrolmentEnd])
        recorder.enrolment_ended(ended)


@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_is_killed_at_any_moment(seed: int, tmp_path: Path) -> None:
    """Between two batches, or in the middle of one: figures and rows are of the same moment."""
    path, folders = tmp_path / "run.sqlite", [str(Path(__file__).parent), str(_TESTS)]
    with subprocess.Popen([sys.executable, "-c", _RUN, path, *folders], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert next(run.stdout) == "begun\n"
        time.sleep(random.Random(seed).uniform(0.05, 0.6))
        run.send_signal(signal.SIGKILL)
    assert run.returncode == -signal.SIGKILL
    assert differences(tmp_path) == []
