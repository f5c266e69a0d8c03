"""``estsim run``: a scenario from preflight to verdict."""

import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import trio
import typer
from rich.console import Console
from rich.logging import RichHandler

from estsim.cli.complaints import complain, output
from estsim.cli.dry_run import dry_run
from estsim.cli.exits import exit_code
from estsim.cli.keys import has_keys, reading_keys
from estsim.cli.report import report_of_run
from estsim.engine.run import Run, RunOptions, RunResult
from estsim.errors import EstsimError, PreflightError, UsageError
from estsim.fleet.permission import require_permission
from estsim.measure.exits import Exit
from estsim.measure.summary import Ending, summary_json
from estsim.present.live import display_for
from estsim.present.tables import print_final_tables
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.scenario.source import Overrides


def run(
    scenario: Annotated[
        Path, typer.Argument(help="A file (YAML), or the name of one that comes with estsim.", show_default=False)
    ],
    url: Annotated[str | None, typer.Option(help="The EST server, instead of the scenario's.")] = None,
    trust: Annotated[Path | None, typer.Option(help="PEM file of the server's CA certificates.")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="Devices in all, in the scenario's proportions.")] = None,
    duration: Annotated[str | None, typer.Option(help="How long at most, such as 90s or 10m.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed is another fleet of the same kind.")] = None,
    workers: Annotated[
        str | None, typer.Option(metavar="N|auto", help="Processes that share the fleet; auto: a core each.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set any key: cohorts.meters.devices=100.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Where the run's folder is made.")] = Path("results"),
    authorised: Annotated[
        str | None,
        typer.Option("--i-may-test", metavar="HOST", help="You may load this host with over 100 devices."),
    ] = None,
    authorities: Annotated[
        Path | None,
        typer.Option(
            "--export-authorities", metavar="DIR", help="Write the certificates of authorities made for the run there."
        ),
    ] = None,
    *,
    dashboard: Annotated[bool, typer.Option(help="Draw on a terminal; else one line a second.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print summary.json and nothing else on stdout.")] = False,
    preflight: Annotated[
        bool, typer.Option("--preflight/--no-preflight", help="Try one exchange before the fleet.")
    ] = True,
    force: Annotated[bool, typer.Option(help="Run a plan that this machine cannot carry honestly.")] = False,
    only_forecast: Annotated[
        bool, typer.Option("--dry-run", help="Start nothing: forecast the load and what it takes, in virtual time.")
    ] = False,
) -> None:
    r"""Run a scenario: its devices enroll, wait out deferrals, renew, and are measured.

    Without target.url the run starts a sandbox EST server of its own. Ctrl-C stops in order and saves everything, a
    second Ctrl-C stops at once.

    \b
    Exit codes:
      0    passed
      3    a threshold failed, or could not be judged
      4    the generator was the limit, so the figures are not the server's
      5    the server could not be reached or set up
      2    a mistake in the scenario or in the options
      130  interrupted, everything saved

    \b
    Examples:
      estsim run quickstart
      estsim run fleet.yaml --url https://est.example.com:8443/.well-known/est --trust root.pem
      estsim run fleet.yaml --devices 100 --duration 60s --set generator.max_lag=50ms
      estsim run fleet.yaml --workers auto
      estsim run fleet.yaml --json > summary.json
      estsim run fleet.yaml --devices 100000 --dry-run
    """
    out, err = Console(), Console(stderr=True)
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=err, show_path=False)]
    )
    try:
        overrides = Overrides(
            devices=devices,
            duration=duration,
            seed=seed,
            url=url,
            trust=trust,
            workers=workers,
            set=tuple(_setting(text) for text in settings or ()),
        )
        plan = load_scenario(found(scenario), overrides=overrides)
        if only_forecast:
            raise typer.Exit(dry_run(plan, out, err, as_json=as_json, force=force))
        require_permission(plan, authorised)
        options = RunOptions(results, preflight=preflight, force=force, export_authorities=authorities)
        result = _play(plan, options, err if as_json else out, dashboard)
    except* EstsimError as errors:
        complain(errors, Exit.UNREACHABLE if errors.subgroup(PreflightError) else Exit.USAGE)
    report = report_of_run(result.folder, err)
    _report(result, report, out, err, as_json=as_json)
    raise typer.Exit(exit_code(result))


def _play(plan: Scenario, options: RunOptions, console: Console, dashboard: bool) -> RunResult:  # noqa: FBT001 - private
    display = display_for(console, dashboard=dashboard)
    live = Run(plan, replace(options, operator=has_keys(display)), display.update)
    display.start()
    try:
        with reading_keys(display, on_enter=live.go_ahead):
            return trio.run(live.go)
    finally:
        display.stop()


def _report(result: RunResult, report: Path | None, out: Console, err: Console, *, as_json: bool) -> None:
    """Say what a run came to; with --json the figures alone are on stdout."""
    with output():
        if as_json:
            sys.stdout.write(summary_json(result.summary))
        else:
            print_final_tables(out, result.summary, results=result.folder, report=report)
    if result.unreachable:
        err.print(f"estsim: {result.unreachable}", markup=False, highlight=False, soft_wrap=True)
    for told in result.told:
        err.print(f"estsim: {told}", markup=False, highlight=False, soft_wrap=True)
    if result.lost:
        err.print(f"estsim: the last rows are not in {result.folder}: {result.lost}", markup=False, soft_wrap=True)
    if result.ending is Ending.ABORTED:
        err.print(
            f"estsim: interrupted; everything up to then is saved in {result.folder}", markup=False, soft_wrap=True
        )


def _setting(text: str) -> tuple[str, str]:
    """Read KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set: expected KEY=VALUE, such as cohorts.meters.devices=100 (got {text})")
    return key, value
