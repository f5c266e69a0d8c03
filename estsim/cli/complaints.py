"""Telling the user what they can mend: every error once, no traceback."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from estsim.errors import EstsimError


def complain(errors: BaseExceptionGroup[EstsimError], code: int) -> NoReturn:
    """Print each error of nested groups on stderr and exit with ``code``."""
    for error in _flat(errors):
        typer.echo(str(error), err=True)
    raise typer.Exit(code)


def _flat(group: BaseExceptionGroup[EstsimError]) -> list[EstsimError]:
    """Return the errors of nested groups, in order."""
    found: list[EstsimError] = []
    for error in group.exceptions:
        found += _flat(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


@contextmanager
def output() -> Iterator[None]:
    """Print to stdout inside this: a reader that has gone is no error, a full disk behind it is one line and exit 2."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich turns the one into the other
        silence_stdout()
    except OSError as error:
        silence_stdout()
        typer.echo(f"estsim: the output cannot be written: {error.strerror}", err=True)
        raise typer.Exit(2) from error


def silence_stdout() -> None:
    """Let what is still buffered go nowhere: the interpreter flushes once more at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
