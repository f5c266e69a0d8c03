"""What the body of a 200 carries, by operation: CA certificates, an issued certificate, CSR attributes.

Every function here is total: a body that cannot be used is a :class:`Malformed`.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from estsim.est.authorities import authorities_of, is_root, newest_root_first
from estsim.est.certificate import Certificate, CertificateUnreadable, read_certificate
from estsim.est.certs_only import BER, CertsOnlyError, read_certs_only
from estsim.est.der import OBJECT_IDENTIFIER, SEQUENCE, DERError, children, element, from_ber
from estsim.est.operations import CERTS_ONLY, Operation
from estsim.est.outcome import (
    CACertificates,
    CSRAttributes,
    Issued,
    Malformed,
    NoCSRAttributes,
    NonConformance,
    Outcome,
)
from estsim.est.public_keys import KeyUnreadable, is_same_key, public_key
from estsim.est.transfer import TransferError, decode_body

Notes = tuple[NonConformance, ...]

EXTRA_CERTIFICATES: Final = NonConformance("extra certificates", "RFC 7030 §4.2.3")
NO_ROOT: Final = NonConformance("root missing", "RFC 7030 §4.1.3")
CHAIN_MISSING: Final = NonConformance("chain missing", "RFC 7030 §4.1.3")
SET_ASIDE: Final = NonConformance("unusable CA certificate", "RFC 7030 §4.1.3")
UNREADABLE_BESIDE: Final = NonConformance("unreadable extra certificate", "RFC 7030 §4.2.3")
CA_ISSUED: Final = NonConformance("CA certificate issued to a device", "RFC 5280 §4.2.1.9")
NO_SMIME_TYPE: Final = NonConformance("no smime-type", "RFC 7030 §4.2.3")

_WRONG_TYPE: Final = {
    operation: NonConformance("wrong content type", operation.spec.section) for operation in Operation
}
_SIMPLE: Final = frozenset({Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL})
_REMEMBERED_BODIES: Final = 32  # of up to 1 MiB each; a run hardly meets more trust centers
_MOST_CASES: Final = 3  # of one oddity in a detail
_LONGEST_CASE: Final = 300  # characters


def read_body(operation: Operation, body: bytes, public_key_der: bytes | None = None) -> tuple[Outcome, Notes]:
    """Read the body of a 200; ``public_key_der`` picks the issued certificate out of several."""
    if operation is Operation.CACERTS:
        return _read_ca_certificates(body)
    if operation is Operation.CSRATTRS:
        return _read_csr_attributes(body)
    if operation is Operation.SERVERKEYGEN:
        return Malformed("server-generated keys cannot be read by this version", operation.spec.section), ()
    return _read_issued(operation, body, public_key_der)


def content_type_notes(operation: Operation, content_type: str | None) -> Notes:
    """Return what is wrong with a 200's Content-Type; on cacerts the smime-type parameter is optional."""
    if content_type == CERTS_ONLY and operation in _SIMPLE:
        return ()
    media_type, *parameters = (content_type or "").split(";")
    if media_type.strip().lower() != operation.spec.answers:
        return (_WRONG_TYPE[operation],)
    if operation in _SIMPLE:
        given = {parameter.strip().lower().replace('"', "") for parameter in parameters}
        return () if "smime-type=certs-only" in given else (NO_SMIME_TYPE,)
    return ()


def _read_certificates(body: bytes) -> tuple[tuple[Certificate, ...], tuple[str, ...], Notes]:
    """Read a body of certificates: those that can be read, and what is wrong with each of the others.

    Raises :class:`TransferError`, and :class:`CertsOnlyError` where there is none at all.
    """
    der, transfer_notes = decode_body(body)
    encoded, notes = read_certs_only(der)
    if not encoded:
        raise CertsOnlyError("expected certificates, got none")
    certificates: list[Certificate] = []
    unreadable: list[str] = []
    for number, each in enumerate(encoded, start=1):
        try:
            certificates.append(read_certificate(each))
        except CertificateUnreadable as error:
            unreadable.append(f"certificate {number} of {len(encoded)}: {error}" if len(encoded) > 1 else str(error))
    if not certificates:
        raise CertsOnlyError(f"expected certificates, got none usable: {_some(unreadable)}")
    return tuple(certificates), tuple(unreadable), transfer_notes + notes


_remembered: Final[dict[bytes, tuple[Outcome, Notes]]] = {}  # the oldest first; of CA certificates, by body


def is_remembered(operation: Operation, body: bytes) -> bool:
    """Whether a body was read before and is not read again."""
    return operation is Operation.CACERTS and body in _remembered


def _read_ca_certificates(body: bytes) -> tuple[Outcome, Notes]:
    """Read CA certificates, once for a whole fleet that receives the same bytes. Safe for threads."""
    known = _remembered.get(body)
    if known is None:
        known = _remembered[body] = _judge_ca_certificates(body)
        for oldest in list(_remembered)[:-_REMEMBERED_BODIES]:
            _remembered.pop(oldest, None)
    return known


def _judge_ca_certificates(body: bytes) -> tuple[Outcome, Notes]:
    """Read CA certificates; one that cannot be used is left out and noted."""
    section = Operation.CACERTS.spec.section
    try:
        certificates, unreadable, notes = _read_certificates(body)
    except TransferError as error:
        return Malformed(str(error), "RFC 8951 §3"), ()
    except CertsOnlyError as error:
        return Malformed(str(error), section), ()
    keyless = {each: f"{each.subject}: {why}" for each in certificates if (why := _wrong_key(each)) is not None}
    usable = newest_root_first(each for each in certificates if each not in keyless)
    aside = (*unreadable, *keyless.values())
    if not usable:
        return Malformed(f"expected CA certificates, got none usable: {_some(aside)}", section), ()
    if aside:
        notes = (*notes, replace(SET_ASIDE, detail=_some(aside)))
    return CACertificates(usable, authorities_of(usable)), notes + _oddities(usable) + _path_notes(usable)


def _path_notes(certificates: tuple[Certificate, ...]) -> Notes:
    """Note what the set lacks: "the current root CA certificate", and what every path to it needs."""
    if not is_root(certificates[0]):
        return (NO_ROOT,)
    lacking = [f"{each.subject}: {why}" for each, why in authorities_of(certificates).unchained if not is_root(each)]
    return (replace(CHAIN_MISSING, detail=_some(lacking)),) if lacking else ()


def _oddities(certificates: Iterable[Certificate]) -> Notes:
    """Return each rule that certificates break, once, with the certificates that break it."""
    found: dict[NonConformance, list[str]] = {}
    for certificate in certificates:
        for odd in certificate.oddities:
            found.setdefault(odd, []).append(": ".join(filter(None, (certificate.subject, odd.detail))))
    return tuple(replace(odd, detail=_some(who)) for odd, who in found.items())


def _wrong_key(certificate: Certificate) -> str | None:
    try:
        public_key(certificate.spki)
    except KeyUnreadable as error:
        return f"public key cannot be read: {error}"
    return None


def _some(cases: Iterable[str]) -> str:
    """Return the first cases as text, and how many more there are."""
    listed = list(cases)
    more = f"; and {len(listed) - _MOST_CASES} more" if len(listed) > _MOST_CASES else ""
    return "; ".join(_shortened(case) for case in listed[:_MOST_CASES]) + more


def _shortened(case: str) -> str:
    """Cut a text that foreign names may make long."""
    return case if len(case) <= _LONGEST_CASE else f"{case[: _LONGEST_CASE - 1]}…"


def _read_issued(operation: Operation, body: bytes, public_key_der: bytes | None) -> tuple[Outcome, Notes]:
    """Read an issued certificate: "containing only the certificate that was issued"."""
    try:
        certificates, unreadable, notes = _read_certificates(body)
    except TransferError as error:
        return Malformed(str(error), "RFC 8951 §3"), ()
    except CertsOnlyError as error:
        return Malformed(str(error), operation.spec.section), ()
    issued, *others = certificates
    if len(certificates) > 1:
        issued = _issued_among(certificates, public_key_der)
        others = [certificate for certificate in certificates if certificate is not issued]
    if others:
        notes = (*notes, replace(EXTRA_CERTIFICATES, detail=_some(each.subject for each in others)))
    if unreadable:
        notes = (*notes, replace(UNREADABLE_BESIDE, detail=_some(unreadable)))
    if issued.is_ca:
        notes = (*notes, CA_ISSUED)
    return Issued(issued, tuple(others)), notes + issued.oddities


def _issued_among(certificates: tuple[Certificate, ...], public_key_der: bytes | None) -> Certificate:
    """Return the certificate that holds the request's key, else the first that issued none of the others."""
    for certificate in certificates:
        if public_key_der is not None and is_same_key(certificate.spki, public_key_der):
            return certificate
    issuers = {certificate.issuer_der for certificate in certificates}
    return next((each for each in certificates if each.subject_der not in issuers), certificates[0])


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
        return Malformed(f"expected CSR attributes in DER: {error}", Operation.CSRATTRS.spec.section), ()
    if entries is None:
        return Malformed("expected CSR attributes, got a different structure", Operation.CSRATTRS.spec.section), ()
    return (CSRAttributes(der) if entries else NoCSRAttributes()), notes


def _csr_attribute_tags(der: bytes) -> list[int] | None:
    """Return the tags of the entries, or None for another structure."""
    tag, start, end = element(der, 0)
    if tag != SEQUENCE or end != len(der):
        return None
    tags = [entry[0] for entry in children(der, start, end)]
    return tags if set(tags) <= {OBJECT_IDENTIFIER, SEQUENCE} else None
