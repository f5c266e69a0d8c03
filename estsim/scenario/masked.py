"""Passwords that a run has masked in the scenario that it leaves: nobody is to send three asterisks to a server.

A password that came from a variable is kept as this variable; only one that was written in the file is masked.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from estsim.scenario.document import Location
from estsim.scenario.resolved import MASKED
from estsim.scenario.variables import FilledIn

VARIABLE: Final = "EST_PASSWORD"
_WHY: Final = f"is the mask {MASKED}, not a password"


def masked_findings(value: object, place: Location = ()) -> Iterator[tuple[Location, str]]:
    """Yield every password in plain data that is masked, at its place."""
    for at, _ in _masked(value, place):
        yield at, f"{_WHY}: write the password"


def fill_masked(value: object, environment: Mapping[str, str], place: Location = ()) -> Iterator[tuple[Location, str]]:
    """Fill in masked passwords from variables, and yield those for which none is set, at their places.

    ``EST_PASSWORD_USER`` is the password of one user, ``EST_PASSWORD`` of all others.
    """
    for at, holder in _masked(value, place):
        own = _variable_of(at, holder)
        variable = next((name for name in (own, VARIABLE) if environment.get(name, MASKED) not in ("", MASKED)), None)
        if variable:
            holder["password"] = FilledIn.by(variable, environment[variable])
        else:
            wanted = VARIABLE if own == VARIABLE else f"{VARIABLE} (or {own})"
            yield at, f"{_WHY}: set the variable {wanted}, or write the password"


def _variable_of(at: Location, holder: Mapping[str, object]) -> str:
    """Return the variable for the password of one user, who is beside it (a cohort) or above it (a sandbox)."""
    user = holder.get("user") or (at[-2] if at[-3:-2] == ("users",) else "")
    name = re.sub("[^A-Z0-9]+", "_", str(user).upper()).strip("_")
    return f"{VARIABLE}_{name}" if name else VARIABLE


def _masked(value: object, place: Location) -> Iterator[tuple[Location, dict[str, object]]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, member in list(members):
        if step == "password" and member == MASKED and isinstance(value, dict):
            yield (*place, step), value
        else:
            yield from _masked(member, (*place, step))
