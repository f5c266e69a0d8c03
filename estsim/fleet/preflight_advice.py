"""What would help where a preflight failed and the failure itself does not say so: in the scenario's own keys."""

from typing import Final

from estsim.errors import Phase, Trouble
from estsim.est.outcome import (
    Deferred,
    Failed,
    Malformed,
    Outcome,
    Overloaded,
    Redirected,
    Rejected,
    ServerError,
    Unauthorized,
)
from estsim.net.tls import DEVICE_CERTIFICATE
from estsim.scenario.plan import Bootstrap, MadeAuthority, Manufacturer, Shared, Target

_PATH: Final = (
    "check the path of target.url: it ends in /.well-known/est, optionally followed by a label (target.label)"
)
_BUSY: Final = "wait until the server is ready, check its log, or skip this check (--no-preflight)"
_NOT_FOUND: Final = frozenset({404, 405, 410})
_FORBIDDEN: Final = frozenset({400, 403, 495})  # nginx answers 400, or 495, after it has refused a client certificate
_ITS_ROOT: Final = "the root CA of the server's certificate"
_OWN: Final = (
    "check the file of the cohort's bootstrap (path, or cert and key): use an RSA key of at least 2048 bits, or"
    " P-256, P-384, P-521 or Ed25519"
)
_TRUST: Final = f"target.trust.ca (--trust) must contain {_ITS_ROOT}, which must name the host in target.url"
_NO_TRUST: Final = (
    f"no CA was given, so the system's CAs were used; pass --trust ca.pem (target.trust.ca) with {_ITS_ROOT}"
)
_REFUSALS: Final = frozenset({"access_denied", "bad_certificate", "certificate_unknown", "unknown_ca"})  # TLS alerts


def remedy(outcome: Outcome, target: Target | None = None) -> str:
    """Return what the user can do about an outcome, nothing where its own words say it.

    ``target`` is somebody else's server, None for a sandbox of ours.
    """
    match outcome:
        case Failed():
            return "" if outcome.advice else _transport(outcome, target)
        case Rejected(status, _) if status in _NOT_FOUND:
            return _PATH
        case Redirected():
            return "set target.url to the new location, or let devices follow it (target.redirects: same_origin or any)"
        case Malformed():
            return f"{_PATH}; the response is not EST"
        case Deferred() | Overloaded() | ServerError():
            return _BUSY
    return ""


def why_unknown(outcome: Outcome, bootstrap: Bootstrap, target: Target | None) -> str:
    """Return why a server that refused a device cannot know its manufacturer, nothing where it may."""
    authority = bootstrap.authority if isinstance(bootstrap, Manufacturer | Shared) else None
    if target is None or not isinstance(authority, MadeAuthority) or not _may_be_of_certificate(outcome):
        return ""
    place = f"authorities.{authority.name}"
    return (
        f"authority {authority.name} is generated for each run, so the server cannot know it: set it to a CA that the"
        f" server trusts, {place}: {{cert: ca.pem, key: ca.key}}; --export-authorities DIR writes the new certificate"
        " when the run starts, for servers that load it then"
    )


def _may_be_of_certificate(outcome: Outcome) -> bool:
    match outcome:
        case Failed(trouble=Trouble.RESET, advice=advice):
            return bool(advice)
        case Failed(alert=alert, advice=advice):
            return bool(advice) and alert in _REFUSALS
        case Rejected(status, _):
            return status in _FORBIDDEN
    return isinstance(outcome, Unauthorized)


def _transport(failed: Failed, target: Target | None) -> str:
    match failed.phase, failed.trouble:
        case Phase.RESOLVE, _:
            return "check the host name in target.url (--url)"
        case Phase.CONNECT, Trouble.TIMEOUT:
            return "check the host and port in target.url (--url) and any firewall, or raise target.timeouts.connect"
        case Phase.CONNECT, _:
            return "check that the server is running, and the host and port in target.url (--url)"
        case Phase.HANDSHAKE, Trouble.TIMEOUT:
            return "check that the port speaks TLS, or raise target.timeouts.handshake"
        case Phase.HANDSHAKE, Trouble.TLS if failed.reason.startswith(DEVICE_CERTIFICATE):
            return _OWN
        case Phase.HANDSHAKE, Trouble.TLS if "certificate" in failed.reason:
            untold = target is not None and target.ca is None
            return _NO_TRUST if untold and failed.alert == "unknown_ca" else _TRUST
        case Phase.HANDSHAKE, Trouble.TLS:
            return "check that the port in target.url speaks TLS (https), and check tls.versions"
        case _, Trouble.TIMEOUT:
            return "check why the server does not respond, or raise target.timeouts.answer"
        case _, Trouble.PROTOCOL:
            return "check that the server at target.url speaks HTTP/1.1"
    return ""
