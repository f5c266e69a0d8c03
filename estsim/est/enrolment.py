"""The vocabulary of an enrolment, shared by devices and records: goals, causes, ends, impacts of events."""

from enum import StrEnum
from typing import Final


class Goal(StrEnum):
    """Whether the first certificate is sought or the next one."""

    ENROLL = "enroll"
    RENEW = "renew"


class ImpactKind(StrEnum):
    """What an event did to a device: its power returned, or it has to replace its certificate."""

    RECOVERY = "recovery"
    REPLACEMENT = "replacement"


class Cause(StrEnum):
    """Why an exchange was made; only ``plan`` is open loop, and ``preflight`` is outside all metrics."""

    PLAN = "plan"
    CHAIN = "chain"
    POLL = "poll"
    RETRY = "retry"
    CHALLENGE = "challenge"
    REDIRECT = "redirect"
    PREFLIGHT = "preflight"


class EnrolmentEnd(StrEnum):
    """How an enrolment (a certificate sought) ended."""

    ISSUED = "issued"
    REFUSED = "refused"
    EXHAUSTED = "exhausted"
    IMPATIENT = "impatient"
    DEADLINE = "deadline"
    EXPIRED = "expired"
    CUT = "cut"
    RETIRED = "retired"
    INTERNAL_ERROR = "internal_error"  # a bug of ours: the device was stopped


OUT_OF_TIME: Final = frozenset({EnrolmentEnd.DEADLINE, EnrolmentEnd.IMPATIENT, EnrolmentEnd.EXPIRED})
