"""Worker reports: the counts and rows of a fleet's workers, cut into pieces, make the run of one process."""

from collections.abc import Sequence
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builders import COHORTS, OneProcess, S, a_recorder, a_sample, an_enrolment, enrolments, samples

from estsim.errors import Trouble
from estsim.est.outcome import OutcomeClass
from estsim.figures.incidence import Incidence
from estsim.figures.snapshot import RunStage, Snapshot, WindowSnapshot
from estsim.figures.summary import RunFacts
from estsim.figures.summary_builder import build_summary
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.histograms import Histogram
from estsim.record.phases import Stretch
from estsim.record.recorder import Recorder
from estsim.record.rows import GENERATOR_COLUMNS
from estsim.record.run_reader import RunReader
from estsim.record.sample import Enrolment, FleetReading, GeneratorReading, Sample
from estsim.record.store import RunStore
from estsim.record.worker_report import WorkerReport, WorkerReportError, fleet_of, pack, unpack

_FACTS = RunFacts("id", "name", 1, "", "", "0", 2, "", (), "")
_END_NS = 210 * S


def _summary(recorder: OneProcess) -> object:
    totals = GeneratorTotals(1.0, 1)
    scopes, watch = recorder.scopes(_END_NS), recorder.saturation
    blamed = watch.of_thresholds
    return build_summary(
        _FACTS, scopes, generator=totals, saturation=watch.verdict(), thresholds=[], of_thresholds=blamed
    )


def _shown(recorder: OneProcess) -> Snapshot:
    """Return the display, less its last window: drawn searches are told in no order of time."""
    shown = recorder.snapshot(name="n", target="t", stage=RunStage.DONE, at_ns=_END_NS, duration_s=None)
    return replace(shown, window=WindowSnapshot(), cohorts=())


def _told(gatherer: Recorder, deeds: Sequence[Sample | Enrolment]) -> None:
    for deed in deeds:
        if isinstance(deed, Sample):
            gatherer.exchange(deed)
            continue
        gatherer.enrolment_began(deed)
        if deed.end is not None:
            gatherer.enrolment_ended(deed)


@settings(max_examples=15)  # a fleet twice, with its summary each time
@given(st.lists(samples(), max_size=40), enrolments(), st.integers(1, 3), st.integers(4, 30))
def test_workers_in_parcels_make_the_run_of_one_process(
    exchanges: list[Sample], searches: Sequence[Enrolment], workers: int, a_parcel: int
) -> None:
    """Spread over workers, cut anywhere, sent as bytes and merged in turn: the summary and the display are the same."""
    exchanges = sorted(exchanges, key=lambda sample: sample.stamps.ended_ns)
    whole, led = a_recorder(exchanges, searches), OneProcess(cohorts=COHORTS)
    gatherers = [Recorder() for _ in range(workers)]
    told: list[Sample | Enrolment] = [*exchanges, *searches]
    deeds = [[deed for deed in told if deed.device % workers == w] for w in range(workers)]
    for cut in range(0, max(map(len, deeds)) + a_parcel, a_parcel):
        for worker, gatherer in enumerate(gatherers):
            _told(gatherer, deeds[worker][cut : cut + a_parcel])
            led.merge(worker, unpack(pack(gatherer.take_report())))
    assert _summary(led) == _summary(whole)
    assert _shown(led) == _shown(whole)


@settings(max_examples=20)  # two stores each
@given(st.lists(samples(), max_size=30), enrolments())
def test_rows_arrive_as_they_would_have_been_written(
    tmp_path_factory: pytest.TempPathFactory, exchanges: list[Sample], searches: Sequence[Enrolment]
) -> None:
    """The store of a led run holds the rows of its workers."""
    folder = tmp_path_factory.mktemp("run")
    whole, led, gatherer = a_recorder(exchanges, searches), OneProcess(cohorts=COHORTS), Recorder()
    _told(gatherer, [*exchanges, *searches])
    led.merge(0, unpack(pack(gatherer.take_report())))
    for name, recorder in (("whole", whole), ("led", led)):
        with RunStore(folder / name) as store:
            store.write(recorder.take_batch())
    with RunReader(folder / "whole") as one, RunReader(folder / "led") as other:
        assert [*other.exchanges()] == [*one.exchanges()]
        assert [*other.enrolments()] == [*one.enrolments()]
        assert [*other.series()] == [*one.series()]


def test_phases_and_late_parcels_are_counted_where_they_belong() -> None:
    """A worker that sends late, when the slice has been closed, still counts in its phase, window and blocks."""
    phases = (Stretch("calm", 0.0, 60.0), Stretch("storm", 60.0, 120.0))
    led = OneProcess(cohorts=COHORTS, phases=phases)
    early, late = Recorder(phases=phases), Recorder(phases=phases)
    for at_s in (5, 65, 115):
        early.exchange(a_sample(device=0, at_ns=at_s * S))
        late.exchange(a_sample(device=1, at_ns=at_s * S))
    led.merge(0, early.take_report())
    led.merge(1, late.take_report())
    scopes = led.scopes(120 * S)
    assert [scopes.phases[name].run.tally.requests for name in ("calm", "storm")] == [2, 4]
    assert scopes.run.tally.requests == 6
    assert sum(tally.requests for tally in led.book.window()) == 4
    assert sum(tally.requests for tally in led.book.all_parts()) == 6


def test_readings_of_workers_are_kept_and_judged_separately() -> None:
    """One busy worker among two saturates the run, and the display shows the busier one, and memory of both."""
    led = OneProcess(cohorts=COHORTS)
    for worker, share in ((0, 0.2), (1, 0.99)):
        gatherer = Recorder()
        for second in range(1, 13):
            gatherer.generator(GeneratorReading(second * S, share, 2**20, 3, 5))
            led.merge(worker, unpack(pack(gatherer.take_report())))
    verdict = led.saturation.verdict()
    assert verdict is not None
    assert "CPU was 99%" in verdict.why
    shown = _shown(led)
    assert (shown.cpu_share, shown.rss_mib, shown.in_flight) == (0.99, 2.0, 6)
    which = GENERATOR_COLUMNS.index("worker")
    written = [row[which] for rows in led.take_batch().ready for row in rows["generator"]]
    assert written.count(0) == written.count(1) == 12


def test_findings_and_shortages_reach_the_leader() -> None:
    """A finding fails the run there; a worker that ran out of ports saturates it."""
    gatherer, led = Recorder(), OneProcess(cohorts=COHORTS)
    gatherer.finding(S, "certified an expired device")
    failed = a_sample(OutcomeClass.FAILED, at_ns=3 * S, detail="no local port is free")
    failed.trouble = Trouble.GENERATOR
    gatherer.exchange(failed)
    led.merge(4, unpack(pack(gatherer.take_report())))
    assert led.findings == ["certified an expired device"]
    assert "no local port is free, first after 3 s" in (led.saturation.verdict() or pytest.fail("kept up")).why


def test_a_device_that_meets_bugs_again_and_again_is_counted_once() -> None:
    """Also where another report was taken in between: it is one device that was stopped, and every bug counts."""
    recorder, led = Recorder(), OneProcess(cohorts=COHORTS)
    for second in range(3):
        recorder.internal_error(KeyError("a bug"), at_ns=second * S, device=7)
        led.merge(1, unpack(pack(recorder.take_report())))
    (kind,) = led.internal_errors.kinds.values()
    assert (led.internal_errors.devices, kind.devices, kind.numbers, kind.count) == (1, 1, (7,), 3)


def test_the_last_report_has_the_cost_of_the_worker() -> None:
    """Its totals come back whole, and the number of the worker report counts on."""
    gatherer = Recorder()
    delays = Histogram()
    delays.record_ns(1_000_000)
    assert gatherer.take_report().number == 1
    last = unpack(pack(gatherer.take_report(GeneratorTotals(2.5, 77, delays, 8, 9))))
    assert (last.number, last.totals) == (2, GeneratorTotals(2.5, 77, delays, 8, 9))


def test_a_fleet_is_the_sum_of_its_parts() -> None:
    """States, cohorts and the radar add up."""
    one = FleetReading(5, {"off": 2, "deferred": 1}, (1, 2), 1, {"north": {"off": 2, "deferred": 1}})
    other = FleetReading(7, {"off": 1}, (0, 0, 4), 0, {"north": {"off": 1}})
    cohorts = {"north": {"off": 3, "deferred": 1}}
    assert fleet_of([one, other]) == FleetReading(7, {"off": 3, "deferred": 1}, (1, 2, 4), 1, cohorts)


@given(st.binary(max_size=200))
def test_other_bytes_are_no_parcel(packed: bytes) -> None:
    """Whatever comes over the network is a worker report or a clear error."""
    with pytest.raises(WorkerReportError, match=r"not a valid report|version"):
        unpack(packed)


@given(st.data())
def test_a_parcel_that_lost_a_part_is_refused(data: st.DataObject) -> None:
    """Each of its parts is needed, and in its shape."""
    gatherer = Recorder()
    _told(gatherer, [a_sample(), an_enrolment(took_ns=S)])
    parts = msgpack.unpackb(pack(gatherer.take_report()), strict_map_key=False)
    key = data.draw(st.sampled_from(sorted(parts)))
    del parts[key]
    with pytest.raises(WorkerReportError):
        unpack(msgpack.packb(parts))


def test_a_report_of_another_version_is_refused_by_name() -> None:
    """Two versions of estsim in one run are told apart."""
    with pytest.raises(WorkerReportError, match=r"expected report version 8 \(got 99\)"):
        unpack(msgpack.packb({"v": 99}))


def test_texts_of_a_stranger_are_harmless() -> None:
    """What a worker has escaped where it came in, who forges a worker report has not: rows, findings and notices."""
    gatherer, bad = Recorder(), "\x1b[2J\nforged \u202e"
    gatherer.finding(S, bad)
    gatherer.notice(S, bad)
    gatherer.exchange(a_sample(OutcomeClass.FAILED, at_ns=S, detail=bad))
    came = unpack(pack(gatherer.take_report()))
    texts = [value for rows in came.rows.values() for row in rows for value in row if isinstance(value, str)]
    texts += [text for _, text in (*came.findings, *came.notices)]
    assert texts.count("\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}forged \N{REPLACEMENT CHARACTER}") >= 3
    assert all(text.isprintable() for text in texts)


def test_an_empty_parcel_changes_nothing() -> None:
    """A worker with nothing to say says so each second."""
    led = OneProcess(cohorts=COHORTS)
    before = led.scopes(0).run
    led.merge(0, unpack(pack(Recorder().take_report())))
    after = led.scopes(0).run
    assert (after.tally.requests, after.states, after.devices) == (0, before.states, before.devices)
    assert isinstance(after.time_to_certificate, Incidence)
    assert isinstance(Recorder().take_report(), WorkerReport)
