"""The failures of a stored run by kind, the most frequent ones first.

Those of a warm-up are not among them, nor those that were part of the plan.
"""

from collections.abc import Sequence

from oracle_queries import FAILED, FLEET, RunQueries, is_warmup

from estsim.record.error_kinds import MAX_LISTED, ErrorKind, ErrorKinds
from estsim.record.phases import Stretch


def errors_of(store: RunQueries, phases: Sequence[Stretch]) -> ErrorKinds:
    """Return the most frequent kinds of error, with how often each cohort met them."""
    query = (
        "WITH errors AS (SELECT operation, kind, COALESCE(phase, '') AS phase, "  # noqa: S608 - names of ours
        "without_ids(detail) AS detail, cohort, COUNT(*) AS n "
        f"{FLEET} AND kind IN ({FAILED}) AND NOT expected AND NOT {is_warmup(phases)} GROUP BY 1, 2, 3, 4, 5), "
        "ranked AS (SELECT operation, kind, phase, detail, SUM(n) AS total, COUNT(*) OVER () AS kinds, "
        "SUM(SUM(n)) OVER () AS failed FROM errors "
        f"GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC, 1, 2, 3, 4 LIMIT {MAX_LISTED}) "
        "SELECT operation, kind, phase, detail, total, cohort, n, kinds, failed "
        "FROM ranked JOIN errors USING (operation, kind, phase, detail) "
        "ORDER BY total DESC, operation, kind, phase, detail, cohort"
    )
    kinds, failed = 0, 0
    found: dict[tuple[str, str, str, str, int], dict[str, int]] = {}
    for operation, kind, phase, detail, total, cohort, count, of, failed_in_all in store.rows(query):
        kinds, failed = of, failed_in_all
        found.setdefault((operation, kind, phase, detail, total), {})[cohort] = count
    return ErrorKinds(tuple(ErrorKind(*key, cohorts) for key, cohorts in found.items()), kinds, failed)
