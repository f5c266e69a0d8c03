"""The run store: rows and back, whole batches or none, and what a killed run leaves."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_builders import S, a_recorder, a_sample, an_enrolment, enrolments, samples

from estsim.errors import StoreError
from estsim.est.enrolment import Cause
from estsim.record.rows import delta_of, enrolment_of, enrolment_row, exchange_row, sample_of, series_row
from estsim.record.run_reader import RunReader
from estsim.record.sample import Enrolment, GeneratorReading, Sample
from estsim.record.store import Batch, RunStore


@given(samples())
def test_an_exchange_survives_its_row(sample: Sample) -> None:
    """Every stamp and every field."""
    assert sample_of(exchange_row(sample)) == sample


@settings(max_examples=30)
@given(enrolments())
def test_an_enrolment_survives_its_row(searches: Sequence[Enrolment]) -> None:
    """Open or ended."""
    for enrolment in searches:
        assert enrolment_of(enrolment_row(enrolment)) == enrolment


@settings(max_examples=10)  # each encodes and decodes histograms
@given(st.lists(samples(), max_size=10))
def test_a_second_survives_its_row(exchanges: list[Sample]) -> None:
    """Counts exactly, histograms to their 3 digits."""
    for delta in a_recorder(exchanges).take_batch().series:
        again = delta_of(series_row(delta))
        assert again.classes == delta.classes
        assert (again.requests, again.polls, again.certificates) == (
            delta.requests,
            delta.polls,
            delta.certificates,
        )
        assert {op: h.counts for op, h in again.service.items()} == {op: h.counts for op, h in delta.service.items()}


def test_a_run_is_read_back_as_it_was_recorded(tmp_path: Path) -> None:
    """Exchanges, enrolments, seconds, readings and facts; figures rebuilt from rows are the figures of the run."""
    exchanges = [a_sample(device=n, at_ns=n * S // 4) for n in range(20)]
    preflight = a_sample(cause=Cause.PREFLIGHT)
    searches = [an_enrolment(device=n, at_ns=n * S // 4, took_ns=S if n % 2 else None) for n in range(20)]
    reading = GeneratorReading(S, 0.5, 10**8, 3, 10**6, preparing=True)
    recorder = a_recorder([preflight, *exchanges], searches)
    recorder.generator(reading)
    path = tmp_path / "run.sqlite"
    with RunStore(path) as store:
        store.put(seed="42")
        store.put(seed="43")
        store.write(recorder.take_batch())
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.sqlite"]
    with RunReader(path) as run:
        assert run.facts() == {"seed": "43"}
        assert list(run.exchanges()) == [preflight, *exchanges]
        assert list(run.enrolments()) == searches
        assert list(run.readings()) == [reading]
        assert sum(delta.requests for delta in run.series()) == len(exchanges)
        assert sum(delta.begun for delta in run.series()) == len(searches)
        again = a_recorder(list(run.exchanges()), list(run.enrolments()))
    assert again.book.total().operations.keys() == recorder.book.total().operations.keys()
    assert again.scope(9 * S).time_to_certificate.events == recorder.scope(9 * S).time_to_certificate.events


def test_an_open_enrolment_is_a_row_that_its_end_replaces(tmp_path: Path) -> None:
    """From its beginning on, so that a killed run knows what was open; and once only."""
    recorder = a_recorder()
    recorder.enrolment_began(enrolment := an_enrolment(device=7))
    with RunStore(tmp_path / "run.sqlite") as store:
        store.write(recorder.take_batch())
        with RunReader(store.path) as run:
            (row,) = run.enrolments()
            assert row.ended_ns is None
        ended = an_enrolment(device=7, took_ns=3 * S)
        enrolment.ended_ns, enrolment.end = ended.ended_ns, ended.end
        recorder.enrolment_ended(enrolment)
        store.write(recorder.take_batch())
        with RunReader(store.path) as run:
            assert [row.ended_ns for row in run.enrolments()] == [3 * S]


_KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from record_builders import a_recorder, a_sample, an_enrolment
from estsim.record.store import RunStore
store = RunStore(Path(sys.argv[1]))
for n in range(1000):
    store.write(a_recorder([a_sample(device=n)], [an_enrolment(device=n)]).take_batch())
    print(n, flush=True)
time.sleep(60)
"""


def test_a_killed_run_can_be_read_with_every_batch_that_was_written(tmp_path: Path) -> None:
    """SIGKILL in the middle of writing: all acknowledged batches are there."""
    path = tmp_path / "run.sqlite"
    command = [sys.executable, "-c", _KILLED, str(path), str(Path(__file__).parents[1])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = [int(next(writer.stdout)) for _ in range(50)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout]
    assert writer.returncode == -signal.SIGKILL
    with RunReader(path) as run:
        devices = [sample.device for sample in run.exchanges()]
        assert devices[: len(acknowledged)] == acknowledged
        assert [enrolment.device for enrolment in run.enrolments()] == devices


def test_a_full_disk_is_named_and_the_batch_can_be_written_later(tmp_path: Path) -> None:
    """A failed write leaves nothing of its batch behind; the recorder keeps it, counts it, and the next one has all."""
    recorder = a_recorder([a_sample(device=n) for n in range(5000)])
    with RunStore(tmp_path / "run.sqlite") as store:
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages + 3}")
        batch = recorder.take_batch()
        with pytest.raises(StoreError, match="the disk is full") as caught:
            store.write(batch)
        recorder.keep(batch, caught.value)
        assert (recorder.write_failures, recorder.write_error) == (1, caught.value)
        recorder.exchange(a_sample(device=5000))
        store._connection.execute("PRAGMA max_page_count = 1000000")
        store.write(recorder.take_batch())
        assert recorder.write_error is None
        with RunReader(store.path) as run:
            assert [sample.device for sample in run.exchanges()] == list(range(5001))
            assert sum(delta.requests for delta in run.series()) == 5001


def test_a_file_that_is_not_a_run_is_refused_by_name(tmp_path: Path) -> None:
    """No file, a text file, another program's database, a run of a later version."""
    with pytest.raises(StoreError, match="no such run"):
        RunReader(tmp_path / "none.sqlite")
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(StoreError, match="not an estsim run"):
        RunReader(tmp_path / "text")
    foreign = sqlite3.connect(tmp_path / "foreign")
    foreign.execute("CREATE TABLE t (a)")
    foreign.close()
    with pytest.raises(StoreError, match="not an estsim run"):
        RunReader(tmp_path / "foreign")
    with RunStore(tmp_path / "later") as store:
        store._connection.execute("PRAGMA user_version = 9")
    with pytest.raises(StoreError, match=r"expected a run store of version 7 \(got 9\)"):
        RunReader(tmp_path / "later")


def test_a_store_is_not_written_over(tmp_path: Path) -> None:
    """A second run into the same file is refused, and the first one stays."""
    with RunStore(tmp_path / "run.sqlite") as store:
        store.put(id="first")
    with pytest.raises(StoreError, match="already exists"):
        RunStore(tmp_path / "run.sqlite")
    with pytest.raises(StoreError):
        RunStore(tmp_path / "no" / "folder" / "run.sqlite")
    with RunReader(tmp_path / "run.sqlite") as run:
        assert run.facts() == {"id": "first"}


def test_an_empty_batch_is_false() -> None:
    """So that a quiet second costs no transaction."""
    assert not Batch()
    assert a_recorder([a_sample()]).take_batch()
