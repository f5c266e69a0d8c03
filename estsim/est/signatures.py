"""Signature algorithms by table: which are known, which are refused and why, and whether a signature verifies.

Signatures are verified over the raw bytes that were signed. MD5 and SHA-1 are refused by name (RFC 6151, RFC 8996 §4),
so that a signature with an old hash is not reported as wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from estsim.est.der import (
    INTEGER,
    SEQUENCE,
    DERError,
    Span,
    children,
    dotted,
    element,
    expect,
    oid,
    typed,
)
from estsim.est.public_keys import LIBRARY_ERRORS

_EXPLICIT_0: Final = 0xA0
_REMEMBERED: Final = 256

Hash = Callable[[], hashes.HashAlgorithm]
Verify = Callable[[Any, bytes, bytes], object]  # of key, signature and what was signed; raises InvalidSignature


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    """How a signature is made. ``refused`` names the part that is not accepted; ``verify`` is None if unknown."""

    name: str
    key_types: tuple[type, ...] = ()
    verify: Verify | None = None
    refused: str | None = None

    @property
    def refusal(self) -> str | None:
        """Why certificates and requests with this algorithm are refused, or None."""
        if self.refused is not None:
            return f"signed with {self.refused}, which is not accepted"
        return None if self.verify is not None else f"signed with {self.name}, which is not supported"


@lru_cache(maxsize=_REMEMBERED)
def signature_algorithm(algorithm_der: bytes) -> SignatureAlgorithm:
    """Read an AlgorithmIdentifier; total: an unknown or unreadable one is returned as such."""
    try:
        tag, start, end = element(algorithm_der, 0)
        expect(tag == SEQUENCE, "an AlgorithmIdentifier")
        kind, parameters = typed(algorithm_der, start, end, "expected an AlgorithmIdentifier")
        if kind == _RSA_PSS:
            return _pss(algorithm_der, parameters)
        return _ALGORITHMS.get(kind) or SignatureAlgorithm(f"the algorithm {dotted(kind)}")
    except (DERError, IndexError):
        return SignatureAlgorithm("an algorithm that cannot be read")


def has_signed(key: PublicKeyTypes, algorithm_der: bytes, signature: bytes, signed: bytes) -> bool:
    """Whether a key made a signature, accepted algorithm or not; false where it cannot be checked."""
    algorithm = signature_algorithm(algorithm_der)
    if algorithm.verify is None or not isinstance(key, algorithm.key_types):
        return False
    try:
        algorithm.verify(key, signature, signed)
    except (InvalidSignature, *LIBRARY_ERRORS):
        return False
    return True


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


def _pss(source: bytes, parameters: list[Span]) -> SignatureAlgorithm:
    """Read ``RSASSA-PSS-params`` (RFC 4055 §3.1); what is left out means SHA-1 and a salt of 20 octets."""
    hash_oid = mask_oid = _SHA1_OID
    salt_octets = _DEFAULT_SALT_OCTETS
    if parameters:
        for tag, _, start, end in children(source, *parameters[0][2:]):
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


def _mask_hash(source: bytes, content: list[Span]) -> bytes:
    """Return the hash of ``maskGenAlgorithm``, which is MGF1 or unknown."""
    if len(content) < 2 or source[content[0][2] : content[0][3]] != _MGF1:  # noqa: PLR2004 - OID and parameters
        return b""
    hash_id = children(source, *content[1][2:])
    return source[hash_id[0][2] : hash_id[0][3]] if hash_id else b""
