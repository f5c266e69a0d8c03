"""The enrolments of a stored run, counted in SQL into the lives that a live run would have had.

Ages are taken to the bucket of the histogram that they end in anyway, except where a limit D is asked about.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.measure.book import Stretch
from estsim.measure.histograms import LONG
from estsim.measure.lives import CUT_BY_US, FAILURES, PARTS, Lives
from estsim.measure.report_queries import BINS, BUCKETS, RunQueries, apart, bucket, number_of, phase_number
from estsim.measure.waits import BIN_NS

_MS_NS: Final = 1_000_000
_ENDS: Final = ("", *EnrolmentEnd)  # none of an open one
_GOALS: Final = (*Goal,)
_LIMITS: Final = 1 << 8  # more than a run has limits D
_FAILED: Final = ", ".join(f"'{end.value}'" for end in FAILURES)
_CUT: Final = ", ".join(f"'{end.value}'" for end in CUT_BY_US)
_SETTLED: Final = f"goal = 'enroll' AND (end = 'issued' OR expected AND end IN ({_FAILED}))"
_FIRST: Final = (  # asked for few devices: most have it at their first attempt
    f"({_SETTLED} AND (number = 1 OR NOT EXISTS (SELECT 1 FROM enrolments AS earlier WHERE "  # noqa: S608 - names of ours
    "earlier.cohort = enrolments.cohort AND earlier.device = enrolments.device AND "
    "earlier.number < enrolments.number AND earlier.goal = 'enroll' AND (earlier.end = 'issued' OR "
    f"earlier.expected AND earlier.end IN ({_FAILED})))))"
)

LivesOf = Callable[[str, str | None], Lives]


@dataclass(frozen=True, slots=True)
class SpentTime:
    """Where the time of some enrolments went that took about as long: sums in nanoseconds, in the order of PARTS."""

    bucket: int
    count: int
    took_ns: int
    parts_ns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    """Enrolments that are counted together; the number in the store is their cohort, phase, goal, end and flags."""

    cohort: str
    phase: str | None
    goal: Goal
    end: EnrolmentEnd | None
    expected: bool
    first: bool  # the device's first certificate, or the first refusal of one that was part of the plan


@dataclass(slots=True)
class EnrolmentReader:
    """Reads the enrolments of a run."""

    store: RunQueries
    cohorts: Sequence[str]
    phases: Sequence[Stretch]
    spent: dict[Goal, list[SpentTime]] = field(default_factory=dict)  # by goal, of those outside a warm-up

    def fill(self, lives_of: LivesOf, within_ms: Iterable[int], warmup: str) -> None:
        """Count all enrolments."""
        self._count(lives_of, sorted(within_ms))
        self._add_spent_time(lives_of, warmup)

    def _group_in_sql(self) -> str:
        cohort = number_of("cohort", self.cohorts)
        end = number_of("COALESCE(end, '')", _ENDS)
        return (
            f"(((({cohort}) * {len(self.phases) + 1} + {phase_number(self.phases)}) * {len(_GOALS)} + "
            f"{number_of('goal', _GOALS)}) * {len(_ENDS)} + {end}) * 4 + expected * 2 + COALESCE({_FIRST}, 0)"
        )

    def _group(self, number: int) -> _Group:
        number, flags = divmod(number, 4)
        number, end = divmod(number, len(_ENDS))
        number, goal = divmod(number, len(_GOALS))
        cohort, phase = divmod(number, len(self.phases) + 1)
        name = self.phases[phase - 1].name if phase else None
        ending = EnrolmentEnd(_ENDS[end]) if end else None
        return _Group(self.cohorts[cohort], name, _GOALS[goal], ending, bool(flags & 2), bool(flags & 1))

    def _count(self, lives_of: LivesOf, limits_ms: Sequence[int]) -> None:
        """Count beginnings and ends by bins of 100 ms, with the first limit D that each was within."""
        inner = apart(
            f"SELECT {self._group_in_sql()} AS grouped, intended_ns / {BIN_NS} AS bin, end IS 'issued' AS issued, "  # noqa: S608 - names of ours
            f"COALESCE(end IN ({_CUT}), 0) AS cut, ended_ns - intended_ns AS took, ended_ns / {_MS_NS} AS ended_ms "
            "FROM enrolments"
        )
        within = f"CASE WHEN issued THEN {_limit('<=', limits_ms)} WHEN cut THEN {_limit('<', limits_ms)} ELSE 0 END"
        query = (
            f"SELECT (grouped * {BINS} + bin) * {_LIMITS} + {within}, "  # noqa: S608 - names of ours
            f"CASE WHEN cut THEN grouped * {BUCKETS} + {bucket(f'MAX(0, took / {_MS_NS})')} END, "
            f"CASE WHEN issued AND grouped % 2 THEN grouped * {BUCKETS} + {bucket('ended_ms')} END FROM {inner}"
        )
        bins: Counter[int] = Counter()
        ages: Counter[int | None] = Counter()
        firsts: Counter[int | None] = Counter()
        for columns in self.store.columns(query):
            bins.update(columns[0])
            ages.update(columns[1])
            firsts.update(columns[2])
        earliest: dict[tuple[str, str | None], int] = {}
        for packed, count in bins.items():
            place, limit = divmod(packed, _LIMITS)
            number, key = divmod(place, BINS)
            group = self._group(number)
            _add(lives_of(group.cohort, group.phase), group, key, count, limits_ms[limit:])
            if group.goal is Goal.ENROLL:
                place_of = (group.cohort, group.phase)
                earliest[place_of] = min(key, earliest.get(place_of, key))
        for group, index, count in self._by_group(ages):
            lives_of(group.cohort, group.phase).cut_ages.record(LONG.highest_in(index), count)
        for group, index, count in self._by_group(firsts):
            lives_of(group.cohort, group.phase).first.ended_ms.record(LONG.highest_in(index), count)
        self._add_boots(lives_of, frozenset(earliest.values()))

    def _by_group(self, pairs: Mapping[int | None, int]) -> Iterator[tuple[_Group, int, int]]:
        for packed, count in pairs.items():
            if packed is not None:
                number, index = divmod(packed, BUCKETS)
                yield self._group(number), index, count

    def _add_spent_time(self, lives_of: LivesOf, warmup: str) -> None:
        """Count the times to a certificate, and what they were spent on."""
        sums = ", ".join(f"SUM({part}_ns)" for part in PARTS)
        inner = apart(
            f"SELECT {self._group_in_sql()} AS grouped, ended_ns - intended_ns AS took, "  # noqa: S608 - names of ours
            f"MAX(0, (ended_ns - intended_ns) / {_MS_NS}) AS took_ms, {', '.join(f'{part}_ns' for part in PARTS)} "
            "FROM enrolments WHERE end = 'issued'"
        )
        query = (
            f"SELECT grouped * {BUCKETS} + {bucket('took_ms')}, COUNT(*), SUM(took), SUM(took_ms), "  # noqa: S608 - names of ours
            f"TOTAL(1.0 * took_ms * took_ms), {sums} FROM {inner} GROUP BY 1 ORDER BY 1"
        )
        for packed, count, took_ns, took_ms, squares, *parts_ns in self.store.rows(query):
            number, index = divmod(packed, BUCKETS)
            group = self._group(number)
            lives = lives_of(group.cohort, group.phase)
            lives.time_to_certificate.record(LONG.highest_in(index), count)
            lives.parts_ns.update(dict(zip(PARTS, parts_ns, strict=True)))
            if group.first:
                lives.first.total += took_ms
                lives.first.squares += round(squares)
            if group.phase != warmup:
                self.spent.setdefault(group.goal, []).append(SpentTime(index, count, took_ns, tuple(parts_ns)))

    def _add_boots(self, lives_of: LivesOf, bins: frozenset[int]) -> None:
        """Note when the first device of each was meant to boot, looked for in the bins where it is known to be."""
        if not bins:
            return
        query = (
            f"SELECT cohort, {phase_number(self.phases)}, MIN(intended_ns) FROM enrolments WHERE goal = 'enroll' "  # noqa: S608 - names of ours
            f"AND intended_ns / {BIN_NS} IN ({', '.join(map(str, sorted(bins)))}) GROUP BY 1, 2"
        )
        for cohort, phase, at_ns in self.store.rows(query):
            name = self.phases[phase - 1].name if phase else None
            lives_of(cohort, name).first.booted(at_ns)


def _limit(comparison: str, limits_ms: Sequence[int]) -> str:
    """Return SQL for the number of the first limit that was kept."""
    cases = [f"WHEN took {comparison} {limit * _MS_NS} THEN {number}" for number, limit in enumerate(limits_ms)]
    return f"CASE {' '.join(cases)} ELSE {len(limits_ms)} END" if cases else "0"


def _add(lives: Lives, group: _Group, key: int, count: int, within_ms: Sequence[int]) -> None:
    """Count enrolments that were meant to begin in a bin, and were over within some limits."""
    lives.begun += count
    lives.begun_bins[key] += count
    if group.end is None:
        lives.open_bins[key] += count
        if group.goal is Goal.ENROLL:
            lives.open_first_bins[key] += count
        return
    lives.ended[group.end] += count
    if group.expected and group.end in FAILURES:
        lives.expected += count
        lives.expected_devices += count if group.first else 0
    for limit_ms in within_ms:
        if group.end is EnrolmentEnd.ISSUED:
            lives.within[limit_ms].had[key] += count
        elif group.end in CUT_BY_US:
            lives.within[limit_ms].spared[key] += count


def tenths(spent: Sequence[SpentTime], groups: int) -> Iterator[tuple[int, float, tuple[float, ...]]]:
    """Yield size, mean time and mean parts in seconds, for so many groups of equal size, quick ones first.

    Those of one bucket, which took as long to three digits, are shared out at their mean.
    """
    total = sum(each.count for each in spent)
    rising = iter(sorted(spent, key=lambda each: each.bucket))
    current, left = next(rising), 0
    left = current.count
    for number in range(groups):
        size = wanted = total // groups + (number < total % groups)
        took, parts = 0.0, [0.0] * len(PARTS)
        while wanted:
            taken = min(wanted, left)
            took += current.took_ns * taken / current.count
            parts = [held + of * taken / current.count for held, of in zip(parts, current.parts_ns, strict=True)]
            wanted, left = wanted - taken, left - taken
            if not left:
                current = next(rising, current)
                left = current.count
        yield size, took / size / 1e9, tuple(part / size / 1e9 for part in parts)
