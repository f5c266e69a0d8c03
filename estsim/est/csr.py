"""Certification requests (PKCS#10, RFC 2986): building them, and reading them strictly.

RFC 7030 §4.2.2 requires Subject and SubjectAltName of a re-enrolment to be "identical" to the certificate's. Encodings
are compared: a PrintableString is not the UTF8String of the same text. So names are DER, into a request and out of it.

Errors name the part of the request. Nothing ambiguous is guessed at: of two extensionRequest attributes one would be
certified and the other not.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final

from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from estsim.errors import EstsimError
from estsim.est.der import (
    BIT_STRING,
    BOOLEAN,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    UTF8_STRING,
    DERError,
    Span,
    children,
    dotted,
    element,
    encode,
    expect,
    is_string,
    oid,
    read_string,
    typed,
)
from estsim.est.public_keys import KeyUnreadable, check_public_key, encoded_key, public_key
from estsim.est.signatures import has_signed, signature_algorithm
from estsim.est.signing import extension, signed

EXTENSION_REQUEST: Final = oid("1.2.840.113549.1.9.14")
CHALLENGE_PASSWORD: Final = oid("1.2.840.113549.1.9.7")
CHANGE_SUBJECT_NAME: Final = oid("1.3.6.1.5.5.7.7.36")  # RFC 6402 §2.8
SUBJECT_ALT_NAME: Final = oid("2.5.29.17")

_MICROSOFTS: Final = oid("1.3.6.1.4.1.311.2.1.14")  # Windows' own OID for an extensionRequest
_NAMES: Final = {
    EXTENSION_REQUEST: "extensionRequest",
    CHALLENGE_PASSWORD: "challengePassword",
    CHANGE_SUBJECT_NAME: "ChangeSubjectName",
}
_MOST: Final = 256  # attributes, extensions: a request has a handful
_MOST_OID_OCTETS: Final = 63  # as the cryptography library has it
_MOST_PASSWORD: Final = 255  # RFC 2985 §5.4.1
_ATTRIBUTES: Final = 0xA0
_VERSION_1: Final = encode(INTEGER, b"\x00")


def read_attributes(source: bytes, start: int, end: int) -> dict[bytes, Span]:
    """Return the value of each known attribute; raises :class:`DERError` that names the part."""
    found: dict[bytes, Span] = {}
    before = b""
    for tag, at, content, after in at_most(source, start, end, _MOST, "attributes"):
        parts = children(source, content, after) if tag == SEQUENCE else []
        if [part[0] for part in parts] != [OBJECT_IDENTIFIER, SET]:
            raise DERError("attributes: expected a type and a SET of values (RFC 2986 §4.1)")
        kind = source[parts[0][2] : parts[0][3]]
        kind = EXTENSION_REQUEST if kind == _MICROSOFTS else kind
        name = _NAMES.get(kind) or _dotted("attributes", kind)
        if kind in found:
            raise DERError(f"attributes: {name} appears twice (RFC 9908 §3.2, RFC 2985 §5.4)")
        if parts[1][2] == parts[1][3]:
            raise DERError(f"attribute {name}: expected a value, got none (RFC 2986 §4.1)")
        if kind in _NAMES:
            values = children(source, *parts[1][2:])
            if len(values) != 1:
                raise DERError(f"attribute {name}: expected one value, got {len(values)} (RFC 2985 §5.4)")
            found[kind] = values[0]
        encoded = source[at:after]
        if encoded < before:
            raise DERError("attributes: expected a SET in the order of DER (X.690 §11.6)")
        before = encoded
    return found


def read_requested_extensions(source: bytes, value: Span) -> dict[bytes, bytes]:
    """Return the values of the requested extensions, by OID; raises :class:`DERError` that names the part."""
    tag, _, start, end = value
    if tag != SEQUENCE:
        raise DERError("attribute extensionRequest: expected Extensions (RFC 2985 §5.4.2)")
    found: dict[bytes, bytes] = {}
    for kind, _, content, after in at_most(source, start, end, _MOST, "extensions"):
        misshapen = "extensionRequest: expected an Extension that begins with its OID (RFC 5280 §4.1)"
        if kind != SEQUENCE:
            raise DERError(misshapen)
        identifier, value_parts = typed(source, content, after, misshapen)
        name = "subjectAltName" if identifier == SUBJECT_ALT_NAME else _dotted("extensionRequest", identifier)
        if identifier in found:  # RFC 5280 §4.2: "MUST NOT include more than one instance of a particular extension"
            raise DERError(f"extension {name} appears twice (RFC 5280 §4.2)")
        found[identifier] = _extension_value(source, value_parts, name)
    return found


def read_challenge_password(source: bytes, value: Span) -> str:
    """Return the text of a challengePassword, a DirectoryString; raises :class:`DERError`."""
    tag, _, start, end = value
    text, sound = read_string(tag, source[start:end]) if is_string(tag) else ("", False)
    if not sound or len(text) > _MOST_PASSWORD:
        raise DERError(
            f"attribute challengePassword: expected a string of at most {_MOST_PASSWORD} characters (RFC 2985 §5.4.1)"
        )
    return text


def at_most(source: bytes, start: int, end: int, most: int, what: str) -> Iterator[Span]:
    """Yield the elements between two offsets; more than ``most`` raise :class:`DERError`."""
    at = start
    for _ in range(most):
        if at == end:
            return
        tag, content, after = element(source, at)
        if after > end:
            raise DERError(f"{what}: an element extends past the end of its container")
        yield tag, at, content, after
        at = after
    if at != end:
        raise DERError(f"{what}: expected at most {most}")


def is_oid(content: bytes) -> bool:
    """Whether content octets are an OID in DER: no arc has a leading zero octet (X.690 §8.19.2)."""
    if not content or len(content) > _MOST_OID_OCTETS or content[-1] & 0x80 or content[0] == 0x80:  # noqa: PLR2004
        return False
    return not any(octet == 0x80 and not before & 0x80 for before, octet in pairwise(content))  # noqa: PLR2004


def _extension_value(source: bytes, parts: list[Span], name: str) -> bytes:
    """Read ``critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING``."""
    if len(parts) > 1:
        critical = parts.pop(0)
        if critical[0] != BOOLEAN or source[critical[2] : critical[3]] != b"\xff":
            raise DERError(f"extension {name}: expected critical to be TRUE or left out (X.690 §11.5)")
    if len(parts) != 1 or parts[0][0] != OCTET_STRING:
        raise DERError(f"extension {name}: expected its value in an OCTET STRING")
    return source[parts[0][2] : parts[0][3]]


def _dotted(where: str, content: bytes) -> str:
    if not is_oid(content):
        raise DERError(f"{where}: expected an OID (got {content[:32].hex() or 'nothing'})")
    return dotted(content)


class CSRError(EstsimError):
    """Bytes that are not a certification request, or one without proof of possession of its key."""


@dataclass(frozen=True, slots=True)
class CSRFacts:
    """What a request asks for, as encoded in it; ``san_der`` is the value of the extension (GeneralNames)."""

    subject_der: bytes
    san_der: bytes | None
    public_key_der: bytes  # SubjectPublicKeyInfo
    challenge_password: str | None
    change_subject_name: bytes | None  # the value of the attribute
    extensions: Mapping[bytes, bytes] = field(default_factory=dict)  # requested ones, by OID
    signature: bytes = b""  # the OID of its algorithm


def build_csr(
    key: CertificateIssuerPrivateKeyTypes,
    subject_der: bytes,
    san_der: bytes | None = None,
    *,
    challenge_password: str | None = None,
    extensions: Iterable[bytes] = (),
    hash_name: str | None = None,
) -> bytes:
    """Return a signed request as DER; the signature is the proof of possession (RFC 7030 §4.2.1).

    ``san_der`` is the value of the extension, ``extensions`` are others, whole and as DER; ``hash_name`` is that of the
    signature, None the one that fits the key. RFC 2986 §4.1: ``CertificationRequestInfo ::= SEQUENCE { version,
    subject, subjectPKInfo, [0] attributes }``.
    """
    spki = encoded_key(key.public_key())
    requested = b"".join((b"" if san_der is None else extension("2.5.29.17", san_der), *extensions))
    attributes = sorted(
        ([_attribute(EXTENSION_REQUEST, encode(SEQUENCE, requested))] if requested else [])
        + ([] if challenge_password is None else [_attribute(CHALLENGE_PASSWORD, _utf8(challenge_password))])
    )
    asked = encode(SEQUENCE, _VERSION_1 + subject_der + spki + encode(_ATTRIBUTES, b"".join(attributes)))
    return signed(key, asked, hash_name)


def _attribute(kind: bytes, value: bytes) -> bytes:
    return encode(SEQUENCE, encode(OBJECT_IDENTIFIER, kind) + encode(SET, value))


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
    _, start, end = element(algorithm_der, 0)
    return replace(facts, signature=typed(algorithm_der, start, end, "an AlgorithmIdentifier")[0])


def subject_asked_for(der: bytes) -> bytes | None:
    """Return the Subject of a request without checking its signature; None where it cannot be read."""
    try:
        _, start, end = element(der, 0)
        (_, asked, _, asked_end), *_ = children(der, start, end)
        _, start, end = element(der[asked:asked_end], 0)
        subject = children(der[asked:asked_end], start, end)[1]
    except (DERError, ValueError, IndexError):
        return None
    return der[asked:asked_end][subject[1] : subject[3]]


def _octets(der: bytes, signature: Span) -> bytes:
    """Return the content of a BIT STRING of whole octets, empty for any other."""
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
    requested = found.get(EXTENSION_REQUEST)
    extensions = {} if requested is None else read_requested_extensions(asked, requested)
    password, change = found.get(CHALLENGE_PASSWORD), found.get(CHANGE_SUBJECT_NAME)
    return CSRFacts(
        subject_der=asked[subject[1] : subject[3]],
        san_der=extensions.get(SUBJECT_ALT_NAME),
        public_key_der=asked[spki[1] : spki[3]],
        challenge_password=None if password is None else read_challenge_password(asked, password),
        change_subject_name=None if change is None else asked[change[1] : change[3]],
        extensions=extensions,
    )
