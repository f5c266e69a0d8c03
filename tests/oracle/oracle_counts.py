"""The oracle of what a run counts: its rows, counted a second time in SQL, by other code than that of the recorder.

`recounted` puts the tallies of a stored run together from its exchanges, enrolments and impacts; `differences` names
every count in which they differ from what the run stored of itself.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from oracle_book import StoredBook
from oracle_cells import Cells
from oracle_errors import errors_of
from oracle_exchanges import ExchangeCounts, counted, expected_exchanges
from oracle_own_delay import read_own_delays
from oracle_queries import FAILED, FLEET, RunQueries

from estsim.est.enrolment import Goal
from estsim.figures.scopes import Scope
from estsim.record.ages import Ages
from estsim.record.blocks import Blocks
from estsim.record.error_kinds import ErrorKinds
from estsim.record.histograms import Histogram
from estsim.record.reading import open_run
from estsim.record.slice_counts import SpentTime
from estsim.record.tally import Tally
from estsim.report.run_report import RunReport, read_run
from estsim.report.stored_run import StoredCounts, StoredPlan, counts_of, plan_of

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Recount:
    """What the rows of a run come to."""

    book: StoredBook
    exchanges: ExchangeCounts
    errors: ErrorKinds
    spent: Mapping[Goal, list[SpentTime]]
    expected: Counter[tuple[str, int]]  # by class and second


def recounted(store: RunQueries, plan: StoredPlan) -> Recount:
    """Count the rows of a run."""
    store.require_all(tuple(plan.devices))
    cells = Cells(tuple(plan.devices), plan.phases, plan.max_lag_s)
    book = StoredBook(plan)
    spent = book.read_enrolments(store).spent
    book.read_snapshots(store)
    exchanges = counted(store, cells)
    book.add_blocks(store)
    book.add_exchanges(exchanges)
    read_own_delays(store, plan.phases, book.tally)
    query = f"SELECT kind, ended_ns / {_NS}, COUNT(*) {FLEET} AND kind IN ({FAILED}) AND expected GROUP BY 1, 2"
    expected = Counter({(kind, second): count for kind, second, count in store.rows(query)})
    return Recount(book, exchanges, errors_of(store, plan.phases), spent, expected)


def differences(folder: Path) -> list[str]:
    """Name what a stored run counted otherwise than its rows say; nothing where both agree."""
    report = read_run(folder)
    with closing(open_run(folder)) as run:
        plan = plan_of(run)
        ours = counts_of(run, plan)
        theirs = recounted(RunQueries(run), plan)
        scopes = ours.scopes(run, plan, round(report.ended_s * _NS))
        others = theirs.book.scopes(round(report.ended_s * _NS))
    pairs = {
        "run": (scopes.run, others.run),
        **{name: (scope, others.cohorts[name]) for name, scope in scopes.cohorts.items()},
        **{name: (each.run, others.phases[name].run) for name, each in scopes.phases.items()},
        **{
            f"{name} {cohort}": (scope, others.phases[name].cohorts[cohort])
            for name, each in scopes.phases.items()
            for cohort, scope in each.cohorts.items()
        },
    }
    found = [line for name, (mine, other) in pairs.items() for line in _apart(name, _of_scope(mine), _of_scope(other))]
    return [*found, *_apart("report", _of_report(report, ours), _of_recount(theirs))]


def _of_scope(scope: Scope) -> dict[str, Any]:
    return {
        "tally": _of_tally(scope.tally),
        "states": dict(scope.states),
        "events": scope.events_s,
        "blocks": {
            f"{operation} {name}": _of_each(blocks)
            for operation, both in scope.blocks.items()
            for name, blocks in (("service", both.service), ("response", both.response))
        },
        "ends": _of_each(scope.ends),
    }


def _of_each(blocks: Blocks) -> dict[str, Any]:
    return {str(number): _buckets(histogram) for number, histogram in blocks.items()}


def _of_tally(tally: Tally) -> dict[str, Any]:
    told, polls, enrolments, own = tally.told, tally.polls, tally.enrolment_tally, tally.own
    first = enrolments.first
    return {
        "operations": {
            operation.value: {
                "classes": _counts(each.by_class),
                **{name: _buckets(getattr(each, name)) for name in ("service", "response", "deferred", "failed")},
            }
            for operation, each in tally.operations.items()
        },
        "connections": [tally.connections.full, tally.connections.resumed, tally.connections.reused],
        "issued": tally.issued,
        "non_conformances": _counts(tally.non_conformances),
        "told": [_buckets(told.histogram), told.zero, told.past, told.absurd],
        "told by": [_counts(told.forms), _counts(told.whole_seconds)],
        "polls": [polls.count, polls.wasted, polls.early, polls.due, polls.hits, _counts(polls.bins)],
        "punctuality": _buckets(polls.punctuality),
        "enrolments": [
            enrolments.begun, _counts(enrolments.ended), enrolments.expected, enrolments.unrefused,
            enrolments.expected_devices, _counts(enrolments.parts_ns), enrolments.open,
        ],
        "first": [first.booted_ns, _buckets(first.ended_ms), first.total, first.squares],
        "ages": {str(key): _of_ages(ages) for key, ages in enrolments.ages.items()},
        "own": {
            "spreads": {
                "/".join(map(str, key)): [_buckets(each.measured), _buckets(each.without)]
                for key, each in own.spreads.items()
            },
            "failed": _counts(own.failed),
            "ends": _counts(own.ends),
            "ages": {str(key): [*map(_of_ages, both)] for key, both in own.ages.items()},
        },
    }  # fmt: skip


def _of_ages(ages: Ages) -> list[Any]:
    within = {str(limit): [each.issued, each.failed, each.cut] for limit, each in ages.within.items()}
    return [*map(_buckets, (ages.issued, ages.failed, ages.cut)), _counts(ages.open_bins), within]


def _of_report(report: RunReport, counts: StoredCounts) -> dict[str, Any]:
    return {
        "lag": _buckets(counts.book.total().schedule_lag),
        "lags": {str(second): _buckets(histogram) for second, histogram in counts.report.lags.items()},
        "told": _counts(counts.report.told),
        "kept": _counts(counts.report.kept),
        "handshakes": report.handshakes,
        "ran out": counts.report.ran_out is not None,
        "errors": report.errors,
        "expected": dict(report.expected),
        "expected by second": _counts(counts.report.expected),
        "spent": _of_spent((goal, spent) for (goal, _), spent in counts.report.spent.items()),
    }


def _of_recount(recount: Recount) -> dict[str, Any]:
    told, kept = recount.exchanges.told_and_kept()
    return {
        "lag": _buckets(recount.exchanges.schedule_lag()),
        "lags": {str(second): _buckets(histogram) for second, histogram in recount.exchanges.lags().items()},
        "told": _counts(told),
        "kept": _counts(kept),
        "handshakes": recount.exchanges.made_handshakes(),
        "ran out": recount.exchanges.ran_out,
        "errors": recount.errors,
        "expected": {each.value: count for each, count in expected_exchanges(recount.exchanges).items()},
        "expected by second": _counts(recount.expected),
        "spent": _of_spent((goal, each) for goal, spent in recount.spent.items() for each in spent),
    }


def _of_spent(spent: Iterable[tuple[Goal, SpentTime]]) -> dict[str, Any]:
    found: dict[str, SpentTime] = {}
    for goal, each in spent:
        key = f"{goal} {each.bucket}"
        found[key] = found[key].plus(each) if key in found else each
    return {key: (each.count, each.took_ns, each.parts_ns) for key, each in found.items()}


def _buckets(histogram: Histogram) -> dict[str, int]:
    """Return counts by bucket: rows are counted by bucket, so their sums and extremes are known to three digits."""
    return {str(index): count for index, count in histogram.counts.items() if count}


def _counts(counter: Mapping[Any, int]) -> dict[str, int]:
    return {str(key): count for key, count in counter.items() if count}


def _apart(where: str, mine: object, other: object) -> Iterator[str]:
    if isinstance(mine, Mapping) and isinstance(other, Mapping):
        for key in {**mine, **other}:
            yield from _apart(f"{where}.{key}", mine.get(key), other.get(key))
    elif mine != other and (mine or other):  # what is empty is as good as none
        yield f"{where}: stored {mine}, by its rows {other}"
