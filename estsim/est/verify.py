"""The checks on every issued certificate: that it is what was asked for, by an authority the device trusts.

Device certificates carry no SubjectAltName or extended key usage by duty, so there is no web-PKI profile here: the key
is the request's, the chain ends in a trust anchor, Subject and SubjectAltName are as asked, the validity is sane.

On the hot path of every enrolment. The authorities' own chains and keys are worked out once, in
:class:`CertificateAuthorities`; a certificate costs a pass over its bytes and one signature verification.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estsim.est.certs_only import LIBRARY_ERRORS, is_self_signed, newest_root_first
from estsim.est.csr import parts_of
from estsim.est.der import DERError
from estsim.est.outcome import Malformed

_REMEMBERED_CHAINS: Final = 256  # a certificate is verified, then becomes a credential: both ask for its chain
_REMEMBERED_AUTHORITIES: Final = 32


@dataclass(frozen=True, slots=True)
class _Authority:
    """A trusted issuer: its certificate's chain, itself first and the root last, and its key when it is a curve's."""

    chain: tuple[x509.Certificate, ...]
    curve_key: ec.EllipticCurvePublicKey | None

    def has_signed(self, certificate: x509.Certificate, tbs: bytes) -> bool:
        """Whether this authority's key signed the certificate; for a curve without loading the key again."""
        try:
            algorithm = certificate.signature_algorithm_parameters
            if self.curve_key is not None and isinstance(algorithm, ec.ECDSA):
                self.curve_key.verify(certificate.signature, tbs, algorithm)
            else:
                certificate.verify_directly_issued_by(self.chain[0])
        except (InvalidSignature, *LIBRARY_ERRORS):
            return False
        return True


class CertificateAuthorities:
    """An immutable set of CA certificates as trust: explicit anchors, and path material trusted only through them.

    Two sets of the same certificates are equal. Path material that chains to no anchor is passed over. An anchor that
    is no self-signed root ends a chain only where no other anchor issued it.
    """

    def __init__(self, anchors: Iterable[x509.Certificate], path_material: Iterable[x509.Certificate] = ()) -> None:
        given = tuple(dict.fromkeys(anchors))
        material = tuple(dict.fromkeys(path_material))
        self._fingerprints = (_fingerprints(given), _fingerprints(material))
        self._by_name: dict[bytes, list[_Authority]] = {}
        self._remembered = lru_cache(_REMEMBERED_CHAINS)(self._find_chain)
        roots = [anchor for anchor in given if is_self_signed(anchor)]
        others = [certificate for certificate in (*given, *material) if certificate not in roots]
        for root in roots:
            self._trust(root, ())
        others = self._trust_what_is_issued(others)
        for anchor in others:
            if anchor in given:
                self._trust(anchor, ())
        self._trust_what_is_issued([certificate for certificate in others if certificate not in given])

    def chain_of(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...] | None:
        """Return a certificate's issuers up to the root, its signature verified; None where it does not chain.

        Remembered, because a certificate is first verified and then sent with its chain.
        """
        return self._remembered(certificate)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CertificateAuthorities) and self._fingerprints == other._fingerprints

    def __hash__(self) -> int:
        return hash(self._fingerprints)

    def __repr__(self) -> str:
        anchors, material = map(len, self._fingerprints)
        return f"<CertificateAuthorities {anchors} anchors, {material} for paths>"

    def _find_chain(self, certificate: x509.Certificate) -> tuple[x509.Certificate, ...] | None:
        try:
            parts = parts_of(certificate)
        except DERError:
            return None
        for authority in self._by_name.get(parts.issuer_der, ()):
            if authority.has_signed(certificate, parts.tbs):
                return authority.chain
        return None

    def _trust(self, certificate: x509.Certificate, issuers: tuple[x509.Certificate, ...]) -> None:
        """Take a certificate as an issuer; one whose key cannot be read issues nothing that could be checked."""
        try:
            key, name = certificate.public_key(), parts_of(certificate).subject_der
        except (DERError, *LIBRARY_ERRORS):
            return
        curve_key = key if isinstance(key, ec.EllipticCurvePublicKey) else None
        self._by_name.setdefault(name, []).append(_Authority((certificate, *issuers), curve_key))

    def _trust_what_is_issued(self, candidates: list[x509.Certificate]) -> list[x509.Certificate]:
        """Trust the candidates that chain to what is trusted already, shortest chains first; return the others."""
        while True:
            found = [
                (certificate, issuers)
                for certificate in candidates
                if (issuers := self._find_chain(certificate)) is not None and _may_issue(certificate, issuers)
            ]
            if not found:
                return candidates
            for certificate, issuers in found:
                self._trust(certificate, issuers)
            trusted = {certificate for certificate, _ in found}
            candidates = [certificate for certificate in candidates if certificate not in trusted]


@lru_cache(_REMEMBERED_AUTHORITIES)
def authorities_of(certificates: tuple[x509.Certificate, ...]) -> CertificateAuthorities:
    """Return the trust that an answer to cacerts makes: its newest root, the others for paths (RFC 7030 §4.1.3).

    Without a root, which the answer should hold, each is an anchor. Remembered, because a fleet is told the same.
    """
    ordered = newest_root_first(certificates)
    if not ordered or not is_self_signed(ordered[0]):
        return CertificateAuthorities(ordered)
    return CertificateAuthorities(ordered[:1], ordered[1:])


def verify_issued(
    certificate: x509.Certificate,
    *,
    public_key_der: bytes,
    subject_der: bytes,
    san_der: bytes | None,
    authorities: CertificateAuthorities,
    wall_now_s: float,
) -> Malformed | None:
    """Return what is wrong with an issued certificate, None where it is sound.

    The expected parts are those of the request (:class:`estsim.est.csr.CSRFacts`), compared as encoded.
    """
    try:
        parts = parts_of(certificate)
        begin_s = certificate.not_valid_before_utc.timestamp()
        end_s = certificate.not_valid_after_utc.timestamp()
    except (DERError, *LIBRARY_ERRORS) as error:
        return Malformed(f"the certificate cannot be read: {error}", "RFC 7030 §4.2.3")
    if parts.public_key_der != public_key_der and not _is_same_key(certificate, public_key_der):
        return Malformed("the certificate is for another key than the request's", "RFC 7030 §4.2.3")
    if parts.subject_der != subject_der:
        return Malformed("the certificate's Subject is not the request's", "RFC 7030 §4.2")
    if parts.san_der != san_der:
        return Malformed("the certificate's SubjectAltName is not the request's", "RFC 7030 §4.2")
    if begin_s >= end_s:
        return Malformed("the certificate's validity ends before it begins", "RFC 5280 §4.1.2.5")
    if end_s <= wall_now_s:
        return Malformed("the certificate had expired when it came", "RFC 5280 §4.1.2.5")
    if authorities.chain_of(certificate) is None:
        return Malformed("the certificate does not chain to the CA certificates", "RFC 7030 §4.1.3")
    return None


def _is_same_key(certificate: x509.Certificate, public_key_der: bytes) -> bool:
    """Whether the keys are equal though their encodings differ: a CA may write its own (RSA without NULL)."""
    try:
        key = certificate.public_key()
    except LIBRARY_ERRORS:
        return False
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public_key_der


def _may_issue(certificate: x509.Certificate, issuers: tuple[x509.Certificate, ...]) -> bool:
    """Whether a certificate is a CA's, at a depth that no issuer's pathLenConstraint forbids (RFC 5280 §4.2.1.9)."""
    own = _basic_constraints(certificate)
    if own is None or not own.ca:
        return False
    for below, issuer in enumerate(issuers, start=1):
        constraints = _basic_constraints(issuer)
        if constraints is not None and constraints.path_length is not None and constraints.path_length < below:
            return False
    return True


def _basic_constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, *LIBRARY_ERRORS):
        return None


def _fingerprints(certificates: Iterable[x509.Certificate]) -> frozenset[bytes]:
    return frozenset(certificate.fingerprint(hashes.SHA256()) for certificate in certificates)
