"""Stations: a closed loop, in which a device begins when another is done, as on a factory's line.

A cohort with ``stations: 8`` has at most eight devices seeking their first certificate at a time. What such a loop
measures is a server that is never asked for more than it gives: waiting in line is on purpose, and is no lag.
"""

from collections import deque
from collections.abc import Iterable

from estsim.engine.fleet import Device


class Stations:
    """The line of each cohort that has stations: who is at one, and who is next."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Device]] = {}
        self._at_work: set[Device] = set()

    def admit(self, devices: Iterable[Device], places: int) -> list[Device]:
        """Line up the devices of one cohort, and return those that begin at once."""
        line = deque(devices)
        first = [line.popleft() for _ in range(min(places, len(line)))]
        self._at_work.update(first)
        if first:
            self._waiting[first[0].cohort.plan.name] = line
        return first

    def done(self, device: Device) -> Device | None:
        """Take note that a device's search has ended; returns who takes its place."""
        if device not in self._at_work:
            return None
        self._at_work.discard(device)
        line = self._waiting[device.cohort.plan.name]
        if not line:
            return None
        following = line.popleft()
        self._at_work.add(following)
        return following

    def clear(self) -> None:
        """Let nobody begin any more."""
        self._at_work.clear()
        self._waiting.clear()
