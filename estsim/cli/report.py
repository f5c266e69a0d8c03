"""``estsim report``: make the page of a run from what it left, also of one that was killed."""

from pathlib import Path
from typing import Annotated

import typer

from estsim.cli.complaints import output
from estsim.cli.exits import Exit
from estsim.errors import EstsimError, UsageError
from estsim.measure.report_figures import read_run
from estsim.present.report import page

_PAGE = "report.html"


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
            written = _write(run)
        except EstsimError as error:
            typer.echo(str(error), err=True)
            wrong = True
        else:
            with output():
                typer.echo(str(written))
    if wrong:
        raise typer.Exit(Exit.USAGE)


def _write(run: Path) -> Path:
    """Write the page beside the store: whole, or not at all."""
    target, draft = run / _PAGE, run / f".{_PAGE}.part"
    text = page(read_run(run))
    try:
        draft.write_text(text, encoding="utf-8", errors="xmlcharrefreplace")
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise UsageError(f"{target}: cannot be written: {error.strerror}") from error
    return target
