"""Export: rows as they were recorded, one at a time, and percentiles that are those of the run."""

import csv
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from io import StringIO
from itertools import islice
from pathlib import Path

import pytest
from hdrh.histogram import HdrHistogram
from record_builders import MS, S, a_recorder, a_sample, an_enrolment

from estsim.errors import StoreError, UsageError
from estsim.est.enrolment import Cause, Goal
from estsim.est.outcome import NonConformance, OutcomeClass, RetryAfter, RetryAfterForm
from estsim.record.reading import (
    Table,
    columns_of,
    enrolments_of,
    exchanges_of,
    open_run,
    size_of,
    stream,
    subjects_with,
)
from estsim.record.rows import enrolment_of, exchange_row
from estsim.record.run_reader import RunReader
from estsim.record.sample import Enrolment, Sample
from estsim.record.store import RunStore
from estsim.report.export import RowFormat, percentile_texts, write_rows

AWKWARD = 'said "no, never",\nthen é and \N{SNOWMAN}'
DEFERRED = a_sample(
    OutcomeClass.DEFERRED,
    device=1,
    at_ns=S,
    retry_after=RetryAfter(3.0, RetryAfterForm.SECONDS),
    detail=AWKWARD,
    non_conformances=(NonConformance("PEM armour", "RFC 8951 §3"),),
)
EXCHANGES = [
    a_sample(cause=Cause.PREFLIGHT),
    *(a_sample(device=0, at_ns=n * S, lag_ns=n * MS, service_ns=(n + 1) * 10 * MS) for n in range(40)),
    DEFERRED,
    *(a_sample(device=2, cohort="south", at_ns=n * S, service_ns=2 * S) for n in range(3)),
]


def issued(device: int, subject: str, number: int = 1) -> Enrolment:
    """Return an enrolment that ended with a certificate."""
    goal = Goal.ENROLL if number == 1 else Goal.RENEW
    return replace(
        an_enrolment(device=device, number=number, goal=goal, at_ns=number * S, took_ns=S),
        serial=f"{device:x}f{number}",
        issuer="CN=issuing CA",
        subject=subject,
        not_after="2026-11-25T03:27:33+00:00",
        key_sha256="00ff",
    )


ENROLMENTS = [
    issued(0, "O=Example,CN=meter-0"),
    issued(0, "O=Example,CN=meter-0", number=2),
    issued(2, "O=Example,CN=meter-2"),
    an_enrolment(device=1),
]


def write_run(path: Path, exchanges: list[Sample] = EXCHANGES, searches: list[Enrolment] = ENROLMENTS) -> Path:
    """Write a finished run's store."""
    with RunStore(path) as store:
        store.write(a_recorder(exchanges, searches).take_batch())
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the folder of a finished run."""
    return write_run(tmp_path / "run.sqlite").parent


def exported(run: Path, table: Table, form: RowFormat) -> str:
    """Return what is written of a table."""
    out = StringIO(newline="")
    with open_run(run) as reader:
        write_rows(reader, table, form, out)
    return out.getvalue()


def test_csv_has_every_exchange_as_it_was_recorded(run: Path) -> None:
    """Names first; nulls are empty, nanoseconds whole, and a text with quotes, commas and line ends is one field."""
    text = exported(run, Table.EXCHANGES, RowFormat.CSV)
    heading, *rows = csv.reader(StringIO(text, newline=""))
    assert heading == ["id", *columns_of(Table.EXCHANGES)[1:]]
    expected = [(number, *exchange_row(sample)) for number, sample in enumerate(EXCHANGES, start=1)]
    assert rows == [["" if value is None else str(value) for value in row] for row in expected]
    assert "\r" not in text


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_a_spreadsheet_would_run_is_text(tmp_path: Path, begin: str) -> None:
    """A stranger's words get an apostrophe before them, in CSV alone; negative numbers stay numbers."""
    words = f"{begin}1+cmd|' /C calc'!A0"
    recorder, at_ns = a_recorder(), -5 * MS
    recorder.exchange(replace(a_sample(), detail=words))
    with RunStore(tmp_path / "run.sqlite") as store:
        store.write(recorder.take_batch())
    with closing(sqlite3.connect(tmp_path / "run.sqlite")) as written, written:
        written.execute("UPDATE exchanges SET intended_ns = ?", (at_ns,))
    (row,) = csv.DictReader(StringIO(exported(tmp_path, Table.EXCHANGES, RowFormat.CSV), newline=""))
    assert (row["detail"], row["intended_ns"]) == (f"'{words}", str(at_ns))
    entry = json.loads(exported(tmp_path, Table.EXCHANGES, RowFormat.JSONL))
    assert (entry["detail"], entry["intended_ns"]) == (words, at_ns)


def test_json_lines_have_values_and_not_texts_of_values(run: Path) -> None:
    """A line an exchange; null is null, and what the store keeps as JSON is nested."""
    lines = exported(run, Table.EXCHANGES, RowFormat.JSONL).splitlines()
    entries = [json.loads(line) for line in lines]
    assert len(entries) == len(EXCHANGES)
    (deferred,) = (entry for entry in entries if entry["kind"] == "deferred")
    assert deferred["detail"] == AWKWARD
    assert deferred["non_conformances"] == [["PEM armour", "RFC 8951 §3"]]
    assert (deferred["retry_after_s"], deferred["poll_told_s"]) == (3.0, None)
    assert deferred["ended_ns"] == DEFERRED.stamps.ended_ns
    seconds = [json.loads(line) for line in exported(run, Table.SERIES, RowFormat.JSONL).splitlines()]
    assert sum(sum(second["classes"].get("simpleenroll", {}).values()) for second in seconds) == len(EXCHANGES) - 1
    encoded = seconds[0]["response"]["simpleenroll"]
    assert HdrHistogram.decode(encoded.encode()).get_total_count() == 1


def test_the_certificates_are_those_that_were_issued(run: Path) -> None:
    """What a CA has to be told to revoke them, and no line for a search that is open."""
    rows = list(csv.DictReader(StringIO(exported(run, Table.CERTIFICATES, RowFormat.CSV))))
    assert [row["serial"] for row in rows] == ["0f1", "0f2", "2f1"]
    assert rows[1] == {
        "serial": "0f2",
        "issuer": "CN=issuing CA",
        "subject": "O=Example,CN=meter-0",
        "not_after": "2026-11-25T03:27:33+00:00",
        "device": "0",
        "cohort": "north",
        "goal": "renew",
        "key_sha256": "00ff",
    }


def test_enrolments_are_all_there(run: Path) -> None:
    """Open ones too."""
    with open_run(run) as reader:
        assert [enrolment_of(row) for row in stream(reader, Table.ENROLMENTS)] == ENROLMENTS


def test_rows_come_before_all_of_them_were_read(run: Path) -> None:
    """Every table is read in the order in which it lies: SQLite sorts nothing before the first row."""
    with open_run(run) as reader:
        for table in Table:
            asked: list[str] = []
            reader._connection.set_trace_callback(asked.append)
            assert len(list(islice(stream(reader, table), 1))) == 1
            reader._connection.set_trace_callback(None)
            plan = " ".join(str(row) for row in reader._connection.execute(f"EXPLAIN QUERY PLAN {asked[0]}"))
            assert "TEMP B-TREE" not in plan


def test_progress_is_reported_in_batches(tmp_path: Path) -> None:
    """A batch at a time, up to the size that was said before."""
    write_run(tmp_path / "run.sqlite", [a_sample(device=n) for n in range(2500)], [])
    told: list[int] = []
    with open_run(tmp_path) as reader:
        write_rows(reader, Table.EXCHANGES, RowFormat.CSV, StringIO(), progress=told.append)
        assert told == [1000, 1000, 500]
        assert size_of(reader, Table.EXCHANGES) == 2500
        assert [size_of(reader, table) for table in (Table.ENROLMENTS, Table.CERTIFICATES)] == [0, 0]


def test_percentiles_are_those_of_all_exchanges_that_ended_ok(run: Path) -> None:
    """Over seconds and cohorts, in milliseconds; a deferral is not among them."""
    with open_run(run) as reader:
        texts = percentile_texts(reader)
    assert [*texts] == ["simpleenroll.response", "simpleenroll.service"]
    rows = percentile_rows(texts["simpleenroll.response"])
    ok = sorted(s.stamps.response_ns for s in EXCHANGES[1:] if s.kind is OutcomeClass.OK)
    assert rows[-1][1:] == (1.0, len(ok))
    for value, share, count in rows:
        exact_ms = ok[count - 1] / MS
        assert value == pytest.approx(exact_ms, rel=2e-3)
        assert count >= share * len(ok) - 0.5
    assert len(rows) > 20


def percentile_rows(text: bytes) -> list[tuple[float, float, int]]:
    """Read (value, share, count) as plotters do."""
    heading, _, *lines = text.decode().splitlines()
    assert heading.split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    cells = [line.split() for line in lines if line and not line.startswith("#")]
    return [(float(value), float(share), int(count)) for value, share, count, *_ in cells]


def test_the_mean_and_the_deviation_of_percentiles_have_one_unit(tmp_path: Path) -> None:
    """Both are milliseconds: half of the exchanges take 10 ms and half 30 ms."""
    run = write_run(tmp_path / "run.sqlite", [a_sample(service_ns=took * MS) for took in [10, 30] * 50], [])
    with open_run(run) as reader:
        text = percentile_texts(reader)["simpleenroll.service"].decode()
    (line,) = (line for line in text.splitlines() if line.startswith("#[Mean"))
    mean, deviation = (float(part.split("=")[1].strip(" ]")) for part in line.split(","))
    assert mean == pytest.approx(20, rel=2e-3)
    assert deviation == pytest.approx(10, rel=2e-3)


def test_no_exchange_no_percentiles(tmp_path: Path) -> None:
    """A run in which nothing ended ok."""
    run = write_run(tmp_path / "run.sqlite", [a_sample(OutcomeClass.FAILED)], [])
    with open_run(run) as reader:
        assert percentile_texts(reader) == {}


def test_one_device_is_found_by_its_number_and_by_its_subject(run: Path) -> None:
    """Its exchanges without the preflight, its searches in order, and who has a name."""
    with open_run(run) as reader:
        assert exchanges_of(reader, 1) == [DEFERRED]
        assert len(exchanges_of(reader, 0)) == 40
        assert enrolments_of(reader, 0) == ENROLMENTS[:2]
        assert list(subjects_with(reader, "CN=meter-2")) == [(2, "O=Example,CN=meter-2")]
        assert list(subjects_with(reader, "CN=meter-0")) == [(0, "O=Example,CN=meter-0")]
        assert list(subjects_with(reader, "CN=%")) == []


def test_a_folder_without_a_run_is_refused_by_name(tmp_path: Path) -> None:
    """No folder, a folder of something else, a store of a later version."""
    with pytest.raises(UsageError, match="no such folder"):
        open_run(tmp_path / "none")
    with pytest.raises(UsageError, match=r"expected a results folder \(it contains no run.sqlite\)"):
        open_run(tmp_path)
    (tmp_path / "text").write_text("hello " * 1000)
    with pytest.raises(StoreError, match="not an estsim run"):
        open_run(tmp_path / "text")


_KILLED = """
import os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from record_builders import a_recorder, a_sample
from estsim.record.store import RunStore
RunStore(Path(sys.argv[1])).write(a_recorder([a_sample(device=7)]).take_batch())
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("lost", ["nothing", "shm", "wal"])
def test_reading_a_killed_run_leaves_no_file_behind(tmp_path: Path, lost: str) -> None:
    """Whether the store was found with its log and index, copied without the index, or without both."""
    path = tmp_path / "made" / "run.sqlite"
    path.parent.mkdir()
    killed = subprocess.run([sys.executable, "-c", _KILLED, path, Path(__file__).parents[1]], check=False)
    assert killed.returncode == -signal.SIGKILL
    kept = {"nothing": ["", "-wal", "-shm"], "shm": ["", "-wal"], "wal": [""]}[lost]
    folder = tmp_path / "copy"
    folder.mkdir()
    for suffix in kept:
        shutil.copy(f"{path}{suffix}", folder)
    before = {entry.name: entry.read_bytes() for entry in folder.iterdir() if not entry.name.endswith("-shm")}
    if lost == "wal":
        with pytest.raises(StoreError, match="not an estsim run"):  # everything was still in the log
            open_run(folder)
    else:
        with open_run(folder) as reader:
            assert [sample.device for sample in reader.exchanges()] == [7]
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(f"run.sqlite{suffix}" for suffix in kept)
    assert {entry: (folder / entry).read_bytes() for entry in before} == before


@pytest.mark.parametrize("index", ["index", "no index"])
def test_a_link_to_a_killed_run_includes_its_log(tmp_path: Path, index: str) -> None:
    """The log lies beside the store, not beside the link; nothing is left beside either."""
    path = tmp_path / "made" / "run.sqlite"
    path.parent.mkdir()
    with RunStore(path) as store:
        store.write(a_recorder([a_sample(device=1)]).take_batch())
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE exchanges SET device = 7")
        writer.commit()
        killed = tmp_path / "killed"
        shutil.copytree(path.parent, killed)
    if index == "no index":
        (killed / "run.sqlite-shm").unlink()
    before = sorted(entry.name for entry in killed.iterdir())
    links = tmp_path / "links"
    links.mkdir()
    (links / "run.sqlite").symlink_to(Path("..", "killed", "run.sqlite"))
    with open_run(links) as reader:
        assert [sample.device for sample in reader.exchanges()] == [7]
    assert [entry.name for entry in links.iterdir()] == ["run.sqlite"]
    assert sorted(entry.name for entry in killed.iterdir()) == before


def test_a_store_that_is_being_written_is_read_on_its_way(tmp_path: Path) -> None:
    """What was written until then, and the writer goes on."""
    with RunStore(tmp_path / "run.sqlite") as store:
        store.write(a_recorder([a_sample(device=1)]).take_batch())
        with RunReader(store.path) as reader:
            assert [sample.device for sample in reader.exchanges()] == [1]
            store.write(a_recorder([a_sample(device=2)]).take_batch())
            assert [sample.device for sample in reader.exchanges()] == [1, 2]
