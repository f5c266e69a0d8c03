"""The corpus of runs, unpacked, and every figure that is made of one: report, tables, stories, exports."""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any, Final

from estsim.figures.summary import Summary
from estsim.record.histograms import Histogram
from estsim.record.reading import Table, open_run
from estsim.report.export import RowFormat, write_rows
from estsim.report.run_report import read_run
from estsim.terminal.ink import Page
from estsim.terminal.tables import final_tables

HERE: Final = Path(__file__).parent
FILES: Final = ("run.sqlite", "summary.json", "scenario.yaml")


def names() -> tuple[str, ...]:
    """Return the runs of the corpus."""
    return tuple(sorted(path.parent.name for path in HERE.glob("*/run.sqlite.gz")))


def unpacked(name: str, place: Path) -> Path:
    """Write a run's folder as its run left it."""
    folder = place / name
    folder.mkdir()
    for file in FILES:
        packed = HERE / name / f"{file}.gz"
        if packed.is_file():
            (folder / file).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


def figures_text(folder: Path) -> str:
    """Return every figure that today's code makes of a run's folder, as JSON with its keys in order."""
    report = read_run(folder)
    summary = report.summary
    made = {
        "report": plain(report),
        "terminal": _numbers(final_tables(summary, results=None, width=100)) if summary else None,
        "tables": {table: _export(folder, table) for table in Table},
    }
    return json.dumps(made, indent=1, sort_keys=True) + "\n"


def plain(value: object) -> Any:  # noqa: ANN401 - JSON
    """Return a value of ours as JSON has it: records as mappings without their names, histograms by their counts."""
    if isinstance(value, Summary):
        return value.as_dict()
    if isinstance(value, Histogram):
        return {str(unit): count for unit, count in value.values()}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): plain(part) for key, part in value.items()}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value)} is no figure")


def _key(key: object) -> str:
    if isinstance(key, Enum):
        return str(key.value)
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _numbers(page: Page) -> list[str]:
    """Return the figures of a page in their order: its words may change."""
    text = "\n".join("".join(segment.text for segment in line) for line in page.lines)
    return re.findall(r"\d[\d.,]*", text)


def _export(folder: Path, table: Table) -> dict[str, object]:
    """Return how many rows an export has, and their digest."""
    out = StringIO()
    with open_run(folder) as run:
        write_rows(run, table, RowFormat.JSONL, out)
    text = out.getvalue()
    return {"rows": text.count("\n"), "sha256": sha256(text.encode()).hexdigest()}
