"""How a report asks a run's store: in SQL that cuts numbers down to what is counted, a few thousand rows at a time.

No exchange becomes an object here. Latencies leave the store as buckets of our histograms, names and flags as one text,
so that counting is left to `Counter`, which does it quicker than SQLite can sort. Preflight is counted nowhere.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

from estsim.errors import StoreError
from estsim.est.outcome import OutcomeClass
from estsim.measure.book import WARMUP, Stretch
from estsim.measure.reading import open_run
from estsim.measure.rows import Row
from estsim.measure.store import RunReader

FLEET: Final = "FROM exchanges WHERE cause != 'preflight'"
FAILED: Final = ", ".join(f"'{kind.value}'" for kind in OutcomeClass if kind.is_failure)
BUCKETS: Final = 1 << 16  # more than a histogram has, twice
BINS: Final = 1 << 34  # more than a run has bins of 100 ms, in decades
_CHUNK: Final = 2_000
_EXACT_BITS: Final = 11  # values below 2048 are buckets of their own
_BITS: Final = 37  # of the highest value that a histogram holds


class RunQueries:
    """The questions of a report to one store."""

    def __init__(self, run: RunReader) -> None:
        self.path = run.path
        self.rows = run.select
        self.facts = run.facts
        self.fleet = run.fleet
        self.marks = run.marks
        self.readings = run.readings

    def one(self, query: str) -> Row:
        """Ask for one row."""
        (row,) = self.rows(query)
        return row

    def columns(self, query: str) -> Iterator[Sequence[Sequence[Any]]]:
        """Ask for a query's rows column by column, some thousand rows at a time."""
        rows = self.rows(query)
        while chunk := list(islice(rows, _CHUNK)):
            yield list(zip(*chunk, strict=True))


def bucket(column: str) -> str:
    """Return SQL for the histogram bucket of a whole number from 0 on: `bucket_index`, found by halving."""
    return _bucket(column, _EXACT_BITS, _BITS)


def _bucket(column: str, low: int, high: int) -> str:
    """Return SQL for the bucket of a number of ``low`` to ``high`` bits; each of fewer has a bucket of its own."""
    if low == high:
        shift = low - _EXACT_BITS
        return f"{shift << _EXACT_BITS - 1} + ({column} >> {shift})" if shift else column
    middle = (low + high) // 2
    lower, upper = _bucket(column, low, middle), _bucket(column, middle + 1, high)
    return f"CASE WHEN {column} < {1 << middle} THEN {lower} ELSE {upper} END"


def apart(query: str) -> str:
    """Return a subquery that is worked out row by row: SQLite would put its expressions wherever they are named."""
    return f"({query} LIMIT -1 OFFSET 0)"


def number_of(column: str, words: Sequence[str]) -> str:
    """Return SQL for the place of a word in a list that has it."""
    if len(words) == 1:
        return "0"
    cases = [f"WHEN '{_quoted(word)}' THEN {number}" for number, word in enumerate(words)]
    return f"CASE {column} {' '.join(cases)} END"


def _quoted(word: str) -> str:
    return word.replace("'", "''")


def phase_number(phases: Iterable[Stretch]) -> str:
    """Return SQL for the phase in which something was meant to begin: its number from 1 on, 0 for none."""
    cases = [
        f"WHEN intended_ns / 1e9 >= {phase.from_s!r} AND intended_ns / 1e9 < {phase.to_s!r} THEN {number}"
        for number, phase in enumerate(phases, 1)
    ]
    return f"(CASE {' '.join(cases)} ELSE 0 END)" if cases else "0"


def is_warmup(phases: Sequence[Stretch]) -> str:
    """Return SQL for whether something was meant to begin in a warm-up."""
    numbers = [str(number) for number, phase in enumerate(phases, 1) if phase.name == WARMUP]
    return f"({phase_number(phases)} IN ({', '.join(numbers)}))" if numbers else "0"


@contextmanager
def asked(path: Path) -> Iterator[RunQueries]:
    """Open a run to be asked, as it is at this moment. Raises UsageError where there is none, StoreError if damaged."""
    with open_run(path) as run:
        try:
            list(run.select("BEGIN"))  # all answers are of one moment, also of a run that is under way
            yield RunQueries(run)
        except (ValueError, KeyError, zlib.error) as error:  # words and histograms that no estsim of now has written
            raise StoreError(f"{run.path}: holds what cannot be read: {error}") from error
