"""Our own certification authorities: their certificates, and the device certificates that they issue (RFC 5280).

No files and no trio; keys and certificates are in memory. Who may have a certificate, and when, is decided elsewhere.
Issuing is on the path of every enrolment, so what does not change is encoded once beforehand.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from estsim.est.certificate import Certificate, read_certificate
from estsim.est.der import SEQUENCE, encode
from estsim.est.public_keys import encoded_key, key_identifier, public_key
from estsim.est.signing import PrivateKey, extension, sign_certificate
from estsim.pki.extensions import (
    CLIENT_AUTH,
    SERVER_AUTH,
    authority_key,
    basic_constraints,
    end_entity,
    general_name,
    key_usage,
    serial_number,
    subject_key,
)
from estsim.pki.keys import KeyKind, make_key, spki_of
from estsim.pki.names import Names, common_name

_CA_YEARS: Final = 20
_YEAR_S: Final = 365 * 86_400.0
_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3600.0
_TICK_S: Final = 0.02  # C's time() gives the second of the kernel's last tick, up to 10 ms behind the precise clock
_MIN_RSA_BITS: Final = 2048


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA certificate with its key."""

    certificate: Certificate
    key: PrivateKey


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A new certificate: its DER, its serial number, and its validity in UNIX seconds."""

    der: bytes
    serial: int
    not_before_s: float
    not_after_s: float


def make_authority(
    name: str, kind: KeyKind, *, now: datetime, parent: Authority | None = None, path_length: int | None = None
) -> Authority:
    """Make a CA: self-signed, or under ``parent``."""
    key = make_key(kind)
    spki = spki_of(key)
    identifier = key_identifier(spki)
    subject_der = common_name(f"{name} {identifier[:3].hex()}")  # no two sandboxes have a CA of the same name
    der = sign_certificate(
        parent.key if parent else key,
        issuer_der=parent.certificate.subject_der if parent else subject_der,
        subject_der=subject_der,
        spki=spki,
        serial=serial_number(),
        not_before_s=now.timestamp() - _MINUTE_S,
        not_after_s=parent.certificate.not_after_s if parent else now.timestamp() + _CA_YEARS * _YEAR_S,
        extensions=(
            basic_constraints(ca=True, path_length=path_length),
            key_usage(ca=True, encipher=False),
            subject_key(identifier),
            authority_key(key_identifier(parent.certificate.spki) if parent else identifier),
        ),
    )
    return Authority(read_certificate(der), key)


def make_server_certificate(
    issuer: Authority, public_key: CertificatePublicKeyTypes, hosts: tuple[str, ...], *, now: datetime
) -> Certificate:
    """Issue a TLS server certificate for host names and IP addresses.

    It names no CRL or OCSP responder: some clients would fetch it (strongSwan).
    """
    der = sign_certificate(
        issuer.key,
        issuer_der=issuer.certificate.subject_der,
        subject_der=common_name("estsim sandbox"),
        spki=encoded_key(public_key),
        serial=serial_number(),
        not_before_s=now.timestamp() - _MINUTE_S,
        not_after_s=min(now.timestamp() + 2 * _YEAR_S, issuer.certificate.not_after_s),
        extensions=(
            *end_entity(issuer.certificate.spki, SERVER_AUTH),
            key_usage(ca=False, encipher=False),
            extension("2.5.29.17", encode(SEQUENCE, b"".join(map(general_name, hosts)))),
        ),
    )
    return read_certificate(der)


class Issuer:
    """Issues device certificates under one authority, all with the same lifetime."""

    def __init__(self, authority: Authority, validity_s: float) -> None:
        self.authority = authority
        self.validity_s = int(validity_s)
        always = end_entity(authority.certificate.spki, CLIENT_AUTH)
        self._extensions = {encipher: (*always, key_usage(ca=False, encipher=encipher)) for encipher in (False, True)}
        key = authority.key
        self.is_slow = isinstance(key, rsa.RSAPrivateKey) and key.key_size > _MIN_RSA_BITS  # signing over 1 ms

    def issue(self, spki: bytes, names: Names, wall_now_s: float, *, expired: bool = False) -> IssuedCertificate:
        """Issue a client certificate, valid from this second on, or one that ``expired`` a minute ago after an hour.

        This second is that of a client's clock with whole seconds, which in the first instants of a second still shows
        the one before. ``spki`` is certified as it is encoded. No certificate outlasts the authority's own (RFC 5280
        §6.1).
        """
        start_s = float(int(wall_now_s - _TICK_S))
        end_s = min(start_s + self.validity_s, self.authority.certificate.not_after_s)
        if expired:
            end_s = start_s - _MINUTE_S
            start_s = end_s - _HOUR_S
        serial = serial_number()
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
            extensions=(*usual, subject_key(key_identifier(spki)), *named),
        )
        return IssuedCertificate(der, serial, start_s, end_s)
