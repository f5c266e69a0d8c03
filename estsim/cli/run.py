"""``estsim run``: its options. :mod:`estsim.cli.running` does the work, and is not loaded for help."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from estsim.cli.options import AllowCode, Devices, Duration, ScenarioOptions, Seed, Settings, Trust, Url


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """The arguments and options of the command."""

    scenario: Path
    options: ScenarioOptions
    results: Path = field(default=Path("results"))
    authorised: str | None = None
    authorities: Path | None = None
    dashboard: bool = True
    as_json: bool = False
    preflight: bool = True
    force: bool = False
    only_forecast: bool = False
    allow_code: bool = False


ScenarioFile = Annotated[
    Path,
    typer.Argument(
        metavar="SCENARIO", help="Scenario file (YAML), or a library name such as quickstart.", show_default=False
    ),
]
Workers = Annotated[str | None, typer.Option(metavar="N|auto", help="Number of processes; auto: one per core.")]
Results = Annotated[Path, typer.Option(help="Parent of the results folder.")]
MayTest = Annotated[
    str | None,
    typer.Option("--i-may-test", metavar="HOST", help="Confirm that you may load this host with over 100 devices."),
]
ExportAuthorities = Annotated[
    Path | None,
    typer.Option("--export-authorities", metavar="DIR", help="Write the certificates of generated authorities to DIR."),
]
Dashboard = Annotated[bool, typer.Option(help="Live dashboard; without it, one line per second.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print only summary.json on stdout.")]
Preflight = Annotated[
    bool, typer.Option("--preflight/--no-preflight", help="Test one exchange before the fleet starts.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Fail thresholds that pass on too few samples.")]
Force = Annotated[bool, typer.Option(help="Run a plan that exceeds this machine.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Forecast load and resources in virtual time; start nothing.")]


def run(
    scenario: ScenarioFile,
    url: Url = None,
    trust: Trust = None,
    devices: Devices = None,
    duration: Duration = None,
    seed: Seed = None,
    workers: Workers = None,
    settings: Settings = None,
    results: Results = Path("results"),
    authorised: MayTest = None,
    authorities: ExportAuthorities = None,
    *,
    dashboard: Dashboard = True,
    as_json: AsJson = False,
    preflight: Preflight = True,
    strict: Strict = False,
    force: Force = False,
    only_forecast: DryRun = False,
    allow_code: AllowCode = False,
) -> None:
    r"""Run a scenario: simulate its devices and measure the EST server.

    Without target.url, the run starts its own sandbox server. Ctrl-C finishes current exchanges and saves the results;
    press it again to quit now.

    \b
    Exit codes:
      0    passed
      1    internal error of estsim, or an error in a behaviour class; errors.log has the traceback
      2    invalid scenario or options
      3    a threshold failed or could not be evaluated
      4    the load generator was the bottleneck: the figures do not describe the server
      5    the server could not be reached or set up
      130  interrupted; results are saved

    \b
    Examples:
      estsim run quickstart
      estsim run fleet.yaml --url https://est.example.com:8443/.well-known/est --trust root.pem
      estsim run fleet.yaml --devices 100 --duration 60s --set generator.max_lag=50ms
      estsim run fleet.yaml --workers auto
      estsim run fleet.yaml --json > summary.json
      estsim run fleet.yaml --devices 100000 --dry-run
    """
    from estsim.cli.running import run_as_asked  # noqa: PLC0415 - the whole engine, which --help has no need of

    options = ScenarioOptions(
        url=url,
        trust=trust,
        devices=devices,
        duration=duration,
        seed=seed,
        workers=workers,
        strict=strict,
        settings=settings,
    )
    request = RunRequest(
        scenario=scenario,
        options=options,
        results=results,
        authorised=authorised,
        authorities=authorities,
        dashboard=dashboard,
        as_json=as_json,
        preflight=preflight,
        force=force,
        only_forecast=only_forecast,
        allow_code=allow_code,
    )
    raise typer.Exit(run_as_asked(request))
