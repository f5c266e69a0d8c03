"""The exchanges of a stored run, counted in one pass into the tallies that a live run would have had.

A *cell* is what is counted together: cohort, phase, operation, class and flags, as one number. Everything else is
counted by cell, most of it by histogram bucket, and then put into `Tally`. Of one number per row and figure, because
that is what SQLite gives and `Counter` takes most quickly.
"""

import gc
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from estsim.est.operations import Operation
from estsim.est.outcome import NonConformance, OutcomeClass, RetryAfterForm
from estsim.measure.book import WARMUP, Stretch
from estsim.measure.histograms import LATENCY, LONG, Histogram, highest_equivalent
from estsim.measure.report_queries import FLEET, RunQueries, apart, asked, bucket, is_warmup, number_of, phase_number
from estsim.measure.tally import OperationTally, Tally
from estsim.measure.waits import ABSURD_S, BIN_NS, HTTP_DATE_TOLERANCE_US

_USUAL: Final = 10_000  # rows, in which the usual kinds of handshakes are seen
_ALONE_UP_TO: Final = 500_000  # rows: for fewer, other processes take longer to start than they save
_MOST_WORKERS: Final = 4
_PARTS_EACH: Final = 4  # so that all end at about the same time
_NS: Final = 1_000_000_000
_PACK: Final = 1_000_000_000  # two numbers in one key
_LAG_PACK: Final = 1 << 20
_COARSE: Final = 100  # µs: for a lag within the limit
_FORMS: Final = (*RetryAfterForm,)
_WAIT_PACK: Final = 1 << 33  # more than the longest wait in ms
_BUCKETS: Final = 1 << 16  # more than a histogram has, twice
_SIGN: Final = 1 << 15
_BINS: Final = 1 << 34  # more than a run has bins of 100 ms, in decades

# A cell, from the lowest bit on: flags, class, operation; then the phase, and the cohort above it.
_EXPECTED, _STATUS_200, _REUSED, _HANDSHAKEN, _RESUMED, _OURS = (1 << bit for bit in range(6))
_FLAGS: Final = 1 << 6
_KINDS: Final = (OutcomeClass.OK, *(kind for kind in OutcomeClass if kind is not OutcomeClass.OK))
_OPERATIONS: Final = (Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL, *Operation)  # the frequent ones are found first
_WORDS: Final = _FLAGS * len(_KINDS) * len(_OPERATIONS)

_SERVICE: Final = "MAX(0, (ended_ns - started_ns - client_work_ns) / 1000)"
_RESPONSE: Final = "MAX(0, (ended_ns - intended_ns) / 1000)"
_LAG: Final = "MAX(0, started_ns - MAX(intended_ns, ready_ns)) / 1000"
_LATE: Final = "((started_ns - poll_deferred_at_ns) / 1000.0 - (poll_told_s + poll_spread_s) * 1e6)"
_EARLY: Final = (  # half a microsecond, because punctuality is rounded to whole ones
    f"({_LATE} < -0.5 - (poll_form = '{RetryAfterForm.HTTP_DATE.value}') * {HTTP_DATE_TOLERANCE_US})"
)
_WAITS: Final = (  # told and kept, in tenths of a second
    f"MIN(CAST(poll_told_s * 10 AS INTEGER), {_PACK}) * {_PACK} + (started_ns - poll_deferred_at_ns) / {BIN_NS}"
)
_WAIT_MS: Final = f"MIN(CAST(ROUND(retry_after_s * 1000) AS INTEGER), {LONG.highest})"
_WHOLE: Final = "CAST(retry_after_s AS INTEGER)"
_WHOLE_SECONDS: Final = (  # to the nearest, and at a tie to the even one, as Python rounds
    f"({_WHOLE} + (retry_after_s - {_WHOLE} > 0.5 OR (retry_after_s - {_WHOLE} = 0.5 AND {_WHOLE} % 2)))"
)


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
        return self.kind.is_failure and not self.flags & _EXPECTED


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of a run before its exchanges are counted."""

    cohorts: tuple[str, ...]
    phases: tuple[Stretch, ...] = ()
    max_lag_s: float = 0.02

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
                (_STATUS_200, "status IS 200"),
                (_REUSED, "reused"),
                (_HANDSHAKEN, "handshaken_ns IS NOT NULL"),
                (_RESUMED, "resumed"),
                (_OURS, "trouble IS 'generator'"),
            )
        )
        kinds, operations = (number_of(name, words) for name, words in (("kind", _KINDS), ("operation", _OPERATIONS)))
        cohorts = f"{number_of('cohort', self.cohorts)} * {len(self.phases) + 1} + {phase_number(self.phases)}"
        return f"{flags} + {_FLAGS} * ({kinds}) + {_FLAGS * len(_KINDS)} * ({operations}) + {_WORDS} * ({cohorts})"


@dataclass(slots=True)
class ExchangeCounts:
    """All exchanges of a run, counted; keys are what the store gave."""

    plan: Plan
    cells: Counter[int] = field(default_factory=Counter)
    lag: Counter[int] = field(default_factory=Counter)
    lag_by_second: Counter[int] = field(default_factory=Counter)
    service: Counter[int] = field(default_factory=Counter)  # by cell, as are all that follow
    response: Counter[int | None] = field(default_factory=Counter)
    polls: Counter[int | None] = field(default_factory=Counter)
    punctuality: Counter[int | None] = field(default_factory=Counter)
    waits: Counter[int | None] = field(default_factory=Counter)  # this one is not
    handshakes: Counter[int | str | None] = field(default_factory=Counter)
    told: Counter[tuple[int, int | None]] = field(default_factory=Counter)
    non_conformances: Counter[tuple[int, str | None]] = field(default_factory=Counter)
    known_handshakes: tuple[str, ...] = ()

    def add(self, columns: Sequence[Sequence[object]]) -> None:
        """Count some rows, given as the columns of `exchange_query`."""
        plain, (told, non_conformances) = columns[:-2], columns[-2:]
        counters: tuple[Counter[object], ...] = (
            self.cells, self.lag, self.lag_by_second, self.service, self.response, self.polls, self.punctuality,
            self.waits, self.handshakes,
        )  # type: ignore[assignment]  # fmt: skip
        for counter, column in zip(counters, plain, strict=True):
            counter.update(column)
        if told.count(None) < len(told):
            self.told.update(zip(plain[0], told, strict=True))  # type: ignore[arg-type]
        if non_conformances.count(None) < len(non_conformances):
            self.non_conformances.update(zip(plain[0], non_conformances, strict=True))  # type: ignore[arg-type]

    def by_cell(
        self, pairs: Mapping[int, int] | Mapping[int | None, int], pack: int
    ) -> Iterator[tuple[Cell, int, int]]:
        """Yield cell, number and how often that pair was there; where the number is null, nothing."""
        cell, plan, last = None, self.plan, -1
        for packed, count in sorted((packed, count) for packed, count in pairs.items() if packed is not None):
            number, value = divmod(packed, pack)
            if cell is None or number != last:
                cell, last = plan.cell(number), number
            yield cell, value, count

    def told_and_kept(self) -> tuple[Counter[int], Counter[int]]:
        """Return told and kept waits before polls, in tenths of a second."""
        told: Counter[int] = Counter()
        kept: Counter[int] = Counter()
        for packed, count in self.waits.items():
            if packed is not None:
                told[packed // _PACK] += count
                kept[packed % _PACK] += count
        return told, kept

    def lags(self) -> dict[int, Histogram]:
        """Return the schedule lags by the second in which an exchange started; coarse up to the limit."""
        by_second: dict[int, Histogram] = {}
        for packed, count in self.lag_by_second.items():
            second, index = divmod(packed, _LAG_PACK)
            by_second.setdefault(second, Histogram()).record(_value(index), count)
        return by_second

    def schedule_lag(self) -> Histogram:
        """Return all schedule lags but those of a warm-up."""
        whole = Histogram()
        for packed, count in self.lag.items():
            if packed < _BUCKETS:
                whole.record(_value(packed), count)
        return whole

    def made_handshakes(self) -> tuple[tuple[str, int], ...]:
        """Return the finished handshakes by kind, the most frequent first."""
        found: Counter[str] = Counter()
        for kind, count in self.handshakes.items():
            if kind is not None:
                found[_handshake(self.known_handshakes[kind] if isinstance(kind, int) else kind)] += count
        return tuple(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    @property
    def ran_out(self) -> bool:
        """Whether an exchange failed because our own machine ran out of something."""
        return any(number & _OURS for number in self.cells)

    def merge(self, other: "ExchangeCounts") -> None:
        """Add what was counted of other rows of the same run."""
        for part in fields(self):
            ours = getattr(self, part.name)
            if isinstance(ours, Counter):
                ours.update(getattr(other, part.name))


@contextmanager
def counting(store: RunQueries, plan: Plan) -> Iterator[Callable[[], ExchangeCounts]]:
    """Count all exchanges once: of a long run in processes of their own, while the block asks for other things.

    Rows are never changed and only ever follow, so all processes see the same ones up to the last of this moment.
    """
    kind = "resumed || '/' || COALESCE(tls_version, '') || '/' || COALESCE(tls_group, '')"
    usual = f"SELECT DISTINCT {kind} FROM (SELECT * {FLEET} LIMIT {_USUAL})"  # noqa: S608 - names of ours
    known = tuple(str(name) for (name,) in store.rows(usual))
    (last,) = store.one("SELECT MAX(id) FROM exchanges")
    workers = min(os.cpu_count() or 1, _MOST_WORKERS)
    if (last or 0) < _ALONE_UP_TO or workers == 1:
        yield lambda: _count(store, plan, known, (0, last or 0))
        return
    step = -(-last // (workers * _PARTS_EACH))
    ranges = [(first, min(first + step, last)) for first in range(0, last, step)]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        parts = [pool.submit(_count_apart, store.path, plan, known, each) for each in ranges]

        def all_of_them() -> ExchangeCounts:
            counts = ExchangeCounts(plan, known_handshakes=known)
            for part in parts:
                counts.merge(part.result())
            return counts

        yield all_of_them


def _count_apart(path: Path, plan: Plan, handshakes: tuple[str, ...], rows: tuple[int, int]) -> ExchangeCounts:
    """Count a part of the rows in another process than the one that knows the run."""
    gc.disable()  # tuples by the million, none of them in a ring
    with asked(path) as store:
        return _count(store, plan, handshakes, rows)


def _count(store: RunQueries, plan: Plan, handshakes: tuple[str, ...], rows: tuple[int, int]) -> ExchangeCounts:
    counts = ExchangeCounts(plan, known_handshakes=handshakes)
    for columns in store.columns(exchange_query(plan, handshakes, rows)):
        counts.add(columns)
    return counts


def exchange_query(plan: Plan, handshakes: Sequence[str], rows: tuple[int, int]) -> str:
    """Return the query whose columns `ExchangeCounts.add` takes; the usual handshakes are numbered, others named.

    ``rows`` are the ids before the first and of the last.
    """
    first, last = rows
    form = number_of("retry_after_form", _FORMS)
    wait = f"{_WAIT_MS} + {_WAIT_PACK} * (({_WHOLE_SECONDS} > {_WAIT_MS} / 1000) + 2 * (retry_after_s = 0) + 8)"
    told = f"(({form}) * 2 + retry_after_past) * {16 * _WAIT_PACK} + COALESCE({wait}, 0)"
    worked_out = ", ".join((
        f"{plan.in_sql()} AS cell",
        f"{is_warmup(plan.phases)} AS warm",
        f"started_ns / {_NS} AS second",
        f"CASE WHEN poll_form IS NOT NULL AND NOT {is_warmup(plan.phases)} THEN {_WAITS} END AS waits",
        f"CASE WHEN NOT reused AND handshaken_ns IS NOT NULL THEN {_handshake_number(handshakes)} END AS handshake",
        f"{_SERVICE} AS service",
        f"CASE WHEN kind = 'ok' THEN {_RESPONSE} END AS response",
        f"{_LAG} AS lag",
        f"CASE WHEN poll_form IS NOT NULL THEN started_ns / {BIN_NS} * 2 + {_EARLY} END AS poll",
        f"CASE WHEN poll_form IS NOT NULL THEN CAST(ROUND({_LATE}) AS INTEGER) END AS late",
        f"CASE WHEN kind = 'deferred' AND retry_after_form IS NOT NULL THEN {told} END AS told",
        "non_conformances",
    ))  # fmt: skip
    limit_us, coarse = round(plan.max_lag_s * 1e6), bucket(f"(lag / {_COARSE} * {_COARSE})")
    columns = ", ".join((
        "cell",
        f"warm * {_BUCKETS} + {bucket('lag')}",
        f"second * {_LAG_PACK} + CASE WHEN lag > {limit_us} THEN {bucket('lag')} ELSE {coarse} END",
        f"cell * {_BUCKETS} + {bucket('service')}",
        f"CASE WHEN response IS NOT NULL THEN cell * {_BUCKETS} + {bucket('response')} END",
        f"cell * {_BINS} + poll",
        f"cell * {_BUCKETS} + {_SIGN} + CASE WHEN late < 0 THEN -1 - ({bucket('-late')}) ELSE {bucket('late')} END",
        "waits, handshake, told, non_conformances",
    ))  # fmt: skip
    inner = apart(f"SELECT {worked_out} {FLEET} AND id > {first} AND id <= {last}")
    return f"SELECT {columns} FROM {inner}"  # noqa: S608 - names and numbers of ours


def _handshake_number(known: Sequence[str]) -> str:
    """Return SQL for the number of a handshake's kind, for one that is not known its name."""
    named = "resumed || '/' || COALESCE(tls_version, '') || '/' || COALESCE(tls_group, '')"
    cases = []
    for number, kind in enumerate(known):
        resumed, version, group = kind.split("/", 2)
        cases.append(
            f"WHEN tls_group IS {_literal(group)} AND resumed = {resumed} "
            f"AND tls_version IS {_literal(version)} THEN {number}"
        )
    return f"CASE {' '.join(cases)} ELSE {named} END" if cases else named


def _literal(word: str) -> str:
    quoted = word.replace("'", "''")
    return f"'{quoted}'" if word else "NULL"


TallyOf = Callable[[str, str | None], Tally]  # by cohort and phase


def fill_tallies(counts: ExchangeCounts, tally_of: TallyOf) -> None:
    """Put what was counted into tallies by cohort and phase: what the same exchanges come to in a live run.

    Errors are not among it (a server can make any number of them), nor lags, nor the gaps that only a display shows.
    """
    _fill_operations(counts, tally_of)
    _fill_deferral(counts, tally_of)
    for (number, text), count in counts.non_conformances.items():
        cell = counts.plan.cell(number)
        for rule, section in json.loads(text or "[]"):
            tally_of(cell.cohort, cell.phase).non_conformances[NonConformance(rule, section)] += count


def _fill_operations(counts: ExchangeCounts, tally_of: TallyOf) -> None:
    def operation(cell: Cell) -> OperationTally:
        return tally_of(cell.cohort, cell.phase).operations.setdefault(cell.operation, OperationTally())

    for cell, _, count in counts.by_cell(counts.cells, 1):
        operation(cell).by_class[cell.kind] += count
        _add_connections(tally_of(cell.cohort, cell.phase), cell, count)
    for cell, index, count in counts.by_cell(counts.service, _BUCKETS):
        histogram = _service_histogram(operation(cell), cell)
        if histogram is not None:
            histogram.record(_value(index), count)
    for cell, index, count in counts.by_cell(counts.response, _BUCKETS):
        operation(cell).response.record(_value(index), count)


def _fill_deferral(counts: ExchangeCounts, tally_of: TallyOf) -> None:
    for cell, packed, count in counts.by_cell(counts.polls, _BINS):
        _add_polls(tally_of(cell.cohort, cell.phase), cell, packed, count)
    for cell, packed, count in counts.by_cell(counts.punctuality, _BUCKETS):
        late_us = _value(packed - _SIGN) if packed >= _SIGN else -_value(_SIGN - 1 - packed)
        tally_of(cell.cohort, cell.phase).polls.punctuality.record(late_us, count)
    for (number, told), count in counts.told.items():
        if told is not None:
            cell = counts.plan.cell(number)
            _add_told(tally_of(cell.cohort, cell.phase), told, count)


def expected_exchanges(counts: ExchangeCounts) -> Counter[Operation]:
    """Return how many exchanges failed as the plan had it, by operation; those of a warm-up are not among them."""
    found: Counter[Operation] = Counter()
    for cell, _, count in counts.by_cell(counts.cells, 1):
        if cell.kind.is_failure and cell.flags & _EXPECTED and cell.phase != WARMUP:
            found[cell.operation] += count
    return found


def _value(index: int) -> int:
    return min(highest_equivalent(index), LATENCY.highest)


def _service_histogram(tally: OperationTally, cell: Cell) -> Histogram | None:
    if cell.kind is OutcomeClass.OK:
        return tally.service
    if cell.kind is OutcomeClass.DEFERRED:
        return tally.deferred
    return tally.failed if cell.failed else None


def _add_connections(tally: Tally, cell: Cell, count: int) -> None:
    if cell.flags & _REUSED:
        tally.connections.reused += count
    elif cell.flags & _HANDSHAKEN and cell.flags & _RESUMED:
        tally.connections.resumed += count
    elif cell.flags & _HANDSHAKEN:
        tally.connections.full += count
    if cell.flags & _STATUS_200 and cell.operation.seeks_certificate:
        tally.issued += count


def _add_polls(tally: Tally, cell: Cell, packed: int, count: int) -> None:
    polls, (key, early) = tally.polls, divmod(packed, 2)
    polls.bins[key] += count
    polls.count += count
    polls.wasted += count if cell.kind is OutcomeClass.DEFERRED else 0
    if early:
        polls.early += count
        return
    polls.due += count
    polls.hits += count if cell.kind is OutcomeClass.OK else 0


def _add_told(tally: Tally, packed: int, count: int) -> None:
    told, (head, rest) = tally.told, divmod(packed, 16 * _WAIT_PACK)
    form, past = divmod(head, 2)
    told.forms[_FORMS[form].value] += count
    told.past += count if past else 0
    flags, wait_ms = divmod(rest, _WAIT_PACK)
    if not flags:
        return  # no wait was told
    told.histogram.record(wait_ms, count)
    told.whole_seconds[wait_ms // 1000 + flags % 2] += count
    if wait_ms > ABSURD_S * 1000:
        told.absurd += count
    elif flags & 2 and not past:
        told.zero += count


def _handshake(kind: str) -> str:
    resumed, version, group = kind.split("/", 2)
    return f"{version or 'version unknown'}, {group or 'group unknown'}{', resumed' if resumed == '1' else ''}"
