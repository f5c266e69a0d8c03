"""Devices that are not as they should be: what can be wrong with one, for good or at one step of its life.

A server is expected to refuse such a device where the fault shows; one that accepts it is a finding. What a faulty
device sends is made by :mod:`estsim.device.spoilt`, the certificates it was born with by the factory.
"""

import sys
from dataclasses import replace
from enum import StrEnum
from math import inf
from typing import Final

from estsim.device.policy import Backoff, Jitter, Policy
from estsim.est.enrolment import Goal
from estsim.units import Constant

SHORTEST_RETRY_S: Final = 0.001  # of a device that retries at once: our loop must get on with the others


class DeviceFault(StrEnum):
    """What is wrong with a device; it has one fault at most."""

    EXPIRED_BOOTSTRAP = "expired_bootstrap"
    UNKNOWN_CA = "unknown_ca"  # its bootstrap certificate is of a manufacturer that nobody trusts
    WRONG_EKU = "wrong_eku"  # its bootstrap certificate is for servers only
    BAD_CSR_SIGNATURE = "bad_csr_signature"
    WRONG_SUBJECT_ON_RENEW = "wrong_subject_on_renew"  # RFC 7030 §4.2.2: subject and SAN must be identical
    GARBAGE_BODY = "garbage_body"
    OVERSIZED_BODY = "oversized_body"
    RETRIES_AT_ONCE = "retries_at_once"  # after every failure, for ever
    IMPATIENT = "impatient"  # polls at once, whatever it was told

    @property
    def to_be_refused(self) -> bool:
        """Whether a server is to refuse such a device, sooner or later; the others only behave badly."""
        return self not in (DeviceFault.RETRIES_AT_ONCE, DeviceFault.IMPATIENT)

    @property
    def is_inborn(self) -> bool:
        """Whether it lies in the bootstrap certificate."""
        return self in _WORDS_OF_THE_INBORN

    @property
    def words(self) -> str:
        """What such a device does or has, as the end of "a device that …"."""
        return _WORDS_OF_THE_INBORN.get(self) or _WORDS[self]


_WORDS_OF_THE_INBORN: Final = {
    DeviceFault.EXPIRED_BOOTSTRAP: "has an expired bootstrap certificate",
    DeviceFault.UNKNOWN_CA: "has a bootstrap certificate from an unknown manufacturer",
    DeviceFault.WRONG_EKU: "has a bootstrap certificate that does not allow client authentication",
}
_WORDS: Final = {
    DeviceFault.BAD_CSR_SIGNATURE: "sent a request with a bad signature",
    DeviceFault.WRONG_SUBJECT_ON_RENEW: "requested a different subject on renewal",
    DeviceFault.GARBAGE_BODY: "sent garbage instead of a request",
    DeviceFault.OVERSIZED_BODY: "sent an oversized body",
    DeviceFault.RETRIES_AT_ONCE: "retries at once",
    DeviceFault.IMPATIENT: "polls at once",
}


def shows(fault: DeviceFault | None, goal: Goal | None, *, asks_for_certificate: bool = True) -> bool:
    """Say whether a fault is there to be seen in an exchange, so that a server is to refuse it.

    One in the bootstrap certificate shows whenever the device speaks as what it was born as, the others in the request
    for a certificate.
    """
    if fault is None or not fault.to_be_refused:
        return False
    if fault.is_inborn:
        return goal is Goal.ENROLL
    if fault is DeviceFault.WRONG_SUBJECT_ON_RENEW:
        return goal is Goal.RENEW and asks_for_certificate
    return asks_for_certificate


def policy_of_fault(policy: Policy, fault: DeviceFault | None) -> Policy:
    """Return the policy of a cohort's devices that have a fault."""
    if fault is DeviceFault.RETRIES_AT_ONCE:
        at_once = replace(
            policy.retry,
            stubborn=True,
            backoff=Backoff.CONSTANT,
            base_s=SHORTEST_RETRY_S,
            cap_s=SHORTEST_RETRY_S,
            jitter=Jitter.NONE,
            attempts=sys.maxsize,
        )
        return replace(policy, retry=at_once, enroll=replace(policy.enroll, deadline_s=inf))
    if fault is DeviceFault.IMPATIENT:
        deaf = replace(policy.deferral, obedience=0.0, spread=Constant(0.0), when_missing_s=0.0, max_polls=sys.maxsize)
        return replace(policy, deferral=deaf)
    return policy
