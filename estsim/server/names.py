"""The names that a certificate will carry, byte for byte as requested (RFC 7030 §4.2.2, RFC 6402 §2.8).

RFC 7030 requires Subject and SubjectAltName to be identical, and encodings of one text differ, so both are copied raw.
Names that OpenSSL and some clients cannot read, such as a dNSName with a space, are refused by their part.
"""

import re
from typing import Final

from estsim.est.csr import CSRFacts, at_most, is_oid
from estsim.est.der import (
    BMP_STRING,
    IA5_STRING,
    NULL,
    NUMERIC_STRING,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    PRINTABLE_STRING,
    SEQUENCE,
    SET,
    TELETEX_STRING,
    UNIVERSAL_STRING,
    UTF8_STRING,
    DERError,
    children,
    dotted,
    element,
    read_string,
)
from estsim.est.names import DNS_NAME, IP_ADDRESS
from estsim.pki.names import EMPTY_NAME, Names

_STRINGS: Final = {
    UTF8_STRING: "UTF8String",
    PRINTABLE_STRING: "PrintableString",
    TELETEX_STRING: "TeletexString",
    IA5_STRING: "IA5String",
    NUMERIC_STRING: "NumericString",
    UNIVERSAL_STRING: "UniversalString",
    BMP_STRING: "BMPString",
}
_MOST_NAME_BYTES: Final = 8192
_MOST_NAMES: Final = 1024  # in a SubjectAltName
_MOST_PARTS: Final = 256  # of a Name
_MAIL, _URI, _REGISTERED, _OTHER, _DIRECTORY = 0x81, 0x86, 0x88, 0xA0, 0xA4
_KINDS: Final = {_MAIL: "rfc822Name", DNS_NAME: "dNSName", _URI: "uniformResourceIdentifier"}
_PLAIN: Final = re.compile(rb"[!-~]{1,4096}")  # visible ASCII
_ABSOLUTE_URI: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:.")  # RFC 5280 §4.2.1.6: "MUST NOT be a relative URI"
_MOST_DNS: Final = 253  # RFC 1035 §2.3.4
_ADDRESS_OCTETS: Final = (4, 16)
_EXPLICIT_0: Final = 0xA0

Span = tuple[int, int, int, int]  # tag, start, content start, end


def check_name(name_der: bytes, where: str) -> None:
    """Check a Name (RFC 5280 §4.1.2.4); raises :class:`DERError` that begins with ``where``."""
    if len(name_der) > _MOST_NAME_BYTES:
        raise DERError(f"{where}: expected at most {_MOST_NAME_BYTES} bytes (got {len(name_der)})")
    tag, start, end = element(name_der, 0)
    if tag != SEQUENCE or end != len(name_der):
        raise DERError(f"{where}: expected a Name (RFC 5280 §4.1.2.4)")
    for kind, _, first, last in at_most(name_der, start, end, _MOST_PARTS, where):
        if kind != SET or first == last:
            raise DERError(f"{where}: expected an RDN to be a SET of one attribute or more (X.501 §9.3)")
        before = b""
        for attribute, at, content, after in at_most(name_der, first, last, _MOST_PARTS, where):
            if attribute != SEQUENCE:
                raise DERError(f"{where}: expected an attribute of type and value (X.501 §9.3)")
            _check_attribute(name_der, children(name_der, content, after), where)
            if name_der[at:after] <= before:
                raise DERError(f"{where}: expected an RDN's attributes once each, in the order of DER (X.690 §11.6)")
            before = name_der[at:after]


def check_general_names(san_der: bytes) -> None:
    """Check the value of a SubjectAltName (RFC 5280 §4.2.1.6); raises :class:`DERError` that says what is wrong."""
    tag, start, end = element(san_der, 0)
    if tag != SEQUENCE or end != len(san_der):
        raise DERError("subjectAltName: expected GeneralNames with no trailing bytes")
    if start == end:
        raise DERError("subjectAltName: expected at least one GeneralName")
    for kind, _, first, last in at_most(san_der, start, end, _MOST_NAMES, "subjectAltName"):
        _check_general_name(kind, san_der[first:last])


def _check_attribute(source: bytes, parts: list[Span], where: str) -> None:
    if len(parts) != 2 or parts[0][0] != OBJECT_IDENTIFIER:  # noqa: PLR2004 - type and value
        raise DERError(f"{where}: expected an attribute of type and value (X.501 §9.3)")
    kind, tag, content = source[parts[0][2] : parts[0][3]], parts[1][0], source[parts[1][2] : parts[1][3]]
    if not is_oid(kind):
        raise DERError(f"{where}: expected an OID as an attribute's type (got {kind[:32].hex() or 'nothing'})")
    if tag not in _STRINGS:
        known = ", ".join(_STRINGS.values())
        raise DERError(f"{where}: expected the value of {dotted(kind)} as {known} (got tag {tag:#04x})")
    if not _is_sound(tag, content):
        raise DERError(f"{where}: expected the value of {dotted(kind)} to be a {_STRINGS[tag]} (RFC 5280 §4.1.2.4)")


def _is_sound(tag: int, content: bytes) -> bool:
    """Whether a string is valid for its type in every reader."""
    text, sound = read_string(tag, content)
    surrogates = tag == BMP_STRING and any(0xD8 <= high <= 0xDF for high in content[::2])  # noqa: PLR2004
    return sound and not surrogates and "\0" not in text


def _check_general_name(kind: int, content: bytes) -> None:
    if kind in _KINDS:
        _check_text(kind, content)
    elif kind == IP_ADDRESS:
        if len(content) not in _ADDRESS_OCTETS:
            raise DERError(f"subjectAltName: expected 4 or 16 octets in an iPAddress (got {len(content)})")
    elif kind == _DIRECTORY:
        check_name(content, "subjectAltName: directoryName")
        if content == b"\x30\x00":
            raise DERError("subjectAltName: expected a non-empty directoryName")
    elif kind == _REGISTERED:
        if not is_oid(content):
            raise DERError("subjectAltName: expected an OID as a registeredID")
    elif kind == _OTHER:
        _check_other(content)
    else:
        raise DERError(f"subjectAltName: expected a supported kind of name (got tag {kind:#04x})")


def _check_text(kind: int, content: bytes) -> None:
    what = _KINDS[kind]
    if not _PLAIN.fullmatch(content):
        raise DERError(f"subjectAltName: expected visible ASCII in a {what} (got {content[:80]!r})")
    if kind == DNS_NAME and len(content) > _MOST_DNS:
        raise DERError(f"subjectAltName: expected a dNSName of at most {_MOST_DNS} octets (got {len(content)})")
    if kind == _URI and not _ABSOLUTE_URI.match(content):
        raise DERError(f"subjectAltName: expected an absolute URI (got {content[:80]!r})")


def _check_other(content: bytes) -> None:
    """Check ``OtherName { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }`` for what OpenSSL reads."""
    parts = children(content, 0, len(content))
    if [part[0] for part in parts] != [OBJECT_IDENTIFIER, _EXPLICIT_0] or not is_oid(
        content[parts[0][2] : parts[0][3]]
    ):
        raise DERError("subjectAltName: expected an OID and a value in an otherName")
    values = children(content, *parts[1][2:])
    tag, value = (values[0][0], content[values[0][2] : values[0][3]]) if len(values) == 1 else (0, b"")
    if tag in (OCTET_STRING, SEQUENCE) or (tag == OBJECT_IDENTIFIER and is_oid(value)) or (tag == NULL and not value):
        return
    if tag not in _STRINGS or not _is_sound(tag, value):
        raise DERError(
            "subjectAltName: expected one string, OCTET STRING, OID, NULL or SEQUENCE as an otherName's value"
        )


class NamesError(ValueError):
    """Names that cannot be certified; the text says what was expected."""


def requested_names(facts: CSRFacts, *, renewing: bool) -> Names:
    """Return the requested names; raises :class:`NamesError`.

    On re-enrolment, names in the ChangeSubjectName attribute override those of the request.
    """
    try:
        subject_der, san_der = facts.subject_der, facts.san_der
        if renewing and facts.change_subject_name is not None:
            changed_subject, changed_san = _changed(facts.change_subject_name)
            subject_der, san_der = changed_subject or subject_der, changed_san or san_der
        if san_der is not None:
            check_general_names(san_der)
        check_name(subject_der, "Subject")
    except DERError as error:
        raise NamesError(f"the names of the request cannot be read: {error}") from error
    if subject_der == EMPTY_NAME and san_der is None:
        raise NamesError("expected a Subject or a SubjectAltName (got neither)")
    return Names(subject_der, san_der)


def _changed(value: bytes) -> tuple[bytes | None, bytes | None]:
    """Read ``ChangeSubjectName ::= SEQUENCE { subject Name OPTIONAL, subjectAlt GeneralNames OPTIONAL }``.

    Both are SEQUENCEs; the elements of a Name are SETs.
    """
    ((holder, _, first, last),) = children(value, 0, len(value))
    if holder != SEQUENCE:
        raise DERError("expected a ChangeSubjectName")
    subject_der = san_der = None
    names = children(value, first, last)
    if len(names) > 2:  # noqa: PLR2004 - a Name and GeneralNames
        raise DERError("expected at most a Name and GeneralNames in ChangeSubjectName")
    for tag, start, content, end in names:
        inner = children(value, content, end)
        if tag != SEQUENCE:
            raise DERError("expected a Name or GeneralNames in ChangeSubjectName")
        if all(kind == SET for kind, *_ in inner):
            if subject_der is not None or san_der is not None:  # the order is the SEQUENCE's
                raise DERError("expected a Name, then GeneralNames in ChangeSubjectName")
            subject_der = value[start:end]
        elif san_der is not None:
            raise DERError("expected GeneralNames once in ChangeSubjectName")
        else:
            san_der = value[start:end]
    return subject_der, san_der
