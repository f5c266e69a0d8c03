"""``estsim worker``: its options. :mod:`estsim.cli.working` does the work, and is not loaded for help."""

from pathlib import Path
from typing import Annotated, Final

import typer

PORT: Final = 5557  # where a Locust master listens unless told otherwise
_SCENARIO: Final = "The master's scenario: a file or a library name."
_URL: Final = "URL of the EST server from this machine, if it differs from the master's."
_TRUST: Final = "PEM file with the server's CA certificates, if it differs from the master's."
_LINK_FILE: Final = (
    "File with the secret that master and workers share, readable only by its owner; overrides the environment "
    "variable ESTSIM_LINK_SECRET."
)
_INSECURE_LINK: Final = "Accept a master on another machine without a secret; the master is not authenticated."


def worker(
    scenario: Annotated[
        Path,
        typer.Argument(metavar="SCENARIO", help=_SCENARIO, show_default=False),
    ],
    master: Annotated[
        str,
        typer.Option(metavar="HOST[:PORT]", help=f"Locust master; default port {PORT}.", show_default=False),
    ],
    url: Annotated[str | None, typer.Option(help=_URL)] = None,
    trust: Annotated[Path | None, typer.Option(help=_TRUST)] = None,
    patience: Annotated[str, typer.Option(help="How long to wait for a master.")] = "60s",
    *,
    link_secret: Annotated[Path | None, typer.Option(metavar="FILE", help=_LINK_FILE)] = None,
    insecure_link: Annotated[bool, typer.Option("--insecure-link", help=_INSECURE_LINK)] = False,
) -> None:
    r"""Run a Locust worker that simulates a share of the fleet.

    The master starts, scales, stops and charts the fleet across machines, and sends the scenario to its workers. Key
    files and passwords are read on this machine; private keys are never sent. If the master disappears, the worker
    stops its devices and waits for the next master. Ctrl-C finishes current exchanges and leaves; press it again to
    quit now.

    ESTSIM_LINK_SECRET, the same for the master and all workers, authenticates both sides. A master on another machine
    requires it.

    \b
    Exit codes:
      0    ended by the master
      1    internal error of estsim
      2    invalid scenario or options, or the master rejected this worker
      5    no master found, or the master did not come back
      130  interrupted; results were sent to the master

    \b
    Examples:
      estsim worker fleet.yaml --master 10.0.0.5
      estsim worker fleet.yaml --master load.example.com:5557 --patience 10m
      locust --master -f locustfile.py --scenario fleet.yaml
    """
    from estsim.cli.working import work_as_asked  # noqa: PLC0415 - what --help has no need of

    work_as_asked(scenario, master, url, trust, patience, link_secret=link_secret, insecure_link=insecure_link)
