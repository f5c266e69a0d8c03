"""Stations: a closed loop, in which a device begins when another is done, as on a factory's line.

A cohort with ``stations: 8`` has at most eight devices seeking their first certificate at a time. What such a loop
measures is a server that is never asked for more than it gives: waiting in line is on purpose, and is no lag.
"""

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

D = TypeVar("D")


class Stations(Generic[D]):
    """Who is at a station, and the line behind it, which a cohort's stations share; live and in virtual time."""

    def __init__(self) -> None:
        self._at_work: dict[D, deque[D]] = {}

    def admit(self, devices: Iterable[D], places: int) -> list[D]:
        """Line up the devices of one cohort, and return those that begin at once."""
        line = deque(devices)
        first = [line.popleft() for _ in range(min(places, len(line)))]
        self._at_work.update(dict.fromkeys(first, line))
        return first

    def done(self, device: D) -> D | None:
        """Take note that a device's search has ended; returns who takes its place."""
        line = self._at_work.pop(device, None)
        if not line:
            return None
        following = line.popleft()
        self._at_work[following] = line
        return following

    def clear(self) -> None:
        """Let nobody begin any more."""
        self._at_work.clear()
