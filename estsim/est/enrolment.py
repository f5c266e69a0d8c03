"""The words of an enrolment's life that the device speaks and the measurement records."""

from enum import StrEnum
from typing import Final


class Goal(StrEnum):
    """What certificate is sought: a first one, or the next one."""

    ENROLL = "enroll"
    RENEW = "renew"


class ImpactKind(StrEnum):
    """What an event did to a device: it lost its power, and that is back; or it was told to replace its certificate."""

    RECOVERY = "recovery"
    REPLACEMENT = "replacement"


class Cause(StrEnum):
    """What an exchange was born of; only ``plan`` is open loop, ``preflight`` stays outside all metrics."""

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
