"""What of a run is part of the plan: refusals of faulty devices, and those that the scenario announces (``expect``).

Pure. A server that certifies a device where its fault shows is a finding.
"""

from collections.abc import Iterable
from typing import Final

from estsim.device.commands import Exchange
from estsim.device.faults import DeviceFault, shows
from estsim.errors import Phase, Trouble
from estsim.est.certificate import Certificate
from estsim.est.enrolment import EnrolmentEnd, Goal
from estsim.est.outcome import Failed, Outcome, Rejected, Unauthorized
from estsim.scenario.plan import Expectation

_BEFORE_THE_SERVER: Final = frozenset({Phase.RESOLVE, Phase.CONNECT})
_WAYS_TO_REFUSE: Final = frozenset({Trouble.TLS, Trouble.RESET})


def is_expected(
    command: Exchange,
    outcome: Outcome,
    *,
    fault: DeviceFault | None,
    announced: Iterable[Expectation] = (),
    at_s: float,
) -> bool:
    """Say whether an exchange that ended so, then, is no failure. ``announced`` are those of the device's cohort."""
    if _shows_in(command, fault) and is_refusal(outcome):
        return True
    return any(outcome.kind in each.outcomes and each.from_s <= at_s < each.to_s for each in announced)


def is_refusal(outcome: Outcome) -> bool:
    """Say whether a server has refused: by status, by an alert, or by hanging up. One that broke has not."""
    if isinstance(outcome, Failed):
        return outcome.trouble in _WAYS_TO_REFUSE and outcome.phase not in _BEFORE_THE_SERVER
    return isinstance(outcome, Rejected | Unauthorized)


def is_end_expected(end: EnrolmentEnd, goal: Goal, *, fault: DeviceFault | None, last_was_expected: bool) -> bool:
    """Say whether a search was bound to end so: its last exchange was to end as it did, or its time just ran out."""
    if end is EnrolmentEnd.DEADLINE:
        return shows(fault, goal)
    return last_was_expected and end in (EnrolmentEnd.REFUSED, EnrolmentEnd.EXHAUSTED)


def finding(command: Exchange, given: Certificate | None, *, fault: DeviceFault | None, who: str) -> str | None:
    """Return the sentence about a certificate given to a device in spite of its fault, None where all is well."""
    if given is None or fault is None or not _shows_in(command, fault):
        return None
    return f"{who} {fault.words} and was issued certificate serial {given.serial_hex}"


def _shows_in(command: Exchange, fault: DeviceFault | None) -> bool:
    return shows(fault, command.goal, asks_for_certificate=command.operation.seeks_certificate)
