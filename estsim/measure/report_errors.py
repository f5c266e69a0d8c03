"""The failures of a stored run by kind, the most frequent ones first.

Those of a warm-up are not among them, nor those that were part of the plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from estsim.measure.book import Stretch
from estsim.measure.report_queries import FAILED, FLEET, RunQueries, is_warmup

MAX_ERRORS: Final = 20


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """A kind of failure, and how often it was met, in all and by each cohort."""

    kind: str
    phase: str
    detail: str
    count: int
    cohorts: Mapping[str, int] = field(default_factory=dict)


def errors_of(store: RunQueries, phases: Sequence[Stretch]) -> tuple[int, tuple[ErrorKind, ...]]:
    """Return how many kinds of error there are, and the most frequent of them, MAX_ERRORS at most."""
    query = (
        f"WITH errors AS (SELECT kind, COALESCE(phase, '') AS phase, detail, cohort, COUNT(*) AS n {FLEET} "  # noqa: S608 - names of ours
        f"AND kind IN ({FAILED}) AND NOT expected AND NOT {is_warmup(phases)} "
        "GROUP BY 1, 2, 3, 4), "
        "ranked AS (SELECT kind, phase, detail, SUM(n) AS total, COUNT(*) OVER () AS kinds FROM errors "
        f"GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT {MAX_ERRORS}) "
        "SELECT kind, phase, detail, cohort, n, total, kinds FROM ranked JOIN errors USING (kind, phase, detail) "
        "ORDER BY total DESC, kind, phase, detail, cohort"
    )
    kinds = 0
    found: dict[tuple[str, str, str, int], dict[str, int]] = {}
    for kind, phase, detail, cohort, count, total, of in store.rows(query):
        kinds = of
        found.setdefault((kind, phase, detail, total), {})[cohort] = count
    top = (ErrorKind(kind, phase, detail, total, cohorts) for (kind, phase, detail, total), cohorts in found.items())
    return kinds, tuple(top)
