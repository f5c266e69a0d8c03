"""What a failed TLS step means: which side refused, by which alert, for which reason.

The only place that reads an ``OpenSSL.SSL.Error``, whose arguments may be an empty list and whose subclasses share one
base with the plain wish for more input.
"""

from enum import StrEnum
from typing import Final

from OpenSSL import SSL

from estsim.errors import EstsimError, Phase, TransportFailed, Trouble
from estsim.net.advice import CLOSED, advice_on
from estsim.net.openssl import verify_reason, verify_result


class Side(StrEnum):
    """Who ended a TLS connection in failure."""

    LOCAL = "local"
    PEER = "peer"


class TlsFailed(EstsimError):  # noqa: N818 - reads as the event it is
    """A TLS step that failed: by an alert of the peer, by a check of ours, or because the peer went away.

    ``alert`` is the name of the alert received, or of the one we send; ``verify_code`` OpenSSL's verification code
    where our check of the peer's certificate failed; ``ended`` says that the peer just closed.
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
        """Return the failure as callers of the wire know it, in the phase they were in."""
        from_peer = self.alert if self.side is Side.PEER else None
        return TransportFailed(
            phase or self.phase,
            Trouble.RESET if self.ended else Trouble.TLS,
            self.detail,
            alert=self.alert,
            verify_code=self.verify_code,
            advice=CLOSED if self.ended else advice_on(from_peer) if from_peer else "",
        )


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


def is_end_of_stream(error: SSL.Error) -> bool:
    """Say whether the error is the peer's end without close_notify, in either of the two ways OpenSSL tells it."""
    return isinstance(error, SSL.SysCallError) or _reason_of(error) == _EOF_REASON


def tls_failure(error: SSL.Error, phase: Phase, connection: SSL.Connection) -> TlsFailed:
    """Read an error of pyOpenSSL into what it means."""
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
    """Return the reason of the last entry of OpenSSL's error queue, "" when the queue was empty."""
    entries = error.args[0] if error.args else ()
    if not isinstance(entries, list) or not entries:
        return ""
    return str(entries[-1][-1])


def _alert_in(reason: str) -> str | None:
    """Return the name of the alert received, as ``unknown_ca``; the words before it vary with OpenSSL's version."""
    if _ALERT_MARK in reason:
        return reason.split(_ALERT_MARK, 1)[1].replace(" ", "_")
    if reason.startswith(_OLD_ALERT_PREFIX):
        return reason.removeprefix(_OLD_ALERT_PREFIX).replace(" ", "_")
    return None
