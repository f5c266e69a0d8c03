"""What of this machine's limited things is in use: ports, descriptors, memory, CPU. Cheap, for once a second.

A container may hide /proc, and a process may have no descriptor left to read it with: then what is known otherwise is
returned, and nothing is raised.
"""

import os
import re
import resource
from pathlib import Path
from typing import Final

import psutil

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


def sockets_and_descriptors() -> tuple[int, int]:
    """Return both, as a process reads them once a second, in a thread."""
    return ports_in_use(), descriptors_in_use()


def memory_available_bytes() -> int:
    """Return the memory that may be taken; all that there is where the system does not tell."""
    try:
        available: int = psutil.virtual_memory().available
    except (OSError, psutil.Error):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return available


class OwnProcess:
    """This process: the memory that it uses, and its share of a core."""

    def __init__(self) -> None:
        try:
            self._process: psutil.Process | None = psutil.Process()
        except (OSError, psutil.Error):
            self._process = None
        self._last_rss_bytes = 0

    def rss_bytes(self) -> int:
        """Return the memory in use; as last known, or at its peak, where the system does not tell."""
        try:
            if self._process is not None:
                self._last_rss_bytes = self._process.memory_info().rss
        except (OSError, psutil.Error):
            pass
        return self._last_rss_bytes or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

    def cpu_percent(self) -> float:
        """Return the share of a core since this was asked before, in percent; 0 where the system does not tell."""
        try:
            return 0.0 if self._process is None else float(self._process.cpu_percent())
        except (OSError, psutil.Error):
            return 0.0
