"""The recorder: what it keeps, what it shows, and what it costs."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builders import MS, OneProcess, S, a_recorder, a_sample, an_enrolment, enrolments, samples

from estsim.errors import Phase
from estsim.est.enrolment import Cause
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.record.sample import Enrolment, FleetReading, GeneratorReading, Sample


def _snapshot(recorder: OneProcess, at_ns: int) -> Snapshot:
    return recorder.snapshot(name="n", target="t", stage=RunStage.RUNNING, at_ns=at_ns, duration_s=60.0)


def test_preflight_is_stored_and_counted_nowhere() -> None:
    """Its row is there; no figure knows of it."""
    recorder = a_recorder([a_sample(cause=Cause.PREFLIGHT)])
    assert recorder.book.total().requests == 0
    assert _snapshot(recorder, 5 * S).requests == 0
    batch = recorder.take_batch()
    assert (len(batch.exchanges), batch.series) == (1, [])


def test_the_snapshot_shows_the_run_so_far() -> None:
    """Requests, certificates, latencies in ms, errors by frequency, and the readings."""
    recorder = a_recorder(
        [
            *(a_sample(device=n, at_ns=n * S, service_ns=20 * MS) for n in range(10)),
            *(a_sample(OutcomeClass.FAILED, at_ns=3 * S, detail="refused") for _ in range(3)),
            a_sample(OutcomeClass.REJECTED, operation=Operation.CACERTS, at_ns=4 * S, detail="no"),
        ],
        [an_enrolment(device=n, at_ns=n * S, took_ns=2 * S) for n in range(10)],
        north=12,
    )
    recorder.fleet(FleetReading(10 * S, {"operational": 10, "backing_off": 2}, tuple(range(60)), 0))
    recorder.generator(GeneratorReading(10 * S, 0.25, 64 * 2**20, 2, 1_500_000))
    shown = _snapshot(recorder, 10 * S + 1)
    assert (shown.requests, shown.certificates, shown.devices) == (14, 10, 12)
    assert sum(shown.states.values()) == shown.devices
    assert shown.requests_per_s == (1, 1, 1, 4, 2, 1, 1, 1, 1, 1)
    assert shown.certificates_per_s == (1,) * 10
    assert [figures.operation for figures in shown.operations] == ["cacerts", "simpleenroll"]
    assert shown.operations[1].service_ms.p99 == pytest.approx(20, rel=0.001)
    assert sum(shown.operations[1].by_class.values()) == shown.operations[1].requests == 13
    assert shown.exchanges_per_certificate == pytest.approx(1.3)
    assert shown.time_to_certificate_s.p50 == pytest.approx(2.0, rel=0.001)
    assert shown.errors == ((f"failed {Phase.CONNECT.value} refused", 3), ("rejected no", 1))
    assert (shown.cpu_share, shown.rss_mib, shown.loop_delay_p99_ms, shown.in_flight) == (0.25, 64.0, 1.5, 2)
    assert shown.saturated is None


def test_series_reach_back_a_minute_and_lag_ten_seconds() -> None:
    """What is older is forgotten by the display, not by the tally."""
    recorder = a_recorder([a_sample(at_ns=n * S, lag_ns=5 * MS if n < 80 else MS) for n in range(100)])
    shown = _snapshot(recorder, 100 * S)
    assert shown.requests_per_s == (1,) * 60
    assert shown.schedule_lag_ms.count == 10
    assert shown.schedule_lag_ms.max == pytest.approx(1.0)
    assert shown.requests == 100
    assert recorder.book.total().schedule_lag.max == 5000


def test_open_enrolments_are_censored_at_their_age() -> None:
    """One in ten has a certificate: the median is not known yet."""
    recorder = a_recorder((), [an_enrolment(device=n, took_ns=S if n == 0 else None) for n in range(10)])
    assert _snapshot(recorder, 60 * S).time_to_certificate_s.p50 is None
    assert _snapshot(recorder, 60 * S).time_to_certificate_s.count == 1


def test_the_snapshot_names_saturation_and_keeps_to_it() -> None:
    """Once found it stays."""
    recorder = a_recorder([a_sample(at_ns=n * S, lag_ns=100 * MS) for n in range(12) for _ in range(10)])
    first = _snapshot(recorder, 12 * S).saturated
    assert first is not None
    assert "schedule lag p99 was 100 ms" in first
    assert _snapshot(recorder, 500 * S).saturated == first


@settings(max_examples=25)
@given(st.lists(samples(), max_size=30), enrolments(), st.integers(1, 200))
def test_nothing_is_lost_between_batches(exchanges: list[Sample], searches: Sequence[Enrolment], at_s: int) -> None:
    """However often batches are taken, their rows are all exchanges once, and all seconds add up."""
    recorder = a_recorder()
    taken = []
    for number, sample in enumerate(exchanges):
        recorder.exchange(sample)
        if number % 3 == 0:
            taken.append(recorder.take_batch())
    for enrolment in searches:
        recorder.enrolment_began(enrolment)
    taken.append(recorder.take_batch())
    assert [sample for batch in taken for sample in batch.exchanges] == exchanges
    assert sum(delta.requests for batch in taken for delta in batch.series) == len(exchanges)
    assert sum(delta.begun for batch in taken for delta in batch.series) == len(searches)
    assert _snapshot(recorder, at_s * S).requests == len(exchanges)
