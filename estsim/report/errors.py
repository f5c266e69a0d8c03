"""The bugs of ours that a stored run met, as summary.json has them."""

from estsim.figures.summary_errors import InternalErrorsSummary, internal_errors_of
from estsim.record.internal_errors import MAX_KINDS
from estsim.record.run_reader import RunReader


def errors_met(run: RunReader) -> InternalErrorsSummary:
    """Return the bugs of ours that the run met, as summary.json has them; a device counts for the first that it met."""
    run.require("internal_errors")
    numbered = (
        "SELECT rowid AS at, error, place, device IS NOT NULL AND "
        "ROW_NUMBER() OVER (PARTITION BY device ORDER BY rowid) = 1 AS stops FROM internal_errors"
    )
    query = (
        f"SELECT error, place, COUNT(*), SUM(stops), SUM(COUNT(*)) OVER (), SUM(SUM(stops)) OVER () FROM ({numbered}) "  # noqa: S608 - names of ours
        f"GROUP BY error, place ORDER BY MIN(at) LIMIT {MAX_KINDS}"
    )
    rows = [*run.select(query)]
    count, devices = rows[0][4:] if rows else (0, 0)
    return internal_errors_of([row[:4] for row in rows], count=count, devices=devices)
