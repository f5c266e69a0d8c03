"""Public keys (SubjectPublicKeyInfo): checked for use in a certificate, loaded, compared and identified.

A key is checked against the RFC of its kind before it is certified: the library reads more than a certificate may carry
(explicit curve parameters, keys whose kind it changes), and says little about what it does not read.
"""

from functools import lru_cache
from hashlib import sha1
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from estsim.est.der import (
    BIT_STRING,
    INTEGER,
    NULL,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    DERError,
    Span,
    children,
    dotted,
    element,
    oid,
    typed,
)

LIBRARY_ERRORS: Final = (ValueError, TypeError, UnsupportedAlgorithm, OverflowError, Warning)
"""What the library raises on malformed keys; warnings where they are turned into errors."""

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
_MOST_CERTIFIED_RSA_BITS: Final = 8192
_MOST_EXPONENT_BITS: Final = 64  # OpenSSL's limit for large keys; with 8192 bits a verification takes 3 ms
_MOST_RSA_BITS: Final = 16_384  # OpenSSL's own limit (OPENSSL_RSA_MAX_MODULUS_BITS)
_RSA_BITS_AS_P256: Final = 4096
_CURVE_COST: Final = {"secp256r1": 1, "secp224r1": 2}
_OTHER_CURVE_COST: Final = 8  # P-384; others take a third to twice as much
_OTHER_KEY_COST: Final = 3  # Ed448; Ed25519 takes half


class KeyUnreadable(ValueError):  # noqa: N818 - says what it is
    """A public key that cannot be used; the text says why."""


def check_public_key(spki: bytes) -> None:
    """Check that a key may be certified, by its encoding; raises :class:`DERError` that says what was expected."""
    tag, start, end = element(spki, 0)
    parts = children(spki, start, end)
    if tag != SEQUENCE or end != len(spki) or [part[0] for part in parts] != [SEQUENCE, BIT_STRING]:
        raise DERError("public key: expected an algorithm and a BIT STRING (RFC 5280 §4.1.2.7)")
    kind, parameters = typed(
        spki, *parts[0][2:], "public key: expected an algorithm that begins with its OID (RFC 5280 §4.1.1.2)"
    )
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
    if modulus <= 0 or not modulus & 1 or modulus.bit_length() > _MOST_CERTIFIED_RSA_BITS:
        what = "an even modulus" if modulus > 0 and not modulus & 1 else f"{modulus.bit_length()} bits"
        raise DERError(
            f"public key: expected an odd RSA modulus of at most {_MOST_CERTIFIED_RSA_BITS} bits (got {what})"
        )
    if exponent < 3 or not exponent & 1 or exponent.bit_length() > _MOST_EXPONENT_BITS:  # noqa: PLR2004 - RFC 8017 §3.1
        what = f"{exponent}" if exponent.bit_length() <= _MOST_EXPONENT_BITS else f"{exponent.bit_length()} bits"
        raise DERError(
            f"public key: expected an odd RSA exponent of 3 or more, of at most {_MOST_EXPONENT_BITS} bits (got {what})"
        )


def _number(content: bytes) -> int:
    if not content or (len(content) > 1 and content[0] in (0, 0xFF) and content[0] >> 7 == content[1] >> 7):
        raise DERError("public key: expected an INTEGER in its shortest form (X.690 §8.3.2)")
    return int.from_bytes(content, "big", signed=True)


def check_cost(key: PublicKeyTypes) -> int:
    """Return the approximate CPU cost of checking a signature by a key, in checks with P-256 (64 µs as measured)."""
    if isinstance(key, rsa.RSAPublicKey):
        return max(1, (key.key_size // _RSA_BITS_AS_P256) ** 2)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVE_COST.get(key.curve.name, _OTHER_CURVE_COST)
    return _OTHER_KEY_COST


@lru_cache(maxsize=256)
def public_key(spki: bytes) -> PublicKeyTypes:
    """Load a SubjectPublicKeyInfo; raises :class:`KeyUnreadable`."""
    try:
        key = load_der_public_key(spki)
    except LIBRARY_ERRORS as error:
        raise KeyUnreadable(str(error).partition(": Error")[0] or type(error).__name__) from error
    if isinstance(key, rsa.RSAPublicKey):
        exponent_bits = key.public_numbers().e.bit_length()
        if key.key_size > _MOST_RSA_BITS or exponent_bits > _MOST_EXPONENT_BITS:
            raise KeyUnreadable(
                f"RSA of {key.key_size} bits with an exponent of {exponent_bits} bits is too expensive to use"
            )
    return key


def encoded_key(key: CertificatePublicKeyTypes) -> bytes:
    """Return a key as SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def is_same_key(spki: bytes, other_spki: bytes) -> bool:
    """Whether two keys are equal; their encodings may differ, as a CA may re-encode a key (RSA without NULL)."""
    if spki == other_spki:
        return True
    try:
        return public_key(spki) == public_key(other_spki)
    except KeyUnreadable:
        return False


def key_identifier(spki: bytes) -> bytes:
    """Return the default key identifier: RFC 5280 §4.2.1.2, method (1)."""
    _, start, end = element(spki, 0)
    _, _, at, after = children(spki, start, end)[1]
    return sha1(spki[at + 1 : after], usedforsecurity=False).digest()
