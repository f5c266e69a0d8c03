"""Certification requests written by hand, so that they can be as odd as strangers send them; signed as they stand."""

from collections.abc import Callable
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from estsim.est.der import BIT_STRING, BOOLEAN, INTEGER, NULL, OCTET_STRING, SEQUENCE, SET, encode
from estsim.est.der import encoded_oid as oid

UTF8, NUMERIC, PRINTABLE, TELETEX, IA5, VISIBLE, UNIVERSAL, BMP = 0x0C, 0x12, 0x13, 0x14, 0x16, 0x1A, 0x1C, 0x1E
EMAIL, DNS, URI, IP, REGISTERED, OTHER, DIRECTORY = 0x81, 0x82, 0x86, 0x87, 0x88, 0xA0, 0xA4

SAN_OID, KEY_USAGE = "2.5.29.17", "2.5.29.15"
EXTENSION_REQUEST, CHALLENGE_PASSWORD = "1.2.840.113549.1.9.14", "1.2.840.113549.1.9.7"
CHANGE_SUBJECT_NAME, MICROSOFTS = "1.3.6.1.5.5.7.7.36", "1.3.6.1.4.1.311.2.1.14"
CN, ORGANIZATION, COUNTRY = "2.5.4.3", "2.5.4.10", "2.5.4.6"
P256, EC, RSA = "1.2.840.10045.3.1.7", "1.2.840.10045.2.1", "1.2.840.113549.1.1.1"
ECDSA_SHA256, RSA_SHA256 = "1.2.840.10045.4.3.2", "1.2.840.113549.1.1.11"


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    """Return the key that signs where nothing else is said."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """Return an ordinary RSA key."""
    return rsa.generate_private_key(65537, 2048)


def seq(*parts: bytes) -> bytes:
    """Return a SEQUENCE."""
    return encode(SEQUENCE, b"".join(parts))


def set_of(*parts: bytes) -> bytes:
    """Return a SET, in the order given."""
    return encode(SET, b"".join(parts))


def null() -> bytes:
    """Return a NULL."""
    return encode(NULL, b"")


def integer(number: int) -> bytes:
    """Return an INTEGER."""
    return encode(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def rdn(*parts: tuple[str, int, bytes]) -> bytes:
    """Return a RelativeDistinguishedName of (type, string tag, content)."""
    return set_of(*(seq(oid(kind), encode(tag, content)) for kind, tag, content in parts))


def common_name(content: bytes, tag: int = UTF8) -> bytes:
    """Return the Name ``CN=content`` in a string type."""
    return seq(rdn((CN, tag, content)))


def extension(kind: str, value: bytes, critical: bytes = b"") -> bytes:
    """Return an Extension; ``critical`` is the content of a BOOLEAN, left out where it is empty."""
    return seq(oid(kind), encode(BOOLEAN, critical) if critical else b"", encode(OCTET_STRING, value))


def san(*names: tuple[int, bytes]) -> bytes:
    """Return a SubjectAltName extension of (tag, content)."""
    return extension(SAN_OID, seq(*(encode(tag, content) for tag, content in names)))


def attribute(kind: str, *values: bytes) -> bytes:
    """Return an Attribute with so many values."""
    return seq(oid(kind), set_of(*values))


def extension_request(*extensions: bytes) -> bytes:
    """Return an extensionRequest attribute."""
    return attribute(EXTENSION_REQUEST, seq(*extensions))


def spki(kind: str, parameters: bytes, key: bytes, *, unused: int = 0) -> bytes:
    """Return a SubjectPublicKeyInfo of these parts."""
    return seq(seq(oid(kind), parameters), encode(BIT_STRING, bytes((unused,)) + key))


def spki_of(key: object) -> bytes:
    """Return the SubjectPublicKeyInfo of a library's private key."""
    public = key.public_key()  # type: ignore[attr-defined]
    der: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return der


def ec_point() -> bytes:
    """Return the uncompressed point of the ordinary key."""
    return ec_key().public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def rsa_spki(modulus: int, exponent: int, parameters: bytes | None = None) -> bytes:
    """Return an RSA key of these numbers."""
    return spki(RSA, null() if parameters is None else parameters, seq(integer(modulus), integer(exponent)))


def request(
    *attributes: bytes,
    subject: bytes | None = None,
    key: bytes | None = None,
    version: bytes | None = None,
    algorithm: bytes | None = None,
    sign: Callable[[bytes], bytes] | None = None,
    holder: int | None = 0xA0,
) -> bytes:
    """Return a CertificationRequest of these parts, signed with ECDSA and SHA-256 unless ``sign`` does it.

    ``holder`` is the tag of the attributes, None leaves them away.
    """
    info = seq(
        integer(0) if version is None else version,
        common_name(b"meter-1") if subject is None else subject,
        spki_of(ec_key()) if key is None else key,
        b"" if holder is None else encode(holder, b"".join(attributes)),
    )
    signature = (sign or ecdsa(hashes.SHA256()))(info)
    return seq(info, algorithm or seq(oid(ECDSA_SHA256)), encode(BIT_STRING, b"\0" + signature))


def rsa_request(
    oid_of_algorithm: str = RSA_SHA256, made: hashes.HashAlgorithm | None = None, key: bytes | None = None
) -> bytes:
    """Return a request for an RSA key, signed by the ordinary one with PKCS#1 v1.5."""
    used = made or hashes.SHA256()
    return request(
        key=key or spki_of(rsa_key()),
        algorithm=seq(oid(oid_of_algorithm), null()),
        sign=lambda info: rsa_key().sign(info, padding.PKCS1v15(), used),
    )


def ecdsa(made: hashes.HashAlgorithm, key: ec.EllipticCurvePrivateKey | None = None) -> Callable[[bytes], bytes]:
    """Return what signs with ECDSA."""
    return lambda info: (key or ec_key()).sign(info, ec.ECDSA(made))
