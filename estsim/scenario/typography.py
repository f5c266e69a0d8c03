"""Typographic quotes, which a word processor or a web page puts in: to YAML they are letters of a value or a key."""

from collections.abc import Iterator
from typing import Final

from estsim.scenario.document import Location
from estsim.units import shown

_QUOTES: Final = frozenset(
    "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{DOUBLE LOW-9 QUOTATION MARK}"
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{SINGLE LOW-9 QUOTATION MARK}"
    "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"
)
_FREE: Final = frozenset({"description", "mark", "password"})  # any text may be meant
_SECRET: Final = frozenset({"users", "http_auth"})  # what stands in their place may be a password
_ENOUGH: Final = 2


def typographic(value: object, place: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield the values and keys within typographic quotes, each at its place, with what to write."""
    if isinstance(value, str):
        if (inner := _within(value)) is not None and place[-1:] and place[-1] not in _FREE:
            yield place, _told(value, f'"{"…" if _SECRET.intersection(place) else shown(inner)}"')
    elif isinstance(value, dict):
        for key, member in value.items():
            at = (*place, key)
            inner = _within(key) if isinstance(key, str) else None
            if inner is not None:
                yield at, _told(key, shown(inner))
            else:
                yield from typographic(member, at)
    elif isinstance(value, list):
        for number, member in enumerate(value):
            yield from typographic(member, (*place, number))


def _within(text: str) -> str | None:
    is_quoted = len(text) >= _ENOUGH and text[0] in _QUOTES and text[-1] in _QUOTES
    return text[1:-1] if is_quoted else None


def _told(text: str, write: str) -> str:
    return f"typographic quotes {text[0]}{text[-1]} are part of the text: write {write}"
