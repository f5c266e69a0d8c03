"""Whom a fleet may load, and whom a link may reach without a secret: this machine, and hosts that somebody names."""

from ipaddress import ip_address
from typing import Final

from estsim.errors import UsageError
from estsim.est.redirect import Redirects
from estsim.scenario.plan import Scenario

_UNASKED_DEVICES: Final = 100


def require_permission(plan: Scenario, authorised: str | None) -> None:
    """Refuse to load a host that is not this machine with a fleet, unless somebody answers for it.

    ``authorised`` is the host that the user has said he may load. Raises UsageError.
    """
    target = plan.target
    if target is None or plan.devices <= _UNASKED_DEVICES:
        return
    if plan.redirects is Redirects.ANY and target.authorised_by is None:
        raise UsageError(
            f"{plan.devices} devices may be redirected to any host (target.redirects: any): set target.authorised_by "
            "in the scenario to name who authorised the test"
        )
    if is_loopback(target.url.host):
        return
    if target.authorised_by is None and authorised != target.url.host:
        raise UsageError(
            f"{plan.devices} devices against {target.url.host}, which is not this machine: confirm authorisation with "
            f"--i-may-test {target.url.host} or target.authorised_by in the scenario"
        )


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine by its very words: a name other than localhost may resolve to anything."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
