"""``estsim export``: a run's record for other programs, as CSV, JSON lines or HdrHistogram percentiles."""

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
from rich.console import Console
from rich.progress import Progress

from estsim.cli.complaints import output
from estsim.errors import EstsimError, UsageError
from estsim.measure.export import RowFormat, percentile_texts, write_rows
from estsim.measure.reading import Table, open_run, size_of
from estsim.measure.store import RunReader

_USAGE: Final = 2
_PATIENCE_S: Final = 1.0

Told = Callable[[int], object]


class Format(StrEnum):
    """What to write."""

    CSV = "csv"
    JSONL = "jsonl"
    HGRM = "hgrm"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its run.sqlite.", show_default=False)],
    *,
    form: Annotated[
        Format, typer.Option("--format", metavar="csv|jsonl|hgrm", help="What to write.", show_default=False)
    ],
    table: Annotated[
        Table | None,
        typer.Option(
            metavar="exchanges|enrolments|certificates|series",
            help="Whose rows; exchanges if not given. For csv and jsonl.",
            show_default=False,
        ),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where to, instead of standard output; for hgrm a folder."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
) -> None:
    r"""Write what a run recorded in a format that other programs read.

    csv and jsonl are the rows of a table. exchanges: one for every request. enrolments: one for every certificate
    sought. certificates: one for every certificate issued, to clean up the CA with. series: the counts of each second
    and cohort; rows of one second add up. Times in columns named _ns are nanoseconds since the run began.

    hgrm is a file of HdrHistogram percentiles, in milliseconds, for each operation's service and response time.

    The run may be finished, interrupted, killed or under way. A file is written whole or not at all.

    \b
    Examples:
      estsim export results/RUN --format csv > exchanges.csv
      estsim export results/RUN --format csv --table certificates --output to-revoke.csv
      estsim export results/RUN --format jsonl --table enrolments | jq .serial
      estsim export results/RUN --format hgrm --output percentiles
    """
    try:
        if form is Format.HGRM:
            _export_percentiles(run, table, target, force=force)
        else:
            _export_rows(run, table or Table.EXCHANGES, RowFormat(form.value), target, force=force)
    except EstsimError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(_USAGE) from error


def _export_rows(run: Path, table: Table, form: RowFormat, target: Path | None, *, force: bool) -> None:
    with open_run(run) as reader:
        if target is None:
            with _progress(reader, table, to_stdout=True) as told, output():
                write_rows(reader, table, form, _utf8_stdout(), told=told)
            return
        if target.exists() and target.samefile(reader.path):
            raise UsageError(f"{target}: is the run itself, which is not written over")
        _check_free(target, force=force)
        with _whole(target) as file, _progress(reader, table) as told:
            write_rows(reader, table, form, file, told=told)


def _export_percentiles(run: Path, table: Table | None, folder: Path | None, *, force: bool) -> None:
    if table not in (None, Table.SERIES):
        raise UsageError(f"--table: hgrm is made from series, the table with histograms (got {table})")
    if folder is None:
        raise UsageError("--output: hgrm is a file for each operation, expected a folder for them")
    with open_run(run) as reader:
        texts = {folder / f"{name}.hgrm": text for name, text in percentile_texts(reader).items()}
    if not texts:
        raise UsageError(f"{run}: there is nothing to write, no exchange of it ended ok")
    _make_folder(folder)
    for path in texts:
        _check_free(path, force=force)
    for path, text in texts.items():
        with _whole(path) as file:
            file.write(text.decode("ascii"))


# -- where it goes


def _utf8_stdout() -> TextIO:
    """Return standard output, made fit for rows in any locale."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    return sys.stdout


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: no folder can be made there: {error.strerror}") from error


def _check_free(path: Path, *, force: bool) -> None:
    """Refuse to write over anything that is no file, and over a file without ``force``."""
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: expected a file to write (it is something else)")
    if path.exists() and not force:
        raise UsageError(f"{path}: is there already; --force writes over it")


@contextmanager
def _whole(path: Path) -> Iterator[io.TextIOWrapper]:
    """Open a file beside the one that is meant, and give it the name at the end; what stops before leaves neither."""
    path = path.resolve()  # where a link points to is written over, not the link
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
def _progress(reader: RunReader, table: Table, *, to_stdout: bool = False) -> Iterator[Told]:
    """Show how far it is on a terminal's stderr, once it takes more than a moment; not between rows that show."""
    if (to_stdout and sys.stdout.isatty()) or not sys.stderr.isatty():
        yield lambda _: None
        return
    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task(f"{table}", total=size_of(reader, table))
    since_mono_s = time.monotonic()

    def told(rows: int) -> None:
        bar.advance(task, rows)
        if not bar.live.is_started and time.monotonic() - since_mono_s > _PATIENCE_S:
            bar.start()

    try:
        yield told
    finally:
        bar.stop()
