"""What a report asks of a run's store: SQL that counts there, so that no exchange becomes an object here.

The figures are those of METRICS.md, put together from counts by the same classes that a live run counts with.
Preflight is counted nowhere.
"""

import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from estsim.errors import StoreError
from estsim.est.enrolment import EnrolmentEnd
from estsim.est.outcome import OutcomeClass, RetryAfterForm
from estsim.measure.histograms import Histogram
from estsim.measure.lives import CUT_BY_US, FAILURES, PARTS, Lives
from estsim.measure.reading import open_run
from estsim.measure.rows import Row
from estsim.measure.store import RunReader
from estsim.measure.waits import BIN_NS, HTTP_DATE_TOLERANCE_US, Polls, ToldWaits

_NS: Final = 1_000_000_000
_FLEET: Final = "FROM exchanges WHERE cause != 'preflight'"
_FAILED: Final = ", ".join(f"'{kind.value}'" for kind in OutcomeClass if kind.is_failure)
_EARLY: Final = (  # half a microsecond, because punctuality is rounded to whole ones
    "(started_ns - poll_deferred_at_ns) / 1000.0 - (poll_told_s + poll_spread_s) * 1e6 < "
    f"-0.5 - (poll_form = '{RetryAfterForm.HTTP_DATE.value}') * {HTTP_DATE_TOLERANCE_US}"
)
# A lag in tenths of a millisecond, to two digits: enough for a chart, and few groups for the store to sort.
_LAG: Final = (
    "CASE WHEN lag < 10000000 THEN lag / 100000 WHEN lag < 100000000 THEN lag / 1000000 * 10 "
    "WHEN lag < 1000000000 THEN lag / 10000000 * 100 WHEN lag < 10000000000 THEN lag / 100000000 * 1000 "
    "ELSE MIN(lag / 1000000000 * 10000, 864000000) END"
)
_PACK: Final = 1_000_000_000  # two numbers in one key: one column sorts quicker than two
_WHOLE_SECONDS: Final = (  # to the nearest, and at a tie to the even one, as Python rounds
    "CAST(wait AS INTEGER) + (wait - CAST(wait AS INTEGER) > 0.5 OR "
    "(wait - CAST(wait AS INTEGER) = 0.5 AND CAST(wait AS INTEGER) % 2))"
)


class RunQueries:
    """The questions of a report to one store."""

    def __init__(self, run: RunReader) -> None:
        self.rows = run.select
        self.facts = run.facts

    def one(self, query: str) -> Row:
        """Ask for one row."""
        (row,) = self.rows(query)
        return row

    def counter(self, query: str) -> Counter[int]:
        """Ask for keys and how often each is there."""
        return Counter({key: count for key, count in self.rows(query)})  # noqa: C416 - rows have any number of columns

    def extent(self) -> tuple[int, tuple[tuple[str, int], ...]]:
        """Return the last moment on the run's clock that the store knows of, and the finished handshakes by kind.

        Kinds of handshakes are few: to ask which there are and to count them is quicker than to sort all exchanges.
        """
        made = "NOT reused AND handshaken_ns IS NOT NULL"
        kinds = list(self.rows(f"SELECT DISTINCT tls_version, tls_group, resumed {_FLEET} AND {made}"))
        like = f", SUM({made} AND tls_version IS ? AND tls_group IS ? AND resumed IS ?)" * len(kinds)
        values = [value for kind in kinds for value in kind]
        ((last_ns, *counts),) = self.rows(f"SELECT MAX(ended_ns){like} {_FLEET}", values)
        (read_ns,) = self.one("SELECT MAX(at_ns) FROM generator")
        named = zip(map(_handshake, kinds), counts, strict=True)
        return max(last_ns or 0, read_ns or 0), tuple(sorted(named, key=lambda item: (-item[1], item[0])))

    def polls(self) -> Polls:
        """Return the polls as counted, but for their punctuality."""
        polls = Polls()
        early_and_hits = f"SUM(CASE WHEN {_EARLY} THEN 1 WHEN kind = 'ok' THEN {_PACK} ELSE 0 END)"
        query = (
            f"SELECT started_ns / {BIN_NS}, COUNT(*), SUM(kind = 'deferred'), {early_and_hits} "
            f"{_FLEET} AND poll_form IS NOT NULL GROUP BY 1"
        )
        for key, count, wasted, packed in self.rows(query):
            hits, early = divmod(packed, _PACK)
            polls.bins[key] = count
            polls.count += count
            polls.wasted += wasted
            polls.early += early
            polls.hits += hits
        polls.due = polls.count - polls.early
        return polls

    def told(self) -> ToldWaits:
        """Return the told waits: their forms, and the whole seconds in which a period is seen."""
        told = ToldWaits()
        forms = [*RetryAfterForm]
        number = " ".join(f"WHEN '{form.value}' THEN {2 * index}" for index, form in enumerate(forms))
        query = (
            f"SELECT (CASE form {number} END + (wait IS NULL)) * {_PACK} + "  # noqa: S608 - names of ours
            f"COALESCE(MIN({_WHOLE_SECONDS}, {_PACK - 1}), 0), COUNT(*) FROM (SELECT retry_after_form AS form, "
            f"retry_after_s AS wait {_FLEET} AND kind = 'deferred' AND retry_after_form IS NOT NULL) GROUP BY 1"
        )
        for key, count in self.rows(query):
            form, seconds = divmod(key, _PACK)
            index, without = divmod(form, 2)
            told.forms[forms[index].value] += count
            if not without:
                told.whole_seconds[seconds] += count
                told.histogram.record(seconds * 1000, count)
        return told

    def waits(self) -> tuple[Counter[int], Counter[int]]:
        """Return told and kept waits before polls, in tenths of a second."""
        told: Counter[int] = Counter()
        kept: Counter[int] = Counter()
        query = (
            f"SELECT MIN(CAST(poll_told_s * 10 AS INTEGER), {_PACK}) * {_PACK} + "
            f"(started_ns - poll_deferred_at_ns) / 100000000, COUNT(*) {_FLEET} AND poll_form IS NOT NULL GROUP BY 1"
        )
        for key, count in self.rows(query):
            told[key // _PACK] += count
            kept[key % _PACK] += count
        return told, kept

    def lags(self) -> dict[int, Histogram]:
        """Return the schedule lags by the second in which an exchange started."""
        by_second: dict[int, Histogram] = {}
        query = (
            f"SELECT second * {_PACK} + {_LAG}, COUNT(*) FROM (SELECT started_ns / {_NS} AS second, "  # noqa: S608 - names of ours
            f"MAX(0, started_ns - MAX(intended_ns, ready_ns)) AS lag {_FLEET}) GROUP BY 1"
        )
        for key, count in self.rows(query):
            second, tenths_of_ms = divmod(key, _PACK)
            by_second.setdefault(second, Histogram()).record(tenths_of_ms * 100, count)
        return by_second

    def lives(self) -> Lives:
        """Return the enrolments, for time to certificate and failures; without what `enrolled_within` needs."""
        lives = Lives()
        sums = ", ".join(f"SUM({part}_ns)" for part in PARTS)
        for end, age_ms, count, *parts in self.rows(
            f"SELECT end, (ended_ns - intended_ns) / 1000000, COUNT(*), {sums} "  # noqa: S608 - names of ours
            "FROM enrolments WHERE end IS NOT NULL GROUP BY 1, 2"
        ):
            _add(lives, EnrolmentEnd(end), age_ms, count)
            if end == EnrolmentEnd.ISSUED:
                lives.parts_ns.update(dict(zip(PARTS, parts, strict=True)))
        query = f"SELECT intended_ns / {BIN_NS}, COUNT(*) FROM enrolments WHERE end IS NULL GROUP BY 1"  # noqa: S608
        lives.open_bins.update(self.counter(query))
        lives.begun = lives.open + lives.ended.total()
        return lives

    def errors(self, limit: int) -> tuple[int, tuple[tuple[str, str, str, int], ...]]:
        """Return how many kinds of error there are, and the most frequent: class, phase, detail, count."""
        kinds, top = 0, []
        for kind, phase, detail, count, of in self.rows(
            f"SELECT kind, COALESCE(phase, ''), detail, COUNT(*), COUNT(*) OVER () {_FLEET} AND kind IN ({_FAILED}) "
            f"GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT {limit}"
        ):
            kinds = of
            top.append((kind, phase, detail, count))
        return kinds, tuple(top)


def _handshake(kind: Row) -> str:
    version, group, resumed = kind
    return f"{version or 'version unknown'}, {group or 'group unknown'}{', resumed' if resumed else ''}"


def _add(lives: Lives, end: EnrolmentEnd, age_ms: int, count: int) -> None:
    lives.ended[end] += count
    if end is EnrolmentEnd.ISSUED:
        lives.time_to_certificate.record(age_ms, count)
    elif end in CUT_BY_US:
        lives.cut_ages.record(age_ms, count)
    else:
        assert end in FAILURES  # noqa: S101 - there are no others


@contextmanager
def asked(path: Path) -> Iterator[RunQueries]:
    """Open a run to be asked, as it is at this moment. Raises UsageError where there is none, StoreError if damaged."""
    with open_run(path) as run:
        try:
            list(run.select("BEGIN"))  # all answers are of one moment, also of a run that is under way
            yield RunQueries(run)
        except (ValueError, zlib.error) as error:  # words and histograms that no estsim of this version has written
            raise StoreError(f"{run.path}: holds what cannot be read: {error}") from error
