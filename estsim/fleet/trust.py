"""What the fleet trusts in the server, before it has fetched anything: a PEM file's authorities, or the system's."""

import ssl
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from estsim.errors import UsageError
from estsim.est.verify import CertificateAuthorities


@dataclass(frozen=True, slots=True)
class Trust:
    """Anchors for TLS as DER, and the authorities that issued certificates must chain to, None if yet to be fetched.

    ``explicit`` anchors are the EST CA's own, implicit ones the web's (RFC 7030 §1.1, §3.6).
    """

    anchors: tuple[bytes, ...]
    explicit: bool
    authorities: CertificateAuthorities | None


def trust_file(path: Path) -> Trust:
    """Trust the certificates of a PEM file; raises UsageError where it cannot be read or holds none."""
    try:
        certificates = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: expected certificates in PEM: {error}") from error
    anchors = tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)
    return Trust(anchors, explicit=True, authorities=CertificateAuthorities(certificates))


def system_trust() -> Trust:
    """Trust what this machine trusts on the web; it says nothing about who may issue device certificates."""
    anchors = _usable(ssl.create_default_context().get_ca_certs(binary_form=True))
    if not anchors:
        raise UsageError("this machine has no trusted certificates: name the server's with target.trust: {ca: FILE}")
    return Trust(anchors, explicit=False, authorities=None)


def _usable(found: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the certificates that the library reads without complaint: a system's store may hold odd old ones."""
    sound = []
    for der in found:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                x509.load_der_x509_certificate(der)
            except (ValueError, Warning):
                continue
        sound.append(der)
    return tuple(sound)
