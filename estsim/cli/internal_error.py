"""Telling of a bug of ours that has ended a command: a line on the terminal, and a file with the traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from estsim.errors import shortage, split_bug
from estsim.figures.exits import Exit
from estsim.fleet.error_log import told_elsewhere
from estsim.record.exceptions import Secrets


def tell(bug: BaseException, secrets: Secrets = None) -> Exit:
    """Tell of a bug; returns the exit code. Where ``secrets`` are not known, no message is written.

    A machine that has run out of something is told as that, and is the user's to mend.
    """
    typer.echo(f"estsim: {told_elsewhere(bug, secrets)}", err=True)
    return Exit.USAGE if shortage(bug) else Exit.ERROR


@contextmanager
def telling_bugs(secrets: Secrets) -> Iterator[None]:
    """End the command at a bug of ours in the block, as :func:`tell` does; what ends a command on purpose passes."""
    try:
        yield
    except typer.Exit:
        raise
    except BaseException as error:
        bug, _ = split_bug(error, on_purpose=True)
        if bug is None:
            raise
        raise typer.Exit(tell(bug, secrets)) from error
