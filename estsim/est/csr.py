"""Certification requests (PKCS#10, RFC 2986): building them, checking them, and the raw parts that are compared.

RFC 7030 §4.2.2 has Subject and SubjectAltName of a re-enrolment "identical" to the certificate's: the encodings are
compared, so a PrintableString is not the UTF8String of the same text. So names go into a request as the DER they are,
be they a scenario's or those of the certificate in hand, and come out of one as they were signed.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estsim.errors import EstsimError
from estsim.est.csr_attributes import (
    CHALLENGE_PASSWORD,
    CHANGE_SUBJECT_NAME,
    EXTENSION_REQUEST,
    SUBJECT_ALT_NAME,
    read_attributes,
    read_challenge_password,
    read_requested_extensions,
)
from estsim.est.der import (
    BIT_STRING,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    DERError,
    children,
    element,
    encode,
    expect,
)
from estsim.est.signatures import KeyUnreadable, has_signed, public_key, signature_algorithm
from estsim.est.signing import signed
from estsim.est.spki import check_public_key
from estsim.est.text import UTF8_STRING

_ATTRIBUTES: Final = 0xA0
_VERSION_1: Final = encode(INTEGER, b"\x00")


class CSRError(EstsimError):
    """Bytes that are no certification request, or one whose signature proves no possession of the key."""


@dataclass(frozen=True, slots=True)
class CSRFacts:
    """What a request asks for, in the encoding it came in; ``san_der`` is the value of the extension (GeneralNames)."""

    subject_der: bytes
    san_der: bytes | None
    public_key_der: bytes  # SubjectPublicKeyInfo
    challenge_password: str | None
    change_subject_name: bytes | None  # the value of the attribute, None where it is not there


def build_csr(
    key: CertificateIssuerPrivateKeyTypes,
    subject_der: bytes,
    san_der: bytes | None = None,
    *,
    challenge_password: str | None = None,
) -> bytes:
    """Return a signed request as DER; the signature is the proof of possession (RFC 7030 §4.2.1).

    ``san_der`` is the value of the extension. RFC 2986 §4.1: ``CertificationRequestInfo ::= SEQUENCE { version,
    subject, subjectPKInfo, [0] attributes }``.
    """
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    attributes = sorted(
        ([] if san_der is None else [_attribute(EXTENSION_REQUEST, _extensions(san_der))])
        + ([] if challenge_password is None else [_attribute(CHALLENGE_PASSWORD, _utf8(challenge_password))])
    )
    asked = encode(SEQUENCE, _VERSION_1 + subject_der + spki + encode(_ATTRIBUTES, b"".join(attributes)))
    return signed(key, asked)


def _attribute(kind: bytes, value: bytes) -> bytes:
    return encode(SEQUENCE, encode(OBJECT_IDENTIFIER, kind) + encode(SET, value))


def _extensions(san_der: bytes) -> bytes:
    return encode(
        SEQUENCE, encode(SEQUENCE, encode(OBJECT_IDENTIFIER, SUBJECT_ALT_NAME) + encode(OCTET_STRING, san_der))
    )


def _utf8(text: str) -> bytes:
    return encode(UTF8_STRING, text.encode())


def read_csr(der: bytes) -> CSRFacts:
    """Return what a request asks for, its signature verified; raises :class:`CSRError` that names the part."""
    try:
        tag, start, end = element(der, 0)
        expect(tag != SEQUENCE or end == len(der), f"no bytes after the request (got {len(der) - end})")
        parts = children(der, start, end) if tag == SEQUENCE else []
        shape = [part[0] for part in parts]
        expect(shape == [SEQUENCE, SEQUENCE, BIT_STRING], "a CertificationRequest (RFC 2986 §4.2)")
        asked_der, algorithm_der = (der[part[1] : part[3]] for part in parts[:2])
        facts = _facts(asked_der)
        check_public_key(facts.public_key_der)
        key = public_key(facts.public_key_der)
    except KeyUnreadable as error:
        raise CSRError(f"the public key of the request cannot be read: {error}") from error
    except (DERError, ValueError) as error:
        raise CSRError(f"expected a certification request: {error}") from error
    algorithm = signature_algorithm(algorithm_der)
    if algorithm.refusal is not None:
        raise CSRError(f"the request is {algorithm.refusal}")
    if not isinstance(key, algorithm.key_types):
        raise CSRError(f"the request is signed with {algorithm.name}, which does not match its key type")
    if not has_signed(key, algorithm_der, _octets(der, parts[2]), asked_der):
        raise CSRError("the request's signature does not verify: no proof of possession (RFC 7030 §4.2.1)")
    return facts


def subject_asked_for(der: bytes) -> bytes | None:
    """Return the Subject of a request, whose signature is not looked at; None where it cannot be read."""
    try:
        _, start, end = element(der, 0)
        (_, asked, _, asked_end), *_ = children(der, start, end)
        _, start, end = element(der[asked:asked_end], 0)
        subject = children(der[asked:asked_end], start, end)[1]
    except (DERError, ValueError, IndexError):
        return None
    return der[asked:asked_end][subject[1] : subject[3]]


def _octets(der: bytes, signature: tuple[int, int, int, int]) -> bytes:
    """Return what a BIT STRING of whole octets holds, nothing where it is none."""
    return der[signature[2] + 1 : signature[3]] if der[signature[2] : signature[2] + 1] == b"\x00" else b""


def _facts(asked: bytes) -> CSRFacts:
    """Read ``CertificationRequestInfo { version, subject, subjectPKInfo, [0] attributes }``."""
    _, start, end = element(asked, 0)
    parts = children(asked, start, end)
    if not parts or asked[parts[0][1] : parts[0][3]] != _VERSION_1:
        raise DERError("version: expected 0, of PKCS#10 v1 (RFC 2986 §4.1)")
    if [part[0] for part in parts[1:]] != [SEQUENCE, SEQUENCE, _ATTRIBUTES]:
        raise DERError("expected version, subject, public key and attributes, which may be empty (RFC 2986 §4.1)")
    _, subject, spki, attributes = parts
    found = read_attributes(asked, *attributes[2:])
    extensions = found.get(EXTENSION_REQUEST)
    password, change = found.get(CHALLENGE_PASSWORD), found.get(CHANGE_SUBJECT_NAME)
    return CSRFacts(
        subject_der=asked[subject[1] : subject[3]],
        san_der=None if extensions is None else read_requested_extensions(asked, extensions).get(SUBJECT_ALT_NAME),
        public_key_der=asked[spki[1] : spki[3]],
        challenge_password=None if password is None else read_challenge_password(asked, password),
        change_subject_name=None if change is None else asked[change[1] : change[3]],
    )
