"""Certificates and keys in PEM files, looked at while a scenario is read."""

import warnings
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_ASN1, load_certificate
from OpenSSL.crypto import Error as CannotLoad

from estsim.errors import UnitError, UnreadableFile
from estsim.est.certificate import Certificate
from estsim.est.public_keys import KeyUnreadable, public_key
from estsim.est.signing import PrivateKey
from estsim.pki.keys import spki_of
from estsim.pki.pem import PemError, certificates_in_pem
from estsim.scenario.unreadable import unreadable
from estsim.user_files import MOST_PEM_BYTES, read_user_file

_CLIENT: Final = SSL.Context(SSL.TLS_CLIENT_METHOD)  # of OpenSSL's own security level, as the contexts of a run are
_RSA_BITS: Final = 2048


def certificates_in(path: Path) -> tuple[Certificate, ...]:
    """Return the certificates of a PEM file; raises UnitError."""
    content = _content(path)
    try:
        return certificates_in_pem(content)
    except PemError as error:
        raise UnitError(f"contains no usable PEM certificate: {error} (got {path})") from error


def device_certificate_in(path: Path) -> Certificate:
    """Return the first certificate of a PEM file, for devices to present; raises UnitError where TLS refuses it."""
    certificate = certificates_in(path)[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # what it would rather have cannot hold every certificate
            _CLIENT.use_certificate(load_certificate(FILETYPE_ASN1, certificate.der))
    except CannotLoad as error:
        raise UnitError(f"contains a certificate that OpenSSL cannot read (got {path})") from error
    except SSL.Error as error:
        bits, what, hint = _rsa_bits(certificate), "a certificate", ""
        if bits is not None and bits < _RSA_BITS:
            what, hint = f"an RSA key of {bits} bits", f"; use at least {_RSA_BITS} bits"
        raise UnitError(f"contains {what} that OpenSSL rejects for TLS: {_reason(error)}{hint} (got {path})") from error
    return certificate


def public_key_in(path: Path) -> bytes:
    """Return the SubjectPublicKeyInfo (DER) of a PEM file's private key; raises UnitError."""
    content = _content(path)
    try:
        key = load_pem_private_key(content, None)
    except TypeError as error:
        raise UnitError(f"is encrypted: the key must have no password (got {path})") from error
    except ValueError as error:
        raise UnitError(f"contains no PEM private key (got {path})") from error
    except UnsupportedAlgorithm as error:
        raise UnitError(f"contains a private key of an unsupported kind (got {path})") from error
    if not isinstance(key, PrivateKey):
        raise UnitError(f"must contain an EC, RSA or Ed25519 key, not a {type(key).__name__} (got {path})")
    return spki_of(key)


def is_key_of(spki: bytes, certificate: Certificate) -> bool:
    """Whether a public key is a certificate's, however the certificate has it encoded."""
    try:
        return spki == certificate.spki or public_key(spki) == public_key(certificate.spki)
    except KeyUnreadable as error:
        raise UnitError(f"contains a certificate whose public key cannot be read: {error}") from error


def _rsa_bits(certificate: Certificate) -> int | None:
    try:
        key = public_key(certificate.spki)
    except KeyUnreadable:
        return None
    return key.key_size if isinstance(key, RSAPublicKey) else None


def _reason(error: SSL.Error) -> str:
    """Return OpenSSL's words, as ``ee key too small``: an error holds (library, function, reason) for each entry."""
    entries = error.args[0] if error.args else ()
    return str(entries[-1][-1]) if entries else "no reason given"


def _content(path: Path) -> bytes:
    try:
        return read_user_file(path, most_bytes=MOST_PEM_BYTES)
    except UnreadableFile as error:
        raise unreadable(path, error.reason) from error
