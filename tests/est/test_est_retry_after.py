"""RFC 9110 §10.2.3: Retry-After in every form a server may write, and everything else without an exception."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estsim.est.outcome import RetryAfter, RetryAfterForm
from estsim.est.retry_after import LONGEST_S, read_http_date, read_retry_after

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
NOW_S = NOW.timestamp()
SENT = "Mon, 01 Jun 2026 12:00:00 GMT"
UNREADABLE = RetryAfter(None, RetryAfterForm.UNREADABLE)


def read(value: str | None, date: str | None = SENT) -> RetryAfter:
    """Read a Retry-After an hour off the server's clock."""
    return read_retry_after(value, date=date, wall_now_s=NOW_S + 3600)


@pytest.mark.parametrize(
    ("value", "wait_s"), [("0", 0), ("120", 120), (" 7\t", 7), ("007", 7), ("9" * 5000, LONGEST_S)]
)
def test_seconds_are_read(value: str, wait_s: float) -> None:
    """Digits are seconds; those that overflow are cut as RFC 9111 cuts delta-seconds."""
    assert read(value) == RetryAfter(wait_s, RetryAfterForm.SECONDS)


@pytest.mark.parametrize(
    "value",
    ["Mon, 01 Jun 2026 12:00:30 GMT", "Monday, 01-Jun-26 12:00:30 GMT", "Mon Jun  1 12:00:30 2026"],
    ids=["IMF-fixdate", "RFC 850", "asctime"],
)
def test_all_three_forms_of_a_date_are_read_against_the_servers_own(value: str) -> None:
    """Our clock is an hour ahead and does not matter."""
    assert read(value) == RetryAfter(30.0, RetryAfterForm.HTTP_DATE)


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_without_a_readable_date_our_clock_stands_in(date: str | None) -> None:
    """Half an hour before our time is past."""
    assert read("Mon, 01 Jun 2026 13:00:30 GMT", date) == RetryAfter(30.0, RetryAfterForm.HTTP_DATE)
    assert read("Mon, 01 Jun 2026 12:30:00 GMT", date) == RetryAfter(0.0, RetryAfterForm.HTTP_DATE, past=True)


def test_a_date_that_is_now_is_not_past() -> None:
    """A date of the same second as Date means: repeat now."""
    assert read(SENT) == RetryAfter(0.0, RetryAfterForm.HTTP_DATE)


def test_a_missing_one_is_missing() -> None:
    """No header is no wait, not a wait of 0."""
    assert read(None) == RetryAfter(None, RetryAfterForm.MISSING)


@pytest.mark.parametrize(
    "value",
    [
        *("", "-5", "+5", "1.5", "1e3", "10s", "5, 10", "soon", "٣", "2026-06-01T12:00:30Z"),
        "Mon, 99 Jun 2026 12:00:30 GMT",
        "Mon, 31 Feb 2026 12:00:30 GMT",
        "Mon, 01 Jun 99999 12:00:30 GMT",
        "x" * 10**6,
    ],
    ids=lambda value: value[:30],
)
def test_what_cannot_be_read_is_unreadable(value: str) -> None:
    """Something that is neither digits nor a date gives no wait."""
    assert read(value) == UNREADABLE


def test_a_leap_second_is_read() -> None:
    """The grammar allows second 60, which the library's datetime does not."""
    assert read("Mon, 01 Jun 2026 12:00:60 GMT") == RetryAfter(60.0, RetryAfterForm.HTTP_DATE)


@pytest.mark.parametrize(("digits", "year"), [("26", 2026), ("70", 2070), ("76", 2076), ("77", 1977), ("99", 1999)])
def test_two_digit_years_turn_fifty_years_from_now(digits: str, year: int) -> None:
    """More than 50 years ahead means the past century (RFC 9110 §5.6.7); the library turns at 1969."""
    moment_s = read_http_date(f"Monday, 01-Jun-{digits} 12:00:00 GMT", wall_now_s=NOW_S)
    assert moment_s == datetime(year, 6, 1, 12, tzinfo=UTC).timestamp()


@given(st.datetimes(datetime(1971, 1, 1), datetime(2999, 1, 1)), st.timedeltas(timedelta(0), timedelta(days=9000)))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_the_wait_is_the_difference_of_two_dates(sent: datetime, wait: timedelta) -> None:
    """Whatever the dates, the wait is what lies between them, to the second."""
    sent = sent.replace(microsecond=0, tzinfo=UTC)
    until = (sent + wait).replace(microsecond=0)
    told = read(format_datetime(until, usegmt=True), format_datetime(sent, usegmt=True))
    assert told.wait_s == (until - sent).total_seconds()


@given(
    st.text() | st.from_regex(r"[A-Z][a-z]{2}, ?[0-9-]{1,9}[A-Za-z]{0,4}[ -][0-9]{1,6} [0-9:.]{1,9} ?[A-Z0-9+-]{0,9}"),
    st.none() | st.text(),
)
def test_any_text_gives_a_reading(value: str, date: str | None) -> None:
    """Total: a wait of 0 to 2^31 seconds, or none with the reason."""
    told = read(value, date)
    if told.wait_s is None:
        assert told.form is RetryAfterForm.UNREADABLE
    else:
        assert 0 <= told.wait_s <= LONGEST_S
