"""certs-only messages: CMS SignedData that carries certificates and signs nothing (RFC 5272 §4.1, RFC 5652 §5.1).

The envelope is walked here: it is a tenth of the library's cost, says where a message is BER, and leaves the library's
warning about that out of the process. The certificates themselves are read by the library.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from estsim.errors import EstsimError
from estsim.est.der import INTEGER, OBJECT_IDENTIFIER, SEQUENCE, SET, DERError, children, element, from_ber
from estsim.est.outcome import NonConformance

BER: Final = NonConformance("BER", "RFC 8951 §3")
TRAILING_BYTES: Final = NonConformance("bytes after the message", "RFC 8951 §3")
NOT_ONLY_CERTIFICATES: Final = NonConformance("not certs-only", "RFC 5272 §4.1")

LIBRARY_ERRORS: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    Warning,  # where the user has the interpreter raise them: odd certificates make the library warn
)
"""What the library raises on certificates and requests that a hostile or careless peer may send."""

_SIGNED_DATA: Final = bytes.fromhex("2a864886f70d010702")
_CERTIFICATES: Final = 0xA0
_EXPLICIT_0: Final = 0xA0


class CertsOnlyError(EstsimError):
    """Bytes that are no certs-only message."""


def encode_certs_only(certificates: Sequence[x509.Certificate]) -> bytes:
    """Return a certs-only message as DER; a SET has no order, so the library sorts it."""
    return pkcs7.serialize_certificates(list(certificates), Encoding.DER)


def decode_certs_only(der: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a certs-only message in the order they came; raises :class:`CertsOnlyError`."""
    return read_certs_only(der)[0]


def read_certs_only(der: bytes) -> tuple[tuple[x509.Certificate, ...], tuple[NonConformance, ...]]:
    """Return the certificates of a certs-only message and what was wrong with it; raises :class:`CertsOnlyError`."""
    try:
        return _read(der)
    except DERError as error:
        try:
            certificates, notes = _read(from_ber(der))
        except DERError:
            raise CertsOnlyError(f"expected a certs-only message, got no DER: {error}") from error
        return certificates, (BER, *notes)


def newest_root_first(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Return the certificates with the self-signed root that is valid longest in front, the rest as they came.

    A CA that changes its key also sends OldWithNew and NewWithOld (RFC 4210 §4.4): their names make them look like
    roots, only their signatures tell.
    """
    given = tuple(certificates)
    roots = [certificate for certificate in given if is_self_signed(certificate)]
    if not roots:
        return given
    newest = max(roots, key=lambda root: root.not_valid_after_utc)
    return (newest, *(certificate for certificate in given if certificate is not newest))


def is_self_signed(certificate: x509.Certificate) -> bool:
    """Whether a certificate's own key signed it."""
    try:
        certificate.verify_directly_issued_by(certificate)
    except (InvalidSignature, *LIBRARY_ERRORS):
        return False
    return True


def _read(der: bytes) -> tuple[tuple[x509.Certificate, ...], tuple[NonConformance, ...]]:
    """Read ``ContentInfo { signedData, [0] SignedData }``."""
    tag, start, end = element(der, 0)
    notes = () if end == len(der) else (TRAILING_BYTES,)
    content = children(der, start, end)
    if tag != SEQUENCE or [part[0] for part in content] != [OBJECT_IDENTIFIER, _EXPLICIT_0]:
        raise CertsOnlyError("expected a certs-only message, got another structure")
    if der[content[0][2] : content[0][3]] != _SIGNED_DATA:
        raise CertsOnlyError("expected CMS signed-data, got another content type")
    tag, start, end = element(der, content[1][2])
    parts = children(der, start, end)
    tags = [part[0] for part in parts]
    if tag != SEQUENCE or tags[:3] != [INTEGER, SET, SEQUENCE] or tags[-1] != SET:
        raise CertsOnlyError("expected CMS signed-data, got another structure")
    has_content = len(children(der, *parts[2][2:])) > 1
    has_signers = parts[-1][2] != parts[-1][3]
    if has_content or has_signers:
        notes = (*notes, NOT_ONLY_CERTIFICATES)
    if tags[3] != _CERTIFICATES:
        return (), notes
    return _certificates(der, children(der, *parts[3][2:]), notes)


def _certificates(
    der: bytes, choices: list[tuple[int, int, int, int]], notes: tuple[NonConformance, ...]
) -> tuple[tuple[x509.Certificate, ...], tuple[NonConformance, ...]]:
    """Load the certificates of a CertificateSet, whose other choices (attribute certificates) are passed over."""
    plain = [der[start:end] for tag, start, _, end in choices if tag == SEQUENCE]
    if len(plain) != len(choices) and NOT_ONLY_CERTIFICATES not in notes:
        notes = (*notes, NOT_ONLY_CERTIFICATES)
    try:
        return tuple(map(x509.load_der_x509_certificate, plain)), notes
    except LIBRARY_ERRORS as error:
        raise CertsOnlyError(f"expected certificates, got one that cannot be read: {error}") from error
