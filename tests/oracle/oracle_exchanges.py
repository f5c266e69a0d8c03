"""The exchanges of a stored run, counted in one pass into the tallies that a live run would have had.

Everything is counted by the cells of `oracle_cells`, most of it by histogram bucket, and then put into `Tally`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final

from oracle_cells import (
    FORMS,
    HANDSHAKE,
    LAG_PACK,
    SIGN,
    WAIT_PACK,
    WAITS_PACK,
    Cell,
    Cells,
    exchange_query,
)
from oracle_queries import BINS, BUCKETS, FLEET, RunQueries

from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.record.histograms import LATENCY, Histogram
from estsim.record.nested import non_conformances_of
from estsim.record.phases import WARMUP
from estsim.record.tally import OperationTally, Tally
from estsim.record.waits import ABSURD_S

_USUAL: Final = 10_000  # rows, in which the usual kinds of handshakes are seen


@dataclass(slots=True)
class ExchangeCounts:
    """All exchanges of a run, counted; keys are what the store gave."""

    cells: Cells
    exchanges: Counter[int] = field(default_factory=Counter)  # by cell
    lag: Counter[int] = field(default_factory=Counter)
    lag_by_second: Counter[int] = field(default_factory=Counter)
    service: Counter[int] = field(default_factory=Counter)  # by cell as well, as are all that follow
    response: Counter[int | None] = field(default_factory=Counter)
    polls: Counter[int | None] = field(default_factory=Counter)
    punctuality: Counter[int | None] = field(default_factory=Counter)
    waits: Counter[int | None] = field(default_factory=Counter)  # this one is not
    handshakes: Counter[int | str | None] = field(default_factory=Counter)
    told: Counter[tuple[int, int | None]] = field(default_factory=Counter)
    non_conformances: Counter[tuple[int, str | None]] = field(default_factory=Counter)
    known_handshakes: tuple[str, ...] = ()

    def add(self, columns: Sequence[Sequence[Any]]) -> None:
        """Count some rows, given as the columns of `exchange_query`."""
        plain, (told, non_conformances) = columns[:-2], columns[-2:]
        counters: tuple[Counter[Any], ...] = (
            self.exchanges, self.lag, self.lag_by_second, self.service, self.response, self.polls, self.punctuality,
            self.waits, self.handshakes,
        )  # fmt: skip
        for counter, column in zip(counters, plain, strict=True):
            counter.update(column)
        if told.count(None) < len(told):
            self.told.update(zip(plain[0], told, strict=True))
        if non_conformances.count(None) < len(non_conformances):
            self.non_conformances.update(zip(plain[0], non_conformances, strict=True))

    def by_cell(
        self, pairs: Mapping[int, int] | Mapping[int | None, int], pack: int
    ) -> Iterator[tuple[Cell, int, int]]:
        """Yield cell, number and how often that pair was there; where the number is null, nothing."""
        cell, last = None, -1
        for packed, count in sorted((packed, count) for packed, count in pairs.items() if packed is not None):
            number, value = divmod(packed, pack)
            if cell is None or number != last:
                cell, last = self.cells.cell(number), number
            yield cell, value, count

    def told_and_kept(self) -> tuple[Counter[int], Counter[int]]:
        """Return told and kept waits before polls, in tenths of a second."""
        told: Counter[int] = Counter()
        kept: Counter[int] = Counter()
        for packed, count in self.waits.items():
            if packed is not None:
                told[packed // WAITS_PACK] += count
                kept[packed % WAITS_PACK] += count
        return told, kept

    def lags(self) -> dict[int, Histogram]:
        """Return the schedule lags by the second in which an exchange started; coarse up to the limit."""
        by_second: dict[int, Histogram] = {}
        for packed, count in self.lag_by_second.items():
            second, index = divmod(packed, LAG_PACK)
            by_second.setdefault(second, Histogram()).record(LATENCY.highest_in(index), count)
        return by_second

    def schedule_lag(self) -> Histogram:
        """Return all schedule lags but those of a warm-up."""
        whole = Histogram()
        for packed, count in self.lag.items():
            if packed < BUCKETS:
                whole.record(LATENCY.highest_in(packed), count)
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
        return any(self.cells.cell(number).ours for number in self.exchanges)

    def merge(self, other: "ExchangeCounts") -> None:
        """Add what was counted of other rows of the same run."""
        for part in fields(self):
            ours = getattr(self, part.name)
            if isinstance(ours, Counter):
                ours.update(getattr(other, part.name))


def counted(store: RunQueries, cells: Cells) -> ExchangeCounts:
    """Count all exchanges of a run."""
    (last,) = store.one("SELECT MAX(id) FROM exchanges")
    usual = f"SELECT DISTINCT {HANDSHAKE} {FLEET} AND id <= {_USUAL}"
    known = tuple(name for (name,) in store.rows(usual) if name.isprintable())
    return _count(store, cells, known, (0, last or 0))


def _count(store: RunQueries, cells: Cells, handshakes: tuple[str, ...], rows: tuple[int, int]) -> ExchangeCounts:
    counts = ExchangeCounts(cells, known_handshakes=handshakes)
    store.require_exchanges(cells.cohorts, *rows)
    for columns in store.columns(exchange_query(cells, handshakes, rows)):
        counts.add(columns)
    for text in {text for _, text in counts.non_conformances}:
        store.require_rules(text)
    return counts


TallyOf = Callable[[str, str | None], Tally]  # by cohort and phase


def fill_tallies(counts: ExchangeCounts, tally_of: TallyOf) -> None:
    """Put what was counted into tallies by cohort and phase: what the same exchanges come to in a live run.

    Errors are not among it (a server can make any number of them), nor lags, nor the gaps that only a display shows.
    """
    _fill_operations(counts, tally_of)
    _fill_deferral(counts, tally_of)
    for (number, text), count in counts.non_conformances.items():
        cell = counts.cells.cell(number)
        for broken in non_conformances_of(text):
            tally_of(cell.cohort, cell.phase).non_conformances[broken] += count


def _fill_operations(counts: ExchangeCounts, tally_of: TallyOf) -> None:
    def operation(cell: Cell) -> OperationTally:
        return tally_of(cell.cohort, cell.phase).operations.setdefault(cell.operation, OperationTally())

    for cell, _, count in counts.by_cell(counts.exchanges, 1):
        operation(cell).by_class[cell.kind] += count
        _add_connections(tally_of(cell.cohort, cell.phase), cell, count)
    for cell, index, count in counts.by_cell(counts.service, BUCKETS):
        histogram = _service_histogram(operation(cell), cell)
        if histogram is not None:
            histogram.record(LATENCY.highest_in(index), count)
    for cell, index, count in counts.by_cell(counts.response, BUCKETS):
        operation(cell).response.record(LATENCY.highest_in(index), count)


def _fill_deferral(counts: ExchangeCounts, tally_of: TallyOf) -> None:
    for cell, packed, count in counts.by_cell(counts.polls, BINS):
        _add_polls(tally_of(cell.cohort, cell.phase), cell, packed, count)
    for cell, packed, count in counts.by_cell(counts.punctuality, BUCKETS):
        late_us = LATENCY.highest_in(packed - SIGN) if packed >= SIGN else -LATENCY.highest_in(SIGN - 1 - packed)
        tally_of(cell.cohort, cell.phase).polls.punctuality.record(late_us, count)
    for (number, told), count in counts.told.items():
        if told is not None:
            cell = counts.cells.cell(number)
            _add_told(tally_of(cell.cohort, cell.phase), told, count)


def expected_exchanges(counts: ExchangeCounts) -> Counter[Operation]:
    """Return how many exchanges failed as the plan had it, by operation; those of a warm-up are not among them."""
    found: Counter[Operation] = Counter()
    for cell, _, count in counts.by_cell(counts.exchanges, 1):
        if cell.kind.is_failure and cell.expected and cell.phase != WARMUP:
            found[cell.operation] += count
    return found


def _service_histogram(tally: OperationTally, cell: Cell) -> Histogram | None:
    if cell.kind is OutcomeClass.OK:
        return tally.service
    if cell.kind is OutcomeClass.DEFERRED:
        return tally.deferred
    return tally.failed if cell.failed else None


def _add_connections(tally: Tally, cell: Cell, count: int) -> None:
    if cell.reused:
        tally.connections.reused += count
    elif cell.handshaken and cell.resumed:
        tally.connections.resumed += count
    elif cell.handshaken:
        tally.connections.full += count
    if cell.status_200 and cell.operation.seeks_certificate:
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
    told, (head, rest) = tally.told, divmod(packed, 16 * WAIT_PACK)
    form, past = divmod(head, 2)
    told.forms[FORMS[form].value] += count
    told.past += count if past else 0
    flags, wait_ms = divmod(rest, WAIT_PACK)
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
