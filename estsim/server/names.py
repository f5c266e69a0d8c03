"""The names that a certificate will carry, byte for byte as the request gives them (RFC 7030 §4.2.2, RFC 6402 §2.8).

RFC 7030 has Subject and SubjectAltName compared, and encodings differ where texts do not, so the SubjectAltName is
copied raw, and a Subject that the library would encode otherwise is refused rather than altered.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography import x509

from estsim.est.certs_only import LIBRARY_ERRORS
from estsim.est.csr import CSRFacts
from estsim.est.der import INTEGER, OBJECT_IDENTIFIER, SEQUENCE, SET, DERError, children, encode

_CHANGE_SUBJECT_NAME: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.7.36")
_ECDSA_SHA256: Final = bytes.fromhex("2a8648ce3d040302")
_BIT_STRING: Final = 0x03
_ATTRIBUTES: Final = 0xA0
_EMPTY_NAME: Final = encode(SEQUENCE, b"")


class NamesError(ValueError):
    """Names that cannot be certified; the text says what was expected."""


@dataclass(frozen=True, slots=True)
class Names:
    """A Subject, and the value of a SubjectAltName extension."""

    subject: x509.Name
    subject_der: bytes
    san_der: bytes | None

    @property
    def digest(self) -> bytes:
        """A digest of both, by which requests for other names are told apart."""
        return sha256(self.subject_der + b"\0" + (self.san_der or b"")).digest()

    @property
    def san(self) -> x509.Extension[x509.UnrecognizedExtension] | None:
        """The SubjectAltName for a certificate: raw, and critical where there is no Subject (RFC 5280 §4.2.1.6)."""
        if self.san_der is None:
            return None
        oid = x509.SubjectAlternativeName.oid
        raw = x509.UnrecognizedExtension(oid, self.san_der)
        return x509.Extension(oid, self.subject_der == _EMPTY_NAME, raw)


def requested_names(csr: x509.CertificateSigningRequest, facts: CSRFacts, *, renewing: bool) -> Names:
    """Return the names a request asks for; raises :class:`NamesError`.

    On re-enrolment the ChangeSubjectName attribute, where it carries names, overrides those of the request itself.
    """
    try:
        subject_der, san_der = facts.subject_der, facts.san_der
        if renewing and facts.change_subject_name:
            changed_subject, changed_san = _changed(csr)
            subject_der, san_der = changed_subject or subject_der, changed_san or san_der
        if san_der is not None:
            _read_san(san_der)
            csr.extensions  # noqa: B018 - read for its errors: a name that the library cannot read, nobody here can
        subject = csr.subject if subject_der == facts.subject_der else _read_name(subject_der, facts.public_key_der)
        same = subject.public_bytes() == subject_der
    except (DERError, *LIBRARY_ERRORS) as error:
        raise NamesError(f"the names of the request cannot be read: {error}") from error
    if not same:
        raise NamesError("expected a Subject in DER with usual string types (this one would come out altered)")
    if subject_der == _EMPTY_NAME and san_der is None:
        raise NamesError("expected a Subject or a SubjectAltName (got neither)")
    return Names(subject, subject_der, san_der)


def _changed(csr: x509.CertificateSigningRequest) -> tuple[bytes | None, bytes | None]:
    """Read ``ChangeSubjectName ::= SEQUENCE { subject Name OPTIONAL, subjectAlt GeneralNames OPTIONAL }``.

    Both are SEQUENCEs; only the elements tell them apart: those of a Name are SETs.
    """
    value = csr.attributes.get_attribute_for_oid(_CHANGE_SUBJECT_NAME).value
    subject_der = san_der = None
    for tag, start, content, end in children(value, 0, len(value)):
        inner = children(value, content, end)
        if tag != SEQUENCE:
            raise DERError("expected a Name or GeneralNames in ChangeSubjectName")
        if all(kind == SET for kind, *_ in inner):
            subject_der = value[start:end]
        else:
            san_der = value[start:end]
    return subject_der, san_der


def _read_san(san_der: bytes) -> None:
    """Check the shape of GeneralNames: a client of ours or another's will have to read them."""
    names = children(san_der, 0, len(san_der))
    if len(names) != 1 or names[0][0] != SEQUENCE or names[0][2] == names[0][3]:
        raise DERError("expected at least one GeneralName in the SubjectAltName")
    children(san_der, *names[0][2:])


def _read_name(name_der: bytes, public_key_der: bytes) -> x509.Name:
    """Read a Name by way of a request that holds it, the only way the library offers; nobody looks at its signature."""
    version, no_attributes = encode(INTEGER, b"\x00"), encode(_ATTRIBUTES, b"")
    asked = encode(SEQUENCE, version + name_der + public_key_der + no_attributes)
    algorithm = encode(SEQUENCE, encode(OBJECT_IDENTIFIER, _ECDSA_SHA256))
    return x509.load_der_x509_csr(encode(SEQUENCE, asked + algorithm + encode(_BIT_STRING, b"\x00\x00"))).subject
