"""certs-only messages: CMS SignedData that carries certificates and signs nothing (RFC 5272 §4.1, RFC 5652 §5.1).

Read and written here at a tenth of the library's cost; BER is noted instead of warned about. Certificates go in and
come out as DER.
"""

from collections.abc import Iterable
from typing import Final

from estsim.errors import EstsimError
from estsim.est.der import (
    INTEGER,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    SET,
    DERError,
    Span,
    children,
    element,
    encode,
    from_ber,
)
from estsim.est.outcome import NonConformance

BER: Final = NonConformance("BER", "RFC 8951 §3")
TRAILING_BYTES: Final = NonConformance("trailing bytes after the message", "RFC 8951 §3")
NOT_ONLY_CERTIFICATES: Final = NonConformance("not certs-only", "RFC 5272 §4.1")

_SIGNED_DATA: Final = bytes.fromhex("2a864886f70d010702")
_DATA: Final = bytes.fromhex("2a864886f70d010701")
_CERTIFICATES: Final = 0xA0
_EXPLICIT_0: Final = 0xA0


class CertsOnlyError(EstsimError):
    """Bytes that are not a certs-only message."""


def encode_certs_only(certificates: Iterable[bytes]) -> bytes:
    """Return a certs-only message of certificates in DER; a SET has no order, and DER sorts it (X.690 §11.6)."""
    version, empty = encode(INTEGER, b"\x01"), encode(SET, b"")
    data = encode(SEQUENCE, encode(OBJECT_IDENTIFIER, _DATA))
    signed_data = encode(
        SEQUENCE, version + empty + data + encode(_CERTIFICATES, b"".join(sorted(certificates))) + empty
    )
    return encode(SEQUENCE, encode(OBJECT_IDENTIFIER, _SIGNED_DATA) + encode(_EXPLICIT_0, signed_data))


def read_certs_only(der: bytes) -> tuple[tuple[bytes, ...], tuple[NonConformance, ...]]:
    """Return the certificates of a certs-only message, as DER in the order they came, and what was wrong with it.

    Raises :class:`CertsOnlyError`.
    """
    try:
        return _read(der)
    except DERError as error:
        try:
            certificates, notes = _read(from_ber(der))
        except DERError:
            raise CertsOnlyError(f"expected a certs-only message in DER: {error}") from error
        return certificates, (BER, *notes)


def _read(der: bytes) -> tuple[tuple[bytes, ...], tuple[NonConformance, ...]]:
    """Read ``ContentInfo { signedData, [0] SignedData }``."""
    tag, start, end = element(der, 0)
    notes = () if end == len(der) else (TRAILING_BYTES,)
    content = children(der, start, end)
    if tag != SEQUENCE or [part[0] for part in content] != [OBJECT_IDENTIFIER, _EXPLICIT_0]:
        raise CertsOnlyError("expected a certs-only message, got a different structure")
    if der[content[0][2] : content[0][3]] != _SIGNED_DATA:
        raise CertsOnlyError("expected CMS signed-data, got a different content type")
    tag, start, end = element(der, content[1][2])
    parts = children(der, start, end)
    tags = [part[0] for part in parts]
    if tag != SEQUENCE or tags[:3] != [INTEGER, SET, SEQUENCE] or tags[-1] != SET:
        raise CertsOnlyError("expected CMS signed-data, got a different structure")
    has_content = len(children(der, *parts[2][2:])) > 1
    has_signers = parts[-1][2] != parts[-1][3]
    if has_content or has_signers:
        notes = (*notes, NOT_ONLY_CERTIFICATES)
    if tags[3] != _CERTIFICATES:
        return (), notes
    return _certificates(der, children(der, *parts[3][2:]), notes)


def _certificates(
    der: bytes, choices: list[Span], notes: tuple[NonConformance, ...]
) -> tuple[tuple[bytes, ...], tuple[NonConformance, ...]]:
    """Return the certificates of a CertificateSet; its other choices (attribute certificates) are skipped."""
    plain = tuple(der[start:end] for tag, start, _, end in choices if tag == SEQUENCE)
    if len(plain) != len(choices) and NOT_ONLY_CERTIFICATES not in notes:
        notes = (*notes, NOT_ONLY_CERTIFICATES)
    return plain, notes
