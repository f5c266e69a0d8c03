"""``estsim report``: creates the HTML report of a run, also of one that was killed."""

from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Annotated, Final

import typer
from rich.console import Console

from estsim.cli.complaints import remarks, say, tell
from estsim.errors import EstsimError, shortage
from estsim.figures.exits import Exit
from estsim.record.reading import STORE
from estsim.report.file import PAGE, write_report

_PATIENCE_S: Final = 1.0
_LARGE_BYTES: Final = 2_000_000 * 200  # two million exchanges of about 200 bytes


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Results folders of runs.", show_default=False)],
) -> None:
    r"""Create an HTML report of a run: verdict, latency over time, deferrals, errors and generator health.

    Writes report.html to the results folder, as one self-contained file. Reads the store of the run, so it also works
    for a run that was killed. Exits with 2 if a folder contains no run.

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
            tell(str(error))
            wrong = True
        else:
            with remarks():
                say(str(written))
    if wrong:
        raise typer.Exit(Exit.USAGE)


def report_of_run(folder: Path, err: Console, note: Callable[[Exception], object]) -> Path | None:
    """Write the report of a run that has just ended; a failure is a line on stderr and no report.

    An internal error is passed to ``note``.
    """
    large = _size(folder) > _LARGE_BYTES
    quietly = err.is_terminal and not large  # until it takes a while
    waiting = Timer(_PATIENCE_S, _say, [err, f"estsim: creating {PAGE} …"]) if quietly else None
    if waiting:
        waiting.daemon = True
        waiting.start()
    try:
        if large:
            _say(err, f"estsim: creating {PAGE} of a long run, this may take a while …")
        return write_report(folder)
    except KeyboardInterrupt:
        _say(err, f"estsim: {PAGE} was not created; create it with: estsim report {folder}")
    except EstsimError as error:
        _say(err, f"estsim: {PAGE} was not created: {error}")
    except Exception as bug:  # noqa: BLE001 - the run is over and saved, and its result is still to be printed
        what = shortage(bug)
        if what is None:
            note(bug)
        why = f"this machine ran out of {what}" if what else "internal error"
        _say(err, f"estsim: {PAGE} was not created: {why}")
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
