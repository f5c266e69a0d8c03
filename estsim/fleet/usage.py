"""What of this machine's limited things is in use: local TCP ports and open descriptors. Cheap, for once a second."""

import re
from pathlib import Path
from typing import Final

_SOCKETS: Final = (Path("/proc/net/sockstat"), Path("/proc/net/sockstat6"))
_IN_USE: Final = re.compile(r"^TCP6?: inuse (\d+)(?: orphan (\d+) tw (\d+))?", re.MULTILINE)
_DESCRIPTORS: Final = Path("/proc/self/fd")


def ports_in_use() -> int:
    """Return the TCP sockets of this machine, those in TIME_WAIT too; 0 where the system does not tell."""
    total = 0
    for path in _SOCKETS:
        try:
            text = path.read_text(encoding="ascii")
        except OSError:
            continue
        total += sum(int(number) for match in _IN_USE.finditer(text) for number in match.groups() if number)
    return total


def descriptors_in_use() -> int:
    """Return the open descriptors of this process; 0 where the system does not tell.

    Listing them takes 0.2 ms for each thousand, so it is for a thread where there are many.
    """
    try:
        return sum(1 for _ in _DESCRIPTORS.iterdir())
    except OSError:
        return 0
