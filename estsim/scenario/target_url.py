"""The URL of an EST server, taken apart: ``https://host[:port]/.well-known/est[/LABEL]`` (RFC 7030 §3.2.2)."""

import re
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from estsim.errors import UnitError
from estsim.units import shown

_HTTPS_PORT: Final = 443
# The est room is out of reach from here; a test holds these against its names.
WELL_KNOWN: Final = "/.well-known/est"
OPERATIONS: Final = frozenset({"cacerts", "csrattrs", "simpleenroll", "simplereenroll", "serverkeygen", "fullcmc"})
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?")
_LABEL: Final = re.compile(r"[A-Za-z0-9._~-]+")
_PATH: Final = re.compile(rf"((?:/[A-Za-z0-9._~-]+)*?{re.escape(WELL_KNOWN)})(?:/([^/]+))?")


@dataclass(frozen=True, slots=True)
class TargetUrl:
    """Where an EST server is; ``base`` is the path up to and with ``/.well-known/est``."""

    host: str
    port: int
    base: str = WELL_KNOWN
    label: str | None = None

    def labelled(self, label: str | None) -> "TargetUrl":
        """Return the same place with a label, if one is given."""
        return self if label is None else replace(self, label=label)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}{self.base}{f'/{self.label}' if self.label else ''}"


def parse_url(value: object) -> TargetUrl:
    """Take a URL apart. Raises UnitError that says what is wrong with it."""
    if not isinstance(value, str) or not value:
        raise UnitError(f"expected a URL such as https://est.example.com:8443{WELL_KNOWN} (got {shown(value)})")
    if any(c.isspace() or not c.isprintable() for c in value):
        raise UnitError(f"a URL holds no blanks (got {shown(value)})")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UnitError(f"is no URL: {error} (got {shown(value)})") from error
    if parts.scheme != "https":
        raise UnitError(f"must begin with https://, EST knows no other way (got {shown(value)})")
    if "@" in parts.netloc:
        raise UnitError("a user and a password do not belong in the URL; give them as bootstrap: {kind: basic, ...}")
    if not host or not _HOST.fullmatch(host):
        raise UnitError(f"needs a host name or an address in ASCII (got {shown(value)})")
    if port == 0:
        raise UnitError(f"the port must be from 1 to 65535 (got {shown(value)})")
    if parts.query or parts.fragment:
        raise UnitError(f"must end with the path, without ? and # (got {shown(value)})")
    base, label = _parse_path(parts.path)
    return TargetUrl(host, _HTTPS_PORT if port is None else port, base, label)


def parse_label(value: object) -> str:
    """Return an arbitrary label. Raises UnitError where it cannot be one."""
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        raise UnitError(f"a label is one part of a path: letters, digits and . _ ~ - (got {shown(value)})")
    # RFC 7030 §3.2.2: "The <label> MUST NOT be the same as any of the defined path segments."
    if value in OPERATIONS:
        raise UnitError(f"a label may not be the name of an operation (got {value})")
    return value


def _parse_path(path: str) -> tuple[str, str | None]:
    trimmed = path.rstrip("/")
    if not trimmed:
        return WELL_KNOWN, None
    match = _PATH.fullmatch(trimmed)
    if match is None:
        raise UnitError(f"the path must be {WELL_KNOWN} or {WELL_KNOWN}/LABEL (got {shown(path)})")
    if match[2] in OPERATIONS:
        raise UnitError(f"give the URL without the operation: estsim adds {match[2]} itself")
    return match[1], parse_label(match[2]) if match[2] else None
