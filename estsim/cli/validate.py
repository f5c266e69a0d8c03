"""``estsim validate``: read scenarios and say every mistake, or in a line what each would run."""

from pathlib import Path
from typing import Annotated

import typer

from estsim.cli.complaints import output
from estsim.errors import ScenarioError
from estsim.load.arrivals import boot_window_s
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.units import format_duration

_SCENARIO_ERROR = 2


def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCENARIO...",
            help="Scenario files (YAML), or names of those that come with estsim.",
            show_default=False,
        ),
    ],
) -> None:
    r"""Check scenarios without running them.

    Prints every mistake as FILE:LINE:COLUMN: KEY: WHAT and exits with 2, or one line for each
    scenario that is in order.

    \b
    Examples:
      estsim validate scenarios/quickstart.yaml
      estsim validate scenarios/*.yaml
    """
    wrong = False
    for path in paths:
        try:
            scenario = load_scenario(found(path))
        except ScenarioError as error:
            typer.echo(str(error), err=True)
            wrong = True
        else:
            with output():
                typer.echo(summary_line(scenario))
    if wrong:
        raise typer.Exit(_SCENARIO_ERROR)


def summary_line(scenario: Scenario) -> str:
    """Return in a line what a scenario runs: devices, cohorts, boot window, duration and server."""
    windows = (
        boot_window_s(cohort.arrivals, cohort.devices, seed=scenario.seed, cohort=cohort.index)
        for cohort in scenario.cohorts
    )
    end = format_duration(scenario.duration_s)
    server = f"against {scenario.target.url}" if scenario.target else "against the sandbox"
    return (
        f"{scenario.source}: {_counted(scenario.devices, 'device')} in {_counted(len(scenario.cohorts), 'cohort')}, "
        f"booting within {format_duration(round(max(windows), 1))}, "
        f"{f'until settled, at most {end}' if scenario.until_settled else f'for {end}'}, {server}"
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
