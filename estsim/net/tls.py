"""One TLS connection over memory buffers, client or server: no socket, no clock, no await.

A driver moves bytes: ``handshake``, ``read`` or ``write``, then send ``outgoing``, then receive and feed ``incoming``.
It sends ``outgoing`` after every step that can write, also after one that failed, or the peer sees an end of stream
instead of the alert. RFC 8446, RFC 5246; channel binding: RFC 5929 (tls-unique) and RFC 9266 (tls-exporter).
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

from OpenSSL import SSL, crypto

from estsim.errors import EstsimError, Phase
from estsim.est.certificate import Certificate, CertificateUnreadable, read_certificate, read_shared_certificate
from estsim.net.contexts import Role, TlsContext, TlsVersion
from estsim.net.groups import group_of_openssl
from estsim.net.openssl import dump_certificate, has_extended_master_secret, session_reused, use_certificate
from estsim.net.server_checks import HOST_MISMATCH, check_host, check_validity, has_cmc_ra, server_name
from estsim.net.tls_failure import Side, TlsFailed, is_end_of_stream, tls_failure
from estsim.pki.credentials import Credential


class End(Enum):
    """What :meth:`TlsSession.read` returns at the end of the stream."""

    END = "end"


END: Final = End.END
DEVICE_CERTIFICATE: Final = "the device's certificate"  # begins the reason of a failure that is not the peer's

_RECORD_BYTES: Final = 16 * 1024  # RFC 8446 §5.1: the most that one record carries
_BUFFER_BYTES: Final = 32 * 1024
_EXPORTER_LABEL: Final = b"EXPORTER-Channel-Binding"  # RFC 9266 §4.2
_EXPORTER_BYTES: Final = 32
_VERSIONS: Final = {"TLSv1.2": TlsVersion.TLS_1_2, "TLSv1.3": TlsVersion.TLS_1_3}


class ForeignSession(EstsimError):  # noqa: N818 - says what it is
    """A session offered for resumption with another credential, host or context than it was made with."""


@dataclass(frozen=True, slots=True, eq=False)
class Resumable:
    """A session to resume, bound to its credential, host and context: resuming it presents that identity again."""

    session: SSL.Session
    context: TlsContext
    certificate_der: bytes | None
    host: str

    def fits(self, context: TlsContext, credential: Credential | None, host: str) -> bool:
        """Whether a connection of this credential to this host may offer the session."""
        mine = credential.certificate_der if credential else None
        return (self.context, self.certificate_der, self.host) == (context, mine, host)


class TlsSession:
    """A TLS connection of one side; ``host`` is the server's name as in the URL, for a client only.

    ``device_wall_s`` (UNIX seconds) is a client's wrong clock, by which the server's certificates have to be valid too.

    Raises :class:`TlsFailed` if the key does not match the certificate, :class:`ForeignSession` when ``resume`` belongs
    to another credential, host or context: a resumed session silently presents the certificate of the old one.
    """

    def __init__(
        self,
        context: TlsContext,
        credential: Credential | None,
        host: str = "",
        *,
        resume: Resumable | None = None,
        device_wall_s: float | None = None,
    ) -> None:
        self._device_wall_s = device_wall_s
        self.context = context
        self.credential = credential
        self.host = host
        self.truncated = False  # the peer ended the stream without close_notify
        self.client_problems: list[tuple[int, int]] = []  # (depth, code), where RefuseAt.APPLICATION accepts all
        self._is_client = context.key.role is Role.CLIENT
        self._finished = False
        self._peer: Certificate | None = None
        self._offered_session = resume is not None
        self._connection = connection = SSL.Connection(context.ssl)
        if credential is not None:
            self._present(credential)
        if self._is_client:
            self._prepare_client(resume)
        else:
            connection.set_app_data(self.client_problems)
            connection.set_accept_state()

    def _present(self, credential: Credential) -> None:
        """Load the certificate, then the key: in the other order a mismatch silently drops the key."""
        try:
            use_certificate(self._connection, credential.certificate_der)
            self._connection.use_privatekey(credential.key)
        except SSL.Error as error:
            raise tls_failure(error, Phase.HANDSHAKE, self._connection) from error
        except ValueError as error:
            raise TlsFailed(Phase.HANDSHAKE, Side.LOCAL, f"{DEVICE_CERTIFICATE}: {error}") from error

    def _prepare_client(self, resume: Resumable | None) -> None:
        """Set the server name and the session to resume."""
        if resume is not None:
            if not resume.fits(self.context, self.credential, self.host):
                raise ForeignSession(
                    "a session can be resumed only with the credential, host and context that created it"
                )
            self._connection.set_session(resume.session)
        name = server_name(self.host) if self.host else None
        if name is not None:
            self._connection.set_tlsext_host_name(name)
        self._connection.set_connect_state()

    def handshake(self) -> bool:
        """Take one step and return whether the handshake is complete on our side; raises :class:`TlsFailed`."""
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise tls_failure(error, Phase.HANDSHAKE, self._connection) from error
        self._finished = True
        return True

    def outgoing(self) -> bytes:
        """Take all bytes to be sent, ``b""`` if there are none."""
        try:
            taken = self._connection.bio_read(_BUFFER_BYTES)
        except SSL.Error:
            return b""
        if len(taken) < _BUFFER_BYTES:
            return taken
        return taken + self.outgoing()

    def incoming(self, received: bytes) -> None:
        """Feed bytes of the peer; ``b""`` is the end of its stream."""
        if received:
            self._connection.bio_write(received)
        else:
            self._connection.bio_shutdown()

    def check_peer(self) -> bool:
        """Check the server's host name as soon as its certificate is known; false until then.

        A client's driver calls it before it sends what a handshake step left in ``outgoing``, so a server with a wrong
        name never sees our certificate. OpenSSL checks the chain. With ``cmc_ra`` in the context's key, id-kp-cmcRA
        stands for the name (RFC 7030 §3.6.1). Raises :class:`TlsFailed` with nothing left to send: OpenSSL cannot send
        an alert of our choice, so the server sees the end of the stream.
        """
        certificate = self.peer_certificate
        if certificate is None:
            return False
        reason = check_host(certificate, self.host)
        if reason is not None and not (self.context.key.cmc_ra and has_cmc_ra(certificate)):
            raise self._refusal(reason, HOST_MISMATCH)
        if self._device_wall_s is not None:
            wrong = check_validity(self.peer_chain or (certificate,), self._device_wall_s)
            if wrong is not None:
                raise self._refusal(*wrong)
        return True

    def _refusal(self, reason: str, code: int) -> TlsFailed:
        """Discard what would be sent, which may hold our certificate, and return the failure."""
        self.outgoing()
        self._finished = False
        return TlsFailed(Phase.HANDSHAKE, Side.LOCAL, reason, verify_code=code)

    def write(self, plain: bytes) -> None:
        """Encrypt into ``outgoing``; raises :class:`TlsFailed`."""
        try:
            for start in range(0, len(plain), _RECORD_BYTES):
                self._connection.send(plain[start : start + _RECORD_BYTES])
        except SSL.Error as error:
            raise tls_failure(error, Phase.SEND, self._connection) from error

    def read(self) -> bytes | End | None:
        """Return the next record's content, None if input is needed, END if the peer has closed.

        An end of stream without close_notify is END too, and sets ``truncated``; the framing above knows whether
        anything is missing. Raises :class:`TlsFailed`; with TLS 1.3 a refused client certificate appears here.
        """
        if self.truncated:
            return END
        try:
            return self._connection.recv(_RECORD_BYTES)
        except SSL.WantReadError:
            return None
        except SSL.ZeroReturnError:
            return END
        except SSL.Error as error:
            if is_end_of_stream(error):
                self.truncated = True
                return END
            raise tls_failure(error, Phase.RECEIVE, self._connection) from error

    def close(self) -> None:
        """Queue close_notify in ``outgoing`` if the handshake is complete; never raises."""
        if not self._finished:
            return
        try:
            self._connection.shutdown()
        except SSL.Error:
            self.abandon()

    def abandon(self) -> None:
        """Mark the connection closed without telling the peer; its session stays resumable."""
        self._connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)

    def session(self) -> Resumable | None:
        """Return the session for a later connection, after data came (TLS 1.3 sends it then) and before close."""
        if not (self._is_client and self._finished):
            return None
        session = self._connection.get_session()
        if session is None:
            return None
        mine = self.credential.certificate_der if self.credential else None
        return Resumable(session, self.context, mine, self.host)

    @property
    def resumed(self) -> bool:
        """Whether the handshake resumed an earlier session."""
        if self._is_client and not self._offered_session:
            return False
        return self._finished and session_reused(self._connection)

    @property
    def version(self) -> TlsVersion | None:
        """The negotiated version, or None."""
        return _VERSIONS.get(self._connection.get_protocol_version_name()) if self._finished else None

    @property
    def group(self) -> str | None:
        """The negotiated key exchange group, as in scenarios (``x25519``)."""
        name = self._connection.get_group_name() if self._finished else None
        return None if name is None else group_of_openssl(name)

    @property
    def peer_certificate(self) -> Certificate | None:
        """The peer's own certificate, known in the middle of the handshake; None if it sent none.

        Raises :class:`TlsFailed` where a needed part of it cannot be read.
        """
        if self._peer is None:
            sent = self._connection.get_peer_certificate()
            if sent is None:
                return None
            read = read_shared_certificate if self._is_client else read_certificate  # all devices use the same server
            try:
                self._peer = read(dump_certificate(sent))
            except CertificateUnreadable as error:
                reason = f"the peer's certificate cannot be used: {error}"
                raise TlsFailed(Phase.HANDSHAKE, Side.LOCAL, reason, alert="bad_certificate") from error
        return self._peer

    @property
    def peer_chain(self) -> tuple[Certificate, ...]:
        """The readable certificates that the peer sent, its own first. A resumed server knows only the first."""
        sent = tuple(_readable(self._connection.get_peer_cert_chain() or ()))
        if self._is_client or self.peer_certificate is None:
            return sent
        return (self.peer_certificate, *sent)  # OpenSSL leaves the leaf out on the server's side

    def channel_binding(self) -> bytes | None:
        """Return what links a request to this TLS connection (RFC 7030 §3.5), None before the handshake is complete.

        TLS 1.2: tls-unique, "the first Finished message sent" (RFC 5929 §3.1), the client's in a full handshake and
        the server's in a resumed one. TLS 1.3 has no tls-unique: the exporter value of RFC 9266.
        """
        if not self._finished:
            return None
        if self.version is TlsVersion.TLS_1_3:
            return self._connection.export_keying_material(_EXPORTER_LABEL, _EXPORTER_BYTES, b"")
        if self.resumed and not has_extended_master_secret(self._connection):
            return None  # RFC 7627 §5.4: without it the value is not unique
        ours_is_first = self._is_client is not self.resumed
        return self._connection.get_finished() if ours_is_first else self._connection.get_peer_finished()


def _readable(certificates: Iterable[crypto.X509]) -> Iterator[Certificate]:
    for certificate in certificates:
        with suppress(CertificateUnreadable):
            yield read_shared_certificate(dump_certificate(certificate))
