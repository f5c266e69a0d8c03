"""The times of a certificate's validity, between DER and UNIX seconds (RFC 5280 §4.1.2.5).

Reading accepts what CAs were seen to write and RFC 5280 forbids: no seconds, an offset, fractions; it notes which.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from estsim.est.der import DERError, encode
from estsim.est.outcome import NonConformance

ODD_TIME: Final = NonConformance("time without seconds or Z", "RFC 5280 §4.1.2.5")
EARLY_GENERALIZED_TIME: Final = NonConformance("GeneralizedTime before 2050", "RFC 5280 §4.1.2.5")

_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_REST: Final = rb"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?(?:[.,](\d{1,9}))?(?:(Z)|([+-])(\d\d)(\d\d))?"
_TIMES: Final = {_UTC_TIME: re.compile(rb"(\d\d)" + _REST), _GENERALIZED_TIME: re.compile(rb"(\d{4})" + _REST)}
_LONGEST_OCTETS: Final = 32
_PIVOT: Final = 50
_FIRST_GENERALIZED: Final = 2050


@lru_cache(maxsize=512)
def read_time(tag: int, content: bytes) -> tuple[float, NonConformance | None]:
    """Return a Time in UNIX seconds, and what is odd about it; raises :class:`DERError`."""
    form = _TIMES.get(tag)
    match = form.fullmatch(content) if form is not None and len(content) <= _LONGEST_OCTETS else None
    if match is None:
        raise DERError(f"expected a UTCTime or GeneralizedTime, got {content[:_LONGEST_OCTETS]!r}")
    year_text, month, day, hour, minute, second, fraction, zulu, sign, offset_h, offset_min = match.groups()
    year = int(year_text)
    if tag == _UTC_TIME:
        year += 1900 if year >= _PIVOT else 2000
    try:
        moment = datetime(year, int(month), int(day), int(hour), int(minute), int(second or 0), tzinfo=UTC)
        offset = timedelta(hours=int(offset_h or 0), minutes=int(offset_min or 0))
        unix_s = (moment + offset if sign == b"-" else moment - offset).timestamp()
    except (ValueError, OverflowError) as error:
        raise DERError(f"expected a valid time, got {content.decode('ascii', 'replace')}") from error
    if zulu is None or second is None or fraction is not None:
        return unix_s, ODD_TIME
    early = tag == _GENERALIZED_TIME and year < _FIRST_GENERALIZED
    return unix_s, EARLY_GENERALIZED_TIME if early else None


def encoded_time(unix_s: float) -> bytes:
    """Return UNIX seconds, cut to whole ones, as a Time."""
    moment = datetime.fromtimestamp(int(unix_s), UTC)
    if moment.year < _FIRST_GENERALIZED:
        return encode(_UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return encode(_GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").encode("ascii"))


def utc_text(unix_s: float) -> str:
    """Return UNIX seconds as ``2026-06-01 12:00:00Z``."""
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%SZ}"
