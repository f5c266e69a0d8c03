"""Scenario loading against files made to hurt: a plan that is read again as itself, or every mistake in its place."""

import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from fuzz_draw import Draw
from fuzz_report import Report, noting_warnings, text_problems, warning_problems
from fuzz_scenarios import bases, scenario, write_included

from estsim.cli.validating import summary_line
from estsim.errors import ScenarioError, UsageError
from estsim.fleet.run_books import RunBooks
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.scenario.portable import load_portable, portable_text
from estsim.scenario.source import Overrides

_USUAL_BYTES: Final = 512  # of a scenario; larger ones may take as much longer as they are larger
_DEVICES_TOLD: Final = 2000
_OVERRIDES: Final = (
    Overrides(), Overrides(), Overrides(), Overrides(seed=3), Overrides(devices=5), Overrides(duration="5s"),
    Overrides(duration="soon"), Overrides(workers="2"), Overrides(workers="x"), Overrides(url="https://localhost/"),
    Overrides(url="x"), Overrides(set=(("generator.max_lag", "1s"),)), Overrides(set=(("cohorts.x.devices", "["),)),
    Overrides(set=(("..", "1"),)), Overrides(devices=0), Overrides(devices=10**9),
)  # fmt: skip


class ScenarioTarget:
    """The loader, the plan and what is said of both."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="estsim-fuzz-")))
        self._bases = bases()
        write_included(self._folder)

    def close(self) -> None:
        """Remove the files."""
        self._stack.close()

    def play(self, seed: int, numbers: range) -> Iterator[Report]:
        """Load scenarios."""
        path = self._folder / "scenario.yaml"
        with noting_warnings() as noted:
            for number in numbers:
                draw = Draw.of(seed, "scenarios", number)
                content = scenario(draw, draw.one(self._bases))
                path.write_bytes(content)
                report = Report(number, steps=1)
                try:
                    for said in _loaded(path, draw.one(_OVERRIDES), report):
                        (report.problems if said.startswith("!") else report.tags).append(said.removeprefix("!"))
                except Exception:  # noqa: BLE001 - whatever it is, nobody has declared it
                    report.problems.append(f"undeclared exception: {traceback.format_exc()}")
                report.cpu_s /= max(1.0, len(content) / _USUAL_BYTES)
                report.problems += warning_problems(noted)
                yield report


def _loaded(path: Path, overrides: Overrides, report: Report) -> Iterator[str]:
    """Load a file and say what came; what begins with "!" is wrong."""
    try:
        loaded = _timed(path, overrides, report)
    except ScenarioError as error:
        yield from _mistakes(error)
        return
    except UsageError as error:
        yield "usage error"
        for problem in text_problems("usage error", str(error)):
            yield f"!{problem}"
        return
    yield "plan"
    yield from _plan_problems(loaded)


def _timed(path: Path, overrides: Overrides, report: Report) -> Scenario:
    before_ns = time.process_time_ns()
    try:
        return load_scenario(path, overrides=overrides)
    finally:
        report.cpu_s = (time.process_time_ns() - before_ns) / 1e9


def _mistakes(error: ScenarioError) -> Iterator[str]:
    if not error.mistakes:
        yield "!a scenario was refused without a mistake"
    yield f"mistakes {min(3, len(error.mistakes))}"
    for mistake in error.mistakes:
        if mistake.line < 1 or mistake.column < 1:
            yield f"!a mistake stands nowhere: {mistake!r}"
        yield f"mistake {mistake.message.split('(')[0][:40]}"
        for what in ("message", "path"):
            for problem in text_problems(what, getattr(mistake, what), longest=2000):
                yield f"!{problem}"


def _plan_problems(loaded: Scenario) -> Iterator[str]:
    """Yield what is wrong with a plan: whoever is sent it has to read the same, and its fleet has to have names."""
    for problem in text_problems("summary", summary_line(loaded), longest=3000):
        yield f"!{problem}"
    text = portable_text(loaded, passwords=True)
    again = load_portable(text, source=loaded.source)
    if portable_text(again, passwords=True) != text:
        yield "!a plan is not read again as it was"
    for cohort in loaded.cohorts:
        for device in (cohort.first_device, cohort.first_device + cohort.devices - 1):
            cohort.requested.of(device, None)
    if loaded.devices <= _DEVICES_TOLD:
        RunBooks(loaded)
