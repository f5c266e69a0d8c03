"""Certificates and keys in PEM files, looked at while a scenario is read."""

from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from estsim.errors import UnitError
from estsim.scenario.unreadable import unreadable


def certificates_in(path: Path) -> list[x509.Certificate]:
    """Return the certificates of a PEM file; raises UnitError."""
    content = _content(path)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise UnitError(f"holds no certificate in PEM (got {path})") from error


def public_key_in(path: Path) -> bytes:
    """Return the SubjectPublicKeyInfo (DER) of a PEM file's private key; raises UnitError."""
    content = _content(path)
    try:
        return spki(load_pem_private_key(content, None).public_key())
    except TypeError as error:
        raise UnitError(f"is encrypted: a key must be there without a password (got {path})") from error
    except ValueError as error:
        raise UnitError(f"holds no private key in PEM (got {path})") from error


def spki(key: Any) -> bytes:  # noqa: ANN401 - cryptography's public keys have no common type with this method
    """Return a public key as SubjectPublicKeyInfo, DER."""
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise unreadable(path, error) from error
