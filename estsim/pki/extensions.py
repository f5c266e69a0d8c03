"""The extensions of our own certificates (RFC 5280 §4.2.1), as DER, and their serial numbers."""

from functools import cache
from ipaddress import ip_address
from secrets import randbits
from typing import Final

from estsim.est.der import BIT_STRING, BOOLEAN, INTEGER, OCTET_STRING, SEQUENCE, encode, encoded_oid
from estsim.est.names import DNS_NAME, IP_ADDRESS
from estsim.est.public_keys import key_identifier
from estsim.est.signing import extension

CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
SERVER_AUTH: Final = "1.3.6.1.5.5.7.3.1"
_SERIAL_BITS: Final = 158  # RFC 5280 §4.1.2.2: positive, of 20 octets at most


def serial_number() -> int:
    """Return a new serial number, positive and odd."""
    return randbits(_SERIAL_BITS) | 1


def end_entity(issuer_spki: bytes, purpose: str) -> tuple[bytes, ...]:
    """Return the extensions common to an authority's end entity certificates for one purpose."""
    return (
        basic_constraints(ca=False, path_length=None),
        extended_key_usage(purpose),
        authority_key(key_identifier(issuer_spki)),
    )


@cache
def extended_key_usage(purpose: str) -> bytes:
    """Return an ExtendedKeyUsage of one purpose (§4.2.1.12), by its OID."""
    return extension("2.5.29.37", encode(SEQUENCE, encoded_oid(purpose)))


def basic_constraints(*, ca: bool, path_length: int | None) -> bytes:
    """Return BasicConstraints (§4.2.1.9); ``path_length`` None sets no limit."""
    flag = encode(BOOLEAN, b"\xff") if ca else b""  # DER leaves a default out
    length = b"" if path_length is None else encode(INTEGER, bytes((path_length,)))
    return extension("2.5.29.19", encode(SEQUENCE, flag + length), critical=True)


def subject_key(identifier: bytes) -> bytes:
    """Return a SubjectKeyIdentifier (§4.2.1.2)."""
    return extension("2.5.29.14", encode(OCTET_STRING, identifier))


def authority_key(identifier: bytes) -> bytes:
    """Return an AuthorityKeyIdentifier (§4.2.1.1)."""
    return extension("2.5.29.35", encode(SEQUENCE, encode(0x80, identifier)))


def key_usage(*, ca: bool, encipher: bool) -> bytes:
    """Return a KeyUsage (RFC 5280 §4.2.1.3): digitalSignature, and for a CA keyCertSign and cRLSign."""
    bits = b"\x01\x86" if ca else b"\x05\xa0" if encipher else b"\x07\x80"  # after the count of unused bits
    return extension("2.5.29.15", encode(BIT_STRING, bits), critical=True)


def general_name(host: str) -> bytes:
    """Return a host as a GeneralName: an iPAddress, or a dNSName."""
    try:
        return encode(IP_ADDRESS, ip_address(host).packed)
    except ValueError:
        return encode(DNS_NAME, host.encode("ascii"))
