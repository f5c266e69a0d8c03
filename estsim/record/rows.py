"""The rows of the run store: records to rows of their tables, and back.

Columns are named as the fields, with a prefix for a field that is a record of its own.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from operator import attrgetter
from typing import Any, Final

from estsim.errors import Phase, Trouble
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal, ImpactKind
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass, RetryAfter, RetryAfterForm
from estsim.record.histograms import Histogram
from estsim.record.nested import classes_of, histograms_of, non_conformances_of, states_of
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

Row = tuple[Any, ...]
Readers = Mapping[str, Callable[[Any], Any]]  # by column

_STAMPS: Final = tuple(stamp.name for stamp in fields(Stamps))
_FLAT: Final = (
    "device", "cohort", "operation", "cause", "enrolment", "attempt", "request_id", "kind", "status", "phase",
    "trouble", "detail",
    "tls_version", "tls_group", "resumed", "reused",
)  # fmt: skip
_RETRY_AFTER: Final = ("retry_after_s", "retry_after_form", "retry_after_past")
_POLL: Final = ("poll_deferred_at_ns", "poll_told_s", "poll_spread_s", "poll_form")


def _fields(record: type) -> tuple[str, ...]:
    return tuple(column.name for column in fields(record))


EXCHANGE_COLUMNS: Final = (*_FLAT, *_STAMPS, *_RETRY_AFTER, *_POLL, "non_conformances", "expected")
ENROLMENT_COLUMNS: Final = _fields(Enrolment)
SERIES_COLUMNS: Final = (
    "second", "cohort", "requests", "certificates", "begun", "ended", "polls", "classes", "service", "response",
)  # fmt: skip
GENERATOR_COLUMNS: Final = _fields(GeneratorReading)
FLEET_COLUMNS: Final = ("second", "cohort", "states")  # a row for each change of a cohort's states
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {  # by table
    "exchanges": EXCHANGE_COLUMNS,
    "enrolments": ENROLMENT_COLUMNS,
    "series": SERIES_COLUMNS,
    "generator": GENERATOR_COLUMNS,
    "fleet": FLEET_COLUMNS,
    "marks": _fields(MarkRow),
    "internal_errors": _fields(InternalErrorRow),
    "impacts": _fields(Impact),
}
_ENROLMENT_FIELDS: Final = attrgetter(*ENROLMENT_COLUMNS)
_GOAL: Final = ENROLMENT_COLUMNS.index("goal")
_END: Final = ENROLMENT_COLUMNS.index("end")
_FLAGS: Final = [ENROLMENT_COLUMNS.index(name) for name in ("expected", "spoilt", "to_be_refused")]


@dataclass(slots=True)
class SeriesDelta:
    """The counts of one second of one cohort, or of a part of it: rows of one second add up."""

    second: int
    cohort: str
    requests: int = 0
    certificates: int = 0
    begun: int = 0
    ended: int = 0
    polls: int = 0
    classes: Counter[tuple[str, str]] = field(default_factory=Counter)  # operation, outcome class
    service: dict[str, Histogram] = field(default_factory=dict)  # by operation, of those that ended ok
    response: dict[str, Histogram] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FleetStates:
    """The devices of a cohort by state, from a second of the run on."""

    second: int
    cohort: str
    states: dict[str, int]


def exchange_row(sample: Sample) -> Row:
    """Return the row of an exchange."""
    stamps, told, poll = sample.stamps, sample.retry_after, sample.poll
    return (
        sample.device, sample.cohort, sample.operation.value, sample.cause.value, sample.enrolment, sample.attempt,
        sample.request_id, sample.kind.value, sample.status, sample.phase.value if sample.phase else None,
        sample.trouble.value if sample.trouble else None,
        sample.detail, sample.tls_version, sample.tls_group, int(sample.resumed), int(sample.reused),
        stamps.intended_ns, stamps.ready_ns, stamps.started_ns, stamps.connected_ns, stamps.handshaken_ns,
        stamps.sent_ns, stamps.first_byte_ns, stamps.ended_ns, stamps.client_work_ns, stamps.loop_delay_ns,
        *((told.wait_s, told.form.value, int(told.past)) if told else (None, None, None)),
        *((poll.deferred_at_ns, poll.told_s, poll.spread_s, poll.form) if poll else (None, None, None, None)),
        json.dumps([[broken.rule, broken.rfc_section] for broken in sample.non_conformances])
        if sample.non_conformances else None,
        int(sample.expected),
    )  # fmt: skip


def sample_of(row: Row) -> Sample:
    """Return the exchange of a row."""
    column = dict(zip(EXCHANGE_COLUMNS, row, strict=True))
    told = column["retry_after_form"]
    poll = column["poll_form"]
    return Sample(
        device=column["device"],
        cohort=column["cohort"],
        operation=Operation(column["operation"]),
        cause=Cause(column["cause"]),
        enrolment=column["enrolment"],
        attempt=column["attempt"],
        request_id=column["request_id"],
        kind=OutcomeClass(column["kind"]),
        stamps=Stamps(**{name: column[name] for name in _STAMPS}),
        status=column["status"],
        phase=Phase(column["phase"]) if column["phase"] else None,
        trouble=Trouble(column["trouble"]) if column["trouble"] else None,
        detail=column["detail"],
        tls_version=column["tls_version"],
        tls_group=column["tls_group"],
        resumed=bool(column["resumed"]),
        reused=bool(column["reused"]),
        retry_after=RetryAfter(column["retry_after_s"], RetryAfterForm(told), past=bool(column["retry_after_past"]))
        if told
        else None,
        poll=PollPlan(*(column[name] for name in _POLL)) if poll else None,
        non_conformances=non_conformances_of(column["non_conformances"]),
        expected=bool(column["expected"]),
    )


def enrolment_row(enrolment: Enrolment) -> Row:
    """Return the row of an enrolment, open or ended."""
    row = list(_ENROLMENT_FIELDS(enrolment))
    row[_GOAL] = enrolment.goal.value  # SQLite is fast with plain types only
    row[_END] = enrolment.end.value if enrolment.end else None
    for flag in _FLAGS:
        row[flag] = int(row[flag])
    return tuple(row)


def enrolment_of(row: Row) -> Enrolment:
    """Return the enrolment of a row."""
    flags = {"expected": bool, "spoilt": bool, "to_be_refused": bool}
    return Enrolment(**_columns_of("enrolments", row, {"goal": Goal, "end": EnrolmentEnd, **flags}))


def impact_row(impact: Impact) -> Row:
    """Return the row of an impact, open or ended."""
    end = impact.end.value if impact.end else None
    return (
        impact.device, impact.cohort, impact.kind.value, impact.since_ns, impact.ended_ns, end, int(impact.expected),
        impact.own_delay_ns, int(impact.to_be_refused),
    )  # fmt: skip


def impact_of(row: Row) -> Impact:
    """Return the impact of a row."""
    flags = {"expected": bool, "to_be_refused": bool}
    return Impact(**_columns_of("impacts", row, {"kind": ImpactKind, "end": EnrolmentEnd, **flags}))


def fleet_row(states: FleetStates) -> Row:
    """Return the row of a cohort's states."""
    return (states.second, states.cohort, json.dumps(states.states))


def fleet_states_of(row: Row) -> FleetStates:
    """Return the states of a row."""
    return FleetStates(**_columns_of("fleet", row, {"states": states_of}))


def reading_of(row: Row) -> GeneratorReading:
    """Return the reading of a row."""
    return GeneratorReading(**_columns_of("generator", row, {"preparing": bool}))


def series_row(delta: SeriesDelta) -> Row:
    """Return the row of a second; the histograms are encoded here, so call it in the writer's thread."""
    classes: dict[str, dict[str, int]] = {}
    for (operation, kind), count in delta.classes.items():
        classes.setdefault(operation, {})[kind] = count
    return (
        delta.second,
        delta.cohort,
        delta.requests,
        delta.certificates,
        delta.begun,
        delta.ended,
        delta.polls,
        json.dumps(classes),
        json.dumps({name: histogram.encode() for name, histogram in delta.service.items()}),
        json.dumps({name: histogram.encode() for name, histogram in delta.response.items()}),
    )


def delta_of(row: Row) -> SeriesDelta:
    """Return the second of a row."""
    readers: Readers = {name: partial(histograms_of, name) for name in ("service", "response")}
    return SeriesDelta(**_columns_of("series", row, {"classes": lambda text: Counter(classes_of(text)), **readers}))


def _columns_of(table: str, row: Row, readers: Readers) -> dict[str, Any]:
    """Return the values of a row by column; nulls have no reader."""
    columns = dict(zip(COLUMNS[table], row, strict=True))
    for name, read in readers.items():
        if columns[name] is not None:
            columns[name] = read(columns[name])
    return columns


ROW_OF: Final[Mapping[str, Callable[[Any], Row]]] = {  # by table
    "exchanges": exchange_row,
    "enrolments": enrolment_row,
    "series": series_row,
    "generator": attrgetter(*COLUMNS["generator"]),
    "fleet": fleet_row,
    "marks": attrgetter(*COLUMNS["marks"]),
    "internal_errors": attrgetter(*COLUMNS["internal_errors"]),
    "impacts": impact_row,
}
