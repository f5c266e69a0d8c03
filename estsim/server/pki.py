"""The PKI of a trust center on disk: made on first use, then reused; private keys are readable by their owner only.

In the sandbox's folder (mode 0700), for each trust center: ``pki/LABEL/`` with a PEM file per authority, certificate
then key (0600); ``trust.pem``, root and intermediates, for clients; ``bootstrap.pem``, a client certificate of the
trust center's own manufacturer CA with key and chain, to enroll with by hand. The last two have the label in their
names.
"""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization

from estsim.errors import UsageError
from estsim.est.certificate import Certificate
from estsim.est.signing import PrivateKey
from estsim.net.openssl import require_readable
from estsim.pki.authority import Authority, Issuer, make_authority
from estsim.pki.keys import KeyKind, kind_of, make_key, spki_of
from estsim.pki.names import Names, common_name
from estsim.pki.pem import PemError, certificates_in_pem, pem
from estsim.server.config import DEFAULT, IssuerConfig
from estsim.user_files import MOST_PEM_BYTES, read_user_file

_PRIVATE_DIR: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_PUBLIC_FILE: Final = 0o644
_TEN_YEARS_S: Final = 10 * 365 * 86_400.0
_MANUFACTURER: Final = "manufacturer.pem"


@dataclass(frozen=True, slots=True)
class Pki:
    """The authorities of a trust center, and the files for its clients. ``chain`` begins with the root."""

    chain: tuple[Authority, ...]
    manufacturer: Authority
    trust: Path
    bootstrap: Path
    manufacturer_file: Path  # certificate and key, to make devices' own bootstrap certificates with

    @property
    def issuer(self) -> Authority:
        """The authority that issues: the last intermediate, or the root where there is none."""
        return self.chain[-1]

    @property
    def ca_certificates(self) -> tuple[Certificate, ...]:
        """Root and intermediates, as cacerts answers and clients trust."""
        return tuple(authority.certificate for authority in self.chain)


def open_pki(folder: Path, label: str, config: IssuerConfig, *, tls_root: Certificate | None = None) -> Pki:
    """Load the PKI of a trust center in ``folder``, or make it there.

    ``tls_root`` is the root of the server's own certificate, if it belongs to another trust center: clients have to
    trust it too. Raises ``UsageError`` where the folder cannot be used or holds a PKI of another kind.
    """
    suffix = "" if label == DEFAULT else f"-{label}"
    trust, bootstrap = folder / f"trust{suffix}.pem", folder / f"bootstrap{suffix}.pem"
    try:
        private_folder(folder)
        home = folder / "pki" / label
        if not home.exists():
            _make(folder, home, config, "" if label == DEFAULT else f" {label}")
        chain = read_authorities(home)
        manufacturer = _read_authority(home / _MANUFACTURER)
        _check_kind(home, chain, config)
        if not bootstrap.exists():
            write_private(bootstrap, _bootstrap(manufacturer, datetime.now(UTC)))
        roots = () if tls_root is None else (tls_root,)
        certificates = dict.fromkeys((*(authority.certificate for authority in chain), *roots))
        write_private(trust, b"".join(pem(each.der) for each in certificates), _PUBLIC_FILE)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: cannot be used for the PKI: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{folder / 'pki' / label}: expected PEM files made by estsim: {error}") from error
    return Pki(chain, manufacturer, trust, bootstrap, home / _MANUFACTURER)


def read_authorities(home: Path) -> tuple[Authority, ...]:
    """Read the authorities of a trust center from its folder, the root first, the issuing CA last."""
    return tuple(map(_read_authority, sorted(home.glob("ca-*.pem"))))


def _check_kind(home: Path, chain: tuple[Authority, ...], config: IssuerConfig) -> None:
    if not chain:
        raise ValueError("there is no CA")
    made = (kind_of(chain[-1].key), len(chain) - 1)
    if made != (config.key, config.intermediates):
        raise UsageError(
            f"{home}: its PKI was created with issuer.key: {made[0].value} and intermediates: {made[1]}"
            f" (expected {config.key.value} and {config.intermediates}); choose another folder, or remove it"
        )


def private_folder(folder: Path) -> None:
    """Make ``folder`` private and ignored by git, unless it exists already."""
    if not folder.is_dir():
        folder.mkdir(mode=_PRIVATE_DIR, parents=True)
        write_private(folder / ".gitignore", b"*\n", _PUBLIC_FILE)  # private keys are never committed by accident


def read_certificates(path: Path) -> tuple[Certificate, ...]:
    """Read the certificates of a PEM file; raises ``UsageError``."""
    content = read_user_file(path, most_bytes=MOST_PEM_BYTES)
    try:
        certificates = certificates_in_pem(content)
    except PemError as error:
        raise UsageError(f"{path}: expected CA certificates in PEM ({error})") from error
    require_readable(path, certificates)
    return certificates


def write_private(path: Path, content: bytes, mode: int = _PRIVATE_FILE) -> None:
    """Write a file atomically, never readable by others in between."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        part.unlink()
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    part.replace(path)


def _make(folder: Path, home: Path, config: IssuerConfig, name: str) -> None:
    """Make the PKI in another folder and move it into place, so that a kill never leaves half of one."""
    now = datetime.now(UTC)
    chain = [make_authority(f"estsim sandbox{name} root CA", config.key, now=now, path_length=config.intermediates)]
    for left in reversed(range(config.intermediates)):
        title = f"intermediate CA {config.intermediates - left}" if left else "issuing CA"
        chain.append(
            make_authority(f"estsim sandbox{name} {title}", config.key, now=now, parent=chain[-1], path_length=left)
        )
    manufacturer = make_authority(f"estsim sandbox{name} manufacturer CA", KeyKind.EC_P256, now=now, path_length=1)
    home.parent.mkdir(mode=_PRIVATE_DIR, exist_ok=True)
    aside = folder / "pki.new"
    shutil.rmtree(aside, ignore_errors=True)
    private_folder(aside)
    for depth, authority in enumerate(chain):
        write_private(aside / f"ca-{depth}.pem", pem(authority.certificate.der) + _key_pem(authority.key))
    write_private(aside / _MANUFACTURER, pem(manufacturer.certificate.der) + _key_pem(manufacturer.key))
    aside.replace(home)


def _bootstrap(manufacturer: Authority, now: datetime) -> bytes:
    key = make_key(KeyKind.EC_P256)
    subject = common_name("bootstrap")
    issued = Issuer(manufacturer, _TEN_YEARS_S).issue(spki_of(key), Names(subject, None), now.timestamp())
    return pem(issued.der) + _key_pem(key) + pem(manufacturer.certificate.der)


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read_authority(path: Path) -> Authority:
    content = read_user_file(path, most_bytes=MOST_PEM_BYTES)
    key = serialization.load_pem_private_key(content, password=None)
    if not isinstance(key, PrivateKey):
        raise TypeError(f"{path.name} contains a key of an unsupported type")
    return Authority(certificates_in_pem(content)[0], key)
