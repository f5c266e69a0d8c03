"""The server of a run, as the one who leads it has it: somebody else's, or a sandbox started for it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from estsim.engine.sandbox import Sandbox, running_sandbox
from estsim.fleet.host import Host, Makers
from estsim.pki.manufacturer import export_authorities
from estsim.scenario.plan import FileAuthority, Scenario


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
    makers = Makers.of(scenario)
    if scenario.target is not None:
        yield RunServer(makers.host_of(scenario.target))
        return
    text, label = scenario.sandbox_text, scenario.sandbox_label
    async with running_sandbox(text, makers.made, keep_log_in=folder, label=label) as sandbox:
        yield RunServer(makers.host_of_sandbox(sandbox), sandbox)
