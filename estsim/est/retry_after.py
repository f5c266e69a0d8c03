"""Retry-After in all its forms: seconds, and the three forms of an HTTP-date (RFC 9110 §10.2.3, §5.6.7).

Total: any value gives a :class:`RetryAfter`. A date is compared with the server's own ``Date`` where there is one, so
that a wrong clock on either side does not change the wait.
"""

import re
from datetime import UTC, datetime
from email.utils import parsedate_tz
from typing import Final

from estsim.est.outcome import NO_RETRY_AFTER, RetryAfter, RetryAfterForm

LONGEST_S: Final = 2.0**31
"""The longest wait; RFC 9111 §1.2.2 limits delta-seconds likewise."""

_UNREADABLE: Final = RetryAfter(None, RetryAfterForm.UNREADABLE)
_SECONDS: Final = re.compile(r"[0-9]+")
_RFC_850: Final = re.compile(r"[A-Za-z]{3,9}, *[0-9]{1,2}-[A-Za-z]{3}-[0-9]{2} ")
_DATE_CHARACTERS: Final = 64  # no HTTP-date is longer than 40
_LEAP_SECOND: Final = 60
_CENTURY: Final = 100
_FAR_FUTURE_YEARS: Final = 50


def read_retry_after(value: str | None, *, date: str | None, wall_now_s: float) -> RetryAfter:
    """Read a Retry-After; ``date`` is the answer's Date header, ``wall_now_s`` (UNIX seconds) stands in for it.

    A date in the past is a wait of 0.
    """
    if value is None:
        return NO_RETRY_AFTER
    value = value.strip(" \t")
    if _SECONDS.fullmatch(value):
        return RetryAfter(min(float(value), LONGEST_S), RetryAfterForm.SECONDS)
    until_s = read_http_date(value, wall_now_s=wall_now_s)
    if until_s is None:
        return _UNREADABLE
    server_now_s = None if date is None else read_http_date(date, wall_now_s=wall_now_s)
    wait_s = until_s - (wall_now_s if server_now_s is None else server_now_s)
    return RetryAfter(min(max(wait_s, 0.0), LONGEST_S), RetryAfterForm.HTTP_DATE, past=wait_s < 0)


def read_http_date(value: str, *, wall_now_s: float) -> float | None:
    """Return an HTTP-date as UNIX seconds, or None where it cannot be read; no zone means GMT, as in asctime's form."""
    if len(value) > _DATE_CHARACTERS or not value.isascii():
        return None
    try:
        fields = parsedate_tz(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if fields is None:
        return None
    year, month, day, hour, minute, second = fields[:6]
    leap = second == _LEAP_SECOND  # the grammar allows 23:59:60, datetime does not
    if _RFC_850.match(value):
        year = _year_of_two_digits(year % _CENTURY, wall_now_s)
    try:
        moment = datetime(year, month, day, hour, minute, second - leap, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return moment.timestamp() + leap - (fields[9] or 0)


def _year_of_two_digits(year: int, wall_now_s: float) -> int:
    """Return the year that two digits mean.

    RFC 9110 §5.6.7: a date "that appears to be more than 50 years in the future" means "the most recent year in the
    past that had the same last two digits". The library assumes 1969 to 2068 instead, whatever today's date.
    """
    this_year = datetime.fromtimestamp(wall_now_s, UTC).year
    year += this_year - this_year % _CENTURY
    return year - _CENTURY if year - this_year > _FAR_FUTURE_YEARS else year
