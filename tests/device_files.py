"""Devices' own certificates and keys in PEM files, as a manufacturer delivers them: NAME.crt beside NAME.key."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

DAY_S = 86_400.0


def acme(serial: str) -> x509.Name:
    """Return a Subject in string types of two kinds, which no template writes."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme", _ASN1Type.PrintableString),
            x509.NameAttribute(NameOID.COMMON_NAME, serial, _ASN1Type.UTF8String),
        ]
    )


def san_of(serial: str) -> x509.SubjectAlternativeName:
    """Return an alternative name, one part of it of a kind that no scenario can write."""
    return x509.SubjectAlternativeName(
        [
            x509.DNSName(f"{serial.lower()}.acme.example"),
            x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4"), b"\x04\x02\x01\x02"),
        ]
    )


@dataclass(frozen=True)
class DeviceMaker:
    """A CA outside estsim that certifies devices."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def made(cls, folder: Path) -> Self:
        """Make one, with its certificate in ``maker.crt``."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Acme devices")])
        certificate = _signed(_described(name, key, -DAY_S, 30 * DAY_S, is_ca=True).issuer_name(name), key)
        (folder / "maker.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        return cls(certificate, key)

    def write(
        self,
        path: Path,
        subject: x509.Name,
        san: x509.SubjectAlternativeName | None = None,
        *,
        begins_s: float = -DAY_S,
        ends_s: float = 10 * DAY_S,
        is_ca: bool = False,
    ) -> x509.Certificate:
        """Write ``path`` with a certificate, valid from and to so many seconds from now, and its key beside it."""
        key = ec.generate_private_key(ec.SECP256R1())
        described = _described(subject, key, begins_s, ends_s, is_ca=is_ca).issuer_name(self.certificate.subject)
        certificate = _signed(described if san is None else described.add_extension(san, critical=False), self.key)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
        path.with_suffix(".key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )
        return certificate


def _described(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, begins_s: float, ends_s: float, *, is_ca: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(seconds=begins_s))
        .not_valid_after(now + timedelta(seconds=ends_s))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )


def _signed(described: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    return described.sign(key, hashes.SHA256())
