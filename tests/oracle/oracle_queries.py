"""How the oracle asks a run's store: in SQL that cuts numbers down to what is counted, a few thousand rows at a time.

No exchange becomes an object here. Latencies leave the store as buckets of our histograms, names and flags as one text,
so that counting is left to `Counter`, which does it quicker than SQLite can sort. Preflight is counted nowhere.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from estsim.est.outcome import OutcomeClass
from estsim.record.columns import TABLES, of_reports
from estsim.record.error_kinds import without_ids
from estsim.record.nested import Misfit, non_conformances_of
from estsim.record.phases import WARMUP, Stretch
from estsim.record.rows import Row
from estsim.record.run_reader import RunReader

FLEET: Final = "FROM exchanges WHERE cause != 'preflight'"
FAILED: Final = ", ".join(f"'{kind.value}'" for kind in OutcomeClass if kind.is_failure)
BUCKETS: Final = 1 << 16  # more than a histogram has, twice
BINS: Final = 1 << 33  # more than a run has bins of 100 ms, twice (columns.LONGEST_NS)
_CHUNK: Final = 2_000
_EXACT_BITS: Final = 11  # values below 2048 are buckets of their own
_BITS: Final = 37  # of the highest value that a histogram holds


class RunQueries:
    """The questions of a report to one store."""

    def __init__(self, run: RunReader) -> None:
        self.path = run.path
        run._connection.create_function("without_ids", 1, without_ids, deterministic=True)
        self.rows = run.select
        self.facts = run.facts
        self.fleet = run.fleet
        self.impacts = run.impacts
        self.marks = run.marks
        self.readings = run.readings
        self.series = run.series
        self.unreadable = run.unreadable
        self.require = run.require

    def require_all(self, cohorts: Sequence[str]) -> None:
        """Require that every table can be counted, but for the exchanges; the cohorts are those of the plan.

        Raises StoreError.
        """
        for table in TABLES:
            if table not in {"run", "exchanges"}:  # the one has been read, the other is checked where it is counted
                self.require(table, beside=of_reports(table, cohorts))

    def require_exchanges(self, cohorts: Sequence[str], first: int, last: int) -> None:
        """Require that the exchanges after ``first`` up to ``last`` can be counted. Raises StoreError."""
        rows = f"id > {first} AND id <= {last}"
        self.require("exchanges", beside=of_reports("exchanges", cohorts), where=rows)

    def require_rules(self, text: str | None) -> None:
        """Require that a text of exchanges tells which rules an answer broke. Raises StoreError."""
        try:
            non_conformances_of(text)
        except Misfit as misfit:
            found = self.rows("SELECT rowid FROM exchanges WHERE non_conformances = ? LIMIT 1", (text,))
            raise self.unreadable("exchanges", next(found, (None,))[0], misfit) from misfit

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
    return _bucket(column, _EXACT_BITS, _BITS + 1)


def _bucket(column: str, low: int, high: int) -> str:
    """Return SQL for the bucket of a number of ``low`` to ``high`` bits; each of fewer has a bucket of its own."""
    if low > _BITS:
        return f"{BUCKETS // 2 - 1} + 0 * {column}"  # more than a histogram holds, so its end; null stays null
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
