"""Keys and signature algorithms, right and wrong: what certificates are about, and what they are signed with.

Elliptic keys follow from their number and sign deterministically (RFC 6979),
so that an input is the same octet by octet
each time. RSA keys are made anew in each process: only what they sign differs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from der_writer import bit_string, integer, null, octet_string, sequence, tlv
from fuzz_draw import Draw
from fuzz_names import oid

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_RSA_BITS: Final = (1024, 2048)
_P256_PRIME: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A signature algorithm as an AlgorithmIdentifier, and how a key of its kind signs with it."""

    identifier: bytes
    sign: Callable[[SigningKey, bytes], bytes]


@cache
def elliptic_key(number: int) -> ec.EllipticCurvePrivateKey:
    """Return the P-256 key of a number."""
    return ec.derive_private_key(1_000_003 + number, ec.SECP256R1())


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Return this process's RSA key of so many bits."""
    return rsa.generate_private_key(65537, bits)


def make_slow_keys() -> None:
    """Make the RSA keys, so that no input pays for them."""
    for bits in _RSA_BITS:
        rsa_key(bits)


@cache
def edwards_key() -> ed25519.Ed25519PrivateKey:
    """Return an Ed25519 key."""
    return ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def spki_of(key: SigningKey | x25519.X25519PrivateKey | ed448.Ed448PrivateKey) -> bytes:
    """Return a key's SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _ecdsa(algorithm: hashes.HashAlgorithm) -> Callable[[SigningKey, bytes], bytes]:
    def sign(key: SigningKey, signed: bytes) -> bytes:
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key.sign(signed, ec.ECDSA(algorithm, deterministic_signing=True))

    return sign


def _pkcs1(algorithm: hashes.HashAlgorithm) -> Callable[[SigningKey, bytes], bytes]:
    def sign(key: SigningKey, signed: bytes) -> bytes:
        assert isinstance(key, rsa.RSAPrivateKey)
        return key.sign(signed, padding.PKCS1v15(), algorithm)

    return sign


def _pss(key: SigningKey, signed: bytes) -> bytes:
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.sign(signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())


def _eddsa(key: SigningKey, signed: bytes) -> bytes:
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return key.sign(signed)


_PSS_SHA256: Final = sequence(
    tlv(0xA0, sequence(oid("2.16.840.1.101.3.4.2.1"), null())),
    tlv(0xA1, sequence(oid("1.2.840.113549.1.1.8"), sequence(oid("2.16.840.1.101.3.4.2.1"), null()))),
    tlv(0xA2, integer(32)),
)
# The first of each is what a key of that kind signs with unless something odd is wanted.
_OF_CURVES: Final = (
    Algorithm(sequence(oid("1.2.840.10045.4.3.2")), _ecdsa(hashes.SHA256())),
    Algorithm(sequence(oid("1.2.840.10045.4.3.3")), _ecdsa(hashes.SHA384())),
    Algorithm(sequence(oid("1.2.840.10045.4.1")), _ecdsa(hashes.SHA1())),  # noqa: S303 - what old CAs use
    Algorithm(sequence(oid("1.2.840.10045.4.3.1")), _ecdsa(hashes.SHA224())),
    Algorithm(sequence(oid("2.16.840.1.101.3.4.3.10")), _ecdsa(hashes.SHA3_256())),
    Algorithm(sequence(oid("1.2.840.10045.4.3.2"), null()), _ecdsa(hashes.SHA256())),
)
_OF_RSA: Final = (
    Algorithm(sequence(oid("1.2.840.113549.1.1.11"), null()), _pkcs1(hashes.SHA256())),
    Algorithm(sequence(oid("1.2.840.113549.1.1.5"), null()), _pkcs1(hashes.SHA1())),  # noqa: S303 - as above
    Algorithm(sequence(oid("1.2.840.113549.1.1.4"), null()), _pkcs1(hashes.MD5())),  # noqa: S303 - as above
    Algorithm(sequence(oid("1.2.840.113549.1.1.11")), _pkcs1(hashes.SHA256())),
    Algorithm(sequence(oid("1.2.840.113549.1.1.10"), _PSS_SHA256), _pss),
    Algorithm(sequence(oid("1.2.840.113549.1.1.10"), sequence()), _pss),
    Algorithm(sequence(oid("1.2.840.113549.1.1.10")), _pss),
)
_OF_EDWARDS: Final = (
    Algorithm(sequence(oid("1.3.101.112")), _eddsa),
    Algorithm(sequence(oid("1.3.101.112"), null()), _eddsa),
)
_UNKNOWN: Final = tuple(
    sequence(oid(kind), *parameters)
    for kind, parameters in (
        ("1.2.840.113549.1.1.2", (null(),)), ("1.2.840.10040.4.3", ()), ("2.16.840.1.101.3.4.3.2", ()),
        ("1.3.101.113", ()), ("2.16.840.1.101.3.4.3.17", ()), ("2.16.840.1.101.3.4.3.18", ()),
        ("1.2.643.7.1.1.3.2", ()),
        ("1.2.156.10197.1.501", ()), ("2.999.1", (null(),)), ("1.2.840.113549.1.1.11", (sequence(),)),
    )
)  # fmt: skip


def usual_algorithm(key: SigningKey) -> Algorithm:
    """Return what a key signs with where nothing is odd."""
    return _algorithms(key)[0]


def odd_algorithm(draw: Draw, key: SigningKey) -> Algorithm:
    """Return what a key may sign with: an old hash, other parameters, or what it never could, with octets for it."""
    if draw.chance(0.3):
        octets = draw.one(
            (draw.octets(72), b"", bytes(64), sequence(integer(0), integer(0)), sequence(integer(1), integer(-1)))
        )
        return Algorithm(draw.one(_UNKNOWN), lambda _key, _signed: octets)
    return draw.one(_algorithms(key))


def _algorithms(key: SigningKey) -> tuple[Algorithm, ...]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return _OF_CURVES
    return _OF_RSA if isinstance(key, rsa.RSAPrivateKey) else _OF_EDWARDS


def odd_spki(draw: Draw) -> bytes:
    """Return a SubjectPublicKeyInfo of any kind: other curves, small RSA, post-quantum, no point of its curve."""
    return draw.make(_SPKIS)


def _ec_spki(parameters: bytes, point: bytes) -> bytes:
    return sequence(sequence(oid("1.2.840.10045.2.1"), parameters), bit_string(point))


def _named_curve(draw: Draw) -> bytes:
    curve = draw.one((
        "1.2.840.10045.3.1.1", "1.2.840.10045.3.1.7", "1.3.132.0.34", "1.3.132.0.35", "1.3.132.0.10", "1.3.132.0.33",
        "1.3.36.3.3.2.8.1.1.7", "1.2.156.10197.1.301", "2.999.5",
    ))  # fmt: skip
    size = draw.one((64, 96, 132, 48, 0, 1, 63, 65))
    return _ec_spki(oid(curve), bytes((draw.one((4, 4, 2, 3, 0, 6, 5)),)) + draw.randbytes(size))


def _compressed(draw: Draw) -> bytes:
    key = elliptic_key(draw.one(range(8))).public_key()
    return _ec_spki(oid("1.2.840.10045.3.1.7"), key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint))


def _explicit_curve(draw: Draw) -> bytes:
    point = elliptic_key(1).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    prime = draw.one((_P256_PRIME, _P256_PRIME - 1, 0, 2**521))
    field = sequence(oid("1.2.840.10045.1.1"), integer(prime))
    curve = sequence(octet_string((_P256_PRIME - 3).to_bytes(32, "big")), octet_string(draw.randbytes(32)))
    return _ec_spki(sequence(integer(1), field, curve, octet_string(point), integer(draw.edge()), integer(1)), point)


def _rsa_spki(draw: Draw) -> bytes:
    modulus = draw.one(
        (
            rsa_key(1024).public_key().public_numbers().n,
            rsa_key(2048).public_key().public_numbers().n,
            15,
            0,
            -1,
            2**2047,
            2**4095 + 1,
            2**16384 + 1,
        )
    )
    exponent = draw.one((65537, 3, 1, 2, 0, -3, 2**64 + 1, 2**2000 + 1))
    numbers = sequence(integer(modulus), integer(exponent))
    kind = draw.one(("1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.7"))
    return sequence(sequence(oid(kind), draw.one((null(), null(), b"", _PSS_SHA256))), bit_string(numbers))


def _other_kind(draw: Draw) -> bytes:
    kind, size = draw.one((
        ("1.3.101.112", 32), ("1.3.101.112", 31), ("1.3.101.113", 57), ("1.3.101.110", 32), ("1.3.101.111", 56),
        ("2.16.840.1.101.3.4.3.17", 1312), ("2.16.840.1.101.3.4.3.18", 1952), ("2.16.840.1.101.3.4.4.2", 1184),
        ("1.2.643.7.1.1.1.1", 64),
        ("2.999.6", 5), ("1.2.840.10045.2.1", 65),
    ))  # fmt: skip
    return sequence(sequence(oid(kind), draw.one((b"", b"", null()))), bit_string(draw.randbytes(size)))


def _dsa(draw: Draw) -> bytes:
    parameters = sequence(integer(draw.one((2**1023 + 1, 7))), integer(draw.one((2**159 + 1, 0))), integer(2))
    kind = draw.one(("1.2.840.10040.4.1", "1.2.840.10046.2.1"))
    return sequence(sequence(oid(kind), parameters), bit_string(integer(2**1000 + 5)))


def _sound(draw: Draw) -> bytes:
    return draw.one((
        spki_of(elliptic_key(7)), spki_of(rsa_key(2048)), spki_of(edwards_key()), spki_of(rsa_key(1024)),
        spki_of(x25519.X25519PrivateKey.from_private_bytes(bytes(32))),
        spki_of(ed448.Ed448PrivateKey.from_private_bytes(bytes(57))),
    ))  # fmt: skip


def _no_key(draw: Draw) -> bytes:
    return draw.one(
        (
            sequence(),
            sequence(sequence(), bit_string(b"")),
            null(),
            sequence(sequence(oid("1.2.3")), tlv(0x03, b"\x05\xe0")),
        )
    )


_SPKIS: Final = (_named_curve, _compressed, _explicit_curve, _rsa_spki, _other_kind, _dsa, _sound, _sound, _no_key)
