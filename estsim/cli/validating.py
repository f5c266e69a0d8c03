"""``estsim validate``: check scenarios, and print every mistake or a summary line of each."""

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import typer

from estsim.cli.complaints import remarks, say, tell, usage_errors, warn
from estsim.cli.options import ScenarioOptions
from estsim.errors import EstsimError
from estsim.figures.exits import Exit
from estsim.load.arrivals import boot_window_s
from estsim.scenario.behaviours import CodeAccess, code_access
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.scenario.sandbox_file import read_sandbox
from estsim.scenario.source import Overrides
from estsim.units import counted, format_duration


def validate_as_asked(paths: Iterable[Path], options: ScenarioOptions, *, server: bool, allow_code: bool) -> None:
    """Print every mistake, or a summary line for each valid file; raises typer.Exit where there is a mistake."""
    with usage_errors():
        overrides = options.overrides()
    if server and (overrides != Overrides() or allow_code):
        tell("--server: cannot be combined with options that override a scenario")
        raise typer.Exit(Exit.USAGE)
    code = code_access("--allow-code", allowed=allow_code)
    _tell_each(paths, _server_line if server else partial(_scenario_line, overrides=overrides, code=code))


def _scenario_line(path: Path, overrides: Overrides, code: CodeAccess) -> str:
    scenario = load_scenario(found(path), overrides=overrides, code=code)
    warn(scenario.warnings)
    return summary_line(scenario)


def _server_line(path: Path) -> str:
    sandbox, _ = read_sandbox(path, os.environ)
    return f"{path}: {counted(len(sandbox.centers), 'trust center')} ({', '.join(sandbox.centers)})"


def _tell_each(paths: Iterable[Path], check: Callable[[Path], str]) -> None:
    wrong = False
    for path in paths:
        try:
            line = check(path)
        except EstsimError as error:
            tell(str(error))
            wrong = True
        else:
            with remarks():
                say(line)
    if wrong:
        raise typer.Exit(Exit.USAGE)


def summary_line(scenario: Scenario) -> str:
    """Return a line about a scenario: devices, cohorts, boot window, duration and server."""
    windows = (
        boot_window_s(cohort.arrivals, cohort.devices, seed=scenario.seed, cohort=cohort.index)
        for cohort in scenario.cohorts
    )
    end = format_duration(scenario.duration_s)
    server = f"against {scenario.target.url}" if scenario.target else "against the sandbox"
    return (
        f"{scenario.source}: {counted(scenario.devices, 'device')} in {counted(len(scenario.cohorts), 'cohort')}, "
        f"booting within {format_duration(round(max(windows), 1))}, "
        f"{f'until settled, at most {end}' if scenario.until_settled else f'for {end}'}, {server}"
    )
