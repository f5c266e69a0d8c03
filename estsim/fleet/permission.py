"""Whom a fleet may load: this machine, and hosts that somebody answers for."""

from ipaddress import ip_address
from typing import Final

from estsim.errors import UsageError
from estsim.scenario.plan import Scenario

_UNASKED_DEVICES: Final = 100


def require_permission(plan: Scenario, authorised: str | None) -> None:
    """Refuse to load a host that is not this machine with a fleet, unless somebody answers for it.

    ``authorised`` is the host that the user has said he may load. Raises UsageError.
    """
    target = plan.target
    if target is None or plan.devices <= _UNASKED_DEVICES or _is_loopback(target.url.host):
        return
    if target.authorised_by is None and authorised != target.url.host:
        raise UsageError(
            f"{plan.devices} devices against {target.url.host}, which is not this machine: say that you may, with "
            f"--i-may-test {target.url.host} or target.authorised_by in the scenario"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
