"""The counts of a run in its store: table ``tallies``, a row for each slice of time, cohort and phase.

A row is written in the transaction that writes the rows of what it counts, so counts and rows agree, whenever a run is
killed. What is new of a slice is merged into what the store has of it; where a transaction fails, what it was to become
is forgotten and read anew.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from estsim.record.slice_counts import SliceCounts, SliceKey
from estsim.record.slice_packing import slice_bytes, slice_of_bytes

TALLY_COLUMNS: Final = ("slice", "cohort", "phase", "counts")
_KEPT: Final = 2  # slices that are held unpacked: the one under way, and the one before it

_FIND: Final = "SELECT counts FROM tallies WHERE slice = ? AND cohort = ? AND phase = ?"
_PUT: Final = f"INSERT OR REPLACE INTO tallies ({', '.join(TALLY_COLUMNS)}) VALUES (?, ?, ?, ?)"  # noqa: S608 - names of ours

CountedSlice = tuple[SliceKey, SliceCounts]


class StoredSlices:
    """Writes what was counted, in the transactions of a store."""

    def __init__(self) -> None:
        self._held: dict[SliceKey, SliceCounts] = {}

    def add(self, connection: sqlite3.Connection, counted: Iterable[CountedSlice]) -> None:
        """Add counts to their rows, in a transaction that is open."""
        changed: dict[SliceKey, SliceCounts] = {}
        for key, counts in counted:
            held = changed.get(key)
            if held is None:
                held = changed[key] = self._held.get(key) or _stored(connection, key) or _none_like(counts)
            held.merge(counts)
        for (number, cohort, phase), counts in changed.items():
            connection.execute(_PUT, (number, cohort, phase or "", slice_bytes(counts)))
        self._held |= changed
        latest = max((number for number, _, _ in self._held), default=0)
        for key in [key for key in self._held if key[0] <= latest - _KEPT]:
            del self._held[key]

    def forget(self) -> None:
        """Take note that a transaction has failed: the rows are what they were before it."""
        self._held.clear()


def _stored(connection: sqlite3.Connection, key: SliceKey) -> SliceCounts | None:
    number, cohort, phase = key
    found = connection.execute(_FIND, (number, cohort, phase or "")).fetchone()
    return slice_of_bytes(found[0]) if found else None


def _none_like(counts: SliceCounts) -> SliceCounts:
    """Return counts of nothing with the same limits D: what was handed over stays as it is."""
    return SliceCounts.empty([limit_ms / 1000 for limit_ms in counts.tally.enrolment_tally.limits_ms])
