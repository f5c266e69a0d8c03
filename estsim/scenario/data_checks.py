"""Checks of plain data before any model reads it: size limits, and typographic quotes.

Later checks compare parts with each other (events with cohorts, thresholds with phases) and parse texts character by
character. Within these limits, far above any real scenario, all of that is fast.

Typographic quotes come from word processors and web pages; to YAML they are part of a value or a key.
"""

from collections.abc import Iterator
from typing import Final

from estsim.fields import SECRET_KEYS
from estsim.scenario.document import Finding, Location
from estsim.units import shown

MOST_ENTRIES: Final = 1000  # of one mapping or list
MOST_CHARACTERS: Final = 4096  # of one text; the longest that is sent is a name in a certificate
_ENTRIES: Final = {"sans": 100}
_CHARACTERS: Final = {"description": 65_536}
_QUOTES: Final = frozenset(
    "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{DOUBLE LOW-9 QUOTATION MARK}"
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{SINGLE LOW-9 QUOTATION MARK}"
    "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
)
_FREE: Final = frozenset({"description", "mark", "password"})  # any text may be meant
_ENOUGH: Final = 2


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


def typographic(value: object, place: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield values and keys in typographic quotes, each at its place, with what to write."""
    if isinstance(value, str):
        if (inner := _within(value)) is not None and place[-1:] and place[-1] not in _FREE:
            yield place, _message(value, f'"{"…" if SECRET_KEYS.intersection(place) else shown(inner)}"')
    elif isinstance(value, dict):
        for key, member in value.items():
            at = (*place, key)
            inner = _within(key) if isinstance(key, str) else None
            if inner is not None:
                yield at, _message(key, shown(inner))
            else:
                yield from typographic(member, at)
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from typographic(member, (*place, number))


def _within(text: str) -> str | None:
    is_quoted = len(text) >= _ENOUGH and text[0] in _QUOTES and text[-1] in _QUOTES
    return text[1:-1] if is_quoted else None


def _message(text: str, write: str) -> str:
    return f"typographic quotes {text[0]}{text[-1]} are part of the text: write {write}"
