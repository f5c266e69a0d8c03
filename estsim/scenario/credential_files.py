"""The PEM files of devices' credentials: certificate and key in one file or two, for one device or a folder of them.

A folder has ``NAME.pem`` with both, or ``NAME.crt`` (or ``.cer``) beside ``NAME.key``; devices take them in the order
of names. It is listed up to a limit, and what is no file is told before anything opens it.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Final

from estsim.errors import UnitError
from estsim.scenario.pem_files import device_certificate_in, is_key_of, public_key_in
from estsim.scenario.unreadable import unreadable
from estsim.units import shown

MOST_ENTRIES: Final = 250_000  # of a folder
MOST_LOOKED_AT: Final = 1000  # credentials of a folder, as a scenario is read; all are read as the devices are made
_BOTH: Final = ".pem"
_KEY: Final = ".key"
_CERTIFICATES: Final = (".crt", ".cer")


@dataclass(frozen=True, slots=True, order=True)
class CredentialFiles:
    """Where a device's certificate lies, with what is sent beside it, and its key; one file may hold all."""

    cert: Path
    key: Path

    @classmethod
    def one(cls, path: Path) -> "CredentialFiles":
        """Return a file that holds both."""
        return cls(path, path)


def check_credential(files: CredentialFiles) -> None:
    """Raise UnitError where a certificate and its key cannot be used together; names the file."""
    certificate = device_certificate_in(files.cert)
    if not is_key_of(public_key_in(files.key), certificate):
        if files.cert == files.key:
            raise UnitError(f"contains a key that does not match its first certificate (got {files.cert})")
        raise UnitError(f"contains a key that does not match the first certificate in {files.cert} (got {files.key})")


def check_folder(folder: Path, devices: int) -> None:
    """Raise UnitError where a folder has no usable credential for each of so many devices.

    Looks into the first thousand; the rest is read when the devices are made.
    """
    for files in credentials_in(folder, devices)[:MOST_LOOKED_AT]:
        check_credential(files)


def credentials_in(folder: Path, devices: int) -> tuple[CredentialFiles, ...]:
    """Return the files of so many devices, in the order of names; raises UnitError where there are fewer."""
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
    """Return what tells one list of devices' files from another: the SHA-256 of their names in order, in hex."""
    return sha256("\0".join(each.cert.name for each in files).encode(errors="surrogateescape")).hexdigest()


def _credentials(folder: Path, entries: dict[str, bool]) -> Iterator[CredentialFiles]:
    for name in entries:
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a quarter of a million of them
        if suffix == _BOTH:
            yield CredentialFiles.one(folder / name)
        elif suffix in _CERTIFICATES and f"{stem}{_KEY}" in entries:
            yield CredentialFiles(folder / name, folder / f"{stem}{_KEY}")


def _lonely(entries: dict[str, bool]) -> str:
    """Name a certificate that has no key beside it, or the other way round."""
    for name in sorted(entries):
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - as above
        if suffix in _CERTIFICATES and f"{stem}{_KEY}" not in entries:
            return f"; {shown(name)} has no matching {shown(stem)}{_KEY}"
        if suffix == _KEY and not any(f"{stem}{other}" in entries for other in _CERTIFICATES):
            return f"; {shown(name)} has no matching {shown(stem)}{_CERTIFICATES[0]}"
    return ""


def _entries(folder: Path) -> dict[str, bool]:
    """Return the names in a folder, and of each whether it is a file, or leads to one."""
    try:
        with os.scandir(folder) as listing:
            entries = {entry.name: entry.is_file() for entry in islice(listing, MOST_ENTRIES + 1)}
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise unreadable(folder, getattr(error, "strerror", None) or str(error)) from error
    if len(entries) > MOST_ENTRIES:
        raise UnitError(f"contains more than {MOST_ENTRIES} entries (got {folder})")
    return entries
