"""Signing our own requests and certificates: the algorithm for a key, and the DER around the signature."""

from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from estsim.est.der import BIT_STRING, BOOLEAN, INTEGER, NULL, OCTET_STRING, SEQUENCE, encode, encoded_oid
from estsim.est.validity import encoded_time

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
"""A key that devices, the sandbox and its CAs sign with."""

_P256_BITS: Final = 256
_P384_BITS: Final = 384
_VERSION_3: Final = bytes.fromhex("a003020102")
_EXTENSIONS: Final = 0xA3
_ECDSA: Final = {
    "sha256": encode(SEQUENCE, encoded_oid("1.2.840.10045.4.3.2")),
    "sha384": encode(SEQUENCE, encoded_oid("1.2.840.10045.4.3.3")),
    "sha512": encode(SEQUENCE, encoded_oid("1.2.840.10045.4.3.4")),
}
_RSA: Final = {
    name: encode(SEQUENCE, encoded_oid(f"1.2.840.113549.1.1.{arc}") + encode(NULL, b""))
    for name, arc in (("sha256", 11), ("sha384", 12), ("sha512", 13))
}
_HASHES: Final[dict[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_ED25519: Final = encode(SEQUENCE, encoded_oid("1.3.101.112"))
_ED448: Final = encode(SEQUENCE, encoded_oid("1.3.101.113"))


def signature_hash(
    key: CertificateIssuerPrivateKeyTypes,
) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """Return the hash that fits a key's strength; None where the algorithm brings its own (Ed25519, Ed448)."""
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return None
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > _P256_BITS:
        return hashes.SHA384() if key.key_size <= _P384_BITS else hashes.SHA512()
    return hashes.SHA256()


def algorithm_for(key: CertificateIssuerPrivateKeyTypes, hash_name: str | None = None) -> bytes:
    """Return the AlgorithmIdentifier that :func:`signed` signs with; ``hash_name`` None is what fits the key."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return _ECDSA[_hash(key, hash_name).name]
        case rsa.RSAPrivateKey():
            return _RSA[_hash(key, hash_name).name]
        case ed25519.Ed25519PrivateKey():
            return _ED25519
        case ed448.Ed448PrivateKey():
            return _ED448
    raise TypeError(f"expected a key that can sign here (got {type(key).__name__})")


def signed(key: CertificateIssuerPrivateKeyTypes, to_be_signed: bytes, hash_name: str | None = None) -> bytes:
    """Return ``SEQUENCE { to be signed, AlgorithmIdentifier, BIT STRING }``, as of a request or certificate.

    ``hash_name`` (sha256, sha384, sha512) counts for EC and RSA keys; None is the hash that fits the key.
    """
    match key:
        case ec.EllipticCurvePrivateKey():
            signature = key.sign(to_be_signed, ec.ECDSA(_hash(key, hash_name)))
        case rsa.RSAPrivateKey():
            signature = key.sign(to_be_signed, padding.PKCS1v15(), _hash(key, hash_name))
        case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey():
            signature = key.sign(to_be_signed)
        case _:
            raise TypeError(f"expected a key that can sign here (got {type(key).__name__})")
    return encode(SEQUENCE, to_be_signed + algorithm_for(key, hash_name) + encode(BIT_STRING, b"\x00" + signature))


def sign_certificate(
    key: CertificateIssuerPrivateKeyTypes,
    *,
    issuer_der: bytes,
    subject_der: bytes,
    spki: bytes,
    serial: int,
    not_before_s: float,
    not_after_s: float,
    extensions: Iterable[bytes],
) -> bytes:
    """Return a v3 certificate as DER (RFC 5280 §4.1), of encoded names, key and extensions.

    Times are UNIX seconds, cut to whole ones.
    """
    validity = encode(SEQUENCE, encoded_time(not_before_s) + encoded_time(not_after_s))
    listed = encode(_EXTENSIONS, encode(SEQUENCE, b"".join(extensions)))
    parts = (_VERSION_3, _integer(serial), algorithm_for(key), issuer_der, validity, subject_der, spki, listed)
    return signed(key, encode(SEQUENCE, b"".join(parts)))


def extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    """Return an extension as DER, given its OID and the DER of its value."""
    flag = encode(BOOLEAN, b"\xff") if critical else b""
    return encode(SEQUENCE, encoded_oid(kind) + flag + encode(OCTET_STRING, value))


def _hash(
    key: CertificateIssuerPrivateKeyTypes, hash_name: str | None
) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    return (signature_hash(key) or _HASHES["sha256"]) if hash_name is None else _HASHES[hash_name]


def _integer(value: int) -> bytes:
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))
