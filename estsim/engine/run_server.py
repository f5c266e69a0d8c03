"""The server of a run, as its fleet needs it: where it is, whom to trust, and who made the devices."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from estsim.engine.sandbox import Sandbox, running_sandbox
from estsim.engine.wire import Wire
from estsim.fleet.born import Mint
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun, cohort_run
from estsim.fleet.factory import Factory, export_authorities
from estsim.fleet.trust import Trust, system_trust, trust_file
from estsim.net.opening import Deadlines
from estsim.net.resolver import Endpoint
from estsim.scenario.plan import Cohort, FileAuthority, MadeAuthority, Manufacturer, Scenario, Shared
from estsim.scenario.target_url import TargetUrl


@dataclass(frozen=True, slots=True)
class RunServer:
    """The server of a run."""

    scenario: Scenario
    url: TargetUrl
    trust: Trust
    factories: dict[str | None, Factory]  # by the authority's name, None for the sandbox's own
    sandbox: Sandbox | None = None  # where it was started for the run

    def __str__(self) -> str:
        return f"sandbox {self.url}" if self.sandbox else str(self.url)

    def wire(self, groups: tuple[str, ...], clock: RunClock) -> Wire:
        """Return the way to it, on which devices offer these groups."""
        timeouts = self.scenario.timeouts
        return Wire(
            endpoint=Endpoint(self.url.host, self.url.port),
            deadlines=Deadlines(timeouts.connect_s, timeouts.handshake_s, timeouts.answer_s),
            anchors=self.trust.anchors,
            explicit=self.trust.explicit,
            groups=groups,
            clock=clock,
            source_addresses=self.scenario.generator.source_addresses,
        )

    def cohort(self, plan: Cohort) -> CohortRun:
        """Return what the devices of a cohort share in their dealings with it."""
        factory = None
        if isinstance(plan.bootstrap, Manufacturer) or (isinstance(plan.bootstrap, Shared) and not plan.bootstrap.path):
            authority = plan.bootstrap.authority
            factory = self.factories[authority.name if authority else None]
        mint = Mint.of(self.sandbox.pki, self.scenario) if plan.start and self.sandbox else None
        return cohort_run(self.scenario, plan, self.url, self.trust.authorities, factory, mint=mint)

    def export_authorities(self, folder: Path) -> None:
        """Write the certificates of the authorities that were made for this run."""
        read = {name for name, how in self.scenario.authorities.items() if isinstance(how, FileAuthority)}
        made = {name or "sandbox-manufacturer": each for name, each in self.factories.items() if name not in read}
        export_authorities(made, folder)


@asynccontextmanager
async def server_of(scenario: Scenario, folder: Path) -> AsyncGenerator[RunServer, None]:
    """Give the server of a run: somebody else's, or a sandbox started for it, its log in ``folder``, and stopped after.

    Raises UsageError where files of the target's or of an authority cannot be used, PreflightError where the sandbox
    does not start.
    """
    factories: dict[str | None, Factory] = {
        name: _factory(authority) for name, authority in scenario.authorities.items()
    }
    target = scenario.target
    if target is not None:
        yield RunServer(scenario, target.url, trust_file(target.ca) if target.ca else system_trust(), factories)
        return
    made = {name: factories[name] for name, how in scenario.authorities.items() if isinstance(how, MadeAuthority)}
    text, label = scenario.sandbox_text, scenario.sandbox_label
    async with running_sandbox(text, made, keep_log_in=folder, label=label) as sandbox:
        trust = trust_file(sandbox.trust)
        yield RunServer(scenario, sandbox.url, trust, {**factories, None: sandbox.factory}, sandbox)


def _factory(authority: FileAuthority | MadeAuthority) -> Factory:
    if isinstance(authority, MadeAuthority):
        return Factory.made(authority.name)
    return Factory.read(authority.cert, authority.key)
