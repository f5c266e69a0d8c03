"""The words of an enrolment's life that the device speaks and the measurement records."""

from enum import StrEnum


class Goal(StrEnum):
    """What certificate is sought: a first one, or the next one."""

    ENROLL = "enroll"
    RENEW = "renew"


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
