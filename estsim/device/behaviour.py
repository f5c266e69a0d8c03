"""The decisions of a device: how long it waits, when it renews, whether it gives up.

:class:`Behaviour` answers as the policy of its cohort says, and the machine asks nothing else. A user's subclass
overrides what differs, and a scenario names it (docs/python.md); its answers are checked
(:mod:`estsim.device.custom_behaviour`).
"""
# ruff: noqa: ARG002 - facts that a subclass may want

from math import inf
from typing import Protocol

from estsim.device.events import Lifetime
from estsim.device.policy import AfterExpiry, AfterFailure, AfterRenewals, Attributes, Fetch, Policy, RetryOn
from estsim.device.timing import age_share, backoff_wait, deferral_wait, renewal_time
from estsim.load.streams import Purpose


class Draw(Protocol):
    """Draws from the device's own seeded stream, uniform on [0, 1): the same for a seed, however devices are split."""

    def __call__(self, purpose: Purpose = ..., /) -> float:
        """Draw. The purpose is for estsim's own draws."""


class Behaviour:
    """What the devices of a cohort decide. Each method answers as the scenario says; override any of them.

    One object serves all devices of its cohort in a process, so it must not remember anything of a device: whatever
    counts is an argument. It must not wait or use global random numbers either. Times are seconds on the run's
    clock, waits are seconds from now on. ``policy`` is what the scenario says of the cohort.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    # -- deferral

    def deferral_wait(self, retry_after_s: float | None, deferrals: int, draw: Draw) -> float:
        """Return the wait before the next poll; ``retry_after_s`` is None without a readable Retry-After.

        ``deferrals`` counts those of this enrolment, this one included.
        """
        return deferral_wait(self.policy.deferral, retry_after_s, draw)

    def gives_up_polling(self, deferrals: int, waited_s: float) -> bool:
        """Whether this deferral ends the enrolment; ``waited_s`` is the time since the first one."""
        return deferrals > self.policy.deferral.max_polls

    def longest_deferral(self) -> float:
        """Return the time after the first deferral at which the device gives up, also while it waits; inf for never."""
        return self.policy.deferral.max_wait_s

    # -- failure

    def retries(self, status: int | None, reasons: frozenset[RetryOn]) -> bool:
        """Whether a failed exchange is worth another try; otherwise it is a refusal, which ends the enrolment.

        ``status`` is that of the answer, None without one. ``reasons`` are the names of the failure in ``retry.on``;
        a refusal has none.
        """
        retry = self.policy.retry
        return retry.stubborn or not retry.on.isdisjoint(reasons)

    def gives_up_retrying(self, failures: int) -> bool:
        """Whether a failure ends the enrolment, the ``failures``-th in a row."""
        return failures >= self.policy.retry.attempts

    def backoff_wait(self, failures: int, status: int | None, retry_after_s: float | None, draw: Draw) -> float:
        """Return the wait after the ``failures``-th failure in a row; an overloaded server may send a Retry-After."""
        retry = self.policy.retry
        if retry_after_s is not None and not retry.stubborn:
            return retry_after_s
        return backoff_wait(retry, failures, draw)

    # -- renewal

    def renewal_time(self, lifetime: Lifetime, received_s: float, renewals: int, draw: Draw) -> float:
        """Return when to renew the certificate that the device got at ``received_s``; inf for never.

        A time that has passed means at once. ``lifetime`` is its validity (``not_before_s``, ``not_after_s``, scaled by
        ``lifetime_scale``), ``renewals`` the number of renewals so far.
        """
        renew = self.policy.renew
        if renew is None or (renew.times is not None and renewals >= renew.times):
            return inf
        return renewal_time(renew, lifetime, received_s, draw)

    def renewal_retry_wait(self, lifetime: Lifetime) -> float:
        """Return the wait after a renewal that came to nothing, while the certificate is valid; inf for never."""
        renew = self.policy.renew
        return inf if renew is None else renew.retry_every * (lifetime.not_after_s - lifetime.not_before_s)

    def renews_at_boot(self, lifetime: Lifetime, now_s: float) -> bool:
        """Whether a device that powers up with a valid certificate renews at once."""
        renew_if = self.policy.boot.renew_if
        return renew_if is not None and age_share(lifetime, now_s) >= renew_if

    def rekeys(self, renewals: int) -> bool:
        """Whether the next renewal is for a new key; ``renewals`` is the number of renewals so far."""
        renew = self.policy.renew
        return renew is None or renew.rekey

    def leaves_service(self, renewals: int) -> bool:
        """Whether a device whose new certificate is never to be renewed leaves service."""
        renew = self.policy.renew
        return renew is not None and renew.then is AfterRenewals.LEAVE

    def after_expiry(self) -> AfterExpiry:
        """Return what a device does whose certificate has expired: ``enroll``, ``wait`` or ``give_up``."""
        return self.policy.renew.expired if self.policy.renew else AfterExpiry.ENROLL

    # -- first enrolment

    def fetches_cacerts(self, *, has_ca: bool) -> bool:
        """Whether an enrolment begins with the CA certificates; ``has_ca`` says that the device has fetched them."""
        fetch = self.policy.enroll.cacerts
        return fetch is Fetch.ALWAYS or (fetch is Fetch.ONCE and not has_ca)

    def fetches_cacerts_at_boot(self) -> bool:
        """Whether every power-up fetches the CA certificates anew."""
        return self.policy.boot.cacerts

    def fetches_csrattrs(self, *, has_attributes: bool) -> bool:
        """Whether an enrolment fetches the CSR attributes; ``has_attributes``: it did since the last power-up."""
        return self.policy.enroll.csrattrs is not Attributes.OFF and not has_attributes

    def enroll_deadline(self) -> float:
        """Return the time after the start of a first enrolment at which the device gives up; inf for never."""
        return self.policy.enroll.deadline_s

    def enrolls_at_power_up(self) -> bool:
        """Whether a device that gave up its first enrolment tries again at the next power-up."""
        return self.policy.enroll.then is AfterFailure.UNTIL_POWER_UP
