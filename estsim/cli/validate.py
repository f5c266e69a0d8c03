"""``estsim validate``: its options. :mod:`estsim.cli.validating` does the work, and is not loaded for help."""

from pathlib import Path
from typing import Annotated

import typer

from estsim.cli.options import AllowCode, Devices, Duration, ScenarioOptions, Seed, Settings, Trust, Url


def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCENARIO",
            help="Scenario files (YAML) or library names; with --server, sandbox configurations.",
            show_default=False,
        ),
    ],
    *,
    url: Url = None,
    trust: Trust = None,
    devices: Devices = None,
    duration: Duration = None,
    seed: Seed = None,
    settings: Settings = None,
    server: Annotated[bool, typer.Option("--server", help="Check sandbox configurations, for estsim serve.")] = False,
    allow_code: AllowCode = False,
) -> None:
    r"""Check scenarios without running them, with the same overrides as a run.

    Prints a summary line for each valid scenario. Prints every error as FILE:LINE:COLUMN: KEY: MESSAGE and exits
    with 2. A warning, FILE:LINE:COLUMN: warning: KEY: MESSAGE, does not change the exit code.

    \b
    Examples:
      estsim validate fleet.yaml
      estsim validate quickstart power-cut
      estsim validate fleet.yaml --url https://est.example.com/.well-known/est --set cohorts.meters.devices=50
      estsim validate --server sandbox.yaml
    """
    from estsim.cli.validating import validate_as_asked  # noqa: PLC0415 - what --help has no need of

    options = ScenarioOptions(url=url, trust=trust, devices=devices, duration=duration, seed=seed, settings=settings)
    validate_as_asked(paths, options, server=server, allow_code=allow_code)
