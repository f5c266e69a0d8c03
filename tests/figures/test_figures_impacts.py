"""Impacts counted: the same figures of any split among workers, in any order, and of the store."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builders import COHORTS, MS, OneProcess, S

from estsim.errors import StoreError
from estsim.est.enrolment import EnrolmentEnd, ImpactKind
from estsim.figures.scopes import Scopes
from estsim.record.phases import Stretch
from estsim.record.recorder import Recorder
from estsim.record.sample import GeneratorReading, Impact
from estsim.record.store import RunStore
from estsim.record.worker_report import pack, unpack
from estsim.report.run_report import read_run

END_NS = 200 * S
PHASES = (Stretch("warmup", 0.0, 10.0), Stretch("dark", 20.0, 60.0))


@st.composite
def impacts(draw: st.DrawFn) -> Sequence[Impact]:
    """Draw the impacts of a small fleet, one a device, of either kind."""
    devices = draw(st.lists(st.integers(0, 39), unique=True, max_size=40))
    made = []
    for device in devices:
        since_ns = draw(st.integers(0, 100 * S))
        end = draw(st.one_of(st.none(), st.sampled_from(EnrolmentEnd)))
        ended_ns = None if end is None else since_ns + draw(st.integers(0, 90 * S))
        cohort, kind = draw(st.sampled_from([*COHORTS])), draw(st.sampled_from(ImpactKind))
        made.append(Impact(device, cohort, kind, since_ns, ended_ns, end, to_be_refused=draw(st.booleans())))
    return made


def tell(to: Recorder, impact: Impact) -> None:
    """Tell of one impact, from its beginning to its end."""
    to.impact_began(replace(impact, ended_ns=None, end=None))
    if impact.end is not None:
        to.impact_ended(impact)


def figures(scopes: Scopes) -> object:
    """Return all shares of all scopes."""
    every = [scopes.run, *scopes.cohorts.values(), *(phase.run for phase in scopes.phases.values())]
    return [
        scope.within(name, d) for scope in every for name in ("recovered_within", "replaced_within") for d in (1, 60)
    ]


@pytest.mark.parametrize("end", [None, EnrolmentEnd.RETIRED])
def test_a_device_that_is_to_be_refused_recovers_by_its_certificate_alone(end: EnrolmentEnd | None) -> None:
    """Open or retired, it is outside; with a certificate it is one that has recovered."""
    recorder = OneProcess(cohorts=COHORTS)
    tell(recorder, Impact(0, "north", ImpactKind.RECOVERY, 30 * S, 32 * S, EnrolmentEnd.ISSUED))
    tell(recorder, Impact(1, "north", ImpactKind.RECOVERY, 30 * S, 31 * S if end else None, end, to_be_refused=True))
    shares = [recorder.scope(200 * S).within("recovered_within", 1.0)]
    accepted = Impact(2, "north", ImpactKind.RECOVERY, 30 * S, 31 * S, EnrolmentEnd.ISSUED, to_be_refused=True)
    tell(recorder, accepted)
    shares.append(recorder.scope(200 * S).within("recovered_within", 1.0))
    assert [share and (share.low, share.high, share.samples) for share in shares] == [(0, 0, 1), (0.5, 0.5, 2)]


@settings(max_examples=30)
@given(impacts(), st.lists(st.integers(0, 2), min_size=40, max_size=40), st.booleans())
def test_any_split_among_workers_comes_to_the_same(
    struck: Sequence[Impact],
    whose: list[int],
    backwards: bool,  # noqa: FBT001 - drawn
) -> None:
    """Three workers, whose worker reports come in either order."""
    alone, led = OneProcess(cohorts=COHORTS, phases=PHASES), OneProcess(cohorts=COHORTS, phases=PHASES)
    workers = [Recorder(phases=PHASES) for _ in range(3)]
    for impact, worker in zip(struck, whose, strict=False):
        tell(alone, impact)
        tell(workers[worker], impact)
    for number, each in enumerate(reversed(workers) if backwards else workers):
        led.merge(number, unpack(pack(each.take_report())))
    assert figures(led.scopes(END_NS)) == figures(alone.scopes(END_NS))


def test_the_store_tells_them_again(tmp_path: Path) -> None:
    """Of ten devices nine recovered in 5 s, one is open; a store that has lost them is refused."""
    recorder = OneProcess(cohorts=COHORTS)
    for device in range(10):
        end = EnrolmentEnd.ISSUED if device else None
        ended_ns = 30 * S + 5000 * MS if device else None
        tell(recorder, Impact(device, "north", ImpactKind.RECOVERY, 30 * S, ended_ns, end))
    recorder.generator(GeneratorReading(100 * S, 0.1, 0, 0, 0))
    share = recorder.scope(100 * S).within("recovered_within", 10.0)
    assert share is not None
    assert (share.low, share.samples) == (0.9, 10)
    expression = "recovered_within.10s >= 90%"
    with RunStore(tmp_path / "run.sqlite") as store:
        store.put(cohorts=json.dumps(COHORTS), thresholds=json.dumps([expression]))
        store.write(recorder.take_batch())
    (judged,) = (each for each in read_run(tmp_path).figures.thresholds if each.expression == expression)
    assert (judged.value, judged.passed) == (0.9, True)
    with closing(sqlite3.connect(tmp_path / "run.sqlite")) as written, written:
        written.execute("DROP TABLE impacts")
    with pytest.raises(StoreError, match=r"expected a table impacts \(got none\)"):
        read_run(tmp_path)
