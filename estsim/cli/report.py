"""``estsim report``: make the page of a run from what it left, also of one that was killed."""

from pathlib import Path
from threading import Timer
from typing import Annotated, Final

import typer
from rich.console import Console

from estsim.cli.complaints import output
from estsim.errors import EstsimError, UsageError
from estsim.measure.exits import Exit
from estsim.measure.reading import STORE

PAGE: Final = "report.html"
_PATIENCE_S: Final = 1.0
_LARGE_BYTES: Final = 2_000_000 * 200  # some 200 bytes an exchange: of two million of them


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders that runs have left.", show_default=False)
    ],
) -> None:
    r"""Make a page of a run: verdict, latency over time, deferral, errors, and the generator itself.

    Writes report.html into the run's folder: one file with its charts in it, which needs no network. It is made from
    the run's store, so a run that was killed has one too. Exits with 2 where there is no run to read.

    \b
    Examples:
      estsim report results/quickstart-20260101T120000Z
      estsim report results/*
    """
    wrong = False
    for run in runs:
        try:
            written = write_report(run)
        except EstsimError as error:
            typer.echo(str(error), err=True)
            wrong = True
        else:
            with output():
                typer.echo(str(written))
    if wrong:
        raise typer.Exit(Exit.USAGE)


def report_of_run(folder: Path, err: Console) -> Path | None:
    """Write the page of a run that has just ended; whatever comes in between is a line on stderr, and no page."""
    large = _size(folder) > _LARGE_BYTES
    quietly = err.is_terminal and not large  # until it has taken a while
    waiting = Timer(_PATIENCE_S, _say, [err, f"estsim: making {PAGE} …"]) if quietly else None
    if waiting:
        waiting.daemon = True
        waiting.start()
    try:
        if large:
            _say(err, f"estsim: making {PAGE} of a long run, which takes a while …")
        return write_report(folder)
    except KeyboardInterrupt:
        _say(err, f"estsim: no {PAGE} was made; estsim report {folder} makes it")
    except EstsimError as error:
        _say(err, f"estsim: no {PAGE}: {error}")
    except Exception as error:  # noqa: BLE001 - the run is over and saved: no page is a reason for it to fail
        _say(err, f"estsim: no {PAGE}: {type(error).__name__}: {error}")
    finally:
        if waiting:
            waiting.cancel()
    return None


def _size(folder: Path) -> int:
    try:
        return (folder / STORE).stat().st_size
    except OSError:
        return 0


def _say(err: Console, text: str) -> None:
    err.print(text, markup=False, highlight=False, soft_wrap=True)


def write_report(run: Path) -> Path:
    """Write the page beside the store: whole, or not at all. Raises UsageError and StoreError."""
    from estsim.measure.report_figures import read_run  # noqa: PLC0415 - what no other command needs is imported late
    from estsim.present.report import page  # noqa: PLC0415

    target, draft = run / PAGE, run / f".{PAGE}.part"
    text = page(read_run(run))
    try:
        draft.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from error
    return target
