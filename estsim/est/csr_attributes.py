"""The attributes of a certification request (RFC 2986 §4.1), read strictly: each fault is told with the part it is in.

What cannot be read for certain is not guessed at: of two extensionRequest attributes one would be certified and the
other not.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from estsim.est.der import BOOLEAN, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, DERError, children, element
from estsim.est.oid import dotted, oid
from estsim.est.text import is_string, read_string

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

Span = tuple[int, int, int, int]  # tag, start, content start, end


def read_attributes(source: bytes, start: int, end: int) -> dict[bytes, Span]:
    """Return the value of each attribute that means something here; raises :class:`DERError` that names the part."""
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
    """Return the values of the extensions asked for, by OID; raises :class:`DERError` that names the part."""
    tag, _, start, end = value
    if tag != SEQUENCE:
        raise DERError("attribute extensionRequest: expected Extensions (RFC 2985 §5.4.2)")
    found: dict[bytes, bytes] = {}
    for kind, _, content, after in at_most(source, start, end, _MOST, "extensions"):
        parts = children(source, content, after) if kind == SEQUENCE else []
        if not parts or parts[0][0] != OBJECT_IDENTIFIER:
            raise DERError("extensionRequest: expected an Extension that begins with its OID (RFC 5280 §4.1)")
        identifier = source[parts[0][2] : parts[0][3]]
        name = "subjectAltName" if identifier == SUBJECT_ALT_NAME else _dotted("extensionRequest", identifier)
        if identifier in found:  # RFC 5280 §4.2: "MUST NOT include more than one instance of a particular extension"
            raise DERError(f"extension {name} appears twice (RFC 5280 §4.2)")
        found[identifier] = _extension_value(source, parts[1:], name)
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
    """Yield (tag, start, content start, end) of the elements between two offsets; more than ``most`` are refused."""
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
    """Whether content octets are an OID in DER: no arc begins with a needless octet (X.690 §8.19.2)."""
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
