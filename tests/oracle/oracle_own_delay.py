"""The generator's own delay in a stored run, counted as a live run counts it; asked for where a threshold fails.

Only rows that have such a delay are read, one by one: a run in which that is most of them is saturated, and rare.
"""

from collections.abc import Callable
from typing import Final

from oracle_enrolments import FIRST
from oracle_queries import FLEET, RunQueries

from estsim.record.own_delay import LEAST_NS
from estsim.record.phases import Stretch, phase_at
from estsim.record.rows import ENROLMENT_COLUMNS, EXCHANGE_COLUMNS, enrolment_of, sample_of
from estsim.record.tally import Tally

_OF_EXCHANGE: Final = "MAX(0, started_ns - MAX(intended_ns, ready_ns)) + loop_delay_ns"
_OF_ENROLMENT: Final = "MAX(0, generator_ns) + loop_delay_ns"


def read_own_delays(
    store: RunQueries, phases: tuple[Stretch, ...], tally_of: Callable[[str, str | None], Tally]
) -> None:
    """Add it to the tallies by cohort and phase."""
    columns = ", ".join(EXCHANGE_COLUMNS)
    for row in store.rows(f"SELECT {columns} {FLEET} AND {_OF_EXCHANGE} >= {LEAST_NS}"):
        sample = sample_of(row)
        tally_of(sample.cohort, phase_at(phases, sample.stamps.intended_ns)).own.exchange(sample)
    searched = ", ".join(ENROLMENT_COLUMNS)
    late = f"end IS NOT NULL AND (spoilt OR {_OF_ENROLMENT} >= {LEAST_NS})"
    for first, *rest in store.rows(f"SELECT COALESCE({FIRST}, 0), {searched} FROM enrolments WHERE {late}"):  # noqa: S608
        enrolment = enrolment_of(tuple(rest))
        tally = tally_of(enrolment.cohort, phase_at(phases, enrolment.intended_ns))
        tally.own.enrolment(enrolment, tally.enrolment_tally.limits_ms, first=bool(first))
