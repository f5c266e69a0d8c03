"""How much a scenario may hold: bounds that are held before anything is made of it.

Checks compare parts with each other (events with cohorts, thresholds with phases), and texts are taken apart character
by character. With these bounds, which no scenario written for a purpose comes near, each is done in an instant.
"""

from collections.abc import Iterator
from typing import Final

from estsim.scenario.document import Location

MOST_ENTRIES: Final = 1000  # of one mapping or list
MOST_CHARACTERS: Final = 4096  # of one text; the longest that is ever sent is a name of a certificate, with some 100
_ENTRIES: Final = {"sans": 100}
_CHARACTERS: Final = {"description": 65_536}
Finding = tuple[Location, str]


def size_findings(value: object, place: Location = ()) -> Iterator[Finding]:
    """Yield what is too large in plain data, each at its place."""
    key = place[-1] if place and isinstance(place[-1], str) else ""
    if isinstance(value, str):
        most = _CHARACTERS.get(key, MOST_CHARACTERS)
        if len(value) > most:
            yield place, f"must have at most {most} characters (got {len(value)})"
        return
    if not isinstance(value, dict | list):
        return
    most = _ENTRIES.get(key, MOST_ENTRIES)
    if len(value) > most:
        yield place, f"must have at most {most} entries (got {len(value)})"
        return
    for step, member in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(step, str) and len(step) > MOST_CHARACTERS:
            yield place, f"has a key of more than {MOST_CHARACTERS} characters (got {len(step)})"
        else:
            yield from size_findings(member, (*place, step))
