"""Signature algorithms by table: which there are, which are not accepted and why, and whether a signature verifies.

Certificates and requests are held against their signer's key here, by the raw bytes that were signed. MD5 and SHA-1 are
refused by name (RFC 6151, RFC 8996 §4 and its like; the field has left them), so that nobody is told that a signature
is wrong when only its hash is old.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha1
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

from estsim.est.der import INTEGER, OBJECT_IDENTIFIER, SEQUENCE, DERError, children, element, expect
from estsim.est.oid import dotted, oid

LIBRARY_ERRORS: Final = (ValueError, TypeError, UnsupportedAlgorithm, OverflowError, Warning)
"""What the library raises on keys that a hostile or careless peer may send; warnings where they are made errors."""

_MOST_RSA_BITS: Final = 16_384  # OpenSSL's own limit (OPENSSL_RSA_MAX_MODULUS_BITS)
_MOST_EXPONENT_BITS: Final = 64  # its limit for large keys: a longer one makes a verification as dear as a signature
_RSA_BITS_AS_P256: Final = 4096
_CURVE_COST: Final = {"secp256r1": 1, "secp224r1": 2}
_OTHER_CURVE_COST: Final = 8  # P-384; others take a third to twice as much
_OTHER_KEY_COST: Final = 3  # Ed448; Ed25519 takes half
_EXPLICIT_0: Final = 0xA0
_REMEMBERED: Final = 256

Hash = Callable[[], hashes.HashAlgorithm]
Verify = Callable[[Any, bytes, bytes], object]  # of key, signature and what was signed; raises InvalidSignature


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    """How a signature is made. ``refused`` names what is not accepted of it, ``verify`` is None where it is unknown."""

    name: str
    key_types: tuple[type, ...] = ()
    verify: Verify | None = None
    refused: str | None = None

    @property
    def refusal(self) -> str | None:
        """Why no certificate or request signed so is accepted, None where it may be."""
        if self.refused is not None:
            return f"signed with {self.refused}, which is not accepted"
        return None if self.verify is not None else f"signed with {self.name}, which is not supported"


@lru_cache(maxsize=_REMEMBERED)
def signature_algorithm(algorithm_der: bytes) -> SignatureAlgorithm:
    """Read an AlgorithmIdentifier; total: what is not known, or is none, comes back as such."""
    try:
        tag, start, end = element(algorithm_der, 0)
        parts = children(algorithm_der, start, end)
        expect(tag == SEQUENCE and bool(parts) and parts[0][0] == OBJECT_IDENTIFIER, "an AlgorithmIdentifier")
        kind = algorithm_der[parts[0][2] : parts[0][3]]
        if kind == _RSA_PSS:
            return _pss(algorithm_der, parts)
        return _ALGORITHMS.get(kind) or SignatureAlgorithm(f"the algorithm {dotted(kind)}")
    except (DERError, IndexError):
        return SignatureAlgorithm("an algorithm that cannot be read")


def has_signed(key: PublicKeyTypes, algorithm_der: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether a key made a signature, be its algorithm accepted or not; false where nobody here can tell."""
    algorithm = signature_algorithm(algorithm_der)
    if algorithm.verify is None or not isinstance(key, algorithm.key_types):
        return False
    try:
        algorithm.verify(key, signature, signed)
    except (InvalidSignature, *LIBRARY_ERRORS):
        return False
    return True


def check_cost(key: PublicKeyTypes) -> int:
    """Return about how much CPU it takes to check a signature by a key: 1 is P-256, 64 µs where this was measured."""
    if isinstance(key, rsa.RSAPublicKey):
        return max(1, (key.key_size // _RSA_BITS_AS_P256) ** 2)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return _CURVE_COST.get(key.curve.name, _OTHER_CURVE_COST)
    return _OTHER_KEY_COST


class KeyUnreadable(ValueError):  # noqa: N818 - says what it is
    """A public key that cannot be used; the text says why."""


@lru_cache(maxsize=_REMEMBERED)
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


def is_same_key(spki: bytes, other_spki: bytes) -> bool:
    """Whether two keys are equal though their encodings may differ: a CA may write its own (RSA without NULL)."""
    if spki == other_spki:
        return True
    try:
        return public_key(spki) == public_key(other_spki)
    except KeyUnreadable:
        return False


def key_identifier(spki: bytes) -> bytes:
    """Return the identifier that a key has where nothing else is said: RFC 5280 §4.2.1.2, method (1)."""
    _, start, end = element(spki, 0)
    _, _, at, after = children(spki, start, end)[1]
    return sha1(spki[at + 1 : after], usedforsecurity=False).digest()


def _rsa(name: str, made: Hash, refused: str | None = None) -> SignatureAlgorithm:
    def verify(key: rsa.RSAPublicKey, signature: bytes, signed: bytes) -> None:
        key.verify(signature, signed, padding.PKCS1v15(), made())

    return SignatureAlgorithm(name, (rsa.RSAPublicKey,), verify, refused)


def _ecdsa(name: str, made: Hash, refused: str | None = None) -> SignatureAlgorithm:
    scheme = ec.ECDSA(made())

    def verify(key: ec.EllipticCurvePublicKey, signature: bytes, signed: bytes) -> None:
        key.verify(signature, signed, scheme)

    return SignatureAlgorithm(name, (ec.EllipticCurvePublicKey,), verify, refused)


def _dsa(name: str, made: Hash, refused: str | None = None) -> SignatureAlgorithm:
    def verify(key: dsa.DSAPublicKey, signature: bytes, signed: bytes) -> None:
        key.verify(signature, signed, made())

    return SignatureAlgorithm(name, (dsa.DSAPublicKey,), verify, refused)


def _plain(name: str, *key_types: type) -> SignatureAlgorithm:
    def verify(key: ed25519.Ed25519PublicKey, signature: bytes, signed: bytes) -> None:
        key.verify(signature, signed)

    return SignatureAlgorithm(name, key_types, verify)


_SHA1: Final = "SHA-1"
_MD5: Final = "MD5"
_RSA_PSS: Final = oid("1.2.840.113549.1.1.10")
_MGF1: Final = oid("1.2.840.113549.1.1.8")
_ALGORITHMS: Final[dict[bytes, SignatureAlgorithm]] = {
    oid(text): algorithm
    for text, algorithm in {
        "1.2.840.113549.1.1.2": SignatureAlgorithm("MD2 with RSA", refused="MD2"),
        "1.2.840.113549.1.1.3": SignatureAlgorithm("MD4 with RSA", refused="MD4"),
        "1.2.840.113549.1.1.4": _rsa("MD5 with RSA", hashes.MD5, _MD5),
        "1.3.14.3.2.3": _rsa("MD5 with RSA", hashes.MD5, _MD5),
        "1.2.840.113549.1.1.5": _rsa("SHA-1 with RSA", hashes.SHA1, _SHA1),
        "1.3.14.3.2.29": _rsa("SHA-1 with RSA", hashes.SHA1, _SHA1),
        "1.2.840.113549.1.1.14": _rsa("SHA-224 with RSA", hashes.SHA224),
        "1.2.840.113549.1.1.11": _rsa("SHA-256 with RSA", hashes.SHA256),
        "1.2.840.113549.1.1.12": _rsa("SHA-384 with RSA", hashes.SHA384),
        "1.2.840.113549.1.1.13": _rsa("SHA-512 with RSA", hashes.SHA512),
        "2.16.840.1.101.3.4.3.13": _rsa("SHA3-224 with RSA", hashes.SHA3_224),
        "2.16.840.1.101.3.4.3.14": _rsa("SHA3-256 with RSA", hashes.SHA3_256),
        "2.16.840.1.101.3.4.3.15": _rsa("SHA3-384 with RSA", hashes.SHA3_384),
        "2.16.840.1.101.3.4.3.16": _rsa("SHA3-512 with RSA", hashes.SHA3_512),
        "1.2.840.10045.4.1": _ecdsa("ECDSA with SHA-1", hashes.SHA1, _SHA1),
        "1.2.840.10045.4.3.1": _ecdsa("ECDSA with SHA-224", hashes.SHA224),
        "1.2.840.10045.4.3.2": _ecdsa("ECDSA with SHA-256", hashes.SHA256),
        "1.2.840.10045.4.3.3": _ecdsa("ECDSA with SHA-384", hashes.SHA384),
        "1.2.840.10045.4.3.4": _ecdsa("ECDSA with SHA-512", hashes.SHA512),
        "2.16.840.1.101.3.4.3.9": _ecdsa("ECDSA with SHA3-224", hashes.SHA3_224),
        "2.16.840.1.101.3.4.3.10": _ecdsa("ECDSA with SHA3-256", hashes.SHA3_256),
        "2.16.840.1.101.3.4.3.11": _ecdsa("ECDSA with SHA3-384", hashes.SHA3_384),
        "2.16.840.1.101.3.4.3.12": _ecdsa("ECDSA with SHA3-512", hashes.SHA3_512),
        "1.2.840.10040.4.3": _dsa("DSA with SHA-1", hashes.SHA1, _SHA1),
        "2.16.840.1.101.3.4.3.1": _dsa("DSA with SHA-224", hashes.SHA224),
        "2.16.840.1.101.3.4.3.2": _dsa("DSA with SHA-256", hashes.SHA256),
        "1.3.101.112": _plain("Ed25519", ed25519.Ed25519PublicKey),
        "1.3.101.113": _plain("Ed448", ed448.Ed448PublicKey),
        "2.16.840.1.101.3.4.3.17": _plain("ML-DSA-44", mldsa.MLDSA44PublicKey),
        "2.16.840.1.101.3.4.3.18": _plain("ML-DSA-65", mldsa.MLDSA65PublicKey),
        "2.16.840.1.101.3.4.3.19": _plain("ML-DSA-87", mldsa.MLDSA87PublicKey),
    }.items()
}
_HASHES: Final[dict[bytes, tuple[str, Hash]]] = {
    oid(text): made
    for text, made in {
        "1.2.840.113549.2.5": (_MD5, hashes.MD5),
        "1.3.14.3.2.26": (_SHA1, hashes.SHA1),
        "2.16.840.1.101.3.4.2.4": ("SHA-224", hashes.SHA224),
        "2.16.840.1.101.3.4.2.1": ("SHA-256", hashes.SHA256),
        "2.16.840.1.101.3.4.2.2": ("SHA-384", hashes.SHA384),
        "2.16.840.1.101.3.4.2.3": ("SHA-512", hashes.SHA512),
        "2.16.840.1.101.3.4.2.8": ("SHA3-256", hashes.SHA3_256),
        "2.16.840.1.101.3.4.2.9": ("SHA3-384", hashes.SHA3_384),
        "2.16.840.1.101.3.4.2.10": ("SHA3-512", hashes.SHA3_512),
    }.items()
}
_SHA1_OID: Final = oid("1.3.14.3.2.26")
_DEFAULT_SALT_OCTETS: Final = 20
_MOST_SALT_OCTETS: Final = 2048  # a modulus of 16384 bits


def _pss(source: bytes, parts: list[tuple[int, int, int, int]]) -> SignatureAlgorithm:
    """Read ``RSASSA-PSS-params`` (RFC 4055 §3.1); what is left out means SHA-1 and a salt of 20 octets."""
    hash_oid = mask_oid = _SHA1_OID
    salt_octets = _DEFAULT_SALT_OCTETS
    if len(parts) > 1:
        for tag, _, start, end in children(source, *parts[1][2:]):
            inner = children(source, start, end)[0]
            content = children(source, *inner[2:]) if inner[0] == SEQUENCE else []
            if tag == _EXPLICIT_0:
                hash_oid = source[content[0][2] : content[0][3]] if content else b""
            elif tag == _EXPLICIT_0 + 1:
                mask_oid = _mask_hash(source, content)
            elif tag == _EXPLICIT_0 + 2 and inner[0] == INTEGER:
                salt_octets = int.from_bytes(source[inner[2] : inner[3]][:8], "big", signed=True)
    known, mask = _HASHES.get(hash_oid), _HASHES.get(mask_oid)
    if known is None or mask is None or not 0 <= salt_octets <= _MOST_SALT_OCTETS:
        return SignatureAlgorithm("RSA-PSS with parameters")
    scheme = padding.PSS(padding.MGF1(mask[1]()), salt_octets)

    def verify(key: rsa.RSAPublicKey, signature: bytes, signed: bytes) -> None:
        key.verify(signature, signed, scheme, known[1]())

    refused = known[0] if known[0] in (_SHA1, _MD5) else None
    return SignatureAlgorithm(f"RSA-PSS with {known[0]}", (rsa.RSAPublicKey,), verify, refused)


def _mask_hash(source: bytes, content: list[tuple[int, int, int, int]]) -> bytes:
    """Return the hash of ``maskGenAlgorithm``, which is MGF1 or unknown."""
    if len(content) < 2 or source[content[0][2] : content[0][3]] != _MGF1:  # noqa: PLR2004 - OID and parameters
        return b""
    hash_id = children(source, *content[1][2:])
    return source[hash_id[0][2] : hash_id[0][3]] if hash_id else b""
