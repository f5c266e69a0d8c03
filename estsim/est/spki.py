"""Public keys as certificates carry them (SubjectPublicKeyInfo), held against the RFC of their kind before any use.

The library reads more than a certificate may carry, curves that are spelt out and keys whose kind it changes, and is
less than clear about what it does not read.
"""

from typing import Final

from estsim.est.der import BIT_STRING, INTEGER, NULL, OBJECT_IDENTIFIER, SEQUENCE, DERError, children, element
from estsim.est.oid import dotted, oid

_EC: Final = oid("1.2.840.10045.2.1")
_RSA: Final = oid("1.2.840.113549.1.1.1")
_BARE: Final = {oid("1.3.101.112"): ("Ed25519", 32), oid("1.3.101.113"): ("Ed448", 57)}  # RFC 8410 §3
_OTHERS: Final = {
    oid("1.2.840.10040.4.1"): "DSA",
    oid("1.2.840.113549.1.1.7"): "RSAES-OAEP",
    oid("1.2.840.113549.1.1.10"): "RSASSA-PSS",
    oid("1.2.840.113549.1.3.1"): "Diffie-Hellman",
    oid("1.2.840.10046.2.1"): "Diffie-Hellman",
    oid("1.3.101.110"): "X25519",
    oid("1.3.101.111"): "X448",
    oid("1.3.132.1.12"): "ECDH",
    oid("2.16.840.1.101.3.4.3.17"): "ML-DSA-44",
    oid("2.16.840.1.101.3.4.3.18"): "ML-DSA-65",
    oid("2.16.840.1.101.3.4.3.19"): "ML-DSA-87",
}
_UNCOMPRESSED: Final = 0x04
_COMPRESSED: Final = (0x02, 0x03)
_MOST_RSA_BITS: Final = 8192
_MOST_EXPONENT_BITS: Final = 64  # with both at their limit a verification takes 3 ms

Span = tuple[int, int, int, int]


def check_public_key(spki: bytes) -> None:
    """Check the shape of a key that may be certified; raises :class:`DERError` that says what was expected."""
    tag, start, end = element(spki, 0)
    parts = children(spki, start, end)
    if tag != SEQUENCE or end != len(spki) or [part[0] for part in parts] != [SEQUENCE, BIT_STRING]:
        raise DERError("public key: expected an algorithm and a BIT STRING (RFC 5280 §4.1.2.7)")
    algorithm = children(spki, *parts[0][2:])
    if not algorithm or algorithm[0][0] != OBJECT_IDENTIFIER:
        raise DERError("public key: expected an algorithm that begins with its OID (RFC 5280 §4.1.1.2)")
    kind, parameters = spki[algorithm[0][2] : algorithm[0][3]], algorithm[1:]
    bits = spki[parts[1][2] : parts[1][3]]
    if bits[:1] != b"\x00":
        raise DERError("public key: expected a BIT STRING of whole octets")
    if kind == _EC:
        _check_ec(parameters, bits[1:])
    elif kind == _RSA:
        _check_rsa(spki, parameters, bits[1:])
    elif kind in _BARE:
        name, octets = _BARE[kind]
        if parameters or len(bits) != octets + 1:
            raise DERError(f"public key: expected {octets} octets and no parameters for {name} (RFC 8410 §3, §4)")
    else:
        raise DERError(
            f"public key: expected RSA, an elliptic curve or Ed25519 (got {_OTHERS.get(kind) or dotted(kind)})"
        )


def _check_ec(parameters: list[Span], point: bytes) -> None:
    if [parameter[0] for parameter in parameters] != [OBJECT_IDENTIFIER]:
        got = "none" if not parameters else "explicit parameters" if parameters[0][0] == SEQUENCE else "others"
        # RFC 5480 §2.1.1: "implicitCurve and specifiedCurve MUST NOT be used in PKIX."
        raise DERError(f"public key: expected a named curve as its parameters (RFC 5480 §2.1.1; got {got})")
    if not point or point[0] not in (_UNCOMPRESSED, *_COMPRESSED):  # RFC 5480 §2.2: "MUST NOT be used" of hybrid
        raise DERError("public key: expected a point in uncompressed or compressed form (RFC 5480 §2.2)")


def _check_rsa(spki: bytes, parameters: list[Span], key: bytes) -> None:
    if [spki[start:end] for _, start, _, end in parameters] != [bytes((NULL, 0))]:
        raise DERError("public key: expected NULL as the parameters of an RSA key (RFC 3279 §2.3.1)")
    tag, start, end = element(key, 0)
    numbers = children(key, start, end)
    if tag != SEQUENCE or end != len(key) or [number[0] for number in numbers] != [INTEGER, INTEGER]:
        raise DERError("public key: expected modulus and exponent (RFC 3279 §2.3.1)")
    modulus, exponent = (_number(key[first:last]) for _, _, first, last in numbers)
    if modulus <= 0 or not modulus & 1 or modulus.bit_length() > _MOST_RSA_BITS:
        what = "an even modulus" if modulus > 0 and not modulus & 1 else f"{modulus.bit_length()} bits"
        raise DERError(f"public key: expected an odd RSA modulus of at most {_MOST_RSA_BITS} bits (got {what})")
    if exponent < 3 or not exponent & 1 or exponent.bit_length() > _MOST_EXPONENT_BITS:  # noqa: PLR2004 - RFC 8017 §3.1
        what = f"{exponent}" if exponent.bit_length() <= _MOST_EXPONENT_BITS else f"{exponent.bit_length()} bits"
        raise DERError(
            f"public key: expected an odd RSA exponent of 3 or more, of at most {_MOST_EXPONENT_BITS} bits (got {what})"
        )


def _number(content: bytes) -> int:
    if not content or (len(content) > 1 and content[0] in (0, 0xFF) and content[0] >> 7 == content[1] >> 7):
        raise DERError("public key: expected an INTEGER in its shortest form (X.690 §8.3.2)")
    return int.from_bytes(content, "big", signed=True)
