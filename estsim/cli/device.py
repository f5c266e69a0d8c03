"""``estsim device``: its options. :mod:`estsim.cli.device_timeline` does the work, and is not loaded for help."""

from pathlib import Path
from typing import Annotated

import typer


def device(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Results folder of a run, or its run.sqlite.", show_default=False)
    ],
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Device number, CN, full Subject or PEM file.",
            show_default=False,
        ),
    ],
) -> None:
    r"""Show the timeline of one device: every exchange, every wait with its reason, and its certificates.

    Times are relative to the start of the run. Each exchange is listed at its intended start, with its phases below.
    The run may be finished, interrupted, killed or still running.

    \b
    Examples:
      estsim device results/RUN 17
      estsim device results/RUN meter-000017
      estsim device results/RUN dev1.crt
      estsim device results/RUN "CN=meter-000017,O=Example" | less
    """
    from estsim.cli.device_timeline import show_timeline  # noqa: PLC0415 - what --help has no need of

    show_timeline(run, name)
