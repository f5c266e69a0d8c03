"""The words of the device's life: states, the steps of an enrolment, and the choices a command makes."""

from enum import Enum, StrEnum


class State(StrEnum):
    """Where a device stands. DEFERRED and BACKING_OFF repeat the step that the machine stands at."""

    OFF = "off"
    FETCHING_CA = "fetching_ca"
    FETCHING_ATTRS = "fetching_attrs"
    ENROLLING = "enrolling"
    DEFERRED = "deferred"
    OPERATIONAL = "operational"
    RENEWING = "renewing"
    BACKING_OFF = "backing_off"
    EXPIRED = "expired"
    GAVE_UP = "gave_up"
    RETIRED = "retired"


class Step(Enum):
    """The chain of an enrolment, in its order; what the policy leaves out is skipped."""

    CACERTS = 1
    CSRATTRS = 2
    CERTIFICATE = 3


class KeyChoice(Enum):
    """Which key the request is about."""

    NONE = "none"  # a GET
    NEW = "new"
    HELD = "held"  # that of the certificate in hand: renewal without rekey
    PENDING = "pending"  # that of this enrolment's earlier request, which was deferred or came to nothing


class CredentialChoice(Enum):
    """As whom the device speaks."""

    BOOTSTRAP = "bootstrap"
    ISSUED = "issued"


class Why(Enum):
    """What a device waits for."""

    POWER = "power"
    DEFERRAL = "deferral"
    BACKOFF = "backoff"
    RENEWAL = "renewal"
    HELP = "help"  # gave up or expired: nothing is planned
    NOTHING = "nothing"  # has all it was meant to get


class StopReason(Enum):
    """Why a device stops for good."""

    ASKED = "asked"
    RETIRED = "retired"
    INTERNAL_ERROR = "internal_error"  # a bug of ours met it
