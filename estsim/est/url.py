"""URLs in EST: valid hosts and paths (RFC 3986), and the target of a Location (RFC 9110 §10.2.2).

Pure and total: a Location gives a place, or None.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import urljoin, urlsplit

HTTPS_PORT: Final = 443
_LONGEST_LOCATION: Final = 8192  # RFC 9110 §4.1: "support, at a minimum, URIs with lengths of 8000 octets"
_LONGEST_NAME: Final = 253  # RFC 1035 §3.1, as written

# RFC 3986 §3.3: "pchar = unreserved / pct-encoded / sub-delims / ":" / "@""
_PCHAR: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_SEGMENT: Final = re.compile(f"{_PCHAR}+")
_PATH: Final = re.compile(f"(?:/{_PCHAR}*)+")
_QUERY: Final = re.compile(f"(?:{_PCHAR}|[/?])*")
_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_HAS_AUTHORITY: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:|//)")
_HTTPS: Final = re.compile(r"(?:https:)?//[^/?#]", re.IGNORECASE)
_NAME_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,63}")


@dataclass(frozen=True, slots=True)
class Origin:
    """A server as URLs name it (RFC 6454, less the scheme, which is https): a host in lower case and a port."""

    host: str
    port: int = HTTPS_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: an origin, and path and query as written."""

    origin: Origin
    target: str

    def __str__(self) -> str:
        return f"https://{self.origin}{self.target}"


def is_segment(text: str) -> bool:
    """Whether a text is one non-empty segment of a path, and not ``.`` or ``..``."""
    return bool(_SEGMENT.fullmatch(text)) and text not in {".", ".."}


def is_path(text: str) -> bool:
    """Whether a text is a path that begins with a slash."""
    return bool(_PATH.fullmatch(text))


def is_host(text: str) -> bool:
    """Whether a text is a host name in ASCII, an IPv4 address, or an IPv6 address without brackets."""
    if ":" in text:
        try:
            IPv6Address(text)
        except ValueError:
            return False
        return True
    labels = text.removesuffix(".").split(".")
    return len(text) <= _LONGEST_NAME and all(map(_NAME_LABEL.fullmatch, labels))


def read_location(location: str, at: Place) -> Place | None:
    """Return where a Location leads, relative to the request that it answers; None if it is not an https URL."""
    if len(location) > _LONGEST_LOCATION or not _CHARACTERS.fullmatch(location):
        return None
    if _HAS_AUTHORITY.match(location) and not _HTTPS.match(location):
        return None
    try:
        parts = urlsplit(urljoin(str(at), location))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    bracketed = "[" in parts.netloc
    if (
        parts.scheme != "https"
        or "@" in parts.netloc
        or bracketed is not (":" in host)
        or not is_host(host)
        or port == 0
    ):
        return None
    path = parts.path or "/"
    if not is_path(path) or not _QUERY.fullmatch(parts.query):
        return None
    return Place(Origin(host, port or HTTPS_PORT), f"{path}?{parts.query}" if parts.query else path)
