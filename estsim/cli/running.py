"""``estsim run``: a scenario from preflight to verdict."""

import logging
import sys
from dataclasses import replace
from functools import partial

import trio
from rich.console import Console
from rich.logging import RichHandler

from estsim.cli.complaints import complain, output, tell, warn
from estsim.cli.console import SizedConsole, lending_screen
from estsim.cli.dry_run import dry_run
from estsim.cli.internal_error import telling_bugs
from estsim.cli.keys import has_keys, reading_keys
from estsim.cli.report import report_of_run
from estsim.cli.run import RunRequest
from estsim.engine.run import Run, RunOptions
from estsim.errors import EstsimError, PreflightError, noting
from estsim.figures.exits import Exit
from estsim.figures.verdict import Ending
from estsim.fleet.demands import secrets_of
from estsim.fleet.permission import require_permission
from estsim.fleet.results import RunResult
from estsim.scenario.behaviours import code_access
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.terminal.ink import Page
from estsim.terminal.live import display_for
from estsim.terminal.tables import final_tables


def run_as_asked(request: RunRequest) -> int:
    """Run a scenario and print its result; returns the exit code."""
    out, err = SizedConsole(emoji=False), SizedConsole(stderr=True, emoji=False)  # a path may hold :key:
    logging.basicConfig(
        level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=err, show_path=False)]
    )
    try:
        code = code_access("--allow-code", allowed=request.allow_code)
        plan = load_scenario(found(request.scenario), overrides=request.options.overrides(), code=code)
        warn(plan.warnings)
        with telling_bugs(secrets_of(plan)):
            if request.only_forecast:
                return dry_run(plan, out, err, as_json=request.as_json, force=request.force)
            require_permission(plan, request.authorised)
            options = RunOptions(
                request.results,
                preflight=request.preflight,
                force=request.force,
                export_authorities=request.authorities,
            )
            result = _play(plan, options, err if request.as_json else out, dashboard=request.dashboard)
            result = _report(result, out, err, as_json=request.as_json)
    except* EstsimError as errors:
        complain(errors, Exit.UNREACHABLE if errors.subgroup(PreflightError) else Exit.USAGE)
    return result.exit_code


def _play(plan: Scenario, options: RunOptions, console: Console, *, dashboard: bool) -> RunResult:
    display = display_for(console, dashboard=dashboard)
    live = Run(plan, replace(options, operator=has_keys(display)), display.update)
    display.start()
    try:
        with reading_keys(display, on_enter=live.go_ahead), lending_screen(console):
            return trio.run(live.go)
    finally:
        display.stop()


def _report(result: RunResult, out: Console, err: Console, *, as_json: bool) -> RunResult:
    """Print a run's result; with --json only the figures are on stdout, and failing to write them is an error.

    Returns the result with the bugs of reporting in it.
    """
    note = partial(result.log.errors.note, at_ns=result.ended_ns)
    report = report_of_run(result.folder, err, note)
    tables = Page([])
    with noting(note):
        tables = final_tables(result.summary, results=result.folder, report=report, width=out.width)
    result = result.rejudged()
    if as_json:
        with output(instead=f"the results are in {result.folder / 'summary.json'}"):
            sys.stdout.write(result.summary.to_json())
    else:
        out.print(tables, soft_wrap=True)
    _tell(result, shown=not as_json and out.is_terminal and err.is_terminal)
    return result


def _tell(result: RunResult, *, shown: bool) -> None:
    """Print what the figures do not say; ``shown`` says that the tables are on the same terminal."""
    if result.unreachable and not shown:
        tell(f"estsim: {result.unreachable}")
    for told in result.told:
        tell(f"estsim: {told}")
    if bug := result.log.told():
        tell(f"estsim: {bug}")
    for lost in result.lost:
        tell(f"estsim: {lost}")
    if result.ending is Ending.ABORTED:
        tell(f"estsim: interrupted; results so far are saved in {result.folder}")
