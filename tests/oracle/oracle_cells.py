"""What the exchanges of a stored run are counted by, and the query that numbers it.

A *cell* is what is counted together: cohort, phase, operation, class and flags, as one number. Every other column of
the query is a number too, most of them a cell packed with a histogram bucket, because that is what SQLite gives and
`Counter` takes most quickly. Nothing is counted here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from oracle_queries import BINS, BUCKETS, FLEET, apart, bucket, is_warmup, number_of, phase_number

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass, RetryAfterForm
from estsim.record.histograms import LONG
from estsim.record.phases import Stretch
from estsim.record.waits import BIN_NS, HTTP_DATE_TOLERANCE_US

# How two numbers are packed into one: the first times this, plus the second. See BUCKETS and BINS as well.
WAITS_PACK: Final = 1_000_000_000  # told and kept waits, in tenths of a second
LAG_PACK: Final = 1 << 20  # a second, and a bucket
WAIT_PACK: Final = 1 << 33  # flags, and more than the longest wait in ms
SIGN: Final = 1 << 15  # the bucket of zero, where buckets have a sign
FORMS: Final = (*RetryAfterForm,)

# A cell, from the lowest bit on: flags, class, operation; then the phase, and the cohort above it.
_EXPECTED, _STATUS_200, _REUSED, _HANDSHAKEN, _RESUMED, _OURS = (1 << bit for bit in range(6))
_FLAGS: Final = 1 << 6
_KINDS: Final = (OutcomeClass.OK, *(kind for kind in OutcomeClass if kind is not OutcomeClass.OK))
_OPERATIONS: Final = (Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL, *Operation)  # the frequent ones are found first
_WORDS: Final = _FLAGS * len(_KINDS) * len(_OPERATIONS)

_NS: Final = 1_000_000_000
_COARSE: Final = 100  # µs: for a lag within the limit
_SERVICE: Final = "MAX(0, (ended_ns - started_ns - client_work_ns) / 1000)"
_RESPONSE: Final = "MAX(0, (ended_ns - intended_ns) / 1000)"
_LAG: Final = "MAX(0, started_ns - MAX(intended_ns, ready_ns)) / 1000"
_LATE: Final = "((started_ns - poll_deferred_at_ns) / 1000.0 - (poll_told_s + poll_spread_s) * 1e6)"
_EARLY: Final = (  # half a microsecond, because punctuality is rounded to whole ones
    f"({_LATE} < -0.5 - (poll_form = '{RetryAfterForm.HTTP_DATE.value}') * {HTTP_DATE_TOLERANCE_US})"
)
_WAITS: Final = (  # told and kept, in tenths of a second
    f"MIN(CAST(poll_told_s * 10 AS INTEGER), {WAITS_PACK}) * {WAITS_PACK} + "
    f"(started_ns - poll_deferred_at_ns) / {BIN_NS}"
)
_WAIT_MS: Final = f"MIN(CAST(ROUND(retry_after_s * 1000) AS INTEGER), {LONG.highest})"
_WHOLE: Final = "CAST(retry_after_s AS INTEGER)"
_WHOLE_SECONDS: Final = (  # to the nearest, and at a tie to the even one, as Python rounds
    f"({_WHOLE} + (retry_after_s - {_WHOLE} > 0.5 OR (retry_after_s - {_WHOLE} = 0.5 AND {_WHOLE} % 2)))"
)
HANDSHAKE: Final = "resumed || '/' || COALESCE(tls_version, '') || '/' || COALESCE(tls_group, '')"  # its kind, as text


@dataclass(frozen=True, slots=True)
class Cell:
    """What is counted together."""

    cohort: str
    phase: str | None
    operation: Operation
    kind: OutcomeClass
    flags: int

    @property
    def failed(self) -> bool:
        """Whether it is a failure, and not one that was part of the plan."""
        return self.kind.is_failure and not self.expected

    @property
    def expected(self) -> bool:
        """Whether the plan had it that such an exchange would fail."""
        return bool(self.flags & _EXPECTED)

    @property
    def status_200(self) -> bool:
        """Whether the server answered with 200, or 201 in its place, whatever was in it."""
        return bool(self.flags & _STATUS_200)

    @property
    def reused(self) -> bool:
        """Whether it went over a connection that was there already."""
        return bool(self.flags & _REUSED)

    @property
    def handshaken(self) -> bool:
        """Whether its connection has finished a handshake."""
        return bool(self.flags & _HANDSHAKEN)

    @property
    def resumed(self) -> bool:
        """Whether its connection resumed an earlier session."""
        return bool(self.flags & _RESUMED)

    @property
    def ours(self) -> bool:
        """Whether it failed because our own machine ran out of something."""
        return bool(self.flags & _OURS)


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a run by number, of what is known of it before its exchanges are counted."""

    cohorts: tuple[str, ...]
    phases: tuple[Stretch, ...]
    max_lag_s: float

    def cell(self, number: int) -> Cell:
        """Return the cell of a number."""
        number, flags = divmod(number, _FLAGS)
        number, kind = divmod(number, len(_KINDS))
        number, operation = divmod(number, len(_OPERATIONS))
        cohort, phase = divmod(number, len(self.phases) + 1)
        name = self.phases[phase - 1].name if phase else None
        return Cell(self.cohorts[cohort], name, _OPERATIONS[operation], _KINDS[kind], flags)

    def in_sql(self) -> str:
        """Return SQL for the number of a row's cell."""
        flags = " + ".join(
            f"{flag} * ({true})"
            for flag, true in (
                (_EXPECTED, "expected"),
                (_STATUS_200, "COALESCE(status IN (200, 201), 0)"),
                (_REUSED, "reused"),
                (_HANDSHAKEN, "handshaken_ns IS NOT NULL"),
                (_RESUMED, "resumed"),
                (_OURS, "trouble IS 'generator'"),
            )
        )
        kinds, operations = (number_of(name, words) for name, words in (("kind", _KINDS), ("operation", _OPERATIONS)))
        cohorts = f"{number_of('cohort', self.cohorts)} * {len(self.phases) + 1} + {phase_number(self.phases)}"
        return f"{flags} + {_FLAGS} * ({kinds}) + {_FLAGS * len(_KINDS)} * ({operations}) + {_WORDS} * ({cohorts})"


def exchange_query(cells: Cells, handshakes: Sequence[str], rows: tuple[int, int]) -> str:
    """Return the query whose columns `ExchangeCounts.add` takes; the usual handshakes are numbered, others named.

    ``rows`` are the ids before the first and of the last.
    """
    first, last = rows
    form = number_of("retry_after_form", FORMS)
    wait = f"{_WAIT_MS} + {WAIT_PACK} * (({_WHOLE_SECONDS} > {_WAIT_MS} / 1000) + 2 * (retry_after_s = 0) + 8)"
    told = f"(({form}) * 2 + retry_after_past) * {16 * WAIT_PACK} + COALESCE({wait}, 0)"
    worked_out = ", ".join((
        f"{cells.in_sql()} AS cell",
        f"{is_warmup(cells.phases)} AS warm",
        f"started_ns / {_NS} AS second",
        f"CASE WHEN poll_form IS NOT NULL AND NOT {is_warmup(cells.phases)} THEN {_WAITS} END AS waits",
        f"CASE WHEN NOT reused AND handshaken_ns IS NOT NULL THEN {_handshake_number(handshakes)} END AS handshake",
        f"{_SERVICE} AS service",
        f"CASE WHEN kind = 'ok' THEN {_RESPONSE} END AS response",
        f"{_LAG} AS lag",
        f"CASE WHEN poll_form IS NOT NULL THEN started_ns / {BIN_NS} * 2 + {_EARLY} END AS poll",
        f"CASE WHEN poll_form IS NOT NULL THEN CAST(ROUND({_LATE}) AS INTEGER) END AS late",
        f"CASE WHEN kind = 'deferred' AND retry_after_form IS NOT NULL THEN {told} END AS told",
        "non_conformances",
    ))  # fmt: skip
    limit_us, coarse = round(cells.max_lag_s * 1e6), bucket(f"(lag / {_COARSE} * {_COARSE})")
    columns = ", ".join((
        "cell",
        f"warm * {BUCKETS} + {bucket('lag')}",
        f"second * {LAG_PACK} + CASE WHEN lag > {limit_us} THEN {bucket('lag')} ELSE {coarse} END",
        f"cell * {BUCKETS} + {bucket('service')}",
        f"CASE WHEN response IS NOT NULL THEN cell * {BUCKETS} + {bucket('response')} END",
        f"cell * {BINS} + poll",
        f"cell * {BUCKETS} + {SIGN} + CASE WHEN late < 0 THEN -1 - ({bucket('-late')}) ELSE {bucket('late')} END",
        "waits, handshake, told, non_conformances",
    ))  # fmt: skip
    inner = apart(f"SELECT {worked_out} {FLEET} AND id > {first} AND id <= {last}")
    return f"SELECT {columns} FROM {inner}"  # noqa: S608 - names and numbers of ours


def _handshake_number(known: Sequence[str]) -> str:
    """Return SQL for the number of a handshake's kind, for one that is not known its name."""
    cases = []
    for number, kind in enumerate(known):
        resumed, version, group = kind.split("/", 2)
        cases.append(
            f"WHEN tls_group IS {_literal(group)} AND resumed = {resumed} "
            f"AND tls_version IS {_literal(version)} THEN {number}"
        )
    return f"CASE {' '.join(cases)} ELSE {HANDSHAKE} END" if cases else HANDSHAKE


def _literal(word: str) -> str:
    quoted = word.replace("'", "''")
    return f"'{quoted}'" if word else "NULL"
