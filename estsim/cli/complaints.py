"""Telling the user what they can mend: every error once, no traceback."""

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
