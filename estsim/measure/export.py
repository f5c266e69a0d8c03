"""A run's record in the formats of other programs: CSV, JSON lines, and HdrHistogram's percentile text.

Rows are written as they are read, in constant memory. Columns keep their names and times their unit, integer
nanoseconds since the run's epoch. Owns no file: whoever calls brings what to write to.
"""

import csv
import json
from collections.abc import Callable, Iterator
from enum import StrEnum
from io import BytesIO
from itertools import islice
from typing import Any, Final, TextIO

from hdrh.histogram import HdrHistogram

from estsim.measure.histograms import LATENCY
from estsim.measure.reading import Table, columns_of, nested_columns_of, stream
from estsim.measure.rows import Row
from estsim.measure.store import RunReader

_ROWS_AT_ONCE: Final = 1000
_KINDS: Final = ("service", "response")
_UNITS_A_MS: Final = 1_000_000 / LATENCY.unit_ns


class RowFormat(StrEnum):
    """How rows are written."""

    CSV = "csv"
    JSONL = "jsonl"


def write_rows(
    run: RunReader, table: Table, form: RowFormat, out: TextIO, *, told: Callable[[int], object] = lambda _: None
) -> None:
    """Write every row of a table; ``told`` hears of so many more rows each time some were written.

    CSV begins with the names of the columns and leaves out what is null. In JSON lines, columns of JSON are values.
    """
    write = _csv_writer(table, out) if form is RowFormat.CSV else _jsonl_writer(table, out)
    for rows in _batches(stream(run, table)):
        write(rows)
        told(len(rows))


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        yield batch


def _csv_writer(table: Table, out: TextIO) -> Callable[[list[Row]], object]:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns_of(table))
    return writer.writerows


def _jsonl_writer(table: Table, out: TextIO) -> Callable[[list[Row]], object]:
    columns, nested = columns_of(table), nested_columns_of(table)

    def line(row: Row) -> str:
        entry = dict(zip(columns, row, strict=True))
        for name in nested:
            entry[name] = None if entry[name] is None else json.loads(entry[name])
        return json.dumps(entry, separators=(",", ":")) + "\n"

    return lambda rows: out.writelines(map(line, rows))


def percentile_texts(run: RunReader) -> dict[str, bytes]:
    """Return HdrHistogram's percentile output by name, such as ``simpleenroll.response``, its values in milliseconds.

    It holds the exchanges that ended ok, over the whole run and all cohorts; empty where there were none.
    """
    merged: dict[str, HdrHistogram] = {}
    for row in stream(run, Table.SERIES):
        second = dict(zip(columns_of(Table.SERIES), row, strict=True))
        for kind in _KINDS:
            for operation, encoded in json.loads(second[kind]).items():
                whole = merged.setdefault(f"{operation}.{kind}", HdrHistogram(1, LATENCY.highest, 3))
                whole.decode_and_add(encoded.encode("ascii"))
    return {name: _percentile_text(merged[name]) for name in sorted(merged)}


def _percentile_text(histogram: Any) -> bytes:  # noqa: ANN401 - the package has no types
    """Return what the package writes, but for the standard deviation: that it forgets to scale as it does the mean."""
    text = BytesIO()
    histogram.output_percentile_distribution(text, _UNITS_A_MS)
    mean, deviation = (f"{value / _UNITS_A_MS:12.3f}" for value in (histogram.get_mean_value(), histogram.get_stddev()))
    lines = text.getvalue().decode("ascii").splitlines(keepends=True)
    own = f"#[Mean    = {mean}, StdDeviation   = {deviation}]\n"
    return "".join(own if line.startswith("#[Mean ") else line for line in lines).encode("ascii")
