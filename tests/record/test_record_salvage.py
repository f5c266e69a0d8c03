"""A batch with something in it of which no row can be made: the store gets all the rest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from record_builders import a_sample, an_enrolment

from estsim.errors import StoreError
from estsim.record.recorder import Recorder
from estsim.record.run_reader import RunReader
from estsim.record.salvage import is_storable, save
from estsim.record.sample import MarkRow
from estsim.record.store import Batch, RunStore
from estsim.record.worker_report import WorkerReportError, pack, unpack


@pytest.fixture(name="store")
def opened(tmp_path: Path) -> Iterator[RunStore]:
    """Open a store."""
    with RunStore(tmp_path / "run.sqlite") as store:
        yield store


def batch_of(*details: Any) -> Batch:  # noqa: ANN401 - one is no text
    """Return a batch of exchanges with these details, a search and a mark."""
    samples = [a_sample(device=number, detail=detail) for number, detail in enumerate(details)]
    enrolment = an_enrolment()
    key = (enrolment.cohort, enrolment.device, enrolment.number)
    return Batch(exchanges=samples, enrolments={key: enrolment}, marks=[MarkRow(0, "mark", "calm")])


def stored(store: RunStore) -> tuple[list[str], int, int]:
    """Return the details of the exchanges in the file, and how many searches and marks."""
    with RunReader(store.path) as reader:
        details = [sample.detail for sample in reader.exchanges()]
        return details, len([*reader.enrolments()]), len([*reader.marks()])


def test_a_sound_batch_is_written_whole(store: RunStore) -> None:
    """And nothing is met."""
    assert save(store, batch_of("a", "b")) == []
    assert stored(store) == (["a", "b"], 1, 1)


@pytest.mark.parametrize("odd", [{"a": "bug"}, 1 << 63, "\ud800", object()])
def test_a_value_that_sqlite_cannot_store_costs_its_own_row(store: RunStore, odd: object) -> None:
    """Written once, what is sound, and the bug is handed back."""
    met = save(store, batch_of("a", odd, "b"))
    assert len(met) == 1
    assert stored(store) == (["a", "b"], 1, 1)


def test_a_record_without_a_row_costs_its_own_row(store: RunStore) -> None:
    """Something that is no sample at all."""
    batch = batch_of("a", "b")
    batch.exchanges.insert(1, None)  # type: ignore[arg-type]  # the bug
    assert [type(bug) for bug in save(store, batch)] == [AttributeError]
    assert stored(store) == (["a", "b"], 1, 1)


def test_rows_of_a_worker_that_sqlite_does_not_take_are_left_out(store: RunStore) -> None:
    """They come ready made."""
    batch = Batch(ready=[{"marks": [(0, "mark", "one"), (0, {}, "odd"), (0, "mark", "two")]}])
    assert len(save(store, batch)) == 1
    assert stored(store)[2] == 2


def test_a_full_disk_is_no_bug(store: RunStore) -> None:
    """The batch is whole, and may be tried again."""
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="the disk is full"):
        save(store, batch_of(*("x" * 5000 for _ in range(100))))


def test_a_parcel_leaves_out_a_row_that_cannot_be_made_and_tells_of_the_bug() -> None:
    """A worker sends the others, and its counts."""
    gatherer = Recorder()
    details: list[Any] = ["a", {"a": "bug"}, "b"]
    for number, detail in enumerate(details):
        gatherer.exchange(a_sample(device=number, detail=detail))
    worker_report = unpack(pack(gatherer.take_report()))
    assert [row[0] for row in worker_report.rows["exchanges"]] == [0, 2]
    assert worker_report.internal_errors.count == 1


@pytest.mark.parametrize("odd", [1 << 63, [1], {"a": 1}])
def test_a_parcel_whose_rows_no_store_takes_is_refused(odd: object) -> None:
    """Who sends it is a stranger, so it is no bug, and nothing of it is counted."""
    gatherer = Recorder()
    gatherer.exchange(a_sample())
    parts = msgpack.unpackb(pack(gatherer.take_report()), strict_map_key=False)
    parts["rows"]["marks"] = [(0, "mark", odd)]
    with pytest.raises(WorkerReportError, match="a value that SQLite cannot store"):
        unpack(msgpack.packb(parts))


@pytest.mark.parametrize(("value", "expected"), [(None, True), (b"", True), (0.5, True), (True, True), (1j, False)])
def test_storable_values(value: object, expected: bool) -> None:  # noqa: FBT001 - of a table
    """As SQLite has it."""
    assert is_storable(value) is expected
