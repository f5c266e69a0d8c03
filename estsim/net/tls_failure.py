"""Failures of TLS: which side refused, by which alert, why, and what may help the user of a scenario.

The only place that reads an ``OpenSSL.SSL.Error``, whose arguments may be an empty list and whose subclasses share a
base with the request for more input.
"""

from enum import StrEnum
from typing import Final

from OpenSSL import SSL

from estsim.errors import EstsimError, Phase, TransportFailed, Trouble
from estsim.net.openssl import verify_reason, verify_result

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
# What OpenSSL sends for a verification code (`ssl_x509err2alert`, ssl/statem/statem_lib.c); certificate_unknown else.
_ALERTS_BY_CODE: Final = {
    2: "unknown_ca",  # unable to get issuer certificate
    7: "decrypt_error",  # certificate signature failure
    9: "bad_certificate",  # not yet valid
    10: "certificate_expired",
    13: "bad_certificate",  # error in notBefore field
    14: "bad_certificate",  # error in notAfter field
    18: "unknown_ca",  # self-signed certificate
    19: "unknown_ca",  # self-signed certificate in chain
    20: "unknown_ca",  # unable to get local issuer certificate
    21: "unknown_ca",  # unable to verify the first certificate
    22: "unknown_ca",  # chain too long
    23: "certificate_revoked",
    24: "unknown_ca",  # invalid CA certificate
    26: "unsupported_certificate",  # wrong purpose
    66: "bad_certificate",  # key too small
    67: "bad_certificate",  # CA key too small
    68: "bad_certificate",  # CA signature digest too weak
    79: "unknown_ca",  # invalid CA certificate (no basic constraints)
}
_EOF_REASON: Final = "unexpected eof while reading"
_ALERT_MARK: Final = " alert "
_OLD_ALERT_PREFIX: Final = "tlsv1 "  # "tlsv1 unrecognized name" and four others carry no " alert "


def advice_on(alert: str) -> str:
    """Return advice on an alert that a server sent, empty where only the server knows the reason."""
    return _BY_ALERT.get(alert, "")


class Side(StrEnum):
    """Which side failed a TLS connection."""

    LOCAL = "local"
    PEER = "peer"


class TlsFailed(EstsimError):  # noqa: N818 - reads as the event it is
    """A failed TLS step: by an alert of the peer, by a check of ours, or because the peer closed.

    ``alert`` is the name of the alert received or sent; ``verify_code`` OpenSSL's verification code where our check of
    the peer's certificate failed; ``ended`` says that the peer closed without an alert.
    """

    def __init__(
        self,
        phase: Phase,
        side: Side,
        detail: str,
        *,
        alert: str | None = None,
        verify_code: int | None = None,
        ended: bool = False,
    ) -> None:
        self.phase = phase
        self.side = side
        self.detail = detail
        self.alert = alert
        self.verify_code = verify_code
        self.ended = ended
        super().__init__(f"{phase.value}: {detail}")

    def as_transport_failure(self, phase: Phase | None = None) -> TransportFailed:
        """Return the failure for callers of the wire, in their phase."""
        from_peer = self.alert if self.side is Side.PEER else None
        return TransportFailed(
            phase or self.phase,
            Trouble.RESET if self.ended else Trouble.TLS,
            self.detail,
            alert=self.alert,
            verify_code=self.verify_code,
            advice=CLOSED if self.ended else advice_on(from_peer) if from_peer else "",
        )


def is_end_of_stream(error: SSL.Error) -> bool:
    """Whether the peer ended the stream without close_notify, in either of OpenSSL's two forms."""
    return isinstance(error, SSL.SysCallError) or _reason_of(error) == _EOF_REASON


def tls_failure(error: SSL.Error, phase: Phase, connection: SSL.Connection) -> TlsFailed:
    """Return the failure that an error of pyOpenSSL means."""
    if isinstance(error, SSL.ZeroReturnError):
        return TlsFailed(phase, Side.PEER, "the peer closed the TLS session", ended=True)
    if is_end_of_stream(error):
        return TlsFailed(phase, Side.PEER, "the peer closed the connection", ended=True)
    reason = _reason_of(error)
    alert = _alert_in(reason)
    if alert is not None:
        return TlsFailed(phase, Side.PEER, f"the peer sent the alert {alert}", alert=alert)
    if reason == "certificate verify failed":
        code = verify_result(connection)
        detail = f"the peer's certificate was rejected: {verify_reason(code)} (code {code})"
        sent = _ALERTS_BY_CODE.get(code, "certificate_unknown")
        return TlsFailed(phase, Side.LOCAL, detail, alert=sent, verify_code=code)
    return TlsFailed(phase, Side.LOCAL, reason or "TLS failed earlier, without further detail")


def _reason_of(error: SSL.Error) -> str:
    """Return the reason in the last entry of OpenSSL's error queue, "" if it is empty."""
    entries = error.args[0] if error.args else ()
    if not isinstance(entries, list) or not entries:
        return ""
    return str(entries[-1][-1])


def _alert_in(reason: str) -> str | None:
    """Return the name of the alert received, as ``unknown_ca``; the text before it varies with OpenSSL's version."""
    if _ALERT_MARK in reason:
        return reason.split(_ALERT_MARK, 1)[1].replace(" ", "_")
    if reason.startswith(_OLD_ALERT_PREFIX):
        return reason.removeprefix(_OLD_ALERT_PREFIX).replace(" ", "_")
    return None
