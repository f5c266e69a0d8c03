"""``estsim export``: a run's records for other programs, as CSV, JSON Lines or HdrHistogram percentiles."""

import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TextIO

import typer
from rich.progress import Progress

from estsim.cli.complaints import output, usage_errors
from estsim.cli.console import SizedConsole
from estsim.cli.options import choice, words_of
from estsim.errors import UsageError
from estsim.record.reading import Table, open_run, size_of
from estsim.record.run_reader import RunReader
from estsim.report.export import RowFormat, percentile_texts, write_rows

_PATIENCE_S: Final = 1.0

Progressed = Callable[[int], object]


class Format(StrEnum):
    """The output format."""

    CSV = "csv"
    JSONL = "jsonl"
    HGRM = "hgrm"


RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="Results folder of a run, or its run.sqlite.", show_default=False)
]
FormatOption = Annotated[
    Format,
    typer.Option(
        "--format",
        parser=choice(Format),
        autocompletion=words_of(Format),
        metavar="csv|jsonl|hgrm",
        help="Output format.",
    ),
]
TableOption = Annotated[
    Table | None,
    typer.Option(
        parser=choice(Table),
        autocompletion=words_of(Table),
        metavar="exchanges|enrolments|certificates|series",
        help="Table to export as csv or jsonl; defaults to exchanges.",
        show_default=False,
    ),
]
Target = Annotated[
    Path | None,
    typer.Option(
        "--output", metavar="FILE", help="Output file, or output folder with hgrm; defaults to standard output."
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]


def export(
    run: RunFolder,
    *,
    form: FormatOption = Format.CSV,
    table: TableOption = None,
    target: Target = None,
    force: Force = False,
) -> None:
    r"""Export the records of a run for other programs.

    csv and jsonl export one table. exchanges has a row per request; enrolments, a row per requested certificate;
    certificates, a row per issued certificate (to revoke them); series, the counts per second and cohort (add up
    rows of the same second). Columns named _ns are nanoseconds since the start of the run.

    hgrm exports HdrHistogram percentiles in milliseconds: a file per operation, for service and response time.

    The run may be finished, interrupted, killed or still running. A file is written completely or not at all.

    \b
    Examples:
      estsim export results/RUN > exchanges.csv
      estsim export results/RUN --table certificates --output to-revoke.csv
      estsim export results/RUN --format jsonl --table enrolments | jq .serial
      estsim export results/RUN --format hgrm --output percentiles
    """
    with usage_errors():
        if form is Format.HGRM:
            _export_percentiles(run, table, target, force=force)
        else:
            _export_rows(run, table or Table.EXCHANGES, RowFormat(form.value), target, force=force)


def _export_rows(run: Path, table: Table, form: RowFormat, target: Path | None, *, force: bool) -> None:
    with open_run(run) as reader:
        if target is None:
            with _progress(reader, table, to_stdout=True) as progressed, output():
                write_rows(reader, table, form, _utf8_stdout(), progress=progressed)
            return
        if target.exists() and target.samefile(reader.path):
            raise UsageError(f"{target}: is the store of the run; choose another file")
        _check_free(target, force=force)
        with _whole(target) as file, _progress(reader, table) as progressed:
            write_rows(reader, table, form, file, progress=progressed)


def _export_percentiles(run: Path, table: Table | None, folder: Path | None, *, force: bool) -> None:
    if table not in (None, Table.SERIES):
        raise UsageError(f"--table: hgrm requires series, the table with histograms (got {table})")
    if folder is None:
        raise UsageError("--output: hgrm requires a folder, it writes a file per operation")
    with open_run(run) as reader:
        texts = {folder / f"{name}.hgrm": text for name, text in percentile_texts(reader).items()}
    if not texts:
        raise UsageError(f"{run}: nothing to export: no exchange succeeded")
    _make_folder(folder)
    for path in texts:
        _check_free(path, force=force)
    for path, text in texts.items():
        with _whole(path) as file:
            file.write(text.decode("ascii"))


def _utf8_stdout() -> TextIO:
    """Return standard output, in UTF-8 whatever the locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    return sys.stdout


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot create the folder: {error.strerror}") from error


def _check_free(path: Path, *, force: bool) -> None:
    """Refuse to overwrite anything but a file, and a file without ``force``."""
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: must be a regular file")
    if path.exists() and not force:
        raise UsageError(f"{path}: already exists; use --force to overwrite it")


@contextmanager
def _whole(path: Path) -> Iterator[io.TextIOWrapper]:
    """Write a file atomically: under a temporary name, which is renamed at the end or removed."""
    path = path.resolve()  # a link's target is overwritten, not the link
    part = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        try:
            with part.open("w", encoding="utf-8", newline="\n") as file:
                yield file
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


@contextmanager
def _progress(reader: RunReader, table: Table, *, to_stdout: bool = False) -> Iterator[Progressed]:
    """Show progress on a terminal's stderr, if it takes more than a moment and no rows are shown there."""
    if (to_stdout and sys.stdout.isatty()) or not sys.stderr.isatty():
        yield lambda _: None
        return
    bar = Progress(console=SizedConsole(stderr=True), transient=True)
    task = bar.add_task(f"{table}", total=size_of(reader, table))
    since_mono_s = time.monotonic()

    def progressed(rows: int) -> None:
        bar.advance(task, rows)
        if not bar.live.is_started and time.monotonic() - since_mono_s > _PATIENCE_S:
            bar.start()

    try:
        yield progressed
    finally:
        bar.stop()
