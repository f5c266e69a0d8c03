"""``estsim run --dry-run``: forecasts a plan in virtual time. Nothing is started or written."""

import sys
import time
from typing import Final, Self

from rich.console import Console

from estsim.cli.complaints import output
from estsim.engine.loop_monitor import tune_process
from estsim.figures.exits import Exit
from estsim.figures.forecast import Forecast, forecast_json
from estsim.figures.text import clock, count
from estsim.fleet.limits import plan_problems
from estsim.scenario.plan import Scenario
from estsim.terminal.forecast import print_forecast
from estsim.virtual.dry_run import DryRun

_QUICK_S: Final = 1.0  # a shorter dry run shows no progress
_LINE_EVERY_S: Final = 5.0  # without a terminal


def dry_run(plan: Scenario, out: Console, err: Console, *, as_json: bool, force: bool) -> Exit:
    """Forecast a plan and print it; problems that a run would refuse are printed, and exit with 2 unless forced."""
    try:
        tune_process()
        problems = plan_problems(plan)
        forecast = _forecast(plan, err)
    except KeyboardInterrupt:
        err.print("estsim: interrupted; nothing was started")
        return Exit.INTERRUPTED
    with output():
        if as_json:
            sys.stdout.write(forecast_json(forecast, resolved=plan.resolved, problems=problems))
        else:
            print_forecast(out, forecast)
            sys.stdout.write(plan.resolved)
    for problem in problems:
        err.print(f"estsim: {problem}", markup=False, highlight=False, soft_wrap=True)
    if problems and not force:
        err.print("estsim: this machine cannot run this plan; use --force to run it anyway", soft_wrap=True)
        return Exit.USAGE
    return Exit.PASSED


def _forecast(plan: Scenario, err: Console) -> Forecast:
    with _Progress(err, plan.duration_s) as progress:
        return DryRun(plan).run(progress.report)


class _Progress:
    """Shows the progress of a long dry run on stderr: in one line of a terminal, else in a line now and then."""

    def __init__(self, err: Console, duration_s: float) -> None:
        self._err = err
        self._duration_s = duration_s
        self._status = err.status("") if err.is_terminal else None
        self._next_s = time.monotonic() + _QUICK_S

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def report(self, at_s: float, steps: int) -> None:
        """Show the progress, if it is time to."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        words = f"dry run: simulated {clock(at_s)} of at most {clock(self._duration_s)}, {count(steps)} steps"
        if self._status is None:
            self._err.print(words, highlight=False)
            self._next_s = now_s + _LINE_EVERY_S
            return
        self._next_s = now_s + _QUICK_S
        self._status.update(words)
        self._status.start()
