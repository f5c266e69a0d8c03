"""The failed exchanges of a run by kind: operation, class, phase and reason; without expected refusals.

The tallies count them; dashboard, tables, summary.json, report and Locust show them.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from estsim.units import counted

OTHERS: Final = "other errors"
UNTOLD: Final = "(other errors)"  # the detail of errors beyond the limit of a tally
MAX_LISTED: Final = 20  # in summary.json and in the report
ErrorKey = tuple[str, str, str, str]  # operation, class, phase, detail; phase and detail may be empty

_SHORTEST_ID: Final = 8
_REMEMBERED: Final = 1024
_LONG_NUMBER: Final = re.compile("[0-9]{4,}")
# Each alternative reads a run once, without backtracking; the number of an RFC is no id.
_RUN: Final = re.compile("RFC [0-9]+|(?<![0-9A-Za-z])[0-9A-Fa-f]+(?:-[0-9A-Fa-f]+)*|[0-9A-Fa-f]+")


@lru_cache(maxsize=_REMEMBERED)
def without_ids(detail: str) -> str:
    """Return a detail with `…` for ids, which differ between answers, so that one kind of error counts as one.

    An id is a number of 4 or more digits, or 8 or more characters of a hexadecimal id or UUID with a digit.
    """
    return _RUN.sub(_without_id, detail)


def _without_id(found: re.Match[str]) -> str:
    run = found[0]
    if run.startswith("R"):
        return run
    if len(run) >= _SHORTEST_ID and any(letter.isdigit() for letter in run):
        return "…"
    return _LONG_NUMBER.sub("…", run)


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """A kind of failure and its count, in all and by cohort where known."""

    operation: str
    kind: str
    phase: str
    detail: str
    count: int
    cohorts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ErrorKinds:
    """The most frequent kinds, and the number of all kinds and failed exchanges.

    ``at_least``: not all kinds were distinguished, and ``kinds`` is a lower bound.
    """

    top: tuple[ErrorKind, ...] = ()
    kinds: int = 0
    count: int = 0
    at_least: bool = False


def ranked(
    errors: Counter[ErrorKey],
    most: int = MAX_LISTED,
    *,
    cohorts: Mapping[str, Counter[ErrorKey]] = MappingProxyType({}),
) -> ErrorKinds:
    """Return errors, the most frequent first, with the counts of the given cohorts."""
    known = Counter({key: count for key, count in errors.items() if key[-1] != UNTOLD})
    top = sorted(known.items(), key=lambda item: (-item[1], item[0]))[:most]
    kinds = tuple(
        ErrorKind(*key, count, {name: of[key] for name, of in sorted(cohorts.items()) if key in of})
        for key, count in top
    )
    at_least = len(known) < len(errors)
    return ErrorKinds(kinds, max(len(known), len(top) + at_least), errors.total(), at_least)


def others(kinds: int, *, at_least: bool = False) -> str:
    """Return the words for the kinds that are not listed."""
    return f"{OTHERS} ({'at least ' if at_least else ''}{counted(kinds, 'kind')})"


def others_of(lines: Sequence[tuple[str, int]]) -> str:
    """Return the words for lines of errors without room, of which the last may sum up others."""
    return f"{OTHERS} ({kinds_of(lines)})"


def kinds_of(lines: Sequence[tuple[str, int]]) -> str:
    """Return the number of kinds in lines of errors, of which the last may sum up others: ``at least 61 kinds``."""
    return f"{'at least ' if _has_others(lines) else ''}{counted(len(lines), 'kind')}"


def _has_others(lines: Sequence[tuple[str, int]]) -> bool:
    return bool(lines) and lines[-1][0].startswith(OTHERS)


def reason(kind: str, phase: str | None, detail: str) -> str:
    """Return a failure in a line: ``failed in connect: connection refused``."""
    where = f" in {phase}" if phase else ""
    return f"{kind}{where}: {detail}" if detail else f"{kind}{where}"


def regardless_of_operation(errors: Mapping[ErrorKey, int]) -> Counter[tuple[str, str, str]]:
    """Return errors by class, phase and detail, summed over operations."""
    found: Counter[tuple[str, str, str]] = Counter()
    for (_, *rest), count in errors.items():
        kind, phase, detail = rest
        found[kind, phase, detail] += count
    return found
