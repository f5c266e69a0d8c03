"""The enrolments of a stored run, counted in SQL into the lives that a live run would have had.

Ages are taken to the bucket of the histogram that they end in anyway, except where a limit D is asked about.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from oracle_queries import BINS, BUCKETS, RunQueries, apart, bucket, number_of, phase_number

from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.record.ages import Within
from estsim.record.book import ends_of
from estsim.record.enrolment_tally import CUT_BY_US, FAILURES, PARTS, EnrolmentTally
from estsim.record.histograms import LONG, Histogram
from estsim.record.phases import Stretch
from estsim.record.slice_counts import SLICE_S, SpentTime
from estsim.record.waits import BIN_NS

_MS_NS: Final = 1_000_000
_ENDS: Final = ("", *EnrolmentEnd)  # none of an open one
_GOALS: Final = (*Goal,)
_LIMITS: Final = 1 << 8  # more than a run has limits D
_FAILED: Final = ", ".join(f"'{end.value}'" for end in FAILURES)
_CUT: Final = ", ".join(f"'{end.value}'" for end in CUT_BY_US)
_SETTLED: Final = f"goal = 'enroll' AND (end = 'issued' OR expected AND end IN ({_FAILED}))"
FIRST: Final = (  # asked for few devices: most have it at their first attempt
    f"({_SETTLED} AND (number = 1 OR NOT EXISTS (SELECT 1 FROM enrolments AS earlier WHERE "  # noqa: S608 - names of ours
    "earlier.cohort = enrolments.cohort AND earlier.device = enrolments.device AND "
    "earlier.number < enrolments.number AND earlier.goal = 'enroll' AND (earlier.end = 'issued' OR "
    f"earlier.expected AND earlier.end IN ({_FAILED})))))"
)

LivesOf = Callable[[str, str | None], EnrolmentTally]


@dataclass(frozen=True, slots=True)
class _Group:
    """Enrolments that are counted together; the number in the store is their cohort, phase, goal, end and flags."""

    cohort: str
    phase: str | None
    goal: Goal
    end: EnrolmentEnd | None
    to_be_refused: bool
    expected: bool
    first: bool  # the device's first certificate, or the first refusal of one that was part of the plan


@dataclass(slots=True)
class EnrolmentReader:
    """Reads the enrolments of a run."""

    store: RunQueries
    cohorts: Sequence[str]
    phases: Sequence[Stretch]
    spent: dict[Goal, list[SpentTime]] = field(default_factory=dict)  # by goal, of those outside a warm-up

    def fill(self, enrolment_tallies_of: LivesOf, within_ms: Iterable[int], warmup: str) -> None:
        """Count all enrolments."""
        self._count(enrolment_tallies_of, sorted(within_ms))
        self._add_spent_time(enrolment_tallies_of, warmup)

    def ends(self, warmup: str) -> Iterator[tuple[str, int, Histogram]]:
        """Yield cohort, slice and the ends of its enrolments, as the book of tallies counts them in blocks."""
        found: dict[tuple[str, int], list[int]] = {}
        query = (
            f"SELECT cohort, ended_ns / {round(SLICE_S * 1e9)}, {phase_number(self.phases)}, end != 'issued', COUNT(*) "  # noqa: S608 - names of ours
            f"FROM enrolments WHERE end = 'issued' OR end IN ({_FAILED}) AND NOT expected GROUP BY 1, 2, 3, 4"
        )
        for cohort, number, phase, failed, count in self.store.rows(query):
            if not phase or self.phases[phase - 1].name != warmup:
                found.setdefault((cohort, number), [0, 0])[failed] += count
        for (cohort, number), (issued, failed) in sorted(found.items()):
            yield cohort, number, ends_of(issued + failed, failed)

    def _group_in_sql(self) -> str:
        cohort = number_of("cohort", self.cohorts)
        end = number_of("COALESCE(end, '')", _ENDS)
        return (
            f"(((({cohort}) * {len(self.phases) + 1} + {phase_number(self.phases)}) * {len(_GOALS)} + "
            f"{number_of('goal', _GOALS)}) * {len(_ENDS)} + {end}) * 8 + to_be_refused * 4 + expected * 2 + "
            f"COALESCE({FIRST}, 0)"
        )

    def _group(self, number: int) -> _Group:
        number, flags = divmod(number, 8)
        number, end = divmod(number, len(_ENDS))
        number, goal = divmod(number, len(_GOALS))
        cohort, phase = divmod(number, len(self.phases) + 1)
        name = self.phases[phase - 1].name if phase else None
        ending = EnrolmentEnd(_ENDS[end]) if end else None
        to_be_refused, expected, first = (bool(flags & bit) for bit in (4, 2, 1))
        return _Group(self.cohorts[cohort], name, _GOALS[goal], ending, to_be_refused, expected, first)

    def _count(self, enrolment_tallies_of: LivesOf, limits_ms: Sequence[int]) -> None:
        """Count beginnings and ends by bins of 100 ms, with the first limit D that each was within."""
        inner = apart(
            f"SELECT {self._group_in_sql()} AS grouped, intended_ns / {BIN_NS} AS bin, end IS 'issued' AS issued, "  # noqa: S608 - names of ours
            f"COALESCE(end IN ({_CUT}) AND NOT to_be_refused, 0) AS cut, "
            f"COALESCE(end IN ({_FAILED}) AND NOT expected, 0) AS failed, "
            f"ended_ns - intended_ns AS took, ended_ns / {_MS_NS} AS ended_ms "
            "FROM enrolments"
        )
        reached, before = _limit("<=", limits_ms), _limit("<", limits_ms)
        within = f"CASE WHEN issued OR failed THEN {reached} WHEN cut THEN {before} ELSE 0 END"
        query = (
            f"SELECT (grouped * {BINS} + bin) * {_LIMITS} + {within}, "  # noqa: S608 - names of ours
            f"CASE WHEN cut OR failed THEN grouped * {BUCKETS} + {bucket(f'MAX(0, took / {_MS_NS})')} END, "
            f"CASE WHEN issued AND grouped % 2 THEN grouped * {BUCKETS} + {bucket('ended_ms')} END FROM {inner}"
        )
        bins: Counter[int] = Counter()
        ages: Counter[int | None] = Counter()
        first_certificates: Counter[int | None] = Counter()
        for columns in self.store.columns(query):
            bins.update(columns[0])
            ages.update(columns[1])
            first_certificates.update(columns[2])
        earliest: dict[tuple[str, str | None], int] = {}
        for packed, count in bins.items():
            place, limit = divmod(packed, _LIMITS)
            number, key = divmod(place, BINS)
            group = self._group(number)
            _add(enrolment_tallies_of(group.cohort, group.phase), group, key, count, limits_ms[limit:])
            if group.goal is Goal.ENROLL:
                place_of = (group.cohort, group.phase)
                earliest[place_of] = min(key, earliest.get(place_of, key))
        for group, index, count in self._by_group(ages):
            of_goal = enrolment_tallies_of(group.cohort, group.phase).ages[group.goal]
            (of_goal.cut if group.end in CUT_BY_US else of_goal.failed).record(LONG.highest_in(index), count)
        for group, index, count in self._by_group(first_certificates):
            enrolment_tallies_of(group.cohort, group.phase).first.ended_ms.record(LONG.highest_in(index), count)
        self._add_boots(enrolment_tallies_of, frozenset(earliest.values()))

    def _by_group(self, pairs: Mapping[int | None, int]) -> Iterator[tuple[_Group, int, int]]:
        for packed, count in pairs.items():
            if packed is not None:
                number, index = divmod(packed, BUCKETS)
                yield self._group(number), index, count

    def _add_spent_time(self, enrolment_tallies_of: LivesOf, warmup: str) -> None:
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
            enrolment_tally = enrolment_tallies_of(group.cohort, group.phase)
            enrolment_tally.ages[group.goal].issued.record(LONG.highest_in(index), count)
            enrolment_tally.parts_ns.update(dict(zip(PARTS, parts_ns, strict=True)))
            if group.first:
                enrolment_tally.first.total += took_ms
                enrolment_tally.first.squares += round(squares)
            if group.phase != warmup:
                self.spent.setdefault(group.goal, []).append(SpentTime(index, count, took_ns, tuple(parts_ns)))

    def _add_boots(self, enrolment_tallies_of: LivesOf, bins: frozenset[int]) -> None:
        """Note when the first device of each was meant to boot, looked for in the bins where it is known to be."""
        if not bins:
            return
        query = (
            f"SELECT cohort, {phase_number(self.phases)}, MIN(intended_ns) FROM enrolments WHERE goal = 'enroll' "  # noqa: S608 - names of ours
            f"AND intended_ns / {BIN_NS} IN ({', '.join(map(str, sorted(bins)))}) GROUP BY 1, 2"
        )
        for cohort, phase, at_ns in self.store.rows(query):
            name = self.phases[phase - 1].name if phase else None
            enrolment_tallies_of(cohort, name).first.booted(at_ns)


def _limit(comparison: str, limits_ms: Sequence[int]) -> str:
    """Return SQL for the number of the first limit that was kept."""
    cases = [f"WHEN took {comparison} {limit * _MS_NS} THEN {number}" for number, limit in enumerate(limits_ms)]
    return f"CASE {' '.join(cases)} ELSE {len(limits_ms)} END" if cases else "0"


def _add(enrolment_tally: EnrolmentTally, group: _Group, key: int, count: int, within_ms: Sequence[int]) -> None:
    """Count enrolments that were meant to begin in a bin, and were over within some limits."""
    enrolment_tally.begun += count
    ages = enrolment_tally.ages[group.goal]
    if group.end is not None:
        enrolment_tally.ended[group.end] += count
    if group.to_be_refused and (group.end is None or group.end in CUT_BY_US):
        enrolment_tally.unrefused += count
        return
    if group.end is None:
        ages.open_bins[key] += count
        return
    if group.expected and group.end in FAILURES:
        enrolment_tally.expected += count
        enrolment_tally.expected_devices += count if group.first else 0
        return
    kind = "issued" if group.end is EnrolmentEnd.ISSUED else "cut" if group.end in CUT_BY_US else "failed"
    for limit_ms in within_ms:
        ages.within[limit_ms].add(Within(**{kind: count}))
