"""Who may ask for what: authentication of the client, and the checks on its CSR (RFC 7030 §3.2.3, §3.3.2, §4.2).

Pure: from a request and the peer of its connection comes an :class:`Application` that is in order, or
:class:`Refused` with a line for people that says what was expected.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from estsim.errors import EstsimError
from estsim.est.csr import CertificateParts, CSRFacts, parts_of, read_csr
from estsim.est.messages import EstRequest
from estsim.est.operations import PKCS10, Operation
from estsim.est.transfer import TransferError, decode_body
from estsim.server.ca import weakness_of
from estsim.server.config import ClientsConfig, RequireCertificate
from estsim.server.names import Names, NamesError, requested_names
from estsim.server.policy import Request

REALM: Final = "estsim sandbox"


class Refused(EstsimError):  # noqa: N818 - reads as the event it is
    """A request that is answered with an error status and a readable line."""

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.status = status
        self.headers = headers
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Peer:
    """The client at the other end of a connection, as its TLS handshake showed it."""

    subject: str | None = None
    serial: str | None = None
    parts: CertificateParts | None = None

    @classmethod
    def of(cls, certificate: x509.Certificate | None) -> "Peer":
        """Read the facts of a verified client certificate, once per connection."""
        if certificate is None:
            return cls()
        serial = f"{certificate.serial_number:x}"
        return cls(certificate.subject.rfc4514_string(), serial, parts_of(certificate))


@dataclass(frozen=True, slots=True)
class Application:
    """A request for a certificate that is in order; ``names`` are what the certificate will say."""

    request: Request
    csr_der: bytes
    public_key: CertificatePublicKeyTypes
    names: Names


def header_of(request: EstRequest, name: str) -> str | None:
    """Return the first value of a request's header; ``name`` is in lower case, as h11 gives the names."""
    return next((value for key, value in request.headers if key == name), None)


class Admission:
    """The ``clients`` key of one trust center, applied to requests."""

    def __init__(self, clients: ClientsConfig, issuer_name: x509.Name) -> None:
        self._clients = clients
        self._issuer_der = issuer_name.public_bytes()

    def user_of(self, request: EstRequest) -> str | None:
        """Return the user whose Basic credentials the request carries, or None where it carries none (RFC 7617)."""
        value = header_of(request, "authorization")
        if value is None:
            return None
        scheme, _, credentials = value.strip().partition(" ")
        if scheme.lower() != "basic":
            raise self._challenge(f"expected Basic credentials (got {scheme[:20]})")
        try:
            name, colon, password = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise self._challenge("expected Basic credentials as base64 of user:password") from None
        user = self._clients.users.get(name)
        known = user.password if user else ""
        if not (hmac.compare_digest(known.encode(), password.encode()) and user and colon):
            raise self._challenge("user unknown or password wrong")
        return name

    def authorize(self, operation: Operation, peer: Peer, user: str | None) -> None:
        """Refuse a client that may not use ``operation``."""
        if operation is Operation.SIMPLEREENROLL:
            self._is_renewing(peer)
        elif peer.parts is None and self._clients.require_certificate is not RequireCertificate.NEVER:
            rule = self._clients.require_certificate.value
            raise Refused(403, f"expected a client certificate in the TLS handshake (require_certificate: {rule})")
        elif peer.parts is None and user is None and self._clients.users:
            raise self._challenge("expected a client certificate in the TLS handshake, or a user and password")

    def apply(self, operation: Operation, request: EstRequest, peer: Peer, user: str | None) -> Application:
        """Read and check the CSR of an authorized client."""
        content_type = header_of(request, "content-type") or "nothing"
        if content_type.partition(";")[0].strip().lower() != PKCS10:
            raise Refused(415, f"expected Content-Type: {PKCS10} (got {content_type[:60]})")
        der, csr, facts = _read(request.body)
        public_key = _certifiable(csr)
        if operation is Operation.SIMPLEREENROLL and peer.parts is not None and not facts.change_subject_name:
            _keeps_names(facts, peer.parts)
        try:
            names = requested_names(csr, facts, renewing=operation is Operation.SIMPLEREENROLL)
        except NamesError as error:
            raise Refused(400, str(error)) from error
        wanted = sha256(names.subject_der + b"\0" + (names.san_der or b"")).digest()
        key = sha256(facts.public_key_der).digest()
        return Application(Request(_identity(peer, user, facts), key, wanted), der, public_key, names)

    def _is_renewing(self, peer: Peer) -> None:
        if peer.parts is None:
            raise Refused(403, "expected the certificate to be renewed in the TLS handshake (RFC 7030 §4.2.2)")
        if peer.parts.issuer_der != self._issuer_der:
            raise Refused(
                403,
                "expected the certificate to be renewed, issued by this CA, in the TLS handshake"
                f" (got one of another CA, {peer.subject}); a first enrolment is simpleenroll",
            )

    def _challenge(self, text: str) -> Refused:
        headers = (("www-authenticate", f'Basic realm="{REALM}"'),) if self._clients.users else ()
        return Refused(401, text, headers)


def _read(body: bytes) -> tuple[bytes, x509.CertificateSigningRequest, CSRFacts]:
    if not body:
        raise Refused(400, "expected a PKCS#10 request in base64 (got an empty body)")
    try:
        der, _ = decode_body(body)
        csr, facts = read_csr(der)
    except TransferError as error:
        raise Refused(400, f"expected base64 (RFC 8951 §3): {error}") from error
    except EstsimError as error:
        raise Refused(400, f"expected a PKCS#10 request: {error}") from error
    return der, csr, facts


def _certifiable(csr: x509.CertificateSigningRequest) -> CertificatePublicKeyTypes:
    try:
        public_key = csr.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Refused(400, f"the public key of the request cannot be read: {error}") from error
    weakness = weakness_of(public_key)
    if weakness is not None:
        raise Refused(400, weakness)
    return public_key


def _keeps_names(facts: CSRFacts, parts: CertificateParts) -> None:
    """RFC 7030 §4.2.2: Subject and SubjectAltName "MUST be identical" to those of the certificate being renewed."""
    asked = "; a change needs the ChangeSubjectName attribute (RFC 7030 §4.2.2)"
    if facts.subject_der != parts.subject_der:
        raise Refused(403, f"expected the Subject of the certificate presented, byte for byte{asked}")
    if facts.san_der != parts.san_der:
        raise Refused(403, f"expected the SubjectAltName of the certificate presented, byte for byte{asked}")


def _identity(peer: Peer, user: str | None, facts: CSRFacts) -> bytes:
    """Digest who asks: the certificate's names, else the user, else the name asked for."""
    if peer.parts is not None:
        return sha256(b"certificate\0" + peer.parts.issuer_der + peer.parts.subject_der).digest()
    if user is not None:
        return sha256(b"user\0" + user.encode()).digest()
    return sha256(b"subject\0" + facts.subject_der).digest()
