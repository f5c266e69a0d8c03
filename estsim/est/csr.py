"""Certification requests (PKCS#10, RFC 2986): building them, checking them, and the raw parts that are compared.

RFC 7030 §4.2.2 has Subject and SubjectAltName of a re-enrolment "identical" to the certificate's: the encodings are
compared, so a PrintableString is not the UTF8String of the same text. The raw parts are therefore cut out of what was
signed, never encoded again.
"""

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID

from estsim.errors import EstsimError
from estsim.est.certs_only import LIBRARY_ERRORS
from estsim.est.der import OBJECT_IDENTIFIER, OCTET_STRING, DERError, children, element

_EXTENSION_REQUEST: Final = bytes.fromhex("2a864886f70d01090e")
_CHALLENGE_PASSWORD: Final = bytes.fromhex("2a864886f70d010907")
_CHANGE_SUBJECT_NAME: Final = bytes.fromhex("2b06010505070724")  # 1.3.6.1.5.5.7.7.36, RFC 6402 §2.8
_SUBJECT_ALT_NAME: Final = bytes.fromhex("0603551d11")  # with tag and length

_VERSION: Final = 0xA0
_EXTENSIONS: Final = 0xA3
_ATTRIBUTES: Final = 0xA0
_BMP_STRING: Final = 0x1E
_P256_BITS: Final = 256
_P384_BITS: Final = 384


class CSRError(EstsimError):
    """Bytes that are no certification request, or one whose signature proves no possession of the key."""


@dataclass(frozen=True, slots=True)
class CSRFacts:
    """What a request asks for, in the encoding it came in; ``san_der`` is the value of the extension (GeneralNames)."""

    subject_der: bytes
    san_der: bytes | None
    public_key_der: bytes  # SubjectPublicKeyInfo
    challenge_password: str | None
    change_subject_name: bool


@dataclass(frozen=True, slots=True)
class CertificateParts:
    """The raw parts of a certificate that its checks compare, cut out of the signed bytes in one pass."""

    tbs: bytes
    issuer_der: bytes
    subject_der: bytes
    public_key_der: bytes
    san_der: bytes | None


def build_csr(
    key: CertificateIssuerPrivateKeyTypes,
    subject: x509.Name,
    san: x509.SubjectAlternativeName | None,
    *,
    challenge_password: str | None = None,
) -> bytes:
    """Return a signed request as DER; the signature is the proof of possession (RFC 7030 §4.2.1)."""
    builder = x509.CertificateSigningRequestBuilder(subject)
    if san is not None:
        builder = builder.add_extension(san, critical=False)
    if challenge_password is not None:
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, challenge_password.encode())
    return builder.sign(key, signature_hash(key)).public_bytes(Encoding.DER)


def signature_hash(
    key: CertificateIssuerPrivateKeyTypes,
) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """Return the hash that fits a key's strength; None where the algorithm brings its own (Ed25519, Ed448)."""
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > _P256_BITS:
        return hashes.SHA384() if key.key_size <= _P384_BITS else hashes.SHA512()
    return hashes.SHA256()


def read_csr(der: bytes) -> tuple[x509.CertificateSigningRequest, CSRFacts]:
    """Return a request whose signature was verified, and what it asks for; raises :class:`CSRError`."""
    try:
        request = x509.load_der_x509_csr(der)
        proven = request.is_signature_valid
        facts = _facts(request.tbs_certrequest_bytes)
    except (DERError, IndexError, *LIBRARY_ERRORS) as error:
        raise CSRError(f"expected a certification request: {error}") from error
    if not proven:
        raise CSRError("the request's signature does not verify: no proof of possession (RFC 7030 §4.2.1)")
    return request, facts


def parts_of(certificate: x509.Certificate) -> CertificateParts:
    """Cut a certificate's raw parts out of what its issuer signed; raises :class:`DERError` on a damaged one."""
    tbs = certificate.tbs_certificate_bytes
    _, at, end = element(tbs, 0)
    tag, _, after = element(tbs, at)
    if tag == _VERSION:
        at = after
    _, _, at = element(tbs, at)  # serialNumber
    _, _, issuer_at = element(tbs, at)  # signature
    _, _, validity_at = element(tbs, issuer_at)
    _, _, subject_at = element(tbs, validity_at)
    _, _, key_at = element(tbs, subject_at)
    _, _, at = element(tbs, key_at)
    key_end = at
    san_der = None
    while at < end:
        tag, content, at = element(tbs, at)
        if tag == _EXTENSIONS:
            san_der = _san_of_extensions(tbs, content)
    return CertificateParts(tbs, tbs[issuer_at:validity_at], tbs[subject_at:key_at], tbs[key_at:key_end], san_der)


def subject_der_of(certificate: x509.Certificate) -> bytes:
    """Return the Subject as it is encoded in the certificate."""
    return parts_of(certificate).subject_der


def san_der_of(certificate: x509.Certificate) -> bytes | None:
    """Return the SubjectAltName (GeneralNames) as it is encoded in the certificate, None where there is none."""
    return parts_of(certificate).san_der


def public_key_der_of(certificate: x509.Certificate) -> bytes:
    """Return the SubjectPublicKeyInfo as it is encoded in the certificate."""
    return parts_of(certificate).public_key_der


def _san_of_extensions(source: bytes, at: int) -> bytes | None:
    """Return the value of the SubjectAltName among the Extensions at ``at``."""
    _, start, end = element(source, at)
    while start < end:
        _, content, start = element(source, start)
        if source.startswith(_SUBJECT_ALT_NAME, content):
            value = children(source, content, start)[-1]  # after the OID and perhaps `critical`
            if value[0] != OCTET_STRING:
                raise DERError("expected an extension's value in an OCTET STRING")
            return source[value[2] : value[3]]
    return None


def _facts(tbs: bytes) -> CSRFacts:
    """Read ``CertificationRequestInfo { version, subject, subjectPKInfo, [0] attributes }``."""
    _, start, end = element(tbs, 0)
    _, subject, public_key, attributes = children(tbs, start, end)[:4]
    values: dict[bytes, tuple[int, int]] = {}
    if attributes[0] != _ATTRIBUTES:
        raise DERError("expected the attributes of a request")
    for _, _, content, after in children(tbs, *attributes[2:]):
        kind, held = children(tbs, content, after)
        if kind[0] == OBJECT_IDENTIFIER:
            values[tbs[kind[2] : kind[3]]] = held[2:]
    return CSRFacts(
        subject_der=tbs[subject[1] : subject[3]],
        san_der=_requested_san(tbs, values.get(_EXTENSION_REQUEST)),
        public_key_der=tbs[public_key[1] : public_key[3]],
        challenge_password=_text(tbs, values.get(_CHALLENGE_PASSWORD)),
        change_subject_name=_CHANGE_SUBJECT_NAME in values,
    )


def _requested_san(tbs: bytes, held: tuple[int, int] | None) -> bytes | None:
    """Return the SubjectAltName of an extensionRequest attribute, whose SET holds one Extensions."""
    return None if held is None or held[0] == held[1] else _san_of_extensions(tbs, held[0])


def _text(tbs: bytes, held: tuple[int, int] | None) -> str | None:
    """Return the first string of an attribute's SET."""
    if held is None or held[0] == held[1]:
        return None
    tag, start, end = element(tbs, held[0])
    return tbs[start:end].decode("utf-16-be" if tag == _BMP_STRING else "utf-8")
