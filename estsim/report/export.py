"""A run's record in the formats of other programs: CSV, JSON lines, and HdrHistogram's percentile text.

Rows are written as they are read, in constant memory. Columns keep their names, times their unit: integer nanoseconds
since the run's epoch. The caller opens and closes the files.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from itertools import islice
from typing import Any, Final, TextIO

from hdrh.histogram import HdrHistogram

from estsim.record.histograms import LATENCY, Histogram
from estsim.record.reading import Table, columns_of, nested_values, stream
from estsim.record.rows import Row
from estsim.record.run_reader import RunReader
from estsim.units import harmless

_ROWS_AT_ONCE: Final = 1000
# A cell that begins so is a formula (OWASP, "CSV Injection"); some programs skip a tab or a line end.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_WITHIN_LINE: Final = re.compile(r"[^\t\r\n]+")  # line ends stay: a quoted field may have them
_UNITS_A_MS: Final = 1_000_000 / LATENCY.unit_ns


class RowFormat(StrEnum):
    """The formats of rows."""

    CSV = "csv"
    JSONL = "jsonl"


def write_rows(
    run: RunReader, table: Table, form: RowFormat, out: TextIO, *, progress: Callable[[int], object] = lambda _: None
) -> None:
    """Write every row of a table; ``progress`` is called with the number of rows after each batch.

    CSV begins with the names of the columns; nulls are empty, formulas are escaped with an apostrophe, and control
    characters other than tabs and line ends are replaced. In JSON lines, columns of JSON are nested values.
    """
    write = _csv_writer(table, out) if form is RowFormat.CSV else _jsonl_writer(table, out)
    for rows in _batches(stream(run, table)):
        write(rows)
        progress(len(rows))


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        yield batch


def _csv_writer(table: Table, out: TextIO) -> Callable[[list[Row]], object]:
    writer = csv.writer(_UnixLines(out), lineterminator="\r\n")
    writer.writerow(columns_of(table))
    return lambda rows: writer.writerows([_inert(cell) for cell in row] for row in rows)


@dataclass(frozen=True, slots=True)
class _UnixLines:
    """Ends rows in a line feed; the writer quotes a carriage return only if its own rows end in one."""

    out: TextIO

    def write(self, row: str) -> int:
        """Write a whole row."""
        return self.out.write(row.removesuffix("\r\n") + "\n")


def _inert(cell: object) -> object:
    """Return a cell that terminals and spreadsheets only display: texts may come from strangers."""
    if not isinstance(cell, str):
        return cell
    shown = cell if cell.isprintable() else _WITHIN_LINE.sub(lambda found: harmless(found.group()), cell)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def _jsonl_writer(table: Table, out: TextIO) -> Callable[[list[Row]], object]:
    columns = columns_of(table)

    def line(row: Row) -> str:
        entry = nested_values(table, dict(zip(columns, row, strict=True)))
        text = json.dumps(entry, separators=(",", ":"))
        return text.replace("\x7f", "\\u007f") + "\n"  # DEL, the only control character that JSON does not escape

    return lambda rows: out.writelines(map(line, rows))


def percentile_texts(run: RunReader) -> dict[str, bytes]:
    """Return HdrHistogram's percentile output by name, such as ``simpleenroll.response``, its values in milliseconds.

    They hold the exchanges that ended ok, of the whole run and all cohorts; empty without any.
    """
    merged: dict[str, Histogram] = {}
    for second in run.series():
        for kind, histograms in (("service", second.service), ("response", second.response)):
            for operation, histogram in histograms.items():
                merged.setdefault(f"{operation}.{kind}", Histogram()).merge(histogram)
    return {name: _percentile_text(_dense(merged[name])) for name in sorted(merged)}


def _dense(histogram: Histogram) -> HdrHistogram:
    dense = HdrHistogram(1, LATENCY.highest, 3)
    for value, count in histogram.values():
        dense.record_value(value, count)
    return dense


def _percentile_text(histogram: Any) -> bytes:  # noqa: ANN401 - the package has no types
    """Return the package's output with the standard deviation scaled, which the package forgets."""
    text = BytesIO()
    histogram.output_percentile_distribution(text, _UNITS_A_MS)
    mean, deviation = (f"{value / _UNITS_A_MS:12.3f}" for value in (histogram.get_mean_value(), histogram.get_stddev()))
    lines = text.getvalue().decode("ascii").splitlines(keepends=True)
    own = f"#[Mean    = {mean}, StdDeviation   = {deviation}]\n"
    return "".join(own if line.startswith("#[Mean ") else line for line in lines).encode("ascii")
