"""Reading files that a user names: regular files only, up to a size limit.

Every name from a scenario, an option or a folder on the command line is read here, so that a named pipe cannot hang a
run, ``/dev/zero`` cannot exhaust its memory, and each refusal has the file and the reason.
"""

import os
import stat
from collections.abc import Callable
from errno import EISDIR
from pathlib import Path
from typing import Final

from estsim.errors import UnitError, UnreadableFile
from estsim.units import shown

MOST_PEM_BYTES: Final = 1 << 20  # four times the bundle of all CAs that browsers know
_MIB: Final = 1 << 20
_KIB: Final = 1 << 10

# O_NONBLOCK: after the first check the file may have been replaced by a pipe without a writer.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_KINDS: Final[tuple[tuple[Callable[[int], bool], str], ...]] = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def read_user_file(path: Path, *, most_bytes: int, private: bool = False) -> bytes:
    """Return the content of a regular file of at most ``most_bytes``; a ``private`` one must be its owner's only.

    Raises UnreadableFile.
    """
    try:
        _check_kind(path, path.stat())  # before opening it, as opening a device may have an effect
        with os.fdopen(os.open(path, _FLAGS), "rb") as file:
            found = os.fstat(file.fileno())
            _check_kind(path, found)
            if private and found.st_mode & _OTHERS:
                raise UnreadableFile(
                    path, f"it is readable by other users (mode {stat.S_IMODE(found.st_mode):04o}); run chmod 600"
                )
            # The size alone is not enough: it is 0 for all of /proc, and a file may grow.
            content = b"" if found.st_size > most_bytes else file.read(most_bytes + 1)
    except OSError as error:
        raise UnreadableFile(path, error.strerror or str(error), errno=error.errno) from error
    except ValueError as error:  # a NUL in the name
        raise UnreadableFile(path, str(error)) from error
    if found.st_size > most_bytes or len(content) > most_bytes:
        raise UnreadableFile(path, f"it is larger than {_size(most_bytes)}")
    return content


def _check_kind(path: Path, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    if stat.S_ISDIR(found.st_mode):
        raise UnreadableFile(path, os.strerror(EISDIR), errno=EISDIR)
    kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "something else")
    raise UnreadableFile(path, f"it is {kind}, not a file")


def _size(size_bytes: int) -> str:
    if size_bytes < _KIB:
        return f"{size_bytes} bytes"
    return f"{size_bytes // _MIB} MiB" if size_bytes >= _MIB else f"{size_bytes // _KIB} KiB"


def unreadable(path: Path, reason: str) -> UnitError:
    """Return the refusal of a file or folder that a scenario names; an unprintable name is shortened."""
    got = str(path) if str(path).isprintable() else shown(path.name)
    return UnitError(f"cannot be read: {reason} (got {got})")
