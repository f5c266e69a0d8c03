"""The standard streams of the command line: what is printed never ends a run, and never fails for want of a character.

Whatever becomes of a stream (its reader has gone, its disk is full, the terminal has hung up, it was closed before we
began), printing goes on, to nowhere; the first trouble is kept for whoever wants to tell it. A character that the
locale's encoding lacks is printed as another that has its width, or as its number.
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
# Of the characters that estsim itself prints: one for one where columns depend on it.
_STANDS_FOR: Final = {
    **dict(zip("–—…·→µ◐●○▲▼▶■░╸━─┴‖▁▂▃▄▅▆▇█", "--..>uoO.^v>##---+|_.:-=+*#", strict=True)),  # noqa: RUF001 - these and no others
    "≥": ">=",
    "∞": "inf",
    "§": "section ",
}


class LastingStream(TextIOWrapper):
    """A text stream on a descriptor that outlives whatever is behind it; ``trouble`` is why it fell silent.

    While ``is_strict``, trouble is raised as well: there, what is printed is what was asked for.
    """

    trouble: OSError | None = None
    is_strict: bool = False

    def write(self, text: str, /) -> int:
        """Write, or do as if."""
        try:
            return super().write(text)
        except OSError as error:
            self._fall_silent(error)
            return len(text)

    def flush(self) -> None:
        """Flush, or do as if."""
        try:
            super().flush()
        except OSError as error:
            self._fall_silent(error)

    def _fall_silent(self, error: OSError) -> None:
        """Let what is still buffered go nowhere, and all that follows."""
        if self.trouble is None:
            self.trouble = error
        _be_nowhere(self.fileno())
        if self.is_strict:
            raise error


def make_streams_last() -> None:
    """Put lasting streams in the place of stdout and stderr; descriptors that were closed lead nowhere from now on.

    Else the next file that is opened would be standard output, and what is printed would be written into it.
    """
    closed = [descriptor for descriptor in (0, 1, 2) if not _is_open(descriptor)]
    for _ in closed:  # each takes the lowest descriptor that is free
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    codecs.register_error(_READABLE, _readable)
    sys.stdout = _lasting(sys.stdout, 1, closed)
    sys.stderr = _lasting(sys.stderr, 2, closed)


@contextmanager
def strict_stdout() -> Iterator[None]:
    """Raise OSError inside for what cannot be printed, also where stdout was closed before we began."""
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
    """Return why nothing more is printed, if so."""
    return sys.stdout.trouble if isinstance(sys.stdout, LastingStream) else None


def _lasting(stream: object, descriptor: int, closed: list[int]) -> "LastingStream":
    known = stream if isinstance(stream, TextIOWrapper) else None
    if known is not None:
        known.flush()
        os.set_blocking(descriptor, True)  # whoever shares it may have had other plans; half a line helps nobody
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


def _be_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _readable(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(_STANDS_FOR.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lacking), error.end
