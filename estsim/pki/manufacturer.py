"""The manufacturer CA, which issues the bootstrap certificates of devices, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import time
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key

from estsim.errors import UsageError
from estsim.est.certificate import Certificate, read_certificate
from estsim.est.der import BIT_STRING, encode
from estsim.est.public_keys import encoded_key
from estsim.est.signing import PrivateKey, extension, sign_certificate
from estsim.pki.credentials import StoredCredential
from estsim.pki.extensions import CLIENT_AUTH, basic_constraints, extended_key_usage, serial_number
from estsim.pki.keys import belongs, dump_key, spki_of
from estsim.pki.names import common_name
from estsim.pki.pem import certificates_in_pem, pem, read_pem

_DAY_S: Final = 86_400.0
_BACKDATED_S: Final = 3600.0  # devices are made before they boot, and clocks differ
_VALIDITY_S: Final = 3650 * _DAY_S
_EXPIRED_SINCE_S: Final = 30 * _DAY_S
_KEY_CERT_SIGN: Final = encode(BIT_STRING, b"\x02\x04")  # bit 5, and two bits unused
_PUBLIC_FILE: Final = 0o644


@dataclass(frozen=True)
class ManufacturerCA:
    """A manufacturer's CA certificate with its key; ``chain`` is what a device sends after its own certificate."""

    certificate: Certificate
    key: PrivateKey
    chain: tuple[bytes, ...] = ()

    @classmethod
    def made(cls, name: str) -> "ManufacturerCA":
        """Make a new manufacturer, whose key never leaves this process."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject_der = common_name(f"estsim manufacturer {name}")
        return cls(
            _sign(key, subject_der, subject_der, spki_of(key), basic_constraints(ca=True, path_length=1)),
            key,
        )

    def branch(self, public_key_der: bytes, name: str, *, ends_in_s: float) -> Certificate:
        """Certify a subordinate manufacturer by its public key; its private key stays on another machine.

        Its devices send this certificate with their own, so a server that trusts this manufacturer trusts them. It may
        certify TLS clients only, and no further CAs. Raises UsageError where ``public_key_der`` is not a public key.
        """
        try:
            key = load_der_public_key(public_key_der)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UsageError(f"{name}: expected a public key (SubjectPublicKeyInfo, DER): {error}") from error
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise UsageError(f"{name}: expected an EC public key (got {type(key).__name__})")
        issuer_der = self.certificate.subject_der
        # RFC 5280 §4.2.1.3: keyCertSign alone. §4.2.1.12: a purpose in a CA's certificate holds for those below it.
        extensions = (
            basic_constraints(ca=True, path_length=0)
            + extension("2.5.29.15", _KEY_CERT_SIGN, critical=True)
            + extended_key_usage(CLIENT_AUTH)
        )
        return _sign(self.key, issuer_der, common_name(name), encoded_key(key), extensions, ends_in_s=ends_in_s)

    @classmethod
    def read(cls, cert: Path, key: Path | None = None) -> "ManufacturerCA":
        """Read a manufacturer from PEM files, one for both if ``key`` is None; raises UsageError."""
        certificates = read_pem(cert, certificates_in_pem, "certificates")
        private = read_pem(key or cert, lambda pem: load_pem_private_key(pem, password=None), "an unencrypted key")
        if not isinstance(private, PrivateKey):
            raise UsageError(f"{key or cert}: expected an EC, RSA or Ed25519 key (got {type(private).__name__})")
        if not read_pem(cert, lambda _: belongs(private, certificates[0]), "a key that can be read"):
            raise UsageError(f"{key or cert}: the key does not match the certificate in {cert}")
        above = tuple(each.der for each in certificates if not each.is_self_issued)
        return cls(certificates[0], private, above)

    @property
    def certificate_pem(self) -> bytes:
        """The certificate for a server's trust configuration."""
        return pem(self.certificate.der)

    @cached_property
    def stranger(self) -> "ManufacturerCA":
        """Another manufacturer, unknown to every server."""
        return ManufacturerCA.made("unknown")

    def issue(
        self, key: PrivateKey, subject: x509.Name, *, purpose: str = CLIENT_AUTH, expired: bool = False
    ) -> StoredCredential:
        """Issue a device's bootstrap certificate; ``purpose`` is its extended key usage."""
        certificate = _sign(
            self.key,
            self.certificate.subject_der,
            subject.public_bytes(),
            spki_of(key),
            extended_key_usage(purpose),
            ends_in_s=-_EXPIRED_SINCE_S if expired else _VALIDITY_S,
        )
        return StoredCredential(certificate.der, dump_key(key), self.chain)


def export_authorities(factories: Mapping[str, ManufacturerCA], folder: Path) -> None:
    """Write each authority's certificate to ``NAME.pem``, for a server's trust; raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, factory in factories.items():
            path = folder / f"{name}.pem"
            path.write_bytes(factory.certificate_pem)
            path.chmod(_PUBLIC_FILE)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: cannot be written: {error.strerror}") from error


def _sign(
    key: PrivateKey,
    issuer_der: bytes,
    subject_der: bytes,
    spki: bytes,
    extensions: bytes,
    *,
    ends_in_s: float = _VALIDITY_S,
) -> Certificate:
    now_s = time()
    return read_certificate(
        sign_certificate(
            key,
            issuer_der=issuer_der,
            subject_der=subject_der,
            spki=spki,
            serial=serial_number(),
            not_before_s=now_s - _BACKDATED_S + min(ends_in_s, 0.0),
            not_after_s=now_s + ends_in_s,
            extensions=(extensions,),
        )
    )
