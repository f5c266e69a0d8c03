"""The failed exchanges of a run by kind: operation, class, phase and reason; refusals that were expected are outside.

Counted once, in the tallies, and told from here to dashboard, tables, summary.json, report
and Locust.
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
UNTOLD: Final = "(other errors)"  # the detail of those that a tally no longer tells apart
MAX_LISTED: Final = 20  # in summary.json and in the report
ErrorKey = tuple[str, str, str, str]  # operation, class, phase, detail; phase and detail may be empty

_SHORTEST_ID: Final = 8
_REMEMBERED: Final = 1024
_LONG_NUMBER: Final = re.compile("[0-9]{4,}")
# Each alternative reads a run once, without going back; an RFC's number is a rule, not an id.
_RUN: Final = re.compile("RFC [0-9]+|(?<![0-9A-Za-z])[0-9A-Fa-f]+(?:-[0-9A-Fa-f]+)*|[0-9A-Fa-f]+")


@lru_cache(maxsize=_REMEMBERED)
def without_ids(detail: str) -> str:
    """Return a detail with `…` for what differs from one answer to the next, so that one kind of error is one.

    That is a number of 4 digits or more, and 8 or more characters of a hexadecimal id or UUID, a digit among them.
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
    """A kind of failure, and how often it was met, in all and by each cohort as far as that is known."""

    operation: str
    kind: str
    phase: str
    detail: str
    count: int
    cohorts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ErrorKinds:
    """The most frequent kinds, and how many kinds and failed exchanges there are in all.

    ``at_least``: there were so many kinds that not all were told apart, and ``kinds`` is a lower bound.
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
    """Return counted errors, the most frequent first, with those of each cohort as far as they are given."""
    told = Counter({key: count for key, count in errors.items() if key[-1] != UNTOLD})
    top = sorted(told.items(), key=lambda item: (-item[1], item[0]))[:most]
    kinds = tuple(
        ErrorKind(*key, count, {name: of[key] for name, of in sorted(cohorts.items()) if key in of})
        for key, count in top
    )
    at_least = len(told) < len(errors)
    return ErrorKinds(kinds, max(len(told), len(top) + at_least), errors.total(), at_least)


def others(kinds: int, *, at_least: bool = False) -> str:
    """Return the words for the kinds that are not listed by themselves."""
    return f"{OTHERS} ({'at least ' if at_least else ''}{counted(kinds, 'kind')})"


def others_of(lines: Sequence[tuple[str, int]]) -> str:
    """Return the words for lines of errors that find no room, the last of which may be others itself."""
    return f"{OTHERS} ({kinds_of(lines)})"


def kinds_of(lines: Sequence[tuple[str, int]]) -> str:
    """Return how many kinds lines of errors are, the last of which may be others: ``at least 61 kinds``."""
    return f"{'at least ' if _has_others(lines) else ''}{counted(len(lines), 'kind')}"


def _has_others(lines: Sequence[tuple[str, int]]) -> bool:
    return bool(lines) and lines[-1][0].startswith(OTHERS)


def reason(kind: str, phase: str | None, detail: str) -> str:
    """Return a failure in a line: ``failed in connect: connection refused``."""
    where = f" in {phase}" if phase else ""
    return f"{kind}{where}: {detail}" if detail else f"{kind}{where}"


def regardless_of_operation(errors: Mapping[ErrorKey, int]) -> Counter[tuple[str, str, str]]:
    """Return errors by class, phase and detail alone, for where there is little room."""
    found: Counter[tuple[str, str, str]] = Counter()
    for (_, *rest), count in errors.items():
        kind, phase, detail = rest
        found[kind, phase, detail] += count
    return found
