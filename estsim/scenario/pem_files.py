"""The PEM files that a scenario names: certificates, keys, and the credentials of devices.

Certificate and key are in one file or two, for one device or a folder of them: ``NAME.pem`` with both, or ``NAME.crt``
(or ``.cer``) and ``NAME.key``; devices take them in the order of names. A folder is listed up to a limit, and anything
but a file is reported without opening it.
"""

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
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
from estsim.units import shown
from estsim.user_files import MOST_PEM_BYTES, read_user_file, unreadable

_CLIENT: Final = SSL.Context(SSL.TLS_CLIENT_METHOD)  # with OpenSSL's default security level, as in a run
_RSA_BITS: Final = 2048
MOST_ENTRIES: Final = 250_000  # of a folder
MOST_LOOKED_AT: Final = (
    1000  # credentials of a folder that are checked with the scenario; all are read when the devices are made
)
_BOTH: Final = ".pem"
_KEY: Final = ".key"
_CERTIFICATES: Final = (".crt", ".cer")


def certificates_in(path: Path) -> tuple[Certificate, ...]:
    """Return the certificates of a PEM file; raises UnitError."""
    content = _content(path)
    try:
        return certificates_in_pem(content)
    except PemError as error:
        raise UnitError(f"contains no usable PEM certificate: {error} (got {path})") from error


def device_certificate_in(path: Path) -> Certificate:
    """Return the first certificate of a PEM file, for devices; raises UnitError where OpenSSL rejects it for TLS."""
    certificate = certificates_in(path)[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the recommended type cannot hold every certificate
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
    """Whether a public key is a certificate's, in any encoding; raises UnitError."""
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
    """Return OpenSSL's reason, as ``ee key too small``: an error has (library, function, reason) per entry."""
    entries = error.args[0] if error.args else ()
    return str(entries[-1][-1]) if entries else "no reason given"


def _content(path: Path) -> bytes:
    try:
        return read_user_file(path, most_bytes=MOST_PEM_BYTES)
    except UnreadableFile as error:
        raise unreadable(path, error.reason) from error


@dataclass(frozen=True, slots=True, order=True)
class CredentialFiles:
    """The files of a device's certificate, with its chain, and of its key; they may be the same file."""

    cert: Path
    key: Path

    @classmethod
    def one(cls, path: Path) -> "CredentialFiles":
        """Return a file with both."""
        return cls(path, path)


def check_credential(files: CredentialFiles) -> None:
    """Raise UnitError, with the file, where a certificate and its key cannot be used together."""
    certificate = device_certificate_in(files.cert)
    if not is_key_of(public_key_in(files.key), certificate):
        if files.cert == files.key:
            raise UnitError(f"contains a key that does not match its first certificate (got {files.cert})")
        raise UnitError(f"contains a key that does not match the first certificate in {files.cert} (got {files.key})")


def check_folder(folder: Path, devices: int) -> None:
    """Raise UnitError where a folder lacks usable credentials for a number of devices; checks the first thousand."""
    for files in credentials_in(folder, devices)[:MOST_LOOKED_AT]:
        check_credential(files)


def credentials_in(folder: Path, devices: int) -> tuple[CredentialFiles, ...]:
    """Return the files of a number of devices, in order of names; raises UnitError where there are fewer."""
    entries = _entries(folder)
    found = sorted(_credentials(folder, entries))
    if len(found) < devices:
        raise UnitError(
            f"must contain NAME.pem, or NAME.crt beside NAME.key, for each of {devices} devices "
            f"(got {len(found)} in {folder}{_lonely(entries)})"
        )
    used = tuple(found[:devices])
    for files in used:
        for path in {files.cert, files.key}:
            if not entries[path.name]:
                raise UnitError(f"contains {shown(path.name)}, which is not a file (got {folder})")
    return used


def fingerprint_of(files: tuple[CredentialFiles, ...]) -> str:
    """Return a fingerprint of devices' files: the SHA-256 of their names in order, in hex."""
    return sha256("\0".join(each.cert.name for each in files).encode(errors="surrogateescape")).hexdigest()


def _credentials(folder: Path, entries: dict[str, bool]) -> Iterator[CredentialFiles]:
    for name in entries:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a quarter of a million of them
        if suffix == _BOTH:
            yield CredentialFiles.one(folder / name)
        elif suffix in _CERTIFICATES and f"{stem}{_KEY}" in entries:
            yield CredentialFiles(folder / name, folder / f"{stem}{_KEY}")


def _lonely(entries: dict[str, bool]) -> str:
    """Name a certificate without its key, or a key without its certificate."""
    for name in sorted(entries):
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - as above
        if suffix in _CERTIFICATES and f"{stem}{_KEY}" not in entries:
            return f"; {shown(name)} has no matching {shown(stem)}{_KEY}"
        if suffix == _KEY and not any(f"{stem}{other}" in entries for other in _CERTIFICATES):
            return f"; {shown(name)} has no matching {shown(stem)}{_CERTIFICATES[0]}"
    return ""


def _entries(folder: Path) -> dict[str, bool]:
    """Return the names in a folder, each with whether it is a file or a link to one."""
    try:
        with os.scandir(folder) as listing:
            entries = {entry.name: entry.is_file() for entry in islice(listing, MOST_ENTRIES + 1)}
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise unreadable(folder, getattr(error, "strerror", None) or str(error)) from error
    if len(entries) > MOST_ENTRIES:
        raise UnitError(f"contains more than {MOST_ENTRIES} entries (got {folder})")
    return entries
