"""The key exchange groups that a device offers (RFC 8446 §4.2.7, RFC 8422 §5.1.1): names, and setting them.

The offer determines the load on a server, so it is set per context, checked and recorded. The names are those of
scenarios (``x25519``, ``p-256``).
"""

from collections.abc import Sequence
from typing import Final

from OpenSSL import SSL

from estsim.errors import EstsimError
from estsim.net.openssl import set_curves

# With TLS 1.2 the curve of every key must be offered too, the server's as well: a P-384 key fails without p-384.
DEFAULT_GROUPS: Final = ("x25519", "p-256", "p-384")

_OPENSSL_NAMES: Final = {
    "x25519": "X25519",
    "p-256": "P-256",
    "p-384": "P-384",
    "p-521": "P-521",
    "x448": "X448",
    "x25519-mlkem768": "X25519MLKEM768",
}
_CODE_POINTS: Final = {
    0x0017: "p-256",
    0x0018: "p-384",
    0x0019: "p-521",
    0x001D: "x25519",
    0x001E: "x448",
    0x11EC: "x25519-mlkem768",
}
_SPOKEN_NAMES: Final = {
    "x25519": "x25519",
    "secp256r1": "p-256",
    "prime256v1": "p-256",
    "secp384r1": "p-384",
    "secp521r1": "p-521",
    "x448": "x448",
    "x25519mlkem768": "x25519-mlkem768",
}
KNOWN_GROUPS: Final = tuple(_OPENSSL_NAMES)


class UnknownGroup(EstsimError):  # noqa: N818 - says what it is
    """A group without a name here, or one that the installed OpenSSL does not offer."""


def set_groups(context: SSL.Context, groups: Sequence[str]) -> None:
    """Make a context offer exactly these groups in this order; raises :class:`UnknownGroup`."""
    unknown = [name for name in groups if name not in _OPENSSL_NAMES]
    if unknown or not groups:
        raise UnknownGroup(f"unknown group {', '.join(unknown) or '(none)'}: expected {', '.join(KNOWN_GROUPS)}")
    listed = ":".join(_OPENSSL_NAMES[name] for name in groups)
    if not set_curves(context, listed):
        raise UnknownGroup(f"OpenSSL refused the groups {listed}")


def group_of_code_point(code_point: int) -> str:
    """Name a ``NamedGroup`` of the wire, an unknown one by its number."""
    return _CODE_POINTS.get(code_point, f"0x{code_point:04x}")


def group_of_openssl(name: str) -> str:
    """Name a group by the name that OpenSSL gives for the negotiated one."""
    return _SPOKEN_NAMES.get(name.lower(), name.lower())
