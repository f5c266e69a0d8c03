"""Certificates in PEM (RFC 7468), as users have them in files: text around them, several labels, any line length."""

import binascii
from collections.abc import Iterator
from typing import Final

from estsim.errors import EstsimError
from estsim.est.certificate import Certificate, CertificateUnreadable, read_certificate
from estsim.est.der import DERError, element
from estsim.est.transfer import encode_body

_BEGIN: Final = b"-----BEGIN "
_END: Final = b"-----END "
_DASHES: Final = b"-----"
_LABELS: Final = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")  # those that OpenSSL reads


class PemError(EstsimError, ValueError):
    """A text without certificates in PEM, or with one that cannot be read; says which."""


def certificates_in_pem(content: bytes) -> tuple[Certificate, ...]:
    """Return the certificates of a PEM file, at least one, in their order; raises :class:`PemError`."""
    certificates: list[Certificate] = []
    for number, armoured in enumerate(_blocks(content), start=1):
        try:
            der = binascii.a2b_base64(armoured.translate(None, b"\r\n \t"), strict_mode=True)
            certificates.append(read_certificate(der[: element(der, 0)[2]]))  # a trusted one says more behind it
        except (binascii.Error, DERError) as error:
            raise PemError(f"certificate {number} cannot be read: {error}") from error
        except CertificateUnreadable as error:
            raise PemError(f"certificate {number} cannot be read: {error}") from error
    if not certificates:
        raise PemError("no certificate found")
    return tuple(certificates)


def pem(der: bytes) -> bytes:
    """Return a certificate in PEM."""
    lines = encode_body(der)
    return b"-----BEGIN CERTIFICATE-----\n" + lines + b"-----END CERTIFICATE-----\n"


def _blocks(content: bytes) -> Iterator[bytes]:
    """Yield what stands between the lines of armour; each byte is looked at a fixed number of times."""
    at = content.find(_BEGIN)
    while at >= 0:
        label_end = content.find(_DASHES, at + len(_BEGIN))
        end = content.find(_END, label_end) if label_end >= 0 else -1
        if end < 0:
            return
        if content[at + len(_BEGIN) : label_end] in _LABELS:
            yield content[label_end + len(_DASHES) : end]
        at = content.find(_BEGIN, end)
