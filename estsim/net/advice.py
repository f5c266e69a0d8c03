"""What would help a client whose connection a server refused: by the alert that it sent, or that it just closed.

The words are for the user of a scenario, and name its keys.
"""

from typing import Final

CLOSED: Final = "possible causes: overload, a restart, or a rejected client certificate (bootstrap)"

_CERTIFICATE: Final = (
    "the server rejected the client certificate; check that it trusts the issuing CA and the whole chain"
)
_NOTHING_IN_COMMON: Final = (
    "client and server share no TLS version, cipher, group or signature algorithm (tls.versions, generator.groups), or "
    "the server requires a client certificate (bootstrap)"
)
_BY_ALERT: Final = {
    "access_denied": _CERTIFICATE,
    "bad_certificate": _CERTIFICATE,
    "certificate_expired": "the server considers the client certificate expired; check the certificate and both clocks",
    "certificate_required": "the server requires a client certificate (bootstrap)",
    "certificate_revoked": "the server considers the client certificate revoked",
    "certificate_unknown": _CERTIFICATE,
    "decrypt_error": "the server could not verify a signature; check that the key matches the client certificate",
    "handshake_failure": _NOTHING_IN_COMMON,
    "insufficient_security": _NOTHING_IN_COMMON,
    "internal_error": "see the server's log for the reason",
    "no_application_protocol": "the server does not offer HTTP/1.1 on this port",
    "protocol_version": "the server supports none of the offered TLS versions (tls.versions)",
    "unknown_ca": _CERTIFICATE,
    "unrecognized_name": "the server does not recognise this host name (target.url)",
    "unsupported_certificate": _CERTIFICATE,
}


def advice_on(alert: str) -> str:
    """Return what would help where a server sent an alert, nothing where only the server can know."""
    return _BY_ALERT.get(alert, "")
