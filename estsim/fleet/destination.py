"""Where a worker goes: to the server that a proved master names, else only where its own file and options say.

A master that has not proved a secret may be anybody, and where the fleet goes its passwords go.
"""

from dataclasses import dataclass, replace

from estsim.errors import UnitError
from estsim.fleet.assignment import Assignment, AssignmentError
from estsim.fleet.permission import is_loopback
from estsim.fleet.trust import Trust, trust_of
from estsim.scenario.plan import Scenario
from estsim.scenario.target_url import TargetUrl, parse_url
from estsim.units import shown


@dataclass(frozen=True, slots=True)
class OwnDestination:
    """What a worker's own scenario says of the server, and what its options say instead."""

    scenario: Scenario
    url: TargetUrl | None = None
    trust: Trust | None = None

    def of(self, assignment: Assignment, *, is_proved: bool) -> Assignment:
        """Return an assignment with the worker's server. Raises AssignmentError for one that it may not go to."""
        url, trust = self.url, self.trust
        if not is_proved:
            url = url or self._permitted(assignment.url)
            trust = trust or self._own_trust(url)
        if url is not None:
            assignment = replace(assignment, url=str(url))
        return assignment if trust is None else replace(assignment, anchors=trust.anchors, explicit=trust.explicit)

    def _permitted(self, named: str) -> TargetUrl:
        """Return the URL that a master names, if it is our own; of a scenario with a sandbox, one on this machine."""
        try:
            url = parse_url(named)
        except UnitError as error:
            raise AssignmentError(f"the master sent an invalid server URL: {error}") from error
        target = self.scenario.target
        if url == target.url if target else is_loopback(url.host):
            return url
        own = str(target.url) if target else "a sandbox on this machine"
        raise AssignmentError(
            f"the master names the server {shown(str(url))}, but this worker's scenario names {own}; without a "
            "link secret, a worker keeps its own target: set a link secret on both sides, or pass --url to the worker"
        )

    def _own_trust(self, url: TargetUrl) -> Trust | None:
        """Return whom this worker trusts in a server; None, whom the master says, where it is on this machine."""
        target = self.scenario.target
        if target is None and is_loopback(url.host):
            return None
        return trust_of(target.ca if target else None)
