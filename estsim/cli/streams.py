"""The standard streams of the command line: printing never ends a run, and never fails for an encoding.

When a stream fails (its reader is gone, the disk is full, the terminal has hung up, it was closed at the start), output
is discarded from then on, and the first error is kept for a later report. A character that the locale's encoding lacks
is printed as another of the same width, or as its number.
"""

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EBADF
from io import TextIOWrapper
from typing import Final

_READABLE: Final = "estsim.readable"
# For the characters that estsim itself prints; one for one where columns depend on it.
_STANDS_FOR: Final = {
    **dict(zip("–—…·→µ◐●○▲▼▶■░╸━─┴‖▁▂▃▄▅▆▇█", "--..>uoO.^v>##---+|_.:-=+*#", strict=True)),  # noqa: RUF001 - these and no others
    "≥": ">=",
    "∞": "inf",
    "§": "section ",
}


class LastingStream(TextIOWrapper):
    """A text stream that discards output once its descriptor fails; ``trouble`` is the error.

    While ``is_strict``, the error is raised as well, for the output of a command.
    """

    trouble: OSError | None = None
    is_strict: bool = False

    def write(self, text: str, /) -> int:
        """Write, or discard."""
        try:
            return super().write(text)
        except OSError as error:
            self._discard(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or discard."""
        try:
            super().flush()
        except OSError as error:
            self._discard(error)

    def _discard(self, error: OSError) -> None:
        """Discard what is buffered and all further output."""
        if self.trouble is None:
            self.trouble = error
        _redirect_to_null(self.fileno())
        if self.is_strict:
            raise error


def make_streams_last() -> None:
    """Replace stdout and stderr by lasting streams; closed descriptors are opened on /dev/null.

    Otherwise the next file that is opened would become standard output.
    """
    closed = [descriptor for descriptor in (0, 1, 2) if not _is_open(descriptor)]
    for _ in closed:  # each takes the lowest descriptor that is free
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    codecs.register_error(_READABLE, _readable)
    sys.stdout = _lasting(sys.stdout, 1, closed)
    sys.stderr = _lasting(sys.stderr, 2, closed)


@contextmanager
def strict_stdout() -> Iterator[None]:
    """Raise OSError in the block for output that cannot be written, also if stdout was closed at the start."""
    stream = sys.stdout
    if not isinstance(stream, LastingStream):  # a test's own
        yield
        return
    if stream.trouble is not None:
        raise stream.trouble
    stream.is_strict = True
    try:
        yield
        stream.flush()
    finally:
        stream.is_strict = False


def stdout_trouble() -> OSError | None:
    """Return why output is discarded, or None."""
    return sys.stdout.trouble if isinstance(sys.stdout, LastingStream) else None


def _lasting(stream: object, descriptor: int, closed: list[int]) -> "LastingStream":
    known = stream if isinstance(stream, TextIOWrapper) else None
    if known is not None:
        known.flush()
        os.set_blocking(
            descriptor, True
        )  # another process that shares it may have made it non-blocking, which would cut lines
    lasting = LastingStream(
        os.fdopen(descriptor, "wb", closefd=False),
        encoding=known.encoding if known else "utf-8",
        errors=_READABLE,
        line_buffering=known.line_buffering if known else False,
        write_through=known.write_through if known else False,
    )
    if descriptor in closed:
        lasting.trouble = OSError(EBADF, os.strerror(EBADF))
    return lasting


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _redirect_to_null(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _readable(error: UnicodeError) -> tuple[str, int]:
    """Return replacements for characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_STANDS_FOR.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking), error.end
