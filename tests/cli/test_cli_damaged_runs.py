"""A results folder that was damaged, or made by somebody else: every command that reads it says what is wrong with it.

One small run is damaged column by column and file by file. A reader either gets values of ours or raises the error that
names the place; no command ends in a traceback, and none prints a control character that was in the store.
"""

import io
import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Final

import pytest
from cli_runs import at_once, estsim, results_in, write_scenario
from hypothesis import example, given, settings
from hypothesis import strategies as st

from estsim.cli.device_timeline import _lines as story_of
from estsim.errors import EstsimError, StoreError
from estsim.est.outcome import NonConformance
from estsim.record.columns import TABLES
from estsim.record.reading import Table, open_run
from estsim.record.slice_packing import slice_bytes, slice_of_bytes
from estsim.report.export import RowFormat, write_rows
from estsim.report.page import page
from estsim.report.run_report import read_run

DEEP: Final = "[" * 20_000 + "]" * 20_000
CONTROLS: Final = "\x1b[31m\x00\x07\x7f\x9b\u202e"
COLUMNS: Final = [(table, column.name) for table, columns in TABLES.items() for column in columns]
JSON: Final = {
    ("exchanges", "non_conformances"), ("fleet", "states"),
    ("series", "classes"), ("series", "service"), ("series", "response"),
}  # fmt: skip
READ: Final = ("run.sqlite", "scenario.yaml", "summary.json")
Value = str | bytes | int | float | None


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of five devices that has rows in every table."""
    folder = tmp_path_factory.mktemp("sound")
    scenario = write_scenario(
        folder,
        cohort={
            "renew": {"after": "300ms", "times": 1, "then": "leave"},
            "faults": {"bad_csr_signature": "20%"},
            "retry": {"attempts": 1},
        },
        sandbox={"issue": {"mode": "deferred", "share": "50%", "delay": "100ms", "retry_after": {"seconds": 1}}},
        events=[{"at": "200ms", "mark": "here"}, {"at": "400ms", "renew_now": {"cohorts": ["meters"]}}],
        phases={"early": "0s..1s", "late": "1s..30s"},
        thresholds=["failures < 1%", "enrolled_within.5s >= 1%"],
    )
    assert estsim("run", scenario, "--results", folder / "results").code == 0
    found = results_in(folder / "results").folder
    with closing(sqlite3.connect(found / "run.sqlite")) as store, store:
        store.execute("UPDATE generator SET stalled_from_ns = 1000, stalled_to_ns = 2000")
        store.execute("INSERT INTO internal_errors VALUES (0, 0, 'meters', 'KeyError', 'engine/shard.py:1')")
        rows = {table: store.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in TABLES}  # noqa: S608 - the same
    assert all(rows.values()), rows
    return found


@pytest.fixture(name="damaged")
def copied(sound: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder, to be damaged."""
    return copy_of(sound, tmp_path / "run")


def copy_of(sound: Path, folder: Path) -> Path:
    """Copy what is read of a run's folder."""
    folder.mkdir()
    for name in READ:
        shutil.copy(sound / name, folder)
    return folder


def change(folder: Path, statement: str, *values: Value) -> None:
    """Change a store; several statements have no values."""
    with closing(sqlite3.connect(folder / "run.sqlite", isolation_level=None)) as store:
        store.execute("PRAGMA synchronous = OFF")
        if values:
            store.execute(statement, values)
        else:
            store.executescript(statement)


def put(folder: Path, table: str, column: str, value: Value) -> None:
    """Put a value into a column, in all rows that take it."""
    if table == "run":  # its columns forbid null
        change(folder, "CREATE TABLE any (key, value); INSERT INTO any SELECT * FROM run; DROP TABLE run;")
        change(folder, "ALTER TABLE any RENAME TO run")
    change(folder, f"UPDATE OR IGNORE {table} SET {column} = ?", value)  # noqa: S608 - names of ours


def put_into_counts(folder: Path, text: str) -> None:
    """Put a text into every place for one in the counts of a run."""
    with closing(sqlite3.connect(folder / "run.sqlite")) as store, store:
        for number, packed in store.execute("SELECT rowid, counts FROM tallies").fetchall():
            counts = slice_of_bytes(packed)
            tally, report = counts.tally, counts.report
            tally.errors = Counter({("simpleenroll", "failed", text, text): 1000})
            tally.non_conformances[NonConformance(text, text)] += 1
            report.handshakes[text, text, False] += 1
            store.execute("UPDATE tallies SET counts = ? WHERE rowid = ?", (slice_bytes(counts), number))


def in_sql(text: str) -> str:
    """Return a text for a statement, whatever is in it."""
    return f"CAST(x'{text.encode().hex()}' AS TEXT)"


def exported(folder: Path, table: Table, form: RowFormat) -> None:
    """Export a table."""
    with open_run(folder) as run:
        write_rows(run, table, form, io.StringIO())


def told(folder: Path, name: str) -> None:
    """Tell a device's story."""
    with open_run(folder) as run:
        story_of(run, name)


def seconds(folder: Path) -> None:
    """Read what the files for plotters are made of; the files themselves take a second."""
    with open_run(folder) as run:
        assert all(run.series())


def readers(folder: Path, tables: set[str]) -> Iterator[Callable[[], object]]:
    """Yield what the commands do that read some tables of a folder, but for drawing the page."""
    yield partial(read_run, folder)
    for table in Table:
        if table in tables or (table is Table.CERTIFICATES and "enrolments" in tables):
            yield from (partial(exported, folder, table, form) for form in RowFormat)
    if "series" in tables:
        yield partial(seconds, folder)
    if tables & {"run", "exchanges", "enrolments", "internal_errors"}:
        yield from (partial(told, folder, name) for name in ("0", "CN=meters-000001", "nobody"))


# -- columns


@pytest.mark.parametrize("table", TABLES)
def test_a_column_that_holds_something_else_is_named(damaged: Path, table: str) -> None:
    """Bytes, thousands of brackets, a number beyond all, a text, nothing: who reads it says the column and the row.

    A report reads no exchange and no enrolment, but what was counted of them.
    """
    is_exported = table in {Table.EXCHANGES, Table.ENROLMENTS}
    sound_bytes = (damaged / "run.sqlite").read_bytes()
    odd: Iterator[Value] = cycle([DEEP, 2**63 - 1, -(2**63), float("inf")])
    for column in TABLES[table]:
        for value in (b"\xff\x00", None, next(odd)):
            (damaged / "run.sqlite").write_bytes(sound_bytes)
            put(damaged, table, column.name, value)
            nullable, is_text = "or nothing" in column.expected, column.expected.startswith("text")
            if value is None and nullable and not column.is_paired:
                continue
            if value == DEEP and is_text and (table, column.name) not in JSON:
                continue
            with pytest.raises(StoreError) as caught:
                exported(damaged, Table(table), RowFormat.JSONL) if is_exported else read_run(damaged)
            told = f"{damaged}/run.sqlite: unreadable content: {table}.{column.name}, row "
            assert str(caught.value).startswith(told), (value, str(caught.value))
            assert "expected" in str(caught.value)
            assert "(got " in str(caught.value)


VALUES = st.one_of(
    st.none(),
    st.binary(max_size=4),
    st.text(max_size=8),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.floats(allow_nan=False),
    st.sampled_from(
        [
            DEEP, "", "{}", "[]", "null", "None", "1e999", "9" * 5000, '{"a": null}', '{"off": -1}', '[["a", "b"]]',
            '[["x", 0, 1e300]]', '{"simpleenroll": {"ok": 1e400}}', '{"simpleenroll": "AAAA"}', '["failures < 1%"]',
            "2026-01-01T00:00:00+00:00", "ok", "failed", "deferred", "seconds", "http-date", "renew", "issued", "poll",
        ]
    ),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@example(damages=[(("exchanges", "non_conformances"), "")])
@given(damages=st.lists(st.tuples(st.sampled_from(COLUMNS), VALUES), min_size=1, max_size=3))
def test_whatever_a_store_holds_is_read_or_refused(
    sound: Path, tmp_path_factory: pytest.TempPathFactory, damages: list[tuple[tuple[str, str], Value]]
) -> None:
    """Any value in any column: what a command reads is what it should be, or the error is one of ours."""
    folder = copy_of(sound, tmp_path_factory.mktemp("any") / "run")
    for (table, column), value in damages:
        put(folder, table, column, value)
    for read in readers(folder, {table for (table, _), _ in damages}):
        with suppress(EstsimError):
            read()


def test_a_text_that_is_none_is_named(damaged: Path) -> None:
    """Bytes that are no UTF-8, in a column of text: by whatever reads them, with the row."""
    change(damaged, "UPDATE exchanges SET detail = CAST(x'66ff6f' AS TEXT) WHERE id = 3")
    for read in readers(damaged, {"exchanges"}):
        with suppress(EstsimError):
            read()
    with pytest.raises(StoreError) as caught:
        exported(damaged, Table.EXCHANGES, RowFormat.CSV)
    assert str(caught.value).endswith("exchanges.detail, row 3: expected text in UTF-8 (got the text f\ufffdo)")


# -- tables and files


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DROP TABLE exchanges", "expected a table exchanges (got none)"),
        ("DROP TABLE marks", "expected a table marks (got none)"),
        (
            "ALTER TABLE marks RENAME TO kept; CREATE VIEW marks AS SELECT * FROM kept",
            "expected a table marks (got view)",
        ),
        ("ALTER TABLE exchanges DROP COLUMN kind", "exchanges: expected a column kind (got none)"),
        (
            "ALTER TABLE marks DROP COLUMN kind; ALTER TABLE marks ADD COLUMN kind INTEGER",
            "marks.kind: expected a column without a type (got INTEGER)",
        ),
        ("ALTER TABLE run DROP COLUMN value", "run: expected a column value (got none)"),
        (
            "ALTER TABLE fleet DROP COLUMN states; ALTER TABLE fleet ADD COLUMN states AS (cohort || second)",
            "fleet: expected a column states (got none)",
        ),
        (
            "CREATE TABLE copy AS SELECT * FROM exchanges; DROP TABLE exchanges; ALTER TABLE copy RENAME TO exchanges",
            "exchanges: expected a column id that is the primary key (got none)",
        ),
        ("PRAGMA application_id = 7", "not an estsim run"),
    ],
)
def test_a_store_of_another_shape_is_named(damaged: Path, statement: str, expected: str) -> None:
    """Tables and columns are looked at when a store is opened, by every command."""
    change(damaged, statement)
    with pytest.raises(StoreError) as caught, open_run(damaged):
        pass
    assert str(caught.value) == f"{damaged}/run.sqlite: {expected}"


REPLACED: Final = {"missing", "a folder", "a pipe", "endless"}
DAMAGES: Final[dict[str, Callable[[Path], object]]] = {
    "missing": lambda _: None,
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a page": lambda path: path.write_bytes(path.read_bytes()[:4096]),
    "text": lambda path: path.write_text("hello\n"),
    "brackets": lambda path: path.write_text(DEEP),
    "bytes": lambda path: path.write_bytes(bytes(range(256)) * 64),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_the_file_s_fault(sound: Path, tmp_path: Path, damage: str) -> None:
    """A store that is none is refused; without its scenario or its summary a run can be read all the same."""
    for name in READ:
        folder = copy_of(sound, tmp_path / name)
        if damage in REPLACED:
            (folder / name).unlink()
        DAMAGES[damage](folder / name)
        for read in readers(folder, {*TABLES} if name == "run.sqlite" else {"run"}):
            if name == "run.sqlite":
                with pytest.raises(EstsimError, match=r"run\.sqlite"):
                    read()
            else:
                with suppress(EstsimError):  # a device that is not found by its name
                    read()
        if name == "summary.json":
            assert read_run(folder).summary is None


@pytest.mark.parametrize(
    "figure", [float("nan"), float("-inf"), 10**400, -1, "many", [None], {"a": None}], ids=range(7)
)
def test_a_summary_of_odd_figures_has_a_page(damaged: Path, figure: object) -> None:
    """Every number of it is something else: what cannot be a figure is left out of the page."""
    path = damaged / "summary.json"
    path.write_text(json.dumps(replaced(json.loads(path.read_text()), figure)), encoding="utf-8")
    assert "<html" in page(read_run(damaged))


def replaced(value: object, figure: object) -> object:
    """Return a value with another one in place of every number."""
    match value:
        case dict():
            return {key: replaced(each, figure) for key, each in value.items()}
        case list():
            return [replaced(each, figure) for each in value]
        case bool() | str() | None:
            return value
        case _:
            return figure


def test_flipped_bytes_are_no_bug_of_ours(damaged: Path) -> None:
    """Wherever they are: SQLite's structures, our values, the text of the schema."""
    store, rng = damaged / "run.sqlite", Random(7)
    sound_bytes = store.read_bytes()
    for flips in (1, 3, 20, 200) * 8:
        flipped = bytearray(sound_bytes)
        for _ in range(flips):
            flipped[rng.randrange(len(flipped))] = rng.randrange(256)
        store.write_bytes(flipped)
        for read in readers(damaged, {"exchanges"}):
            with suppress(EstsimError):
                read()


# -- the commands


def test_commands_refuse_a_damaged_store(damaged: Path, tmp_path: Path) -> None:
    """Exit code 2 and one line, with the file, the table, the column, what was expected and what came."""
    change(
        damaged,
        "UPDATE exchanges SET kind = NULL; UPDATE series SET service = x'00';"
        "UPDATE enrolments SET number = 'x' WHERE rowid = 1",
    )
    exports = {
        "exchanges": ("--format", "csv"),
        "certificates": ("--format", "jsonl", "--table", "certificates"),
        "series": ("--format", "hgrm", "--output", tmp_path / "percentiles"),
    }
    done = at_once(
        {
            "report": partial(estsim, "report", damaged),
            "device": partial(estsim, "device", damaged, "1"),
            **{name: partial(estsim, "export", damaged, *words) for name, words in exports.items()},
        }
    )
    held = f"{damaged}/run.sqlite: unreadable content: "
    kinds = "exchanges.kind, row {}: expected one of ok, deferred, overloaded, challenged, unauthorized, rejected, "
    assert {name: each.code for name, each in done.items()} == dict.fromkeys(done, 2)
    assert {name: len(each.mistakes) for name, each in done.items()} == dict.fromkeys(done, 1)
    assert done["exchanges"].err.startswith(held + kinds.format(1))
    assert done["exchanges"].err.endswith("failed, abandoned (got nothing)\n")
    assert done["series"].err == f"{held}series.service, row 1: expected text (got 1 bytes that are no text)\n"
    number = "enrolments.number, row 1: expected a whole number from 0 to 2^53 (got the text x)\n"
    assert done["certificates"].err == held + number
    assert done["device"].err.startswith(held + "e")
    assert done["report"].err.startswith(held + "series.service, row 1")


def test_control_characters_of_a_store_are_printed_nowhere(damaged: Path) -> None:
    """In no text of it, by no command; what was around them is there."""
    put_into_counts(damaged, f"odd{CONTROLS}text")
    for table, columns in TABLES.items():
        if table == "tallies":
            continue
        texts = [each.name for each in columns if each.expected.startswith("text") and (table, each.name) not in JSON]
        where = "WHERE key IN ('scenario', 'target', 'description', 'version')" if table == "run" else ""
        for column in {*texts} - {"cohort", "key"}:
            change(damaged, f"UPDATE {table} SET {column} = 'odd' || {in_sql(CONTROLS)} || 'text' {where}")  # noqa: S608
    exports = [("export", damaged, "--format", form, "--table", table) for table in Table for form in RowFormat]
    commands = [*exports, ("device", damaged, "0"), ("report", damaged)]
    done = at_once({" ".join(map(str, words)): partial(estsim, *words) for words in commands})
    assert {each.code for each in done.values()} == {0}
    page = (damaged / "report.html").read_text(encoding="utf-8")
    for name, text in {**{name: each.out + each.err for name, each in done.items()}, "page": page}.items():
        assert not {each for each in CONTROLS if each in text and not each.isprintable()}, name
        assert "odd" in text or "series" in name or name.startswith("report")


def test_times_before_the_zero_of_a_run_are_sound(damaged: Path) -> None:
    """Users of a Locust master may begin before the zero that it gave the run, by ten minutes at most."""
    asked = read_run(damaged).figures.operations["simpleenroll"].requests
    earlier = ", ".join(f"{column} = {column} - 3000000000" for column in ("intended_ns", "started_ns", "ended_ns"))
    change(damaged, f"UPDATE exchanges SET {earlier} WHERE cause != 'preflight'")  # noqa: S608 - names of ours
    change(damaged, "UPDATE series SET second = second - 3")
    assert read_run(damaged).figures.operations["simpleenroll"].requests == asked > 0
    change(damaged, "UPDATE series SET second = -601")
    with pytest.raises(StoreError, match=r"series\.second, row 1: expected a second of the run, from -600 on"):
        read_run(damaged)
