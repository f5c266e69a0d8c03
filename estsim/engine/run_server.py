"""The server of a run, as the one who leads it has it: somebody else's, or a sandbox started for it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from estsim.engine.sandbox import Sandbox, running_sandbox
from estsim.fleet.factory import Factory, export_authorities
from estsim.fleet.host import Host, factory_of
from estsim.fleet.trust import system_trust, trust_file
from estsim.scenario.plan import FileAuthority, MadeAuthority, Scenario


@dataclass(frozen=True, slots=True)
class RunServer:
    """The server of a run; ``sandbox`` is there where it was started for the run."""

    host: Host
    sandbox: Sandbox | None = None

    def __str__(self) -> str:
        return f"sandbox {self.host.url}" if self.sandbox else str(self.host.url)

    def export_authorities(self, folder: Path) -> None:
        """Write the certificates of the authorities that were made for this run."""
        authorities, factories = self.host.scenario.authorities, self.host.factories
        read = {name for name, how in authorities.items() if isinstance(how, FileAuthority)}
        made = {name or "sandbox-manufacturer": each for name, each in factories.items() if name not in read}
        export_authorities(made, folder)


@asynccontextmanager
async def server_of(scenario: Scenario, folder: Path) -> AsyncGenerator[RunServer, None]:
    """Give the server of a run: somebody else's, or a sandbox started for it, its log in ``folder``, and stopped after.

    Raises UsageError where files of the target's or of an authority cannot be used, PreflightError where the sandbox
    does not start.
    """
    factories: dict[str | None, Factory] = {
        name: factory_of(authority) for name, authority in scenario.authorities.items()
    }
    target = scenario.target
    if target is not None:
        trust = trust_file(target.ca) if target.ca else system_trust()
        yield RunServer(Host(scenario, target.url, trust, factories))
        return
    made = {name: factories[name] for name, how in scenario.authorities.items() if isinstance(how, MadeAuthority)}
    text, label = scenario.sandbox_text, scenario.sandbox_label
    async with running_sandbox(text, made, keep_log_in=folder, label=label) as sandbox:
        trust = trust_file(sandbox.trust)
        host = Host(scenario, sandbox.url, trust, {**factories, None: sandbox.factory}, sandbox.pki)
        yield RunServer(host, sandbox)
