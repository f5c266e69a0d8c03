"""Advice on sections: what was meant instead of a mapping, and where an unknown key belongs.

Includes keys of other tools (curl, k6, Locust, JMeter, HTTP clients), and values that a comma ended within braces:
``{devices: 1,000}`` has a key ``000``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from pydantic import BaseModel, ValidationError

from estsim.errors import UnitError
from estsim.fields import Section
from estsim.nearness import likeness, nearest
from estsim.scenario.document import Location, dotted
from estsim.scenario.model_walk import NAME, homes_of, keys_of
from estsim.scenario.scalar_advice import word_meant
from estsim.units import parse_duration, shown

_MOST_PARTS: Final = 10  # more commas are not one value
_THOUSANDS: Final = 3  # digits behind a comma
_VERIFIED: Final = "verification cannot be switched off: give target.trust: {ca: ca.pem}, or --trust ca.pem"
_UNVERIFIED: Final = frozenset(
    {
        "insecure",
        "verify",
        "noverify",
        "verifyssl",
        "verifytls",
        "sslverify",
        "tlsverify",
        "skipverify",
        "checkhostname",
    }
    | {"insecureskipverify", "insecureskiptlsverify", "skiptlsverify", "rejectunauthorized", "verifyhostname"}
)
_CREDENTIALS: Final = frozenset(
    {"auth", "basic", "basicauth", "authentication", "authorization", "credentials", "login", "username"}
)
# By the keys that a section has: (names without separators, our key, what to write).
_OURS: Final[tuple[tuple[frozenset[str], str, str], ...]] = (
    (_CREDENTIALS, "http_auth", "http_auth: {user: NAME, password: PASSWORD}"),
    (frozenset({"username", "userid", "login", "name"}), "user", "user"),
    (frozenset({"pass", "passwd", "pwd", "secret"}), "password", "password"),
    (frozenset({"cacert", "cafile", "cacertificate", "cabundle", "rootca", "tlscafile"}), "ca", "ca"),
    (frozenset({"cacert", "cafile", "cacertificate", "cabundle", "rootca"}), "trust", "trust: {ca: ca.pem}"),
    (frozenset({"host", "endpoint", "baseurl", "server", "uri", "address"}), "url", "url"),
    (frozenset({"maxretries", "retries", "maxattempts", "attempts", "maxtries", "limit"}), "max_polls", "max_polls"),
    (frozenset({"maxretries", "retries", "maxattempts", "maxtries", "limit", "count"}), "attempts", "attempts"),
    (frozenset({"timeout", "maxtime", "deadline", "maxduration", "giveup"}), "max_wait", "max_wait"),
    (
        frozenset({"count", "users", "vus", "clients", "size", "number", "instances", "threads", "numdevices"}),
        "devices",
        "devices",
    ),
    (
        frozenset({"rampup", "spawnrate", "hatchrate", "arrivalrate", "stages"}),
        "boot",
        "boot: {rate: 24/min}, or boot: {ramp: 0/s..50/s, over: 10m}",
    ),
    (frozenset({"runtime", "time", "length", "timelimit"}), "duration", "duration"),
    (frozenset({"assertions", "checks", "slo", "slos", "criteria"}), "thresholds", "thresholds"),
    (frozenset({"groups", "devicegroups", "fleets", "fleet"}), "cohorts", "cohorts: {NAME: {devices: 100, …}}"),
)
_SURELY_MISSPELT: Final = 0.75  # "form" for "from": likelier than a key of that name elsewhere
_SECRET: Final = frozenset({"password"})


def cut_by_comma(key: str, mapping: Mapping[str, object]) -> str | None:
    """Return what to write if a key without a value is the rest of the value before it, else None."""
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


def ours_for(key: str, known: Iterable[str]) -> tuple[str, str] | None:
    """Return a section's key for another tool's key, and what to write; None for other keys."""
    plain, keys = _plain(key), frozenset(known)
    return next(((ours, write) for theirs, ours, write in _OURS if plain in theirs and ours in keys), None)


def unverified(key: str) -> str | None:
    """Return why verification cannot be switched off, if a key means to."""
    return _VERIFIED if _plain(key) in _UNVERIFIED else None


def _plain(key: str) -> str:
    return "".join(char for char in key.lower() if char.isalnum())


def mapping_meant(section: type[BaseModel] | None, value: object) -> str:
    """Return what to write for a value where a section is expected: ``: write {kind: manufacturer}``, or an example."""
    if section is None or not issubclass(section, Section):
        return ""
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return ": remove the `-` before its keys"
    if isinstance(value, str) and (glued := _glued(value, keys_of(section))):
        return f": missing space after the colon, write {{{glued}}}"
    for name in section.short_for:
        for each in _readings(value):
            if (written := _as_key(section, name, each)) is not None:
                return f": write {written}"
    if isinstance(value, str) and value in keys_of(section) and (written := _as_key(section, value, True)):
        return f": write {written}"
    return f" such as {section.example}" if section.example else ""


def _glued(text: str, keys: tuple[str, ...]) -> str | None:
    """Return ``burst: 5s`` for ``burst:5s``, which YAML reads as one text."""
    key, colon, rest = text.partition(":")
    return f"{key}: {shown(rest)}" if colon and rest and rest[0] != "/" and key in keys else None


def _readings(value: object) -> tuple[object, ...]:
    """Return a value as it is, for a duration its whole seconds too, and as a list of one."""
    alone = [value] if isinstance(value, str) else value
    try:
        seconds = parse_duration(value)
    except UnitError:
        return value, alone
    return (value, int(seconds)) if seconds.is_integer() else (value,)


def _as_key(section: type[BaseModel], name: str, value: object) -> str | None:
    """Return ``{kind: basic, …}`` if a section accepts a value for a key, with dots if it needs more keys."""
    try:
        section.model_validate({name: value})
    except ValidationError as error:
        wrong = [details for details in error.errors() if details["loc"][:1] == (name,)]
        if wrong:
            known = str(wrong[0].get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ").split(", ")
            meant = word_meant(value, known) if wrong[0]["type"] in ("enum", "literal_error") else None
            return None if meant is None else _as_key(section, name, meant)
        return f"{{{name}: {_flow(name, value)}, …}}"
    return f"{{{name}: {_flow(name, value)}}}"


def _flow(name: str, value: object) -> str:
    if name in _SECRET:
        return "…"
    return f"[{', '.join(map(shown, value))}]" if isinstance(value, list) else shown(value)


@dataclass(frozen=True, slots=True)
class UnknownKey:
    """An unknown key: the place of its section, the section, the whole model, and the mapping that it is in."""

    key: str
    loc: Location
    section: type[BaseModel]
    model: type[BaseModel]
    mapping: Mapping[str, object]

    @property
    def beside(self) -> frozenset[str]:
        """The other keys of its mapping."""
        return frozenset(self.mapping)

    @property
    def homes(self) -> list[Location]:
        """The places that it belongs to."""
        return [home for home in homes_of(self.key, self.loc, self.model, self.beside) if home != self.loc]


def unknown_key(unknown: UnknownKey) -> str:
    """Return the message for a key that a section does not have."""
    key, loc, section = unknown.key, unknown.loc, unknown.section
    if issubclass(section, Section) and key in section.not_yet:
        return f"'{key}' is not supported by this version yet"
    before, colon, _ = key.partition(":")
    if colon and before in keys_of(section):
        return f"missing space after '{before}:'"  # what follows may be a password
    if cut := cut_by_comma(key, unknown.mapping):
        return cut
    if why := unverified(key):
        return why
    if ours := ours_for(key, keys_of(section)):
        return f"unknown key: write {ours[1]}"
    near = nearest(key, keys_of(section))
    if near is not None and likeness(key, near) >= _SURELY_MISSPELT:
        return f"unknown key (did you mean '{near}'?)"
    if homes := unknown.homes:
        return f"unknown key: '{shown(key)}' {_belongs(homes, loc)}"
    return f"unknown key (did you mean '{near}'?)" if near else "unknown key"


def meant_at(unknown: UnknownKey) -> Location:
    """Return the place that an unknown key was meant for, so that one mistake is not also reported as missing."""
    key, loc, section = unknown.key, unknown.loc, unknown.section
    before = key.partition(":")[0]
    if before != key and before in keys_of(section):
        return (*loc, before)
    if ours := ours_for(key, keys_of(section)):
        return (*loc, ours[0])
    near = nearest(key, keys_of(section))
    if near is not None and likeness(key, near) >= _SURELY_MISSPELT:
        return (*loc, near)
    if homes := unknown.homes:
        return (*homes[0], key)
    return (*loc, near or key)


def _belongs(homes: list[Location], loc: Location) -> str:
    if homes[0] == ():
        return "belongs at the top of the file"
    if homes[0] == (*loc, NAME):
        return "belongs under a name of your choice"
    within = all(home[: len(loc)] == loc for home in homes)
    names = [dotted(home[len(loc) :] if within else home) for home in homes]
    return f"belongs under {' or '.join(names)}"
