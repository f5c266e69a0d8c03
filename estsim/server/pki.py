"""The sandbox's PKI on disk: made on first use, reused after, private keys readable by their owner alone.

Under the sandbox's folder (mode 0700): ``pki/`` with a PEM file per authority, certificate then key (0600);
``trust.pem``, root and intermediate, for clients; ``bootstrap.pem``, a client certificate by the sandbox's own
manufacturer CA with key and chain, to enroll with by hand.
"""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from estsim.errors import UsageError
from estsim.server.ca import Authority, Issuer, PrivateKey, common_name, kind_of, make_authority, make_key
from estsim.server.config import KeyKind
from estsim.server.names import Names

_PRIVATE_DIR: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_PUBLIC_FILE: Final = 0o644
_TEN_YEARS_S: Final = 10 * 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class Pki:
    """The authorities of a sandbox, and the files made for its clients."""

    root: Authority
    issuer: Authority
    manufacturer: Authority
    trust: Path
    bootstrap: Path
    manufacturer_file: Path  # certificate and key, to make devices' own bootstrap certificates with

    @property
    def ca_certificates(self) -> tuple[x509.Certificate, ...]:
        """Root and intermediate: what cacerts answers and clients trust."""
        return (self.root.certificate, self.issuer.certificate)


def open_pki(folder: Path, kind: KeyKind) -> Pki:
    """Load the PKI under ``folder``, or make it there.

    Raises ``UsageError`` where the folder cannot be used or holds a PKI of another kind of key.
    """
    try:
        private_folder(folder)
        home = folder / "pki"
        if not home.exists():
            _make(folder, home, kind)
        root, issuer, manufacturer = (_read_authority(home / f"{name}.pem") for name in _NAMES)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: cannot be used for the PKI: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{folder / 'pki'}: expected PEM files made by estsim: {error}") from error
    if kind_of(issuer.key) is not kind:
        raise UsageError(
            f"{folder}: the PKI there was made with issuer.key: {kind_of(issuer.key).value}"
            f" (asked for {kind.value}); take another folder, or remove it"
        )
    return Pki(root, issuer, manufacturer, folder / "trust.pem", folder / "bootstrap.pem", home / "manufacturer.pem")


def private_folder(folder: Path) -> None:
    """Make ``folder`` if need be, and close it to others."""
    folder.mkdir(mode=_PRIVATE_DIR, parents=True, exist_ok=True)
    folder.chmod(_PRIVATE_DIR)


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Read the certificates of a PEM file; raises ``UsageError``."""
    try:
        return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: expected CA certificates in PEM ({error})") from error


def write_private(path: Path, content: bytes, mode: int = _PRIVATE_FILE) -> None:
    """Write a file whole or not at all, never readable by others in between."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        part.unlink()
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    part.replace(path)


_NAMES: Final = ("root", "issuer", "manufacturer")


def _make(folder: Path, home: Path, kind: KeyKind) -> None:
    """Make everything aside and move ``pki/`` in last, so that a kill leaves no half a PKI."""
    now = datetime.now(UTC)
    root = make_authority("estsim sandbox root CA", kind, now=now, path_length=1)
    issuer = make_authority("estsim sandbox issuing CA", kind, now=now, parent=root, path_length=0)
    manufacturer = make_authority("estsim sandbox manufacturer CA", KeyKind.EC_P256, now=now, path_length=0)
    aside = folder / "pki.new"
    shutil.rmtree(aside, ignore_errors=True)
    private_folder(aside)
    write_private(folder / ".gitignore", b"*\n", _PUBLIC_FILE)  # private keys are never committed by accident
    for name, authority in zip(_NAMES, (root, issuer, manufacturer), strict=True):
        write_private(aside / f"{name}.pem", _pem(authority.certificate) + _key_pem(authority.key))
    write_private(folder / "trust.pem", _pem(root.certificate) + _pem(issuer.certificate), _PUBLIC_FILE)
    write_private(folder / "bootstrap.pem", _bootstrap(manufacturer, now))
    aside.replace(home)


def _bootstrap(manufacturer: Authority, now: datetime) -> bytes:
    key = make_key(KeyKind.EC_P256)
    subject = common_name("bootstrap")
    names = Names(subject, subject.public_bytes(), None)
    issued = Issuer(manufacturer, _TEN_YEARS_S).issue(key.public_key(), names, now.timestamp())
    return _pem(issued) + _key_pem(key) + _pem(manufacturer.certificate)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_authority(path: Path) -> Authority:
    content = path.read_bytes()
    key = serialization.load_pem_private_key(content, password=None)
    if not isinstance(key, PrivateKey):
        raise TypeError(f"{path.name} holds a key of a kind that estsim does not make")
    return Authority(x509.load_pem_x509_certificate(content), key)
