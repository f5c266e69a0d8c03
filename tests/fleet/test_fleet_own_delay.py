"""What of an exchange is our own delay, and which failures our standing still can be the reason of."""

from dataclasses import dataclass

import pytest

from estsim.errors import Phase, Trouble
from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.est.outcome import Failed, Outcome, Rejected
from estsim.fleet.clock import RunClock
from estsim.fleet.own_delay import is_spoilt, note_loop_delay
from estsim.fleet.settled import Settled
from estsim.net import loop_stalls
from estsim.net.loop_stalls import LoopStalls
from estsim.record.sample import Enrolment, Stamps

MS = 1_000_000
S = 1_000_000_000
DISTRUSTED = Failed(Phase.HANDSHAKE, Trouble.TLS, "certificate verify failed")
RESET = Failed(Phase.WAIT, Trouble.RESET, "reset")
FORBIDDEN = Rejected(403, "no")


@pytest.fixture
def stalls(monkeypatch: pytest.MonkeyPatch) -> LoopStalls:
    """Give this process's loop a past of its own."""
    past = LoopStalls()
    monkeypatch.setattr("estsim.fleet.clock.LOOP_STALLS", past)
    assert loop_stalls.LOOP_STALLS is not past
    return past


@pytest.mark.parametrize(
    ("stall_ms", "own_ms"),
    [
        ((0, 90), 0),  # before it: that is lag
        ((0, 150), 50),  # while its key was being made
        ((100, 400), 300),
        (
            (350, 1000),
            150,
        ),  # but for the server's time: before the request was sent, and after the answer came
        ((450, 850), 0),  # all of it: what the loop missed meanwhile cost nobody anything
        ((450, 950), 50),  # the answer had come by 900 ms
        ((850, 2000), 300),
        ((1300, 2000), 0),
    ],
)
def test_a_stall_counts_where_the_exchange_waited_for_us(
    stalls: LoopStalls, stall_ms: tuple[int, int], own_ms: int
) -> None:
    """Meant for 0 ms, begun at 100, its key made by 200, sent at 400, answered at 900, read to its end at 1200."""
    stalls.between(stall_ms[0] * MS, stall_ms[1] * MS)
    stamps = Stamps(0, 100 * MS, 200 * MS, 250 * MS, 300 * MS, 400 * MS, 900 * MS, 1200 * MS)
    note_loop_delay(stamps, RunClock(0, 0.0))
    assert stamps.loop_delay_ns == own_ms * MS
    assert stamps.own_delay_ns == (own_ms + 100) * MS


def test_what_lay_unread_counts_without_a_stall(stalls: LoopStalls) -> None:
    """A busy loop comes late to each read; the kernel tells by how much."""
    stamps = Stamps(0, 0, 0, 1, 2, 3 * MS, 9 * MS, 30 * MS, loop_delay_ns=20 * MS)
    note_loop_delay(stamps, RunClock(0, 0.0))
    assert stamps.loop_delay_ns == 20 * MS
    stalls.between(0, 60 * MS)
    note_loop_delay(stamps, RunClock(0, 0.0))
    assert stamps.loop_delay_ns == 24 * MS


@dataclass(frozen=True, slots=True)
class Ended:
    """How an enrolment ended, with which answer, and what was left of the certificate in hand."""

    end: EnrolmentEnd
    outcome: Outcome | None = None
    goal: Goal = Goal.ENROLL
    margin_s: float = 9.0


@pytest.mark.parametrize(
    ("ended", "own_ms", "took_ms", "spoilt"),
    [
        (Ended(EnrolmentEnd.DEADLINE), 1000, 60_000, True),
        (Ended(EnrolmentEnd.DEADLINE), 999, 60_000, False),
        (Ended(EnrolmentEnd.DEADLINE), 500, 1000, True),
        (Ended(EnrolmentEnd.IMPATIENT, FORBIDDEN), 3000, 4000, True),
        (Ended(EnrolmentEnd.EXPIRED, None, Goal.RENEW, -1.0), 3000, 4000, True),
        (Ended(EnrolmentEnd.EXHAUSTED, RESET), 3000, 4000, True),
        (Ended(EnrolmentEnd.EXHAUSTED, RESET), 30, 40, False),  # nobody closes because of that
        (Ended(EnrolmentEnd.EXHAUSTED, DISTRUSTED), 3000, 4000, False),  # a failed check is no matter of time
        (Ended(EnrolmentEnd.EXHAUSTED, FORBIDDEN), 3000, 4000, False),  # an answer is the server's own
        (Ended(EnrolmentEnd.REFUSED, FORBIDDEN, Goal.ENROLL, -9.0), 3000, 4000, False),
        (Ended(EnrolmentEnd.REFUSED, FORBIDDEN, Goal.RENEW), 3000, 4000, False),
        (Ended(EnrolmentEnd.REFUSED, FORBIDDEN, Goal.RENEW, 0.0), 3000, 4000, True),  # it had expired
        (Ended(EnrolmentEnd.REFUSED, FORBIDDEN), 30, 40, False),  # late by more than it took
        (Ended(EnrolmentEnd.CUT), 3000, 4000, False),
    ],
)
def test_what_failed_by_our_fault(
    ended: Ended,
    own_ms: int,
    took_ms: int,
    spoilt: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """A second of ours, or half of the time, in what runs out, breaks or expires; however the lateness came about."""
    outcome, margin_s = ended.outcome, ended.margin_s
    settled = None if outcome is None else Settled(outcome, Stamps(0, 0, 0), 0, None, margin_s)
    late = Enrolment(0, "north", 1, ended.goal, 0, generator_ns=own_ms * MS - 1, loop_delay_ns=1)
    assert is_spoilt(late, ended.end, settled, stalled_ns=0, took_ns=took_ms * MS) is spoilt
    asleep = Enrolment(0, "north", 1, ended.goal, 0)
    assert is_spoilt(asleep, ended.end, settled, stalled_ns=own_ms * MS, took_ns=took_ms * MS) is spoilt
