"""Private keys: their kinds, how they are made and kept in memory, and which public keys may be certified."""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from estsim.est.certificate import Certificate
from estsim.est.public_keys import encoded_key, public_key
from estsim.est.signing import PrivateKey

_MIN_RSA_BITS: Final = 2048
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")


class KeyKind(StrEnum):
    """The kinds of key that devices and certification authorities may have."""

    EC_P256 = "ec-p256"
    EC_P384 = "ec-p384"
    RSA_2048 = "rsa-2048"
    RSA_3072 = "rsa-3072"
    RSA_4096 = "rsa-4096"
    ED25519 = "ed25519"


_MAKERS: Final[dict[KeyKind, Callable[[], PrivateKey]]] = {
    KeyKind.EC_P256: lambda: ec.generate_private_key(ec.SECP256R1()),
    KeyKind.EC_P384: lambda: ec.generate_private_key(ec.SECP384R1()),
    KeyKind.RSA_2048: lambda: rsa.generate_private_key(65537, 2048),
    KeyKind.RSA_3072: lambda: rsa.generate_private_key(65537, 3072),
    KeyKind.RSA_4096: lambda: rsa.generate_private_key(65537, 4096),
    KeyKind.ED25519: ed25519.Ed25519PrivateKey.generate,
}


def make_key(kind: KeyKind) -> PrivateKey:
    """Make a private key of ``kind``."""
    return _MAKERS[kind]()


def kind_of(key: PrivateKey) -> KeyKind:
    """Return the kind of an authority's key."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return KeyKind.ED25519
    return KeyKind(f"rsa-{key.key_size}" if isinstance(key, rsa.RSAPrivateKey) else f"ec-p{key.key_size}")


def public_kind_of(key: object) -> KeyKind | None:
    """Return the kind of a public key, None for one that is none of them."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return KeyKind.ED25519
    if isinstance(key, ec.EllipticCurvePublicKey):
        return {"secp256r1": KeyKind.EC_P256, "secp384r1": KeyKind.EC_P384}.get(key.curve.name)
    name = f"rsa-{key.key_size}" if isinstance(key, rsa.RSAPublicKey) else ""
    return KeyKind(name) if name in set(KeyKind) else None


def spki_of(key: PrivateKey) -> bytes:
    """Return a key's public part as SubjectPublicKeyInfo."""
    return encoded_key(key.public_key())


def belongs(key: PrivateKey, certificate: Certificate) -> bool:
    """Whether a private key matches a certificate; raises ValueError where the certificate's key cannot be read."""
    return key.public_key() == public_key(certificate.spki)


def dump_key(key: PrivateKey) -> bytes:
    """Return a private key as unencrypted PKCS #8 DER, for memory only."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def load_key(der: bytes) -> PrivateKey:
    """Load PKCS #8 DER that :func:`dump_key` made, without checking the key again."""
    key = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, PrivateKey):
        raise TypeError(f"expected a key type supported for devices (got {type(key).__name__})")
    return key


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
