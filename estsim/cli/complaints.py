"""Telling the user what they can mend: every error once, no traceback."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from errno import EBADF, EPIPE
from typing import Final, NoReturn

import typer

from estsim.cli.streams import stdout_trouble, strict_stdout
from estsim.errors import Doubt, EstsimError
from estsim.units import harmless

_TOLD: Final[list[OSError]] = []  # each trouble of stdout once


def complain(errors: BaseExceptionGroup[EstsimError], code: int) -> NoReturn:
    """Print each error of nested groups on stderr and exit with ``code``."""
    for error in _flat(errors):
        tell(str(error))
    raise typer.Exit(code)


def tell(text: str) -> None:
    """Print lines on stderr, harmless whatever is in them."""
    sys.stderr.write(f"{_harmless(text)}\n")
    sys.stderr.flush()


def warn(warnings: Iterable[Doubt]) -> None:
    """Print on stderr what a scenario says and probably does not mean."""
    for doubt in warnings:
        tell(str(doubt))


def say(text: str) -> None:
    """Print lines on stdout, harmless whatever is in them."""
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
    """Print what was asked for inside this: where that cannot be done, say so and exit with 2.

    A reader that has gone is no error: it has what it wanted. ``instead`` says where to find what was to be printed.
    """
    try:
        with strict_stdout():
            yield
    except (BrokenPipeError, SystemExit):  # rich turns the one into the other
        return
    except OSError as error:
        _tell_unwritten(error, instead)
        raise typer.Exit(2) from error


@contextmanager
def remarks() -> Iterator[None]:
    """Print what a command says beside its work: as :func:`output`, but a closed stdout wants none of it."""
    trouble = stdout_trouble()
    if trouble is not None and trouble.errno == EBADF:
        yield
        return
    with output():
        yield


def tell_lost_output() -> bool:
    """Say at the end what has become of what was printed, if nobody has said so yet; return whether anything was lost.

    A reader that has gone has lost nothing that it wanted.
    """
    trouble = stdout_trouble()
    if trouble is None or trouble.errno == EPIPE:
        return False
    if trouble.errno != EBADF and not _TOLD:
        _tell_unwritten(trouble)
    return True


def _tell_unwritten(error: OSError, instead: str = "") -> None:
    _TOLD.append(error)
    tell(f"estsim: output cannot be written: {error.strerror}{f'; {instead}' if instead else ''}")
