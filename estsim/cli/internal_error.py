"""Reporting internal errors: of a command that they ended, and of a sandbox that goes on.

A line on the terminal, and a file with the traceback. A bug that every request meets is reported once, so that it does
not fill the terminal.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from estsim.cli.complaints import tell
from estsim.errors import shortage, split_bug
from estsim.figures.exits import Exit
from estsim.fleet.error_log import ErrorLog, told_elsewhere
from estsim.record.exceptions import Secrets
from estsim.record.internal_errors import InternalErrors


def tell_bug(bug: BaseException, secrets: Secrets = None) -> Exit:
    """Report a bug and return the exit code. Where ``secrets`` are unknown, the exception's message is left out.

    A machine that has run out of a resource is reported as such, which the user can fix.
    """
    typer.echo(f"estsim: {told_elsewhere(bug, secrets)}", err=True)
    return Exit.USAGE if shortage(bug) else Exit.ERROR


@contextmanager
def telling_bugs(secrets: Secrets) -> Iterator[None]:
    """End the command at an internal error in the block, as :func:`tell_bug` does; deliberate exits pass."""
    try:
        yield
    except typer.Exit:
        raise
    except BaseException as error:
        bug, _ = split_bug(error, on_purpose=True)
        if bug is None:
            raise
        raise typer.Exit(tell_bug(bug, secrets)) from error


class _ByKind(logging.Handler):
    """Prints each log record as a line; those with an exception once for each kind."""

    def __init__(self, log: ErrorLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._began_ns = time.monotonic_ns()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, from any thread."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            tell(record.getMessage())
            return
        noted = self._log.errors.note(error, at_ns=time.monotonic_ns() - self._began_ns)
        if what := shortage(error):
            tell(f"estsim: {record.getMessage()}: this machine ran out of {what}")
        new = [kind for kind in noted if kind.is_new]
        if new:
            self._log.save()
        for kind in new:
            where = self._log.lost or f"traceback: {self._log.path}; please report it"
            tell(f"estsim: {record.getMessage()}: {kind.error} at {kind.place}; {where}")


@contextmanager
def telling_by_kind(directory: Path) -> Iterator[None]:
    """Log the sandbox in ``directory`` so in the block; its errors.log has all counts at the end."""
    log = ErrorLog(directory, InternalErrors())  # no message is written: a user's password may be in it
    handler = _ByKind(log)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        log.save()
