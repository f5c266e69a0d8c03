"""Keys as other tools name them (curl, k6, Locust, JMeter, HTTP clients), with what a scenario has for them."""

from collections.abc import Iterable
from typing import Final

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


def ours_for(key: str, known: Iterable[str]) -> tuple[str, str] | None:
    """Return our key of a section for another tool's, and what to write; None where it is none of theirs."""
    plain, keys = _plain(key), frozenset(known)
    return next(((ours, write) for theirs, ours, write in _OURS if plain in theirs and ours in keys), None)


def unverified(key: str) -> str | None:
    """Return why there is no key that switches verification off, where this one is meant to."""
    return _VERIFIED if _plain(key) in _UNVERIFIED else None


def _plain(key: str) -> str:
    return "".join(char for char in key.lower() if char.isalnum())
