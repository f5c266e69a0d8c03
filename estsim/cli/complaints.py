"""What commands print: output, remarks, and errors that the user can fix, each once and without traceback."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from errno import EBADF, EPIPE
from typing import Final, NoReturn

import typer

from estsim.cli.streams import stdout_trouble, strict_stdout
from estsim.errors import Doubt, EstsimError
from estsim.units import harmless

USAGE: Final = 2  # Exit.USAGE, whose module --help has no need of
_REPORTED: Final[list[OSError]] = []  # troubles of stdout


def complain(errors: BaseExceptionGroup[EstsimError], code: int) -> NoReturn:
    """Print each error of nested groups on stderr and exit with ``code``."""
    for error in _flat(errors):
        tell(str(error))
    raise typer.Exit(code)


@contextmanager
def usage_errors(prefix: str = "") -> Iterator[None]:
    """Print an error of the block on stderr, after ``prefix``, and exit with 2."""
    try:
        yield
    except EstsimError as error:
        tell(f"{prefix}{error}")
        raise typer.Exit(USAGE) from error


def tell(text: str) -> None:
    """Print lines on stderr, safe for a terminal."""
    sys.stderr.write(f"{_harmless(text)}\n")
    sys.stderr.flush()


def warn(warnings: Iterable[Doubt]) -> None:
    """Print the warnings about a scenario on stderr."""
    for doubt in warnings:
        tell(str(doubt))


def say(text: str) -> None:
    """Print lines on stdout, safe for a terminal."""
    sys.stdout.write(f"{_harmless(text)}\n")


def _harmless(text: str) -> str:
    return "\n".join(map(harmless, text.split("\n")))


def _flat(group: BaseExceptionGroup[EstsimError]) -> list[EstsimError]:
    """Return the errors of nested groups, in order."""
    found: list[EstsimError] = []
    for error in group.exceptions:
        found += _flat(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


@contextmanager
def output(*, instead: str = "") -> Iterator[None]:
    """Print a command's output in the block; where it cannot be written, say so and exit with 2.

    A reader that has closed the pipe is no error. ``instead`` says where else the output is found.
    """
    try:
        with strict_stdout():
            yield
    except (BrokenPipeError, SystemExit):  # rich turns the one into the other
        return
    except OSError as error:
        _tell_unwritten(error, instead)
        raise typer.Exit(USAGE) from error


@contextmanager
def remarks() -> Iterator[None]:
    """Print a command's remarks: as :func:`output`, but nothing is written to a closed stdout."""
    trouble = stdout_trouble()
    if trouble is not None and trouble.errno == EBADF:
        yield
        return
    with output():
        yield


def tell_lost_output() -> bool:
    """Report lost output at the end, unless that was done; returns whether anything was lost.

    A reader that has closed the pipe has lost nothing.
    """
    trouble = stdout_trouble()
    if trouble is None or trouble.errno == EPIPE:
        return False
    if trouble.errno != EBADF and not _REPORTED:
        _tell_unwritten(trouble)
    return True


def _tell_unwritten(error: OSError, instead: str = "") -> None:
    _REPORTED.append(error)
    tell(f"estsim: output cannot be written: {error.strerror}{f'; {instead}' if instead else ''}")
