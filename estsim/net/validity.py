"""Whether a server's certificates are valid by a clock that is not this machine's: the clock of a simulated device.

OpenSSL checks a chain by the true time, once for all connections of a context. A device whose own clock is wrong looks
again. One whose clock is behind is not made to believe in what has truly expired: OpenSSL has refused that before.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from cryptography import x509

NOT_YET_VALID: Final = 9  # X509_V_ERR_CERT_NOT_YET_VALID
EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED


def check_validity(certificates: Iterable[x509.Certificate], wall_s: float) -> tuple[str, int] | None:
    """Return None when all are valid at ``wall_s`` (UNIX seconds), else the reason and OpenSSL's code for it."""
    now = datetime.fromtimestamp(wall_s, UTC)
    for each in certificates:
        if now < each.not_valid_before_utc:
            return f"the server's certificate begins {each.not_valid_before_utc:%F %T}Z, {_seen(now)}", NOT_YET_VALID
        if now > each.not_valid_after_utc:
            return f"the server's certificate ended {each.not_valid_after_utc:%F %T}Z, {_seen(now)}", EXPIRED
    return None


def _seen(now: datetime) -> str:
    return f"and by the device's clock it is {now:%F %T}Z"
