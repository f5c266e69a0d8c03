"""What holds of every certificate that the sandbox issues: OpenSSL and we can read it, and it is what was asked for."""

import base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import crypto

from estsim.est.certificate import CertificateUnreadable, read_certificate
from estsim.est.certs_only import read_certs_only
from estsim.est.der import DERError, children, element
from estsim.est.names import COUNTRY_OF_TWO_LETTERS
from estsim.server.pki import Pki


def issued_in(body: bytes) -> bytes:
    """Return the certificate in the body of an answer."""
    (certificate,) = read_certs_only(base64.b64decode(body))[0]
    return certificate


def certificate_problems(der: bytes, csrs: Sequence[bytes], pki: Pki) -> Iterator[str]:
    """Yield what is wrong with a certificate that one of the requests has brought."""
    try:
        ours = read_certificate(der)
    except CertificateUnreadable as error:
        yield f"we cannot read what was issued: {error} ({der.hex()})"
        return
    if odd := [each.rule for each in ours.oddities if each != COUNTRY_OF_TWO_LETTERS]:  # which is certified as asked
        yield f"what was issued is odd: {odd} ({der.hex()})"
    try:
        openssl = crypto.load_certificate(crypto.FILETYPE_ASN1, der)
    except crypto.Error as error:
        yield f"OpenSSL cannot read what was issued: {error} ({der.hex()})"
        return
    store = crypto.X509Store()
    for each in pki.ca_certificates:
        store.add_cert(crypto.load_certificate(crypto.FILETYPE_ASN1, each.der))
    # OpenSSL reads a coarse clock, which reaches a second some milliseconds late; here a millisecond is a long time.
    store.set_time(datetime.now(UTC) + timedelta(seconds=1))
    try:
        crypto.X509StoreContext(store, openssl).verify_certificate()
    except crypto.X509StoreContextError as error:
        yield f"OpenSSL refuses what was issued: {error} ({der.hex()})"
    if not any(_is_what(csr, ours.spki, ours.subject_der, ours.san_der) for csr in csrs):
        yield f"what was issued is not what was asked for ({der.hex()})"


def _is_what(csr: bytes, spki: bytes, subject: bytes, san: bytes | None) -> bool:
    """Whether a request asks for this key and these names; one that changes its names is believed as to them."""
    try:
        _, start, end = element(csr, 0)
        information = children(csr, start, end)[0]
        parts = children(csr, *information[2:])
    except (DERError, IndexError):
        return False
    asked = [csr[part[1] : part[3]] for part in parts]
    if spki not in asked:
        return _same_key(csr, spki)
    if bytes.fromhex("2b06010505070724") in asked[-1]:  # ChangeSubjectName
        return True
    return subject in asked and (san is None or san in asked[-1])


def _same_key(csr: bytes, spki: bytes) -> bool:
    try:
        key = x509.load_der_x509_csr(csr).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return False
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == spki
