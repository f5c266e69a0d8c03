"""The server of a run as its devices know it: where it is, whom to trust, and who made them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from estsim.fleet.bootstrap import OwnedIssuer
from estsim.fleet.devices import CohortRun, cohort_run
from estsim.fleet.part import WHOLE, Part
from estsim.fleet.sandbox_folder import OwnSandbox
from estsim.fleet.trust import Trust, trust_file, trust_of
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.plan import Cohort, FileAuthority, MadeAuthority, Manufacturer, Scenario, Shared, Target
from estsim.scenario.target_url import TargetUrl


@dataclass(frozen=True, slots=True)
class Host:
    """The server of a run, for any driver.

    ``factories`` are by the authority's name, None for the sandbox's own; ``pki`` is the folder of the sandbox's
    authorities, where it is ours and on this machine.
    """

    scenario: Scenario
    url: TargetUrl
    trust: Trust
    factories: Mapping[str | None, ManufacturerCA] = field(default_factory=dict)
    pki: Path | None = None

    def cohort(self, plan: Cohort, part: Part = WHOLE) -> CohortRun:
        """Return what the devices of a cohort share in their dealings with it, those of this part of the fleet.

        Raises UsageError where files of theirs cannot be used.
        """
        factory = None
        if isinstance(plan.bootstrap, Manufacturer) or (isinstance(plan.bootstrap, Shared) and not plan.bootstrap.path):
            authority = plan.bootstrap.authority
            factory = self.factories[authority.name if authority else None]
        owned_issuer = OwnedIssuer.of(self.pki, self.scenario) if plan.start and self.pki else None
        return cohort_run(
            self.scenario, plan, self.url, self.trust.authorities, factory, owned_issuer=owned_issuer, part=part
        )


@dataclass(frozen=True, slots=True)
class Makers:
    """The authorities of a scenario by name, read or made, and the servers that know their devices."""

    scenario: Scenario
    factories: Mapping[str | None, ManufacturerCA]

    @classmethod
    def of(cls, scenario: Scenario) -> "Makers":
        """Read or make them; raises UsageError."""
        return cls(scenario, {name: factory_of(authority) for name, authority in scenario.authorities.items()})

    @property
    def made(self) -> dict[str, ManufacturerCA]:
        """Those that were made for the run."""
        how = self.scenario.authorities
        return {name: each for name, each in self.factories.items() if name and isinstance(how[name], MadeAuthority)}

    def host_of(self, target: Target) -> Host:
        """Return somebody else's server; raises UsageError where its trust cannot be read."""
        return Host(self.scenario, target.url, trust_of(target.ca), self.factories)

    def host_of_sandbox(self, sandbox: OwnSandbox) -> Host:
        """Return a sandbox of ours, which knows devices of its own manufacturer as well."""
        factories = {**self.factories, None: sandbox.factory}
        return Host(self.scenario, sandbox.url, trust_file(sandbox.trust), factories, sandbox.pki)


def factory_of(authority: FileAuthority | MadeAuthority) -> ManufacturerCA:
    """Read an authority's files, or make it; raises UsageError."""
    if isinstance(authority, MadeAuthority):
        return ManufacturerCA.made(authority.name)
    return ManufacturerCA.read(authority.cert, authority.key)
