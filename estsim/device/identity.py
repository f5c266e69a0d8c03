"""Who a device is: its bootstrap credential, what it was issued, and the key of a request under way.

Sleeping devices keep keys and certificates as DER (0.7 KiB together); chains and authorities are shared by the fleet.
Keys live in memory only and never show in a repr.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509

from estsim.device.request_form import RequestForm
from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import read_certificate
from estsim.est.digest import DigestChallenge
from estsim.pki.credentials import StoredCredential

_NO_NAME: Final = b"\x30\x00"


@dataclass(slots=True)
class DigestSession:
    """A Digest challenge that a device answers, and how many requests have used its nonce."""

    challenge: DigestChallenge
    count: int = 0


@dataclass(slots=True)
class Identity:
    """What one device owns."""

    bootstrap: StoredCredential | None = None
    issued: StoredCredential | None = None
    pending_key_der: bytes | None = field(default=None, repr=False)
    authorities: CertificateAuthorities | None = None  # fetched; None until then
    form: RequestForm | None = None  # of requests, by the CSR attributes that were fetched
    wants_proof: bool = False  # the CSR attributes that were fetched list challengePassword
    digest: DigestSession | None = None  # of a device that sends Digest credentials unasked


@dataclass(frozen=True, slots=True)
class RequestedNames:
    """The names that a cohort's devices enroll for; None stands for those of each device's bootstrap certificate."""

    subject: Callable[[int], x509.Name] | None
    sans: Callable[[int], x509.SubjectAlternativeName | None] | None

    def of(self, device: int, bootstrap: StoredCredential | None) -> tuple[bytes, bytes | None]:
        """Return a device's Subject and SubjectAltName as DER; those of its certificate as they are encoded there."""
        if bootstrap is not None and (self.subject is None or self.sans is None):
            own = read_certificate(bootstrap.certificate_der)  # kept once, as the certificate
            subject_der, san_der = own.subject_der, own.san_der
        else:
            subject_der, san_der = _NO_NAME, None
        if self.subject is not None:
            subject_der = self.subject(device).public_bytes()
        if self.sans is not None:
            san = self.sans(device)
            san_der = san.public_bytes() if san else None
        return subject_der, san_der
