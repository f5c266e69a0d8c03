"""Client authentication, and the checks on a CSR (RFC 7030 §3.2.3, §3.3.2, §4.2).

Pure: a request and the peer of its connection give a valid :class:`Application`, or :class:`Refused` with a line for
people that says what was expected.
"""

import base64
import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import Final

from estsim.errors import EstsimError
from estsim.est.certificate import Certificate
from estsim.est.challenge import read_parameters
from estsim.est.csr import CSRFacts, read_csr, subject_asked_for
from estsim.est.messages import EstRequest
from estsim.est.names import same_name
from estsim.est.operations import PKCS10, Operation
from estsim.est.public_keys import public_key
from estsim.est.transfer import TransferError, decode_body
from estsim.pki.keys import weakness_of
from estsim.pki.names import Names
from estsim.server.answer import Refused
from estsim.server.config import ClientsConfig, HttpScheme, RequireCertificate
from estsim.server.csr_attributes import unfulfilled
from estsim.server.csr_attributes_config import CsrAttrsConfig
from estsim.server.digest import DigestCheck, DigestRefused
from estsim.server.names import NamesError, requested_names
from estsim.server.peer import Peer, PeerTrust
from estsim.server.policy import Request

REALM: Final = "estsim sandbox"


@dataclass(frozen=True, slots=True)
class Application:
    """A valid request for a certificate; ``names`` are those of the certificate."""

    request: Request
    csr_der: bytes
    spki: bytes
    names: Names


def header_of(request: EstRequest, name: str) -> str | None:
    """Return the first value of a request's header; ``name`` is in lower case, as h11 gives the names."""
    return next((value for key, value in request.headers if key == name), None)


class Admission:
    """The ``clients`` key of one trust center, applied to requests.

    ``anchors`` are its trust anchors. ``verified`` says that the handshake has checked a client's certificate against
    exactly these.
    """

    def __init__(
        self,
        clients: ClientsConfig,
        issuer_der: bytes,
        anchors: tuple[Certificate, ...],
        *,
        verified: bool,
        wishes: CsrAttrsConfig | None = None,
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        self._clients = clients
        self._issuer_der = issuer_der
        self._trust = PeerTrust(anchors)
        self._verified = verified
        self._wishes = wishes if wishes is not None and wishes.required else None
        self._now_s = now_s  # by which nonces age
        self._schemes = tuple(dict.fromkeys(each for user in clients.users.values() for each in user.schemes))
        self._digest = DigestCheck(REALM, clients.users, self._schemes)

    def user_of(self, request: EstRequest) -> str | None:
        """Return the user of the request's credentials, None without credentials (RFC 7617, RFC 7616)."""
        value = header_of(request, "authorization")
        if value is None or not self._clients.users:
            return None
        scheme, _, credentials = value.strip().partition(" ")
        if scheme.lower() == "basic" and HttpScheme.BASIC in self._schemes:
            return self._basic_user(credentials)
        if scheme.lower() == "digest" and self._schemes != (HttpScheme.BASIC,):
            return self._digest_user(request, credentials)
        expected = dict.fromkeys(each.partition("-")[0].capitalize() for each in self._schemes)
        raise self._challenge(f"expected {' or '.join(expected)} credentials (got {scheme[:20]})")

    def _basic_user(self, credentials: str) -> str:
        try:
            name, colon, password = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
        except ValueError:  # not base64, or not UTF-8 in it, or not even ASCII
            raise self._challenge("expected Basic credentials as base64-encoded user:password") from None
        user = self._clients.users.get(name)
        known = user.password if user and HttpScheme.BASIC in user.schemes else ""
        if not (hmac.compare_digest(known.encode(), password.encode()) and known and colon):
            raise self._challenge("unknown user or wrong password")
        return name

    def _digest_user(self, request: EstRequest, credentials: str) -> str:
        given = read_parameters(credentials)
        try:
            return self._digest.user_of(given, method=request.method, target=request.path, now_s=self._now_s())
        except DigestRefused as refused:
            raise self._challenge(str(refused), stale=refused.stale) from None

    def authorize(self, operation: Operation, peer: Peer, user: str | None) -> None:
        """Refuse a client that may not use ``operation``."""
        rule = self._clients.require_certificate
        issues = operation.seeks_certificate
        if not issues and rule is not RequireCertificate.ALWAYS:
            return  # RFC 7030 §4.1: the CA certificates need no authentication
        if peer.certificate is not None:
            self._check_certificate(peer)
        if operation is Operation.SIMPLEREENROLL:
            self._is_renewing(peer)
        elif peer.certificate is None and rule is RequireCertificate.ALWAYS:
            raise Refused(403, f"expected a client certificate in the TLS handshake (require_certificate: {rule})")
        elif peer.certificate is None and user is None:
            self._refuse_anonymous(rule)

    def _refuse_anonymous(self, rule: RequireCertificate) -> None:
        """Refuse a client with neither certificate nor user, where one of them is required."""
        if self._clients.users:
            raise self._challenge("expected a client certificate in the TLS handshake, or a user and password")
        if rule is not RequireCertificate.NEVER:
            raise Refused(403, f"expected a client certificate in the TLS handshake (require_certificate: {rule})")

    def _check_certificate(self, peer: Peer) -> None:
        if peer.problem is not None:
            raise Refused(403, f"expected a valid client certificate (got {peer.name}: {peer.problem})")
        if not self._verified and not self._trust.takes(peer):
            raise Refused(
                403,
                f"expected a client certificate issued by a trusted CA, see bootstrap_cas (got {peer.name})",
            )

    def apply(self, operation: Operation, request: EstRequest, peer: Peer, user: str | None) -> Application:
        """Read and check the CSR of an authorized client."""
        content_type = header_of(request, "content-type") or "nothing"
        if content_type.partition(";")[0].strip().lower() != PKCS10:
            raise Refused(415, f"expected Content-Type: {PKCS10} (got {content_type[:60]})")
        der, facts = _read(request.body)
        weakness = weakness_of(public_key(facts.public_key_der))
        if weakness is not None:
            raise Refused(400, weakness)
        _check_proof(facts, peer)
        if self._wishes is not None and (why := unfulfilled(self._wishes, facts)) is not None:
            raise Refused(400, why)
        renewing = operation is Operation.SIMPLEREENROLL
        if renewing and peer.certificate is not None and not peer.is_ra and facts.change_subject_name is None:
            _keeps_names(facts, peer.certificate)
        try:
            names = requested_names(facts, renewing=renewing)
        except NamesError as error:
            raise Refused(400, str(error)) from error
        key = sha256(facts.public_key_der).digest()
        return Application(Request(identity_of(peer, user, facts), key, names.digest), der, facts.public_key_der, names)

    def _is_renewing(self, peer: Peer) -> None:
        """Refuse a client that does not present the certificate to be renewed; an RA renews those of others.

        RFC 7030 §3.7: to a client with id-kp-cmcRA a server may "apply authorization policy consistent with an RA
        client"; §4.2.2 compares the names with the certificate being renewed, which is not the RA's.
        """
        if peer.is_ra:
            return
        if peer.certificate is None:
            raise Refused(403, "expected the certificate being renewed in the TLS handshake (RFC 7030 §4.2.2)")
        if not same_name(peer.certificate.issuer_der, self._issuer_der):
            raise Refused(
                403,
                "expected the certificate being renewed, issued by this CA, in the TLS handshake"
                f" (got {peer.name}, issued by another CA); use simpleenroll for a first enrolment",
            )

    def _challenge(self, text: str, *, stale: bool = False) -> Refused:
        """Return a 401 with a challenge for each scheme that any user has."""
        digest = iter(self._digest.challenges(self._now_s(), stale=stale))
        values = [f'Basic realm="{REALM}"' if each is HttpScheme.BASIC else next(digest) for each in self._schemes]
        return Refused(401, text, tuple(("www-authenticate", value) for value in values))


def _read(body: bytes) -> tuple[bytes, CSRFacts]:
    if not body:
        raise Refused(400, "expected a PKCS#10 request in base64 (got an empty body)")
    try:
        der, _ = decode_body(body)
        facts = read_csr(der)
    except TransferError as error:
        raise Refused(400, f"expected base64 (RFC 8951 §3): {error}") from error
    except EstsimError as error:
        raise Refused(400, f"expected a PKCS#10 request: {error}") from error
    return der, facts


def _check_proof(facts: CSRFacts, peer: Peer) -> None:
    """Check what links a request to its TLS session: RFC 7030 §3.5 "MUST verify", save what an RA passes on (§3.7)."""
    if facts.challenge_password is None or peer.channel_binding is None or peer.is_ra:
        return
    value = peer.channel_binding()
    if value is None or not hmac.compare_digest(base64.b64encode(value), facts.challenge_password.encode()):
        raise Refused(403, "expected the challengePassword of this TLS session (RFC 7030 §3.5)")


def _keeps_names(facts: CSRFacts, certificate: Certificate) -> None:
    """RFC 7030 §4.2.2: Subject and SubjectAltName "MUST be identical" to those of the certificate being renewed."""
    asked = "; a change requires the ChangeSubjectName attribute (RFC 7030 §4.2.2)"
    if facts.subject_der != certificate.subject_der:
        raise Refused(403, f"expected the Subject of the certificate presented, byte for byte{asked}")
    if facts.san_der != certificate.san_der:
        raise Refused(403, f"expected the SubjectAltName of the certificate presented, byte for byte{asked}")


def device_named(operation: Operation, request: EstRequest, peer: Peer, application: Application | None) -> bytes:
    """Return the Subject of the requesting device, the only name that is its own in every run, or a stand-in.

    On re-enrolment that of its certificate; before, that of its CSR, even of a refused one, because many devices may
    share a certificate or have none.
    """
    certificate = peer.certificate
    shown = Names(certificate.subject_der, certificate.san_der).own if certificate else b""
    if not operation.seeks_certificate or (operation is Operation.SIMPLEREENROLL and shown and not peer.is_ra):
        return shown
    if application is not None:
        return application.names.own
    with suppress(TransferError):
        subject_der = subject_asked_for(decode_body(request.body)[0])
        return shown if subject_der is None else Names(subject_der, None).own or shown
    return shown


def identity_of(peer: Peer, user: str | None, facts: CSRFacts | None = None) -> bytes:
    """Return a digest of the client: the certificate's names, else the user, else the requested name."""
    if peer.identity is not None:
        return peer.identity
    if user is not None:
        return sha256(b"user\0" + user.encode()).digest()
    return sha256(b"subject\0" + (facts.subject_der if facts else b"")).digest()
