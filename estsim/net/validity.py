"""Whether a server's certificates are valid by a clock that is not this machine's: the clock of a simulated device.

OpenSSL checks a chain by the true time, once for all connections of a context. A device whose own clock is wrong looks
again. One whose clock is behind is not made to believe in what has truly expired: OpenSSL has refused that before.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from estsim.est.certificate import Certificate

NOT_YET_VALID: Final = 9  # X509_V_ERR_CERT_NOT_YET_VALID
EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED


def check_validity(certificates: Iterable[Certificate], wall_s: float) -> tuple[str, int] | None:
    """Return None when all are valid at ``wall_s`` (UNIX seconds), else the reason and OpenSSL's code for it."""
    for each in certificates:
        if wall_s < each.not_before_s:
            return (
                f"the server's certificate is not valid before {_told(each.not_before_s)}; {_seen(wall_s)}",
                NOT_YET_VALID,
            )
        if wall_s > each.not_after_s:
            return f"the server's certificate expired at {_told(each.not_after_s)}; {_seen(wall_s)}", EXPIRED
    return None


def _seen(wall_s: float) -> str:
    return f"the device's clock reads {_told(wall_s)}"


def _told(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%F %T}Z"
