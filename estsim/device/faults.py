"""Devices that are not as they should be: what can be wrong with one, for good or at one step of its life.

A server is expected to refuse such a device where the fault shows; one that accepts it is a finding.
"""

from enum import StrEnum


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
