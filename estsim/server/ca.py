"""The sandbox's certification authorities: making their certificates, and issuing device certificates (RFC 5280).

Pure of files and of trio; keys and certificates are held in memory. Who may have a certificate, and when, is decided
elsewhere. Issuing is on the path of every enrolment, so all that does not change is put into a template beforehand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from estsim.est.csr import signature_hash
from estsim.server.config import KeyKind
from estsim.server.names import Names

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_CA_YEARS: Final = 20
_YEAR: Final = timedelta(days=365)
_MIN_RSA_BITS: Final = 2048
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")

_MAKERS: Final[dict[KeyKind, Callable[[], PrivateKey]]] = {
    KeyKind.EC_P256: lambda: ec.generate_private_key(ec.SECP256R1()),
    KeyKind.EC_P384: lambda: ec.generate_private_key(ec.SECP384R1()),
    KeyKind.RSA_2048: lambda: rsa.generate_private_key(65537, 2048),
    KeyKind.RSA_3072: lambda: rsa.generate_private_key(65537, 3072),
    KeyKind.RSA_4096: lambda: rsa.generate_private_key(65537, 4096),
    KeyKind.ED25519: ed25519.Ed25519PrivateKey.generate,
}


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA certificate with its key."""

    certificate: x509.Certificate
    key: PrivateKey


def make_key(kind: KeyKind) -> PrivateKey:
    """Make a private key of ``kind``."""
    return _MAKERS[kind]()


def kind_of(key: PrivateKey) -> KeyKind:
    """Return the kind of an authority's key."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return KeyKind.ED25519
    return KeyKind(f"rsa-{key.key_size}" if isinstance(key, rsa.RSAPrivateKey) else f"ec-p{key.key_size}")


def common_name(text: str) -> x509.Name:
    """Return the name ``CN=text``."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def make_authority(
    name: str, kind: KeyKind, *, now: datetime, parent: Authority | None = None, path_length: int | None = None
) -> Authority:
    """Make a CA: self-signed, or under ``parent``."""
    key = make_key(kind)
    signer = parent.key if parent else key
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    subject = common_name(f"{name} {identifier.digest[:3].hex()}")  # CAs of two sandboxes never share a name
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(parent.certificate.subject if parent else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(parent.certificate.not_valid_after_utc if parent else now + _CA_YEARS * _YEAR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_usage(ca=True, encipher=False), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return Authority(builder.sign(signer, signature_hash(signer)), key)


def make_server_certificate(
    issuer: Authority, public_key: CertificatePublicKeyTypes, hosts: tuple[str, ...], *, now: datetime
) -> x509.Certificate:
    """Issue a TLS server certificate for host names and IP addresses.

    It names no CRL and no OCSP responder: a client would go and fetch it (seen with strongSwan).
    """
    sans = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    builder = (
        _template(issuer, ExtendedKeyUsageOID.SERVER_AUTH)
        .subject_name(common_name("estsim sandbox"))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(min(now + 2 * _YEAR, issuer.certificate.not_valid_after_utc))
        .add_extension(_usage(ca=False, encipher=False), critical=True)
        .add_extension(sans, critical=False)
    )
    return builder.sign(issuer.key, signature_hash(issuer.key))


class Issuer:
    """Issues device certificates under one authority, all living equally long."""

    def __init__(self, authority: Authority, validity_s: float) -> None:
        self.authority = authority
        self.validity_s = int(validity_s)
        self._validity = timedelta(seconds=self.validity_s)
        self._last = authority.certificate.not_valid_after_utc
        self._hash = signature_hash(authority.key)
        template = _template(authority, ExtendedKeyUsageOID.CLIENT_AUTH)
        self._templates = {
            encipher: template.add_extension(_usage(ca=False, encipher=encipher), critical=True)
            for encipher in (False, True)
        }
        key = authority.key
        self.is_slow = isinstance(key, rsa.RSAPrivateKey) and key.key_size > _MIN_RSA_BITS  # signing over 1 ms

    def issue(
        self,
        public_key: CertificatePublicKeyTypes,
        names: Names,
        wall_now_s: float,
        *,
        expired: bool = False,
    ) -> x509.Certificate:
        """Issue a client certificate, valid from the second it is made, or one whose hour was over a minute before.

        A lifetime never outlasts the authority's own (RFC 5280 §6.1 would make it useless).
        """
        start = datetime.fromtimestamp(int(wall_now_s), UTC)
        end = min(start + self._validity, self._last)
        if expired:
            end = start - timedelta(minutes=1)
            start = end - timedelta(hours=1)
        builder = (
            self._templates[isinstance(public_key, rsa.RSAPublicKey)]
            .subject_name(names.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )
        if names.san is not None:
            builder = builder.add_extension(names.san.value, critical=names.san.critical)
        return builder.sign(self.authority.key, self._hash)


def weakness_of(public_key: object) -> str | None:
    """Say why a device's public key cannot be certified, or None."""
    match public_key:
        case ec.EllipticCurvePublicKey():
            good, what = public_key.curve.name in _CURVES, public_key.curve.name
        case rsa.RSAPublicKey():
            good, what = public_key.key_size >= _MIN_RSA_BITS, f"RSA of {public_key.key_size} bits"
        case ed25519.Ed25519PublicKey():
            good, what = True, "Ed25519"
        case _:
            good, what = False, type(public_key).__name__
    return None if good else f"expected an RSA key of 2048 bits or more, P-256, P-384, P-521 or Ed25519 (got {what})"


def _template(authority: Authority, usage: x509.ObjectIdentifier) -> x509.CertificateBuilder:
    identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateBuilder()
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )


def _usage(*, ca: bool, encipher: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=encipher,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
