"""A value that a comma has ended within braces: ``{devices: 1,000}`` has a key ``000``, which was to be a number."""

from collections.abc import Mapping
from itertools import takewhile
from typing import Final

from estsim.units import shown

_MOST_PARTS: Final = 10  # what has more commas is no value that was cut
_THOUSANDS: Final = 3  # digits behind a comma


def cut_by_comma(key: str, mapping: Mapping[str, object]) -> str | None:
    """Return what to write where a key without a value is the rest of the value before it; None where it is none."""
    keys = list(mapping)
    if key not in mapping or mapping[key] is not None:
        return None
    at = keys.index(key)
    rest = [*[*takewhile(lambda each: mapping[each] is None, reversed(keys[:at]))][::-1], key]
    owner = keys[at - len(rest)] if at >= len(rest) else None
    if owner is None:
        return None
    rest += takewhile(lambda each: mapping[each] is None, keys[at + 1 :])
    if len(rest) > _MOST_PARTS:
        return None
    value = mapping[owner]
    if isinstance(value, int) and all(each.isdecimal() and len(each) == _THOUSANDS for each in rest):
        return f"a comma ends the value: write {owner}: {value}{''.join(rest)}"
    if owner == "password":
        return "a comma ends the value: put the password in quotes"
    if isinstance(value, str) and "=" in value and all("=" in each for each in rest):
        return f'a comma ends the value: write {owner}: "{shown(",".join([value, *rest]))}"'
    return None
