"""What the body of a 200 carries, by operation: CA certificates, an issued certificate, CSR attributes.

Every function here is total: a body that cannot be used is a :class:`Malformed`.
"""

from functools import lru_cache
from typing import Final

from cryptography import x509

from estsim.est.certs_only import (
    BER,
    LIBRARY_ERRORS,
    CertsOnlyError,
    is_self_signed,
    newest_root_first,
    read_certs_only,
)
from estsim.est.csr import parts_of
from estsim.est.der import OBJECT_IDENTIFIER, SEQUENCE, DERError, children, element, from_ber
from estsim.est.operations import CERTS_ONLY, CSRATTRS_TYPE, PKCS7_MIME, Operation
from estsim.est.outcome import (
    CACertificates,
    CSRAttributes,
    Issued,
    Malformed,
    NoCSRAttributes,
    NonConformance,
    Outcome,
)
from estsim.est.transfer import TransferError, decode_body
from estsim.est.verify import authorities_of

Notes = tuple[NonConformance, ...]

EXTRA_CERTIFICATES: Final = NonConformance("extra certificates", "RFC 7030 §4.2.3")
NO_ROOT: Final = NonConformance("root missing", "RFC 7030 §4.1.3")
CHAIN_MISSING: Final = NonConformance("chain missing", "RFC 7030 §4.1.3")
NO_SMIME_TYPE: Final = NonConformance("no smime-type", "RFC 7030 §4.2.3")

SECTIONS: Final = {
    Operation.CACERTS: "RFC 7030 §4.1.3",
    Operation.CSRATTRS: "RFC 7030 §4.5.2",
    Operation.SIMPLEENROLL: "RFC 7030 §4.2.3",
    Operation.SIMPLEREENROLL: "RFC 7030 §4.2.3",
    Operation.SERVERKEYGEN: "RFC 7030 §4.4.2",
    Operation.FULLCMC: "RFC 7030 §4.3.2",
}
"""Where each operation's response is specified."""

_TYPES: Final = {
    Operation.CACERTS: PKCS7_MIME,
    Operation.CSRATTRS: CSRATTRS_TYPE,
    Operation.SIMPLEENROLL: PKCS7_MIME,
    Operation.SIMPLEREENROLL: PKCS7_MIME,
    Operation.SERVERKEYGEN: "multipart/mixed",
    Operation.FULLCMC: PKCS7_MIME,
}
_WRONG_TYPE: Final = {
    operation: NonConformance("wrong content type", section) for operation, section in SECTIONS.items()
}
_SIMPLE: Final = frozenset({Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL})
_REMEMBERED_BODIES: Final = 32  # of up to 1 MiB each, and there are hardly more trust centers in a run


def read_body(operation: Operation, body: bytes, public_key_der: bytes | None = None) -> tuple[Outcome, Notes]:
    """Read the body of a 200; ``public_key_der`` tells the issued certificate from others that came with it."""
    if operation is Operation.CACERTS:
        return _read_ca_certificates(body)
    if operation is Operation.CSRATTRS:
        return _read_csr_attributes(body)
    if operation is Operation.SERVERKEYGEN:
        return Malformed("server-generated keys cannot be read by this version", SECTIONS[operation]), ()
    return _read_issued(operation, body, public_key_der)


def content_type_notes(operation: Operation, content_type: str | None) -> Notes:
    """Return what is wrong with a 200's Content-Type; on cacerts the smime-type parameter is optional."""
    if content_type == CERTS_ONLY and operation in _SIMPLE:
        return ()
    media_type, *parameters = (content_type or "").split(";")
    if media_type.strip().lower() != _TYPES[operation]:
        return (_WRONG_TYPE[operation],)
    if operation in _SIMPLE:
        given = {parameter.strip().lower().replace('"', "") for parameter in parameters}
        return () if "smime-type=certs-only" in given else (NO_SMIME_TYPE,)
    return ()


def _read_certificates(body: bytes) -> tuple[tuple[x509.Certificate, ...], Notes]:
    """Read a body of certificates, at least one; raises :class:`TransferError` or :class:`CertsOnlyError`."""
    der, transfer_notes = decode_body(body)
    certificates, notes = read_certs_only(der)
    if not certificates:
        raise CertsOnlyError("expected certificates, got none")
    return certificates, transfer_notes + notes


@lru_cache(_REMEMBERED_BODIES)
def _read_ca_certificates(body: bytes) -> tuple[Outcome, Notes]:
    """Read CA certificates; remembered by body, because a whole fleet gets the same bytes."""
    section = SECTIONS[Operation.CACERTS]
    try:
        certificates, notes = _read_certificates(body)
    except TransferError as error:
        return Malformed(str(error), "RFC 8951 §3"), ()
    except CertsOnlyError as error:
        return Malformed(str(error), section), ()
    if not all(map(_is_readable, certificates)):
        return Malformed("expected CA certificates, got one that cannot be read", section), ()
    ordered = newest_root_first(certificates)
    return CACertificates(ordered), notes + _path_notes(ordered)


def _path_notes(certificates: tuple[x509.Certificate, ...]) -> Notes:
    """Return what the set lacks: "the current root CA certificate", and all that a path to it needs."""
    if not is_self_signed(certificates[0]):
        return (NO_ROOT,)
    authorities = authorities_of(certificates)
    others = (certificate for certificate in certificates[1:] if not is_self_signed(certificate))
    return () if all(map(authorities.chain_of, others)) else (CHAIN_MISSING,)


def _is_readable(certificate: x509.Certificate) -> bool:
    """Whether all that is read lazily can be, so that nobody who uses the certificate meets an exception."""
    try:
        parts_of(certificate)
        lazily_read = (
            certificate.public_key(),
            certificate.subject,
            certificate.issuer,
            certificate.extensions,
            certificate.not_valid_before_utc,
            certificate.not_valid_after_utc,
        )
    except (DERError, *LIBRARY_ERRORS):
        return False
    return all(part is not None for part in lazily_read)


def _read_issued(operation: Operation, body: bytes, public_key_der: bytes | None) -> tuple[Outcome, Notes]:
    """Read an issued certificate: "containing only the certificate that was issued"."""
    try:
        certificates, notes = _read_certificates(body)
        if len(certificates) == 1:
            return Issued(certificates[0]), notes
        issued = _issued_among(certificates, public_key_der)
    except TransferError as error:
        return Malformed(str(error), "RFC 8951 §3"), ()
    except (CertsOnlyError, DERError) as error:
        return Malformed(str(error), SECTIONS[operation]), ()
    others = tuple(certificate for certificate in certificates if certificate is not issued)
    return Issued(issued, others), (*notes, EXTRA_CERTIFICATES)


def _issued_among(certificates: tuple[x509.Certificate, ...], public_key_der: bytes | None) -> x509.Certificate:
    """Return the certificate that holds the request's key, else the first that issued none of the others."""
    parts = [parts_of(certificate) for certificate in certificates]
    for certificate, own in zip(certificates, parts, strict=True):
        if own.public_key_der == public_key_der:
            return certificate
    issuers = {own.issuer_der for own in parts}
    for certificate, own in zip(certificates, parts, strict=True):
        if own.subject_der not in issuers:
            return certificate
    return certificates[0]


def _read_csr_attributes(body: bytes) -> tuple[Outcome, Notes]:
    """Read ``CsrAttrs ::= SEQUENCE OF CHOICE { OID, Attribute }``; an empty one asks for nothing."""
    try:
        der, notes = decode_body(body)
    except TransferError as error:
        return Malformed(str(error), "RFC 8951 §3"), ()
    try:
        try:
            entries = _csr_attribute_tags(der)
        except DERError:
            der, notes = from_ber(der), (*notes, BER)
            entries = _csr_attribute_tags(der)
    except DERError as error:
        return Malformed(f"expected CSR attributes, got no DER: {error}", SECTIONS[Operation.CSRATTRS]), ()
    if entries is None:
        return Malformed("expected CSR attributes, got another structure", SECTIONS[Operation.CSRATTRS]), ()
    return (CSRAttributes(der) if entries else NoCSRAttributes()), notes


def _csr_attribute_tags(der: bytes) -> list[int] | None:
    """Return the tags of the entries, or None where it is not CSR attributes."""
    tag, start, end = element(der, 0)
    if tag != SEQUENCE or end != len(der):
        return None
    tags = [entry[0] for entry in children(der, start, end)]
    return tags if set(tags) <= {OBJECT_IDENTIFIER, SEQUENCE} else None
