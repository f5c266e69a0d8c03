"""One device's story, from rows to lines."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from estsim.errors import Phase, Trouble
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.operations import Operation
from estsim.est.outcome import NonConformance, OutcomeClass, RetryAfter, RetryAfterForm
from estsim.figures.text import ABSENT
from estsim.record.sample import Enrolment, PollPlan, Sample, Stamps
from estsim.terminal.timeline import About, moment, phases, timeline

MS = 1_000_000
S = 1_000_000_000
ABOUT = About(7, "north", "O=Example,CN=meter-7", {"scenario": "few", "id": "c0ffee", "ending": "finished"})


def exchange(
    at_ns: int,
    kind: OutcomeClass = OutcomeClass.OK,
    cause: Cause = Cause.PLAN,
    *,
    attempt: int = 1,
    enrolment: int = 1,
    status: int | None = 200,
    retry_after: RetryAfter | None = None,
    poll: PollPlan | None = None,
) -> Sample:
    """Return an exchange of 100 ms: 10 to connect, 40 to shake hands, 1 to send, 45 of waiting, 4 to receive."""
    connected, handshaken, sent, first_byte, ended = (at_ns + took * MS for took in (10, 50, 51, 96, 100))
    return Sample(
        device=7,
        cohort="north",
        operation=Operation.SIMPLEENROLL,
        cause=cause,
        enrolment=enrolment,
        attempt=attempt,
        request_id=f"{enrolment}-{attempt}",
        kind=kind,
        stamps=Stamps(at_ns, at_ns, at_ns, connected, handshaken, sent, first_byte, ended),
        status=status,
        tls_version="1.3",
        retry_after=retry_after,
        poll=poll,
    )


def search(
    number: int,
    at_ns: int,
    ended_ns: int | None = None,
    end: EnrolmentEnd | None = None,
    *,
    service_ns: int = 0,
    told_ns: int = 0,
    device_ns: int = 0,
) -> Enrolment:
    """Return a search for a certificate, with the one it got if it did."""
    issued = end is EnrolmentEnd.ISSUED
    return Enrolment(
        device=7,
        cohort="north",
        number=number,
        goal=Goal.ENROLL if number == 1 else Goal.RENEW,
        intended_ns=at_ns,
        ended_ns=ended_ns,
        end=end,
        serial=f"5e41a1{number}" if issued else None,
        issuer="CN=issuing CA" if issued else None,
        subject="O=Example,CN=meter-7" if issued else None,
        not_after="2026-11-25T03:27:33+00:00" if issued else None,
        margin_s=12.5 if number > 1 else None,
        service_ns=service_ns,
        told_ns=told_ns,
        device_ns=device_ns,
    )


TOLD = RetryAfter(3.0, RetryAfterForm.SECONDS)
DEFERRED = exchange(S, OutcomeClass.DEFERRED, status=202, retry_after=TOLD)
POLL = exchange(
    S + 3_596 * MS, cause=Cause.POLL, attempt=2, poll=PollPlan(S + 96 * MS, 3.0, 0.5, RetryAfterForm.SECONDS)
)
RENEWAL = exchange(20 * S, enrolment=2)
SEARCHES = [
    search(1, S, S + 3_696 * MS, EnrolmentEnd.ISSUED, service_ns=200 * MS, told_ns=3 * S, device_ns=496 * MS),
    search(2, 20 * S, 20 * S + 100 * MS, EnrolmentEnd.ISSUED, service_ns=100 * MS),
]


def told(exchanges: list[Sample], searches: list[Enrolment], about: About = ABOUT, width: int = 80) -> list[str]:
    """Return the story as text."""
    return ["".join(segment.text for segment in line).rstrip() for line in timeline(about, exchanges, searches, width)]


def test_a_whole_timeline() -> None:
    """A deferral, the wait it told, the poll, the certificate, the renewal; word for word."""
    assert told([DEFERRED, POLL, RENEWAL], SEARCHES) == [
        "device 7 of cohort north",
        "O=Example,CN=meter-7",
        "run few c0ffee: finished",
        "",
        "       time  operation      cause       #  outcome          service response",
        "   0:01.000  starts enrolment 1 (enroll)",
        "   0:01.000  simpleenroll   plan        1  deferred 202       100ms    100ms",
        "             connect 10ms  handshake 40ms  send 1.0ms  wait 45ms  receive 4.0ms",
        "             TLS 1.3",
        "             Retry-After 3.00s",
        "             … 3.50s deferred: Retry-After 3.00s, device spread 500ms",
        "   0:04.596  simpleenroll   poll        2  ok 200             100ms    100ms",
        "             connect 10ms  handshake 40ms  send 1.0ms  wait 45ms  receive 4.0ms",
        "             TLS 1.3",
        "   0:04.696  enrolment 1: issued after 3.70s",
        "             breakdown  service 200ms (5%), Retry-After 3.00s (81%), device",
        "                        delay 496ms (13%)",
        "             serial     5e41a11",
        "             issuer     CN=issuing CA",
        "             subject    O=Example,CN=meter-7",
        "             not after  2026-11-25 03:27:33Z",
        "             … 15.3s until renewal",
        "   0:20.000  starts enrolment 2 (renew)",
        "   0:20.000  simpleenroll   plan        1  ok 200             100ms    100ms",
        "             connect 10ms  handshake 40ms  send 1.0ms  wait 45ms  receive 4.0ms",
        "             TLS 1.3",
        "   0:20.100  enrolment 2: issued after 100ms",
        "             breakdown  service 100ms (100%)",
        "             serial     5e41a12",
        "             issuer     CN=issuing CA",
        "             subject    O=Example,CN=meter-7",
        "             not after  2026-11-25 03:27:33Z",
        "             margin     12.5s of validity left on the replaced certificate",
    ]


def test_the_order_of_rows_does_not_matter() -> None:
    """They are recorded as they end, of several devices at once."""
    assert told([RENEWAL, POLL, DEFERRED], SEARCHES[::-1]) == told([DEFERRED, POLL, RENEWAL], SEARCHES)


def one_wait(last: Sample, then: Sample) -> str:
    """Return the line between two exchanges of one search that is open."""
    (line,) = (line for line in told([last, then], [search(1, S)], width=100) if "…" in line)
    return line.strip()


def test_why_a_device_waits() -> None:
    """By a Retry-After, less than that, without one, by a date, after a failure, as an overloaded server says."""
    at_ns = 3 * S
    deferred = exchange(S, OutcomeClass.DEFERRED, status=202, retry_after=TOLD)
    failed = exchange(S, OutcomeClass.SERVER_ERROR, status=500)
    overloaded = exchange(S, OutcomeClass.OVERLOADED, status=503, retry_after=RetryAfter(1.9, RetryAfterForm.SECONDS))
    early = exchange(at_ns, cause=Cause.POLL, attempt=2, poll=PollPlan(S + 96 * MS, 3.0, 0.0, RetryAfterForm.SECONDS))
    dated = exchange(at_ns, cause=Cause.POLL, attempt=2, poll=PollPlan(S + 96 * MS, 1.9, 0.0, RetryAfterForm.HTTP_DATE))
    untold = exchange(at_ns, cause=Cause.POLL, attempt=2)
    retry = exchange(at_ns, cause=Cause.RETRY, attempt=2)
    assert one_wait(deferred, early) == "… 1.90s deferred: Retry-After 3.00s, polled 1.10s early"
    assert one_wait(deferred, dated) == "… 1.90s deferred: Retry-After 1.90s (http-date), device spread 0ms"
    assert one_wait(deferred, untold) == "… 1.90s deferred: no Retry-After, the device's default wait"
    assert one_wait(failed, retry) == "… 1.90s backoff"
    assert one_wait(overloaded, retry) == "… 1.90s backoff: Retry-After 1.90s"


@pytest.mark.parametrize(
    ("end", "wait"),
    [
        (EnrolmentEnd.DEADLINE, "… 1.90s until the enrolment ends: deadline"),
        (EnrolmentEnd.IMPATIENT, "… 1.90s until the enrolment ends: impatient"),
    ],
)
def test_a_search_that_ends_without_a_certificate(end: EnrolmentEnd, wait: str) -> None:
    """How it ended, when, and that it waited until then; no certificate is told of."""
    lines = told([DEFERRED], [search(1, S, 3 * S, end, service_ns=100 * MS, told_ns=1900 * MS)])
    assert lines[-3].strip() == wait
    assert lines[-2] == f"   0:03.000  enrolment 1: {end} after 2.00s"
    assert lines[-1].strip() == "breakdown  service 100ms (5%), Retry-After 1.90s (95%)"


def test_a_renewal_after_one_that_was_refused() -> None:
    """It is not the first renewal that the device waits for."""
    searches = [search(2, 20 * S, 21 * S, EnrolmentEnd.REFUSED), search(3, 30 * S)]
    lines = [line.strip() for line in told([RENEWAL], searches)]
    assert "… 9.00s until the next renewal attempt" in lines
    assert lines[-1] == "enrolment 3 is still open at the end of the record"


def test_a_failure_says_where_and_why() -> None:
    """The phase that it did not get through took the rest of the time."""
    failed = exchange(S, OutcomeClass.FAILED, status=None)
    failed.stamps.handshaken_ns = failed.stamps.sent_ns = failed.stamps.first_byte_ns = None
    failed.phase, failed.trouble, failed.detail, failed.tls_version = Phase.HANDSHAKE, Trouble.TLS, "unknown_ca", None
    lines = [line.strip() for line in told([failed], [search(1, S)])]
    assert lines[6:9] == [
        "0:01.000  simpleenroll   plan        1  failed             100ms    100ms",
        "connect 10ms  handshake 90ms",
        "in handshake tls: unknown_ca",
    ]


def test_non_conformances_are_shown() -> None:
    """With its section; and a Retry-After that could not be read."""
    odd = exchange(S, OutcomeClass.DEFERRED, status=202, retry_after=RetryAfter(None, RetryAfterForm.UNREADABLE))
    odd.non_conformances = (NonConformance("PEM armour", "RFC 8951 §3"),)
    lines = [line.strip() for line in told([odd], [search(1, S)])]
    assert "non-conforming (RFC 8951 §3): PEM armour" in lines
    assert "Retry-After unreadable" in lines


def test_a_killed_run_and_a_device_that_had_not_begun() -> None:
    """Nothing to tell is told, and that nobody wrote an end."""
    lines = told([], [], About(3, None, None, {"scenario": "few", "started": "2026-11-25T03:27:06.949171+00:00"}))
    assert lines == [
        f"device 3 of cohort {ABSENT}",
        "subject not recorded",
        "run few: started 2026-11-25 03:27:06Z, no end recorded: killed or still running",
        "             no activity recorded: its first enrolment was not due before the",
        "             record ends",
    ]


@st.composite
def stamps(draw: st.DrawFn) -> Stamps:
    """Draw the stamps of an exchange that may have stopped anywhere."""
    steps = draw(st.lists(st.integers(0, 5 * S), min_size=8, max_size=8))
    reached = draw(st.integers(0, 4))
    intended, ready, started, *later = (sum(steps[: n + 1]) for n in range(8))
    connected, handshaken, sent, first_byte = (at if n < reached else None for n, at in enumerate(later[:4]))
    work = draw(st.integers(0, steps[5])) if reached >= 3 else 0
    return Stamps(intended, ready, started, connected, handshaken, sent, first_byte, later[4], work)


@given(stamps())
def test_phases_add_up_to_the_response_time(drawn: Stamps) -> None:
    """But for what is shorter than a millisecond and left out: lag, key, sending and our own work."""
    sample = exchange(0)
    sample.stamps = drawn
    missing_ns = drawn.response_ns - sum(took for _, took in phases(sample))
    assert 0 <= missing_ns < 4 * MS
    assert all(took >= 0 for _, took in phases(sample))


def test_a_reused_connection_has_no_handshake() -> None:
    """It is said to be one."""
    sample = exchange(S)
    sample.stamps.connected_ns = sample.stamps.handshaken_ns = None
    sample.reused = True
    assert [name for name, _ in phases(sample)] == ["send", "wait", "receive"]
    assert any("TLS 1.3, connection reused" in line for line in told([sample], [search(1, S)]))


@settings(max_examples=50)
@given(st.text(max_size=200), st.text(max_size=200), st.integers(0, 120))
def test_no_line_is_wider_than_the_terminal(subject: str, detail: str, width: int) -> None:
    """Whatever a server said, and however long a name is; and all of it is there."""
    sample = exchange(S, OutcomeClass.REJECTED, status=403)
    sample.detail = detail
    about = About(7, "north", subject or None, {})
    lines = timeline(about, [sample], [search(1, S)], width)
    assert max(cell_len("".join(segment.text for segment in line)) for line in lines) <= max(width, 76)
    assert all("\n" not in segment.text for line in lines for segment in line)


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (0, "0:00.000"),
        (999_600_000, "0:01.000"),
        (59_999_600_000, "1:00.000"),
        (3_723_004 * MS, "1:02:03.004"),
        (-5 * MS, "-0:00.005"),
    ],
)
def test_times_are_shown_to_the_millisecond(at_ns: int, text: str) -> None:
    """Rounded as a whole, so that no second has a thousand milliseconds."""
    assert moment(at_ns) == text
