"""A certificate authority of nobody's making: certificates and certs-only messages with any part out of order."""

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from der_writer import (
    IS_CA,
    SUBJECT_ALT_NAME,
    bit_string,
    common_name,
    explicit,
    extension,
    integer,
    null,
    oid,
    sequence,
    set_of,
    validity,
)

from estsim.est.transfer import decode_body

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Signing:
    """A signature algorithm: what a certificate says of it, and the hash that it is made with."""

    identifier: bytes
    hash: hashes.HashAlgorithm


ECDSA_SHA256: Final = Signing(sequence(oid("1.2.840.10045.4.3.2")), hashes.SHA256())
ECDSA_SHA1: Final = Signing(sequence(oid("1.2.840.10045.4.1")), hashes.SHA1())  # noqa: S303 - what old CAs use
RSA_SHA256: Final = Signing(sequence(oid("1.2.840.113549.1.1.11"), null()), hashes.SHA256())
RSA_SHA1: Final = Signing(sequence(oid("1.2.840.113549.1.1.5"), null()), hashes.SHA1())  # noqa: S303 - the same
RSA_MD5: Final = Signing(sequence(oid("1.2.840.113549.1.1.4"), null()), hashes.MD5())  # noqa: S303 - the same

_VERSION_3: Final = explicit(0, integer(2))


def make_key() -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def spki_of(key: Key) -> bytes:
    """Return the public key of a key as SubjectPublicKeyInfo."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def signed(to_be_signed: bytes, key: Key, signing: Signing | None = None, outer: bytes | None = None) -> bytes:
    """Return ``{ to be signed, algorithm, signature }``; ``outer`` names another algorithm than is used."""
    signing = signing or (RSA_SHA256 if isinstance(key, rsa.RSAPrivateKey) else ECDSA_SHA256)
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(to_be_signed, padding.PKCS1v15(), signing.hash)
    else:
        signature = key.sign(to_be_signed, ec.ECDSA(signing.hash))
    return sequence(to_be_signed, outer or signing.identifier, bit_string(signature))


def certificate(
    *,
    issuer: bytes,
    subject: bytes,
    spki: bytes,
    key: Key,
    extensions: Sequence[bytes] = (),
    serial: int | bytes | None = None,
    valid: bytes | None = None,
    signing: Signing | None = None,
    outer: bytes | None = None,
    version: bytes = _VERSION_3,
) -> bytes:
    """Return a certificate as DER; parts given as bytes are taken as they are.

    ``serial`` is a number or the whole INTEGER, ``valid`` the whole Validity, ``version`` the whole ``[0]`` or nothing.
    """
    signing = signing or (RSA_SHA256 if isinstance(key, rsa.RSAPrivateKey) else ECDSA_SHA256)
    if not isinstance(serial, bytes):
        serial = integer(int.from_bytes(os.urandom(8), "big") >> 1 if serial is None else serial)
    listed = explicit(3, sequence(*extensions)) if extensions else b""
    parts = (version, serial, signing.identifier, issuer, valid or validity(), subject, spki, listed)
    return signed(sequence(*parts), key, signing, outer)


@dataclass(frozen=True, slots=True)
class ForeignCA:
    """A root: its name and key, and its own certificate, which can be any."""

    name: bytes = field(default_factory=lambda: common_name("Foreign Root"))
    key: Key = field(default_factory=make_key)
    extensions: Sequence[bytes] = (IS_CA,)
    valid: bytes | None = None
    serial: int | bytes | None = None
    signing: Signing | None = None
    der: bytes = b""

    def __post_init__(self) -> None:
        if not self.der:
            own = certificate(
                issuer=self.name,
                subject=self.name,
                spki=spki_of(self.key),
                key=self.key,
                extensions=self.extensions,
                serial=self.serial,
                valid=self.valid,
                signing=self.signing,
            )
            object.__setattr__(self, "der", own)

    def issue(
        self,
        subject: bytes,
        spki: bytes,
        san: bytes | None = None,
        *,
        extensions: Sequence[bytes] = (),
        serial: int | bytes | None = None,
        valid: bytes | None = None,
        signing: Signing | None = None,
        outer: bytes | None = None,
    ) -> bytes:
        """Issue a certificate as DER; ``san`` is the value of a SubjectAltName, ``extensions`` come beside it."""
        names = () if san is None else (extension(SUBJECT_ALT_NAME, san),)
        return certificate(
            issuer=self.name,
            subject=subject,
            spki=spki,
            key=self.key,
            extensions=(*names, *extensions),
            serial=serial,
            valid=valid,
            signing=signing,
            outer=outer,
        )

    def below(
        self,
        text: str,
        *,
        key: Key | None = None,
        extensions: Sequence[bytes] = (IS_CA,),
        valid: bytes | None = None,
        signing: Signing | None = None,
    ) -> "ForeignCA":
        """Return a CA that this one has certified."""
        key = key or make_key()
        subject = common_name(text)
        own = self.issue(subject, spki_of(key), extensions=extensions, valid=valid, signing=signing)
        return ForeignCA(subject, key, der=own)


def pem(*certificates: bytes) -> str:
    """Return DER certificates as a PEM file's text; the library need not be able to read them."""
    return "".join(
        f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"
        for der in certificates
    )


def write_pem(path: Path, *certificates: bytes) -> Path:
    """Write DER certificates to a PEM file."""
    path.write_text(pem(*certificates), encoding="ascii")
    return path


_DATA: Final = "1.2.840.113549.1.7.1"
_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"


def certs_only(
    *certificates: bytes,
    crls: bytes = b"",
    content: bytes | None = None,
    content_type: str = _DATA,
    digest_algorithms: bytes = b"",
    signers: bytes = b"",
    version: int = 1,
) -> bytes:
    """Return CMS SignedData with certificates in the order given (RFC 5272 §4.1), and whatever else is wanted."""
    inner = sequence(oid(content_type), *((explicit(0, content),) if content is not None else ()))
    return sequence(
        oid(_SIGNED_DATA),
        explicit(
            0,
            sequence(
                integer(version),
                set_of(digest_algorithms),
                inner,
                *((explicit(0, *certificates),) if certificates else ()),
                *((explicit(1, crls),) if crls else ()),
                set_of(signers),
            ),
        ),
    )


@dataclass(frozen=True, slots=True)
class Asking:
    """What a CSR asks for, as DER: a CA copies it into a certificate, or changes it."""

    subject: bytes
    spki: bytes
    san: bytes | None
    csr: x509.CertificateSigningRequest

    @classmethod
    def of(cls, body: bytes) -> "Asking":
        """Read the body of a request that estsim has sent."""
        csr = x509.load_der_x509_csr(decode_body(body)[0])
        try:
            san = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.public_bytes()
        except x509.ExtensionNotFound:
            san = None
        spki = csr.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return cls(csr.subject.public_bytes(), spki, san, csr)

    @property
    def number(self) -> int:
        """The digits of the common name, which tell one device from another."""
        return int("".join(filter(str.isdigit, self.csr.subject.rfc4514_string())))
