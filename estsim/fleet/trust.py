"""What the fleet trusts in the server, before it has fetched anything: a PEM file's authorities, or the system's."""

import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from estsim.errors import UsageError
from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import CertificateUnreadable, read_certificate
from estsim.net.openssl import can_read, require_readable
from estsim.pki.pem import certificates_in_pem, read_pem


@dataclass(frozen=True, slots=True)
class Trust:
    """Anchors for TLS as DER, and the authorities that issued certificates must chain to, None if yet to be fetched.

    ``explicit`` anchors are the EST CA's own, implicit ones the web's (RFC 7030 §1.1, §3.6).
    """

    anchors: tuple[bytes, ...]
    explicit: bool
    authorities: CertificateAuthorities | None


def trust_of(ca: Path | None) -> Trust:
    """Trust the authorities of a PEM file, or without one those of the system. Raises UsageError."""
    return trust_file(ca) if ca else system_trust()


def trust_file(path: Path) -> Trust:
    """Trust the certificates of a PEM file; raises UsageError where it cannot be read or holds none."""
    certificates = read_pem(path, certificates_in_pem, "certificates")
    require_readable(path, certificates)
    anchors = tuple(certificate.der for certificate in certificates)
    return Trust(anchors, explicit=True, authorities=CertificateAuthorities(certificates))


def system_trust() -> Trust:
    """Trust what this machine trusts on the web; it says nothing about who may issue device certificates."""
    anchors = _usable(ssl.create_default_context().get_ca_certs(binary_form=True))
    if not anchors:
        raise UsageError("this machine has no trusted CA certificates: set target.trust: {ca: FILE}")
    return Trust(anchors, explicit=False, authorities=None)


def _usable(found: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the certificates that can be read: a system's store may hold odd old ones."""
    sound = []
    for der in found:
        with suppress(CertificateUnreadable):
            if can_read(der):
                sound.append(read_certificate(der).der)
    return tuple(sound)
