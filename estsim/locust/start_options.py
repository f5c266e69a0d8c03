"""What this process was started with, kept apart from what its web UI, or a master, may make of the options later.

Locust's web UI sets any option that a form names, and a worker takes its master's options. So what says whom the fleet
may load, whom it trusts, where results go and who is on the link is read once, as Locust has come up. Knows no Locust.
"""

import os
import sys
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from estsim.fleet.link_secret import VARIABLE, Secret, secret_for

DEFAULT_SCENARIO: Final = "quickstart"
# `locust --processes` forks after its locustfile was imported: its processes have this one in common, and nobody else.
_OF_PROCESSES: Final = Secret.made()


@dataclass(frozen=True, slots=True)
class StartOptions:
    """estsim's options as this process was started with them; ``scenarios`` are those of its options and its users."""

    scenarios: frozenset[str] = frozenset({DEFAULT_SCENARIO})
    host: str = ""
    trust: Path | None = None
    results: Path = Path("results")
    i_may_test: str | None = None
    link_secret: Path | None = None
    insecure_link: bool = False
    is_one_of_processes: bool = False

    @classmethod
    def read(cls, options: Namespace, *, host: str, of_users: Iterable[str]) -> "StartOptions":
        """Take them from Locust's options and its host; ``of_users`` are the scenarios that users name."""

        def given(name: str) -> str:
            return str(getattr(options, name, "") or "")

        return cls(
            scenarios=frozenset({given("scenario") or DEFAULT_SCENARIO, *of_users}),
            host=host,
            trust=Path(given("trust")) if given("trust") else None,
            results=Path(given("results") or "results"),
            i_may_test=given("i_may_test") or None,
            link_secret=Path(given("link_secret")) if given("link_secret") else None,
            insecure_link=bool(getattr(options, "insecure_link", False)),
            is_one_of_processes=bool(getattr(options, "processes", None)),
        )

    def secret_of_master(self, bind_host: str) -> Secret:
        """Return the secret of a master that listens at a host. Raises UsageError."""
        where = f"this master listens on {bind_host} (--master-bind-host), not only on this machine"
        return self._secret(bind_host, where)

    def secret_of_worker(self, master_host: str) -> Secret:
        """Return the secret of a worker whose master is at a host. Raises UsageError."""
        where = f"the master is at {master_host} (--master-host), which is not this machine"
        return self._secret(master_host, where)

    def _secret(self, host: str, where: str) -> Secret:
        """Return the link's secret, and tell people what they have to know of it."""
        is_given = self.link_secret is not None or VARIABLE in os.environ
        if self.is_one_of_processes and not is_given and not self.insecure_link:
            return _OF_PROCESSES
        secret = secret_for(
            host, file=self.link_secret, insecure=self.insecure_link, environment=os.environ, where=where
        )
        if secret.warning:
            sys.stderr.write(f"estsim: {secret.warning}\n")  # where Locust's log may go to a file
        return secret
