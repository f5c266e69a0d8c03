"""What the sandbox logs, on stderr: a bug of ours once for each kind, its traceback in errors.log beside the store.

A bug that every request meets would else be a traceback for each, across the live view, and nowhere where it is found.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from estsim.cli.complaints import tell
from estsim.errors import shortage
from estsim.fleet.error_log import ErrorLog
from estsim.record.internal_errors import InternalErrors


class _ByKind(logging.Handler):
    """Tells each record in a line; of those with an exception, each kind once."""

    def __init__(self, log: ErrorLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._began_ns = time.monotonic_ns()

    def emit(self, record: logging.LogRecord) -> None:
        """Tell a record, from any thread."""
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
    """Let the sandbox in ``directory`` log so inside; its errors.log has all counts at the end."""
    log = ErrorLog(directory, InternalErrors())  # no message is written: a user's password may be in it
    handler = _ByKind(log)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
        log.save()
