"""Keys of a cohort that are indented too little: they look like cohorts beside it.

``boot`` under ``cohorts`` is told as a key of the cohort above it, and read as one, so that nothing else is told of it.
"""

from collections.abc import Iterator
from typing import Any, Final

from estsim.scenario.document import Location
from estsim.units import shown

_SURE: Final = "devices"  # what has these is a cohort, whatever its name


def reindented(data: dict[str, Any], keys: frozenset[str]) -> Iterator[tuple[Location, str]]:
    """Move the ``keys`` of cohorts that stand among the cohorts into the cohort above, and yield what was wrong."""
    cohorts, defaults = data.get("cohorts"), data.get("defaults")
    if not isinstance(cohorts, dict) or (isinstance(defaults, dict) and _SURE in defaults):
        return
    above: str | None = None
    for name in list(cohorts):
        value = cohorts[name]
        if name not in keys or (isinstance(value, dict) and _SURE in value):
            above = name
        elif above is not None and isinstance(cohorts[above], dict | None):
            cohorts[above] = {name: value, **(cohorts[above] or {})}
            del cohorts[name]
            yield ("cohorts", name), f"{name} is a cohort's key: indent it under {shown(above)}"
