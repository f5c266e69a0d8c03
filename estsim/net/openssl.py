"""The private corners of pyOpenSSL that the wire needs, in one place, each guarded.

pyOpenSSL has no public call for the groups a context offers, for the reason a verification failed, or for whether a
session was resumed. The functions of OpenSSL behind them are reached here and nowhere else. What a wheel does not have
is told by :func:`require_openssl` at the start of a run, not by an ``AttributeError`` in the middle of it.
"""

from typing import Any, Final

from OpenSSL import SSL
from OpenSSL._util import ffi as _ffi
from OpenSSL._util import lib as _lib

from estsim.errors import EstsimError

# A stale entry in the error queue makes older OpenSSL take a healthy read for a failed one.
LOWEST_OPENSSL: Final = 0x40000000
MODE_NO_AUTO_CHAIN: Final = 8  # SSL_MODE_NO_AUTO_CHAIN, which pyOpenSSL does not name
INVALID_PURPOSE: Final = 26  # X509_V_ERR_INVALID_PURPOSE

_NEEDED: Final = (
    "SSL_CTX_set1_curves_list",
    "SSL_get_verify_result",
    "SSL_session_reused",
    "X509_verify_cert_error_string",
)


class OpenSSLUnfit(EstsimError):  # noqa: N818 - says what it is
    """The OpenSSL at hand is too old or lacks a function that the wire needs."""


def openssl_version() -> str:
    """Return the version of the OpenSSL in use, as ``OpenSSL 4.0.3 …``, for the record of a run."""
    return SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii", "replace")


def require_openssl() -> None:
    """Refuse an OpenSSL that cannot carry a run; raises :class:`OpenSSLUnfit`."""
    if SSL.OPENSSL_VERSION_NUMBER < LOWEST_OPENSSL:
        raise OpenSSLUnfit(f"needs OpenSSL 4.0 or newer inside cryptography, has {openssl_version()}")
    missing = [name for name in _NEEDED if not hasattr(_lib, name)]
    if missing:
        raise OpenSSLUnfit(f"pyOpenSSL here lacks {', '.join(missing)}; needs pyOpenSSL 26.4 with cryptography 49")


def set_curves(context: SSL.Context, names: str) -> bool:
    """Offer exactly the groups of a colon-separated list on a context; false when OpenSSL does not know one."""
    ok: int = _lib.SSL_CTX_set1_curves_list(_raw(context), names.encode("ascii"))
    if ok != 1:
        _lib.ERR_clear_error()  # a stale entry would turn a real EOF elsewhere into another error
    return ok == 1


def session_reused(connection: SSL.Connection) -> bool:
    """Say whether the handshake resumed a session; on both roles, full or not."""
    return bool(_lib.SSL_session_reused(_raw(connection)))


def verify_result(connection: SSL.Connection) -> int:
    """Return OpenSSL's verification code of the peer's certificate, 0 when it is sound."""
    return int(_lib.SSL_get_verify_result(_raw(connection)))


def verify_reason(code: int) -> str:
    """Return OpenSSL's words for a verification code, as ``certificate has expired``."""
    words: bytes = _ffi.string(_lib.X509_verify_cert_error_string(code))
    return words.decode("ascii", "replace")


def _raw(wrapper: SSL.Context | SSL.Connection) -> Any:  # noqa: ANN401 - a pointer of cffi has no type
    """Return the C object behind a wrapper of pyOpenSSL."""
    if isinstance(wrapper, SSL.Context):
        return wrapper._context  # noqa: SLF001 - the only way to the functions above
    return wrapper._ssl  # noqa: SLF001 - the same
