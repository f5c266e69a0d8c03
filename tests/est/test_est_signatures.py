"""Signature algorithms: each of the table verifies what its key has signed, and nothing else; old ones are named."""

from collections.abc import Callable
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.der import INTEGER, NULL, SEQUENCE, encode, encoded_oid
from estsim.est.public_keys import KeyUnreadable, is_same_key, public_key
from estsim.est.signatures import has_signed, signature_algorithm

SIGNED = b"what is signed"
EXPLICIT = (0xA0, 0xA1, 0xA2)
SHA256 = "2.16.840.1.101.3.4.2.1"
SHA1 = "1.3.14.3.2.26"
MGF1 = "1.2.840.113549.1.1.8"


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """Return an RSA key."""
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    """Return a curve's key."""
    return ec.generate_private_key(ec.SECP384R1())


@cache
def dsa_key() -> dsa.DSAPrivateKey:
    """Return a DSA key."""
    return dsa.generate_private_key(2048)


def algorithm(text: str, parameters: bytes = b"") -> bytes:
    """Return an AlgorithmIdentifier."""
    return encode(SEQUENCE, encoded_oid(text) + parameters)


def pss(hash_oid: str | None, salt: int | None = 32) -> bytes:
    """Return the identifier of RSA-PSS with a hash for both, or with what is left out."""
    if hash_oid is None:
        return algorithm("1.2.840.113549.1.1.10", encode(SEQUENCE, b""))
    made = algorithm(hash_oid)
    parts = [made, algorithm(MGF1, made), encode(INTEGER, bytes((salt or 0,)))]
    parameters = b"".join(encode(tag, part) for tag, part in zip(EXPLICIT, parts, strict=True))
    return algorithm("1.2.840.113549.1.1.10", encode(SEQUENCE, parameters))


def by_rsa(made: hashes.HashAlgorithm) -> Callable[[], tuple[PublicKeyTypes, bytes]]:
    """Return what signs with RSA."""
    return lambda: (rsa_key().public_key(), rsa_key().sign(SIGNED, padding.PKCS1v15(), made))


def by_pss(made: hashes.HashAlgorithm, salt: int) -> Callable[[], tuple[PublicKeyTypes, bytes]]:
    """Return what signs with RSA-PSS."""
    return lambda: (rsa_key().public_key(), rsa_key().sign(SIGNED, padding.PSS(padding.MGF1(made), salt), made))


def by_ec(made: hashes.HashAlgorithm) -> Callable[[], tuple[PublicKeyTypes, bytes]]:
    """Return what signs with a curve's key."""
    return lambda: (ec_key().public_key(), ec_key().sign(SIGNED, ec.ECDSA(made)))


def by_dsa(made: hashes.HashAlgorithm) -> Callable[[], tuple[PublicKeyTypes, bytes]]:
    """Return what signs with DSA."""
    return lambda: (dsa_key().public_key(), dsa_key().sign(SIGNED, made))


def by_its_own(make: Callable[[], ed25519.Ed25519PrivateKey]) -> Callable[[], tuple[PublicKeyTypes, bytes]]:
    """Return what signs with a key that brings its own hash."""

    def sign() -> tuple[PublicKeyTypes, bytes]:
        key = make()
        return key.public_key(), key.sign(SIGNED)

    return sign


TABLE = [
    (algorithm("1.2.840.113549.1.1.4", encode(NULL, b"")), by_rsa(hashes.MD5()), "MD5"),  # noqa: S303 - it is the table
    (algorithm("1.2.840.113549.1.1.5", encode(NULL, b"")), by_rsa(hashes.SHA1()), "SHA-1"),  # noqa: S303 - the same
    (algorithm("1.3.14.3.2.29"), by_rsa(hashes.SHA1()), "SHA-1"),  # noqa: S303 - the same
    (algorithm("1.2.840.113549.1.1.11", encode(NULL, b"")), by_rsa(hashes.SHA256()), None),
    (algorithm("1.2.840.113549.1.1.11"), by_rsa(hashes.SHA256()), None),
    (algorithm("1.2.840.113549.1.1.12"), by_rsa(hashes.SHA384()), None),
    (algorithm("1.2.840.113549.1.1.13"), by_rsa(hashes.SHA512()), None),
    (algorithm("1.2.840.113549.1.1.14"), by_rsa(hashes.SHA224()), None),
    (algorithm("2.16.840.1.101.3.4.3.14"), by_rsa(hashes.SHA3_256()), None),
    (pss(SHA256), by_pss(hashes.SHA256(), 32), None),
    (pss("2.16.840.1.101.3.4.2.3", 64), by_pss(hashes.SHA512(), 64), None),
    (pss(None), by_pss(hashes.SHA1(), 20), "SHA-1"),  # noqa: S303 - what it is without parameters
    (pss(SHA1, 20), by_pss(hashes.SHA1(), 20), "SHA-1"),  # noqa: S303 - the same
    (algorithm("1.2.840.10045.4.1"), by_ec(hashes.SHA1()), "SHA-1"),  # noqa: S303 - the same
    (algorithm("1.2.840.10045.4.3.2"), by_ec(hashes.SHA256()), None),
    (algorithm("1.2.840.10045.4.3.3"), by_ec(hashes.SHA384()), None),
    (algorithm("1.2.840.10045.4.3.4"), by_ec(hashes.SHA512()), None),
    (algorithm("1.2.840.10040.4.3"), by_dsa(hashes.SHA1()), "SHA-1"),  # noqa: S303 - the same
    (algorithm("2.16.840.1.101.3.4.3.2"), by_dsa(hashes.SHA256()), None),
    (algorithm("1.3.101.112"), by_its_own(ed25519.Ed25519PrivateKey.generate), None),
    (algorithm("1.3.101.113"), by_its_own(ed448.Ed448PrivateKey.generate), None),  # type: ignore[arg-type]
    (algorithm("2.16.840.1.101.3.4.3.17"), by_its_own(mldsa.MLDSA44PrivateKey.generate), None),  # type: ignore[arg-type]
    (algorithm("2.16.840.1.101.3.4.3.18"), by_its_own(mldsa.MLDSA65PrivateKey.generate), None),  # type: ignore[arg-type]
    (algorithm("2.16.840.1.101.3.4.3.19"), by_its_own(mldsa.MLDSA87PrivateKey.generate), None),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("identifier", "sign", "refused"), TABLE, ids=range(len(TABLE)))
def test_every_algorithm_verifies_what_its_key_has_signed(
    identifier: bytes, sign: Callable[[], tuple[PublicKeyTypes, bytes]], refused: str | None
) -> None:
    """And nothing else; whether it is accepted is another question."""
    key, signature = sign()
    assert has_signed(key, identifier, signature, SIGNED)
    assert not has_signed(key, identifier, signature, SIGNED + b"!")
    assert not has_signed(key, identifier, signature[:-1], SIGNED)
    other = ec_key() if isinstance(key, rsa.RSAPublicKey) else rsa_key()
    assert not has_signed(other.public_key(), identifier, signature, SIGNED)
    expected = None if refused is None else f"signed with {refused}, which is not accepted"
    assert signature_algorithm(identifier).refusal == expected


@pytest.mark.parametrize(
    ("identifier", "refusal"),
    [
        (algorithm("1.2.840.113549.1.1.2"), "signed with MD2, which is not accepted"),
        (algorithm("1.2.3.4"), "signed with the algorithm 1.2.3.4, which is not supported"),
        (b"", "signed with an algorithm that cannot be read, which is not supported"),
        (b"\x30\x00", "signed with an algorithm that cannot be read, which is not supported"),
        (pss("1.2.3"), "signed with RSA-PSS with parameters, which is not supported"),
    ],
)
def test_what_nobody_here_can_check_is_named(identifier: bytes, refusal: str) -> None:
    """It is no wrong signature."""
    assert signature_algorithm(identifier).refusal == refusal
    assert not has_signed(rsa_key().public_key(), identifier, b"x", SIGNED)


@given(st.binary(max_size=40))
def test_any_bytes_are_an_algorithm_that_is_known_or_not(content: bytes) -> None:
    """Nothing raises, the parameters of RSA-PSS neither."""
    assert signature_algorithm(content).name
    assert signature_algorithm(algorithm("1.2.840.113549.1.1.10", content)).name
    assert signature_algorithm(algorithm("1.2.840.113549.1.1.10", encode(SEQUENCE, content))).name


def test_a_key_that_would_cost_too_much_is_not_used() -> None:
    """An exponent as long as the modulus makes each check a private operation (OpenSSL bounds it too)."""
    numbers = rsa.RSAPublicNumbers((1 << 127) + 1, (1 << 2047) + 1)
    spki = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyUnreadable, match="too expensive"):
        public_key(spki)


def test_one_key_in_two_encodings_is_one_key() -> None:
    """A point in compressed form, and RSA without the NULL that belongs there."""
    plain = ec_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    point = ec_key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    short = encode(SEQUENCE, algorithm("1.2.840.10045.2.1", encoded_oid("1.3.132.0.34")) + encode(3, b"\0" + point))
    assert is_same_key(plain, short)
    assert not is_same_key(plain, b"no key")
    assert not is_same_key(plain, rsa_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
