"""What of an exchange, and of an enrolment that failed, is the generator's own delay, told from what is the server's.

The server's time is never in it: from the last byte sent to the first byte back the kernel's clock counts, and what the
loop missed meanwhile cost nobody anything.
"""

from typing import Final

from estsim.errors import Trouble
from estsim.est.enrolment import OUT_OF_TIME, EnrolmentEnd, Goal
from estsim.est.outcome import Failed
from estsim.fleet.clock import RunClock
from estsim.fleet.settled import Settled
from estsim.record.own_delay import SPOILS_NS
from estsim.record.sample import Enrolment, Stamps

_GAVE_UP: Final = frozenset({EnrolmentEnd.REFUSED, EnrolmentEnd.EXHAUSTED})


def note_loop_delay(stamps: Stamps, clock: RunClock) -> None:
    """Write down what of an exchange that has ended the event loop was late: what lay unread, or the stalls in it."""
    begun_ns = stamps.started_ns - stamps.key_wait_ns  # a key that was being made is our work, and so is that stall
    stalled_ns = clock.stalled_ns(begun_ns, stamps.ended_ns)
    if stalled_ns and stamps.sent_ns is not None and stamps.first_byte_ns is not None:
        stalled_ns -= clock.stalled_ns(stamps.sent_ns, stamps.first_byte_ns)
    stamps.loop_delay_ns = max(stamps.loop_delay_ns, stalled_ns)


def is_spoilt(
    enrolment: Enrolment, end: EnrolmentEnd, settled: Settled | None, *, stalled_ns: int, took_ns: int
) -> bool:
    """Say whether an enrolment may have failed because the generator stood still or was late.

    That much of its time was ours (a second, or half of it), and it failed in a way that this can bring about: a time
    ran out, the connection broke, or the certificate in hand expired before the renewal came. An answer that refuses, a
    handshake that fails a check or meets an alert, and a port where nobody listens are the server's own.
    """
    own_ns = max(enrolment.own_delay_ns, stalled_ns)
    if own_ns < min(SPOILS_NS, took_ns / 2):
        return False
    if end in OUT_OF_TIME:
        return True
    if end not in _GAVE_UP or settled is None:
        return False
    outcome = settled.outcome
    broke = isinstance(outcome, Failed) and (
        outcome.trouble is Trouble.TIMEOUT or (outcome.trouble is Trouble.RESET and own_ns >= SPOILS_NS)
    )
    return broke or (enrolment.goal is Goal.RENEW and settled.margin_s <= 0)
