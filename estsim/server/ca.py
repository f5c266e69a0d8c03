"""The sandbox's certification authorities: making their certificates, and issuing device certificates (RFC 5280).

Pure of files and of trio; keys and certificates are held in memory. Who may have a certificate, and when, is decided
elsewhere. Issuing is on the path of every enrolment, so all that does not change is put into a template beforehand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from secrets import randbits
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estsim.est.certificate import Certificate, read_certificate
from estsim.est.der import BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, SEQUENCE, SET, encode
from estsim.est.general_names import DNS_NAME, IP_ADDRESS
from estsim.est.oid import encoded_oid
from estsim.est.signatures import key_identifier, public_key
from estsim.est.signing import PrivateKey, extension, sign_certificate
from estsim.est.text import UTF8_STRING
from estsim.server.config import KeyKind
from estsim.server.names import Names

_CA_YEARS: Final = 20
_YEAR_S: Final = 365 * 86_400.0
_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0
_TICK_S: Final = 0.02  # C's time() gives the second of the kernel's last tick, up to 10 ms behind the precise clock
_SERIAL_BITS: Final = 158  # RFC 5280 §4.1.2.2: positive, of 20 octets at most
_SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
_CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
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

    certificate: Certificate
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that was just issued: its DER, its serial number, and its validity in UNIX seconds."""

    der: bytes
    serial: int
    not_before_s: float
    not_after_s: float


def make_key(kind: KeyKind) -> PrivateKey:
    """Make a private key of ``kind``."""
    return _MAKERS[kind]()


def kind_of(key: PrivateKey) -> KeyKind:
    """Return the kind of an authority's key."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return KeyKind.ED25519
    return KeyKind(f"rsa-{key.key_size}" if isinstance(key, rsa.RSAPrivateKey) else f"ec-p{key.key_size}")


def common_name(text: str) -> bytes:
    """Return the name ``CN=text`` as DER."""
    value = encode(UTF8_STRING, text.encode())
    return encode(SEQUENCE, encode(SET, encode(SEQUENCE, encoded_oid("2.5.4.3") + value)))


def spki_of(key: PrivateKey) -> bytes:
    """Return a key's public part as SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def make_authority(
    name: str, kind: KeyKind, *, now: datetime, parent: Authority | None = None, path_length: int | None = None
) -> Authority:
    """Make a CA: self-signed, or under ``parent``."""
    key = make_key(kind)
    spki = spki_of(key)
    identifier = key_identifier(spki)
    subject_der = common_name(f"{name} {identifier[:3].hex()}")  # CAs of two sandboxes never share a name
    der = sign_certificate(
        parent.key if parent else key,
        issuer_der=parent.certificate.subject_der if parent else subject_der,
        subject_der=subject_der,
        spki=spki,
        serial=_serial(),
        not_before_s=now.timestamp() - _MINUTE_S,
        not_after_s=parent.certificate.not_after_s if parent else now.timestamp() + _CA_YEARS * _YEAR_S,
        extensions=(
            _basic_constraints(ca=True, path_length=path_length),
            _usage(ca=True, encipher=False),
            _subject_key(identifier),
            _authority_key(key_identifier(parent.certificate.spki) if parent else identifier),
        ),
    )
    return Authority(read_certificate(der), key)


def make_server_certificate(
    issuer: Authority, public_key: CertificatePublicKeyTypes, hosts: tuple[str, ...], *, now: datetime
) -> Certificate:
    """Issue a TLS server certificate for host names and IP addresses.

    It names no CRL and no OCSP responder: a client would go and fetch it (seen with strongSwan).
    """
    der = sign_certificate(
        issuer.key,
        issuer_der=issuer.certificate.subject_der,
        subject_der=common_name("estsim sandbox"),
        spki=public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        serial=_serial(),
        not_before_s=now.timestamp() - _MINUTE_S,
        not_after_s=min(now.timestamp() + 2 * _YEAR_S, issuer.certificate.not_after_s),
        extensions=(
            *_always(issuer, _SERVER_AUTH),
            _usage(ca=False, encipher=False),
            extension("2.5.29.17", encode(SEQUENCE, b"".join(map(_general_name, hosts)))),
        ),
    )
    return read_certificate(der)


class Issuer:
    """Issues device certificates under one authority, all living equally long."""

    def __init__(self, authority: Authority, validity_s: float) -> None:
        self.authority = authority
        self.validity_s = int(validity_s)
        always = _always(authority, _CLIENT_AUTH)
        self._extensions = {encipher: (*always, _usage(ca=False, encipher=encipher)) for encipher in (False, True)}
        key = authority.key
        self.is_slow = isinstance(key, rsa.RSAPrivateKey) and key.key_size > _MIN_RSA_BITS  # signing over 1 ms

    def issue(self, spki: bytes, names: Names, wall_now_s: float, *, expired: bool = False) -> IssuedCertificate:
        """Issue a client certificate, valid from the second it is made, or one whose hour was over a minute before.

        The second is the one that a client reads which asks for whole seconds only: in the first instants of a second
        that is the one before, and a certificate of the new one would not be valid yet. ``spki`` is the public key,
        certified as it is encoded. A lifetime never outlasts the authority's own (RFC 5280 §6.1 would make it useless).
        """
        start_s = float(int(wall_now_s - _TICK_S))
        end_s = min(start_s + self.validity_s, self.authority.certificate.not_after_s)
        if expired:
            end_s = start_s - _MINUTE_S
            start_s = end_s - _HOUR_S
        serial = _serial()
        usual = self._extensions[isinstance(public_key(spki), rsa.RSAPublicKey)]
        named = (
            () if names.san_der is None else (extension("2.5.29.17", names.san_der, critical=names.san_is_critical),)
        )
        der = sign_certificate(
            self.authority.key,
            issuer_der=self.authority.certificate.subject_der,
            subject_der=names.subject_der,
            spki=spki,
            serial=serial,
            not_before_s=start_s,
            not_after_s=end_s,
            extensions=(*usual, _subject_key(key_identifier(spki)), *named),
        )
        return IssuedCertificate(der, serial, start_s, end_s)


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


def _serial() -> int:
    return randbits(_SERIAL_BITS) | 1


def _always(issuer: Authority, purpose: str) -> tuple[bytes, ...]:
    """Return the extensions that all end entity certificates of an authority for one purpose have."""
    return (
        _basic_constraints(ca=False, path_length=None),
        extension("2.5.29.37", encode(SEQUENCE, encoded_oid(purpose))),
        _authority_key(key_identifier(issuer.certificate.spki)),
    )


def _basic_constraints(*, ca: bool, path_length: int | None) -> bytes:
    flag = encode(BOOLEAN, b"\xff") if ca else b""  # DER leaves a default out
    length = b"" if path_length is None else encode(INTEGER, bytes((path_length,)))
    return extension("2.5.29.19", encode(SEQUENCE, flag + length), critical=True)


def _subject_key(identifier: bytes) -> bytes:
    return extension("2.5.29.14", encode(OCTET_STRING, identifier))


def _authority_key(identifier: bytes) -> bytes:
    return extension("2.5.29.35", encode(SEQUENCE, encode(0x80, identifier)))


def _usage(*, ca: bool, encipher: bool) -> bytes:
    """Return a KeyUsage (RFC 5280 §4.2.1.3): digitalSignature, and for a CA keyCertSign and cRLSign."""
    bits = b"\x01\x86" if ca else b"\x05\xa0" if encipher else b"\x07\x80"  # after the count of unused bits
    return extension("2.5.29.15", encode(BIT_STRING, bits), critical=True)


def _general_name(host: str) -> bytes:
    try:
        return encode(IP_ADDRESS, ip_address(host).packed)
    except ValueError:
        return encode(DNS_NAME, host.encode("ascii"))
