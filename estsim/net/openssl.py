"""The private parts of pyOpenSSL that the wire needs, used here and nowhere else.

pyOpenSSL has no public call for the groups that a context offers, for the reason of a failed verification, for whether
a session was resumed, or for a certificate as DER: it takes the library's own objects, which do not exist for every
certificate that OpenSSL accepts. :func:`require_openssl` reports a missing function at the start of a run.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL, crypto
from OpenSSL._util import ffi as _ffi
from OpenSSL._util import lib as _lib

from estsim.errors import EstsimError, UsageError
from estsim.est.certificate import Certificate

# A stale entry in the error queue makes older OpenSSL take a healthy read for a failed one.
LOWEST_OPENSSL: Final = 0x40000000
MODE_NO_AUTO_CHAIN: Final = 8  # SSL_MODE_NO_AUTO_CHAIN, which pyOpenSSL does not name
_CA_MD_TOO_WEAK: Final = 68  # X509_V_ERR_CA_MD_TOO_WEAK, of any certificate below the root
INVALID_PURPOSE: Final = 26  # X509_V_ERR_INVALID_PURPOSE

_NEEDED: Final = (
    "SSL_CTX_add_client_CA",
    "SSL_CTX_add_extra_chain_cert",
    "SSL_CTX_set1_curves_list",
    "SSL_CTX_use_certificate",
    "SSL_get_verify_result",
    "SSL_session_reused",
    "SSL_use_certificate",
    "X509_dup",
    "X509_verify_cert_error_string",
)


class OpenSSLUnfit(EstsimError):  # noqa: N818 - says what it is
    """The installed OpenSSL is too old or lacks a function that the wire needs."""


def openssl_version() -> str:
    """Return the version of the OpenSSL in use, as ``OpenSSL 4.0.3 …``, for the record of a run."""
    return SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii", "replace")


def require_openssl() -> None:
    """Check that OpenSSL is fit for a run; raises :class:`OpenSSLUnfit`."""
    if SSL.OPENSSL_VERSION_NUMBER < LOWEST_OPENSSL:
        raise OpenSSLUnfit(f"cryptography must bundle OpenSSL 4.0 or newer (got {openssl_version()})")
    missing = [name for name in _NEEDED if not hasattr(_lib, name)]
    if missing:
        raise OpenSSLUnfit(f"pyOpenSSL lacks {', '.join(missing)}; expected pyOpenSSL 26.4 with cryptography 49")


def set_curves(context: SSL.Context, names: str) -> bool:
    """Offer exactly the groups of a colon-separated list on a context; false if OpenSSL does not know one."""
    ok: int = _lib.SSL_CTX_set1_curves_list(_raw(context), names.encode("ascii"))
    if ok != 1:
        _lib.ERR_clear_error()  # a stale entry would turn a real EOF elsewhere into another error
    return ok == 1


def has_extended_master_secret(connection: SSL.Connection) -> bool:
    """Whether a TLS 1.2 session has the extended master secret (RFC 7627)."""
    return bool(_lib.SSL_get_extms_support(_raw(connection)) == 1)


def session_reused(connection: SSL.Connection) -> bool:
    """Whether the handshake resumed a session, for either role."""
    return bool(_lib.SSL_session_reused(_raw(connection)))


def verify_result(connection: SSL.Connection) -> int:
    """Return OpenSSL's verification code of the peer's certificate, 0 if it is valid."""
    return int(_lib.SSL_get_verify_result(_raw(connection)))


def verify_reason(code: int) -> str:
    """Return OpenSSL's text for a verification code, as ``certificate has expired``; an old hash by name."""
    encoded: bytes = _ffi.string(_lib.X509_verify_cert_error_string(code))
    text = encoded.decode("ascii", "replace")
    return f"signed with SHA-1 or MD5, which is not accepted ({text})" if code == _CA_MD_TOO_WEAK else text


def load_certificate(der: bytes) -> crypto.X509:
    """Load a certificate into OpenSSL; raises ``ValueError`` where it cannot be read."""
    try:
        return crypto.load_certificate(crypto.FILETYPE_ASN1, der)
    except crypto.Error as error:
        raise ValueError("OpenSSL cannot read the certificate") from error


def can_read(der: bytes) -> bool:
    """Whether OpenSSL can read a certificate, and so trust or present it."""
    try:
        load_certificate(der)
    except ValueError:
        return False
    return True


def require_readable(path: Path, certificates: Iterable[Certificate]) -> None:
    """Refuse a file with a certificate that OpenSSL cannot read; raises UsageError."""
    for number, certificate in enumerate(certificates, start=1):
        if not can_read(certificate.der):
            raise UsageError(f"{path}: certificate {number} ({certificate.subject}) cannot be read by OpenSSL")


def dump_certificate(certificate: crypto.X509) -> bytes:
    """Return one of OpenSSL's certificates as DER."""
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate)


def use_certificate(endpoint: SSL.Context | SSL.Connection, der: bytes) -> None:
    """Present a certificate; raises ``ValueError`` where OpenSSL rejects it."""
    loaded = load_certificate(der)._x509  # noqa: SLF001 - as below
    use = _lib.SSL_CTX_use_certificate if isinstance(endpoint, SSL.Context) else _lib.SSL_use_certificate
    _taken(use(_raw(endpoint), loaded))


def add_chain_certificate(context: SSL.Context, der: bytes) -> None:
    """Send a certificate after the leaf; raises ``ValueError`` where OpenSSL rejects it."""
    copy = _lib.X509_dup(load_certificate(der)._x509)  # noqa: SLF001 - as below; the context frees it
    if _lib.SSL_CTX_add_extra_chain_cert(_raw(context), copy) != 1:
        _lib.X509_free(copy)
        _taken(0)


def name_client_ca(context: SSL.Context, authority: crypto.X509) -> None:
    """Name a CA whose clients a server accepts."""
    _taken(_lib.SSL_CTX_add_client_CA(_raw(context), authority._x509))  # noqa: SLF001 - as below


def _taken(result: int) -> None:
    if result != 1:
        _lib.ERR_clear_error()  # a stale entry would turn a real EOF elsewhere into another error
        raise ValueError("OpenSSL rejects the certificate")


def _raw(wrapper: SSL.Context | SSL.Connection) -> Any:  # noqa: ANN401 - a pointer of cffi has no type
    """Return the C object behind a wrapper of pyOpenSSL."""
    if isinstance(wrapper, SSL.Context):
        return wrapper._context  # noqa: SLF001 - the only way to the functions above
    return wrapper._ssl  # noqa: SLF001 - the same
