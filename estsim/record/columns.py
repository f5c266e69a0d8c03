"""The columns of a run store, and the values that each may have.

A results folder may come from another machine, or be damaged. The values of a column follow from the type of its field,
as a condition in SQL: SQLite checks rows at about 1 µs each, and every reader (export, device, report) applies the same
rules. Columns of JSON are text here; `nested` parses them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import NoneType
from typing import Any, Final, get_args, get_type_hints

from estsim.est.outcome import RetryAfter, RetryAfterForm
from estsim.record.rows import COLUMNS, FleetStates, SeriesDelta
from estsim.record.sample import (
    Enrolment,
    GeneratorReading,
    Impact,
    InternalErrorRow,
    MarkRow,
    PollPlan,
    Sample,
    Stamps,
)
from estsim.record.slice_counts import SLICE_NS

LONGEST_NS: Final = 1 << 58  # 9 years before or after the start of the run: sums stay within 64 bits
_SLICES: Final = LONGEST_NS // SLICE_NS
_MOST: Final = 1 << 53  # of a count
LEAD_S: Final = 600  # Locust users may begin before the run's zero, which their master sets
_NS_PER_S: Final = 1_000_000_000
_SUMMED: Final = 30  # numbers up to LONGEST_NS whose sum has 63 bits
_LARGEST: Final = 1e15  # of a number of seconds, or a share


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``condition`` is SQL that is true for valid values, ``expected`` the same in words.

    ``whole`` is SQL that must be an integer as well, because the condition accepts any number.
    """

    name: str
    expected: str
    condition: str
    whole: str = ""
    is_paired: bool = False

    def or_nothing(self) -> "Column":
        """Return a column that may be null as well."""
        return replace(
            self,
            expected=f"{self.expected}, or nothing",
            condition=f"{self.name} IS NULL OR {self.condition}",
            whole=self.whole and f"COALESCE({self.name}, 0)",
        )

    def beside(self, partner: str) -> "Column":
        """Return a column that is null exactly where its partner is."""
        column, both = self.or_nothing(), f"({self.name} IS NULL) = ({partner} IS NULL)"
        words = f"{column.expected} exactly where {partner} is nothing"
        return replace(column, expected=words, condition=f"{both} AND ({column.condition})", is_paired=True)


def _column(name: str, kind: Any, *, positive: bool = False, partner: str = "") -> Column:  # noqa: ANN401 - a type as annotations have it
    """Return the column of a field of a type; a ``partner`` is null in the same rows."""
    choices = [each for each in get_args(kind) if each is not NoneType]
    column = _rule(name, choices[0] if choices else kind, positive=positive)
    if partner:
        return column.beside(partner)
    return column.or_nothing() if NoneType in get_args(kind) else column


def _rule(name: str, kind: Any, *, positive: bool) -> Column:  # noqa: ANN401 - see above
    """Return the column of a type that is never null.

    The columns of a store have no declared type, so text and bytes compare greater than every number.
    """
    if kind is bool:
        return Column(name, "0 or 1", f"{name} BETWEEN 0 AND 1", whole=name)
    if kind is int and name.endswith("_ns"):
        expected = "nanoseconds within 9 years of the start of the run"
        return Column(name, expected, f"{name} BETWEEN {-LONGEST_NS} AND {LONGEST_NS}", whole=name)
    if name == "second":
        expected = f"a second of the run, from {-LEAD_S} on"
        return Column(name, expected, f"{name} BETWEEN {-LEAD_S} AND {_MOST}", whole=name)
    if kind is int:
        return Column(name, "a whole number from 0 to 2^53", f"{name} BETWEEN 0 AND {_MOST}", whole=name)
    if kind is float and positive:
        return Column(name, "a finite number from 0 on", f"{name} BETWEEN 0 AND {_LARGEST}")
    if kind is float:
        return Column(name, "a finite number", f"{name} BETWEEN {-_LARGEST} AND {_LARGEST}")
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        words = [str(word) for word in kind]
        return Column(name, f"one of {', '.join(words)}", f"{name} IN ({', '.join(map(repr, words))})")
    return Column(name, "text", f"typeof({name}) = 'text'")  # JSON, too


def _record(record: type, names: Iterable[str], partners: Mapping[str, str]) -> tuple[Column, ...]:
    hints = get_type_hints(record)
    return tuple(_column(name, hints[name], partner=partners.get(name, "")) for name in names)


def _exchange_columns() -> tuple[Column, ...]:
    """Return the columns of an exchange, with three other records flattened into it."""
    told, poll = get_type_hints(RetryAfter), get_type_hints(PollPlan)
    flat = (
        _column("retry_after_s", told["wait_s"], positive=True),
        _column("retry_after_form", RetryAfterForm).or_nothing(),
        _column("retry_after_past", told["past"], partner="retry_after_form"),
        _column("poll_form", RetryAfterForm).or_nothing(),
        _column("poll_deferred_at_ns", poll["deferred_at_ns"], partner="poll_form"),
        _column("poll_told_s", poll["told_s"], positive=True, partner="poll_form"),
        _column("poll_spread_s", poll["spread_s"], positive=True, partner="poll_form"),
        _column("non_conformances", str).or_nothing(),
    )
    by_name = {column.name: column for column in flat}
    hints = {**get_type_hints(Sample), **get_type_hints(Stamps)}
    return tuple(by_name.get(name) or _column(name, hints[name]) for name in COLUMNS["exchanges"])


_RECORDS: Final[Mapping[str, type]] = {  # by table
    "enrolments": Enrolment,
    "series": SeriesDelta,
    "generator": GeneratorReading,
    "fleet": FleetStates,
    "marks": MarkRow,
    "internal_errors": InternalErrorRow,
    "impacts": Impact,
}
_PARTNERS: Final = {  # columns that are null in the same rows
    "enrolments": {"ended_ns": "end"},
    "generator": {"stalled_to_ns": "stalled_from_ns"},
    "impacts": {"ended_ns": "end"},
}
TABLES: Final[Mapping[str, tuple[Column, ...]]] = {
    "run": (_column("key", str), _column("value", str)),
    "exchanges": _exchange_columns(),
    **{table: _record(record, COLUMNS[table], _PARTNERS.get(table, {})) for table, record in _RECORDS.items()},
    "tallies": (
        Column("slice", "ten seconds within 9 years of the start", f"slice BETWEEN {-_SLICES} AND {_SLICES}", "slice"),
        _column("cohort", str),
        _column("phase", str),
        Column("counts", "the counts of a slice", "typeof(counts) = 'blob'"),
    ),
}
_OF_THE_FLEET: Final = {"exchanges": "cause = 'preflight' OR ", "enrolments": ""}  # tables that reports count in SQL


def of_reports(table: str, cohorts: Sequence[str]) -> tuple[Column, ...]:
    """Return the further conditions of reports: known cohorts, and no time long before the run."""
    if table not in _OF_THE_FLEET:
        return ()
    unless = _OF_THE_FLEET[table]
    words = ", ".join(f"'{_quoted(cohort)}'" for cohort in cohorts)
    known = Column("cohort", f"a cohort of the run ({', '.join(cohorts)})", f"{unless}cohort IN ({words})")
    times = [
        Column(
            column.name,
            f"a time of the run, from {-LEAD_S} s on",
            f"{unless}{column.name} IS NULL OR {column.name} >= {-LEAD_S * _NS_PER_S}",
        )
        for column in TABLES[table]
        if column.name in {"intended_ns", "started_ns", "ended_ns"}
    ]
    return (*([known] if any(cohorts) else []), *times)


def _quoted(word: str) -> str:
    return word.replace("'", "''")


def fault_of(columns: Sequence[Column]) -> str:
    """Return SQL for the number of the first invalid column of a row; null if all are valid.

    A column with a wrong value comes before one that lacks its partner.
    """
    ordered = sorted(enumerate(columns), key=lambda numbered: numbered[1].is_paired)
    cases = [f"WHEN ({_condition(column)}) IS NOT TRUE THEN {number}" for number, column in ordered]
    return f"CASE {' '.join(cases)} END"


def _condition(column: Column) -> str:
    return f"typeof({column.whole}) = 'integer' AND ({column.condition})" if column.whole else column.condition


def is_faulty(columns: Sequence[Column]) -> str:
    """Return SQL for whether a row has an invalid column.

    The type of a sum shows whether all its numbers are integers; to check each type would take twice as long.
    """
    whole = [column.whole for column in columns if column.whole]
    sums = [f"typeof({' + '.join(some)}) = 'integer'" for some in _parts(whole, _SUMMED)]
    return f"({' AND '.join([*(f'({column.condition})' for column in columns), *sums])}) IS NOT TRUE"


def _parts(words: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yield the words in parts of a size."""
    yield from (words[first : first + size] for first in range(0, len(words), size))
