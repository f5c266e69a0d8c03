"""errors.log in a run's folder: the tracebacks of the run's internal errors, where there were any.

It is written as soon as there is one, and again as their number changes, so that a run that is killed has it too. The
file is small whatever happens (:meth:`InternalErrors.log`), and its owner's alone.
"""

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from estsim import __version__
from estsim.errors import UsageError, shortage
from estsim.record.exceptions import Secrets
from estsim.record.internal_errors import InternalErrors, request, titled, told

ERRORS_LOG: Final = "errors.log"


@dataclass(slots=True)
class ErrorLog:
    """The errors of one run, and their file; ``lost`` says why it could not be written, the last time."""

    folder: Path
    errors: InternalErrors
    lost: str | None = None
    _written: int = 0

    @property
    def path(self) -> Path:
        """Where it is, if there was an error at all."""
        return self.folder / ERRORS_LOG

    def text(self) -> str | None:
        """Return what is to be written now; None where nothing has changed. On the loop: others note errors there."""
        count = self.errors.count
        if count == self._written:
            return None
        self._written = count
        return self.errors.log(__version__)

    def write(self, text: str | None) -> None:
        """Write what :meth:`text` returned, from any thread; never raises for a disk."""
        if text is None:
            return
        try:
            write_private(self.path, text)
            self.lost = None
        except UsageError as error:
            self.lost = str(error)

    def save(self) -> None:
        """Write what has changed."""
        self.write(self.text())

    def told(self) -> str | None:
        """Return the line for the user; None where there was no error."""
        if not self.errors.count:
            return None
        first = self.errors.foremost()
        todo = request(first).replace("report it", "report them")
        where = f"no traceback: {self.lost}" if self.lost else f"tracebacks: {self.path}; {todo}"
        return f"{told(self.errors.count, self.errors.devices, first)}; {where}"


def told_elsewhere(bug: BaseException, secrets: Secrets) -> str:
    """Return the line for the user of a bug that belongs to no run; its traceback goes to a file that the line names.

    Where ``secrets`` are not known, no message is written. Of a machine that has run out of something there is none.
    """
    if what := shortage(bug):
        return f"this machine ran out of {what}"
    errors = InternalErrors(secrets)
    errors.note(bug, at_ns=0)
    kind = next(iter(errors.kinds.values()))
    where = _written_elsewhere(errors.log(__version__))
    return f"{titled(str(kind))}; {where}; {request(str(kind))}"


def _written_elsewhere(text: str) -> str:
    try:
        handle, path = tempfile.mkstemp(prefix="estsim-errors-", suffix=".log")  # 0600
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
    except OSError as error:
        return f"cannot write its traceback: {error.strerror}"
    return f"traceback: {path}"


def write_private(path: Path, text: str) -> None:
    """Write a text, whole or not at all, into a file that only its owner reads; raises UsageError."""
    try:
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
        Path(draft).replace(path)
    except OSError as error:
        with suppress(OSError):
            Path(draft).unlink()
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
