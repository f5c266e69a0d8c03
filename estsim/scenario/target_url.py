"""The URL of an EST server: ``https://host[:port][/PREFIX]/.well-known/est[/LABEL]`` (RFC 7030 §3.2.2).

Prefix and label are any segments of RFC 3986, sent and shown as written.
"""

from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from estsim.errors import UnitError
from estsim.est.operations import OPERATION_NAMES, WELL_KNOWN
from estsim.est.url import HTTPS_PORT, Origin, is_host, is_path, is_segment
from estsim.units import shown


@dataclass(frozen=True, slots=True)
class TargetUrl:
    """The URL of an EST server; ``base`` is the path up to and including ``/.well-known/est``.

    ``label`` is the rest, one segment by the RFC; some servers use several: ``subca/tls``.
    """

    host: str
    port: int
    base: str = WELL_KNOWN
    label: str | None = None

    def labelled(self, label: str | None) -> "TargetUrl":
        """Return the URL with a label, if one is given."""
        return self if label is None else replace(self, label=label)

    @property
    def origin(self) -> Origin:
        """The server's host and port."""
        return Origin(self.host, self.port)

    def __str__(self) -> str:
        return f"https://{self.origin}{self.base}{f'/{self.label}' if self.label else ''}"


def parse_url(value: object) -> TargetUrl:
    """Parse a URL; raises UnitError that says what is wrong with it."""
    if not isinstance(value, str) or not value:
        raise UnitError(f"expected a URL such as https://est.example.com:8443{WELL_KNOWN} (got {shown(value)})")
    if any(c.isspace() or not c.isprintable() for c in value):
        raise UnitError(f"a URL contains no spaces (got {shown(value)})")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UnitError(f"is not a URL: {error} (got {shown(value)})") from error
    if parts.scheme != "https":
        raise UnitError(f"must begin with https://, because EST requires TLS (got {shown(value)})")
    if "@" in parts.netloc:
        raise UnitError("a URL must not contain a user or password; use http_auth: {user: …, password: …}")
    if not host or not is_host(host):
        raise UnitError(f"requires a host name or an address in ASCII (got {shown(value)})")
    if port == 0:
        raise UnitError(f"the port must be from 1 to 65535 (got {shown(value)})")
    if parts.query or parts.fragment:
        raise UnitError(f"must end with the path, without ? and # (got {shown(value)})")
    base, label = _parse_path(parts.path)
    return TargetUrl(host, HTTPS_PORT if port is None else port, base, label)


def parse_label(value: object) -> str:
    """Return an arbitrary label, or several segments instead; raises UnitError for an invalid one."""
    segments = value.split("/") if isinstance(value, str) else []
    if not segments or not all(map(is_segment, segments)):
        raise UnitError(
            f"a label must be a path segment, or several separated by /; encode all but letters, digits and "
            f"._~!$&'()*+,;=:@- as %XX (got {shown(value)})"
        )
    # RFC 7030 §3.2.2: "The <label> MUST NOT be the same as any of the defined path segments."
    if taken := [each for each in segments if unquote(each) in OPERATION_NAMES]:
        raise UnitError(f"a label must not be the name of an operation (got {taken[0]})")
    return "/".join(segments)


def _parse_path(path: str) -> tuple[str, str | None]:
    trimmed = path.rstrip("/")
    if not trimmed:
        return WELL_KNOWN, None
    before, found, label = f"{trimmed}/".partition(f"{WELL_KNOWN}/")
    if not found:
        raise UnitError(
            f"the path must be {WELL_KNOWN} or {WELL_KNOWN}/LABEL, with or without a prefix (got {shown(path)})"
        )
    if not is_path(f"{before}/"):
        raise UnitError(f"encode all but letters, digits and ._~!$&'()*+,;=:@- in the path as %XX (got {shown(path)})")
    label = label.rstrip("/")
    if label.rpartition("/")[2] in OPERATION_NAMES:
        raise UnitError(f"remove the operation: estsim appends {label.rpartition('/')[2]} itself")
    return before + WELL_KNOWN, parse_label(label) if label else None
