"""PEM (RFC 7468) as users have it in files: with text around it, several labels and any line length."""

import binascii
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm

from estsim.errors import EstsimError, UsageError
from estsim.est.certificate import Certificate, CertificateUnreadable, read_certificate
from estsim.est.der import DERError, element
from estsim.est.transfer import encode_body
from estsim.user_files import MOST_PEM_BYTES, read_user_file

_BEGIN: Final = b"-----BEGIN "
_END: Final = b"-----END "
_DASHES: Final = b"-----"
_LABELS: Final = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")  # those that OpenSSL reads
T = TypeVar("T")


class PemError(EstsimError, ValueError):
    """A text that holds no certificate in PEM, or one that cannot be read; the message says which."""


def certificates_in_pem(content: bytes) -> tuple[Certificate, ...]:
    """Return the certificates of a PEM file, at least one, in their order; raises :class:`PemError`."""
    certificates: list[Certificate] = []
    for number, armoured in enumerate(_blocks(content), start=1):
        try:
            der = binascii.a2b_base64(armoured.translate(None, b"\r\n \t"), strict_mode=True)
            certificates.append(
                read_certificate(der[: element(der, 0)[2]])
            )  # OpenSSL's trust settings follow a TRUSTED CERTIFICATE
        except (binascii.Error, DERError, CertificateUnreadable) as error:
            raise PemError(f"certificate {number} cannot be read: {error}") from error
    if not certificates:
        raise PemError("no certificate found")
    return tuple(certificates)


def pem(der: bytes) -> bytes:
    """Return a certificate in PEM."""
    lines = encode_body(der)
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"-----END CERTIFICATE-----\n"


def _blocks(content: bytes) -> Iterator[bytes]:
    """Yield what stands between the lines of armour; in linear time."""
    at = content.find(_BEGIN)
    while at >= 0:
        label_end = content.find(_DASHES, at + len(_BEGIN))
        end = content.find(_END, label_end) if label_end >= 0 else -1
        if end < 0:
            return
        if content[at + len(_BEGIN) : label_end] in _LABELS:
            yield content[label_end + len(_DASHES) : end]
        at = content.find(_BEGIN, end)


def read_pem(path: Path, load: Callable[[bytes], T], what: str) -> T:
    """Return what ``load`` makes of a PEM file; raises UsageError or UnreadableFile, which name the file."""
    content = read_user_file(path, most_bytes=MOST_PEM_BYTES)
    try:
        return load(content)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path}: expected {what} in PEM: {error}") from error
