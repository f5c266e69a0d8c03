"""What the machine asks its driver to do: one command at a time.

Any command but ``Continue`` replaces the one before it; a late result of that is known by its ``turn`` and dropped.
``opens_s`` is set on the command that begins an enrolment (its first intended time), ``ends`` on the one that ends it.
"""

from dataclasses import dataclass
from typing import Final

from estsim.device.states import CredentialChoice, KeyChoice, StopReason, Why
from estsim.est.enrolment import Cause, EnrolmentEnd, Goal
from estsim.est.operations import Operation


@dataclass(frozen=True, slots=True)
class Exchange:
    """Do one EST exchange: operation, key and credential; ``attempt`` counts the enrolment's exchanges from 1.

    Without a goal no certificate is sought: the device only asks for the CA certificates.
    """

    turn: int
    operation: Operation
    key: KeyChoice
    credential: CredentialChoice
    goal: Goal | None
    intended_s: float
    cause: Cause
    enrolment: int
    attempt: int
    opens_s: float | None = None
    ends: EnrolmentEnd | None = None


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Wake at ``at_s``, which may be a limit before the next step. The parts say whose wait it is.

    ``told_s + device_s + backoff_s`` is the time from the answer to the next step. Infinity: nothing is planned.
    """

    turn: int
    at_s: float
    why: Why
    told_s: float = 0.0
    device_s: float = 0.0
    backoff_s: float = 0.0
    opens_s: float | None = None
    ends: EnrolmentEnd | None = None


@dataclass(frozen=True, slots=True)
class Continue:
    """Keep doing what you do."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The device is done; cut what is outstanding. An enrolment that is not ended here stays open."""

    turn: int
    reason: StopReason
    ends: EnrolmentEnd | None = None


Command = Exchange | WaitUntil | Continue | Stop

CONTINUE: Final = Continue()
