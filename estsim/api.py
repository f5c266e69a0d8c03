"""The Python API: load a scenario, forecast it, run it, and read the results of a run.

It follows the rules of the command line: a server on another machine needs permission for more than 100 devices, a plan
that exceeds this machine is refused, and every mistake of a scenario is an error with its place.

Raises :class:`~estsim.errors.EstsimError` for what the caller can fix: ScenarioError (with every mistake), UsageError,
StoreError. An unreachable server, a failed threshold and a saturated generator are results.
"""

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import current_thread, main_thread
from types import TracebackType
from typing import Any, Final, Self

import trio

from estsim import arguments
from estsim.device.behaviour import Behaviour
from estsim.device.custom_behaviour import name_of
from estsim.engine.run import Run, RunOptions
from estsim.errors import UsageError
from estsim.figures.exits import Exit
from estsim.figures.forecast import Forecast
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.figures.summary import Summary
from estsim.fleet.permission import require_permission
from estsim.fleet.results import RunResult
from estsim.record.reading import Table, columns_of, nested_values, stream
from estsim.record.reading import open_run as open_store
from estsim.record.run_reader import RunReader
from estsim.report.file import write_report
from estsim.report.run_report import read_run
from estsim.scenario.behaviours import code_access
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario as load
from estsim.scenario.plan import Scenario
from estsim.scenario.source import Overrides
from estsim.virtual.dry_run import DryRun

__all__ = [
    "Behaviour",
    "FinishedRun",
    "RecordedRun",
    "Summary",
    "forecast",
    "load_scenario",
    "open_run",
    "run",
    "run_async",
]


def load_scenario(
    source: str | Path,
    *,
    devices: int | None = None,
    duration: str | None = None,
    seed: int | None = None,
    url: str | None = None,
    trust: str | Path | None = None,
    workers: int | str | None = None,
    strict: bool = False,
    settings: Mapping[str, object] | None = None,
    allow_code: bool = False,
    behaviours: Mapping[str, type[Behaviour]] | None = None,
) -> Scenario:
    """Load a scenario file, or an included scenario by its name, with the options of ``estsim run``.

    ``settings`` overrides any key, such as ``{"cohorts.meters.boot.burst": "5s"}``; values are YAML. ``allow_code``
    imports the classes that the file names; ``behaviours`` gives classes of your own by cohort, which worker processes
    have to be able to import. Warnings are in ``scenario.warnings``.

    Raises ScenarioError with every mistake, and UsageError for an argument of another type.
    """
    arguments.flags(strict=strict, allow_code=allow_code)
    given = arguments.classes("behaviours", behaviours, Behaviour)
    overrides = Overrides(
        devices=arguments.whole_number("devices", devices),
        duration=arguments.text("duration", duration, example="10m"),
        seed=arguments.whole_number("seed", seed),
        url=arguments.text("url", url, example="https://est.example.com/.well-known/est"),
        trust=arguments.optional_path("trust", trust),
        workers=arguments.worker_count(workers),
        strict=strict,
        set=arguments.settings(settings),
        behaviours=tuple((cohort, name_of(kind)) for cohort, kind in given.items()),
    )
    access = code_access("allow_code=True", allowed=allow_code).giving(given.values())
    scenario = load(found(arguments.path("source", source)), overrides=overrides, code=access)
    if scenario.generator.workers != 1:
        for kind in given.values():
            _require_importable(kind)
    return scenario


def _require_importable(kind: type[Behaviour]) -> None:
    """Refuse a class that worker processes cannot import by its name."""
    module = sys.modules.get(kind.__module__)
    if kind.__module__ == "__main__" or getattr(module, kind.__name__, None) is not kind:
        raise UsageError(f"behaviours: worker processes cannot import {name_of(kind)}: define it in a module")


def forecast(scenario: Scenario) -> Forecast:
    """Simulate a scenario in virtual time, without a network: its load, and what it needs of this machine."""
    arguments.instance("scenario", scenario, Scenario, origin="load_scenario")
    return DryRun(scenario).run()


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A finished run: the folder of its results, its figures and its verdict."""

    folder: Path
    summary: Summary = field(repr=False)
    exit_code: Exit
    why: str | None = None  # why the server could not be reached

    @property
    def verdict(self) -> str:
        """``passed``, ``failed``, ``saturated``, ``unreachable``, ``aborted`` or ``error``."""
        return self.summary.verdict

    @property
    def passed(self) -> bool:
        """Whether every threshold holds, and the figures are the server's."""
        return self.exit_code is Exit.PASSED


def run(
    scenario: Scenario,
    *,
    results: str | Path = "results",
    preflight: bool = True,
    force: bool = False,
    i_may_test: str | None = None,
    report: bool = True,
    show: Callable[[Snapshot], None] | None = None,
) -> FinishedRun:
    """Run a scenario to its end, from the main thread; Ctrl-C finishes current exchanges and saves the results.

    ``results`` is the parent of the run's folder, ``i_may_test`` the host that you may load with more than 100 devices.
    ``show`` is called with the live figures twice a second, in a thread; its exceptions end the run and are raised, and
    the folder has the rows until then. Under trio, await :func:`run_async`. Raises UsageError in another thread, and
    within trio.
    """
    if trio.lowlevel.in_trio_run():
        raise UsageError("run: expected no trio loop in this thread; under trio, await run_async(...)")
    display = _display("run", show, report=report)
    live = _permitted(scenario, results, preflight=preflight, force=force, i_may_test=i_may_test, show=display.show)
    return _finished(trio.run(display.watched, live.go), report=report)


async def run_async(
    scenario: Scenario,
    *,
    results: str | Path = "results",
    preflight: bool = True,
    force: bool = False,
    i_may_test: str | None = None,
    report: bool = True,
    show: Callable[[Snapshot], None] | None = None,
) -> FinishedRun:
    """Run a scenario as :func:`run` does, under trio, in the main thread. Raises UsageError elsewhere.

    A run that is cancelled leaves the rows of all its exchanges, and no summary file.
    """
    if not trio.lowlevel.in_trio_task():
        raise UsageError("run_async: expected to be awaited in a task of trio; elsewhere, call run(...)")
    display = _display("run_async", show, report=report)
    live = _permitted(scenario, results, preflight=preflight, force=force, i_may_test=i_may_test, show=display.show)
    result = await display.watched(live.go)
    return await trio.to_thread.run_sync(lambda: _finished(result, report=report))


def _permitted(
    scenario: Scenario,
    results: str | Path,
    *,
    preflight: bool,
    force: bool,
    i_may_test: str | None,
    show: Callable[[Snapshot], None],
) -> Run:
    arguments.instance("scenario", scenario, Scenario, origin="load_scenario")
    arguments.flags(preflight=preflight, force=force)
    options = RunOptions(arguments.path("results", results), preflight=preflight, force=force)
    require_permission(scenario, arguments.text("i_may_test", i_may_test, example="est.example.com"))
    return Run(scenario, options, show)


def _display(caller: str, show: Callable[[Snapshot], None] | None, *, report: bool) -> "_Display":
    """Check the caller's thread and arguments; another thread gets no Ctrl-C, so it could not end the run properly."""
    if (thread := current_thread()) is not main_thread():
        raise UsageError(f"{caller}: expected to be called in the main thread (got {thread.name})")
    arguments.flags(report=report)
    arguments.function("show", show)
    return _Display(show or (lambda _: None))


class _Display:
    """The caller's ``show``, whose exceptions are raised to the caller and are no internal errors of the run."""

    def __init__(self, show: Callable[[Snapshot], None]) -> None:
        self._show: Final = show
        self._failed: Exception | None = None
        self._fail: Callable[[], object] = lambda: None

    def show(self, snapshot: Snapshot) -> None:
        """Show a snapshot, from any thread; an exception ends the run, and nothing more is shown."""
        if self._failed is not None:
            return
        try:
            self._show(snapshot)
        except Exception as error:  # noqa: BLE001 - raised again where the caller awaits the run
            self._failed = error
            if snapshot.stage is not RunStage.DONE:
                self._fail()

    async def watched(self, go: Callable[[], Awaitable[RunResult]]) -> RunResult:
        """Run; raises what ``show`` has raised."""
        token = trio.lowlevel.current_trio_token()
        result: RunResult | None = None
        with trio.CancelScope() as scope:
            self._fail = partial(token.run_sync_soon, scope.cancel)
            result = await go()
        if self._failed is not None:
            raise self._failed
        assert result is not None  # noqa: S101 - only a failure cancels the scope
        return result


def _finished(result: RunResult, *, report: bool) -> FinishedRun:
    result = result.rejudged()
    if report:
        write_report(result.folder)
    return FinishedRun(result.folder, result.summary, result.exit_code, result.unreachable)


class RecordedRun:
    """A results folder opened for reading, also of a run that was killed or is under way. Close it after use."""

    def __init__(self, folder: str | Path) -> None:
        self.folder: Final = arguments.path("folder", folder)
        self._store: Final[RunReader] = open_store(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    @property
    def facts(self) -> Mapping[str, str]:
        """Facts of the run: its id, scenario, target, versions, start and end."""
        return self._store.facts()

    def summary(self) -> Summary:
        """Return the figures of ``summary.json``, or calculate them from the store if the run did not write it.

        Figures that the file lacks, from another version or by damage, are None or empty. Calculated ones lack CPU,
        memory and OpenSSL's version, which only the running process knew. A run that was killed or cancelled, or is
        under way, has the verdict ``aborted``.
        """
        recorded = read_run(self.folder)
        return recorded.figures if recorded.summary is None else recorded.summary

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of ``exchanges``, ``enrolments``, ``certificates`` or ``series``, one at a time.

        Times in columns named ``_ns`` are nanoseconds since the run began. Raises UsageError for another table.
        """
        known = _table(table)
        names = columns_of(known)
        for row in stream(self._store, known):
            yield nested_values(known, dict(zip(names, row, strict=True)))

    def frame(self, table: str, *, library: str = "pandas") -> Any:  # noqa: ANN401 - of an optional library
        """Return a table as a data frame of pandas or polars, whichever is installed. Raises UsageError."""
        rows = [*self.rows(table)]
        try:
            if library == "pandas":
                import pandas  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: ICN001, PLC0415 - optional

                return pandas.DataFrame(rows, columns=[*columns_of(_table(table))])
            if library == "polars":
                import polars  # type: ignore[import-not-found,unused-ignore]  # noqa: ICN001, PLC0415 - optional

                return polars.DataFrame(rows, schema=[*columns_of(_table(table))], infer_schema_length=None)
        except ImportError as error:
            raise UsageError(f"{library} is not installed: pip install {library}") from error
        raise UsageError(f"expected library pandas or polars (got {library!r})")


def _table(name: str) -> Table:
    try:
        return Table(name)
    except ValueError:
        raise UsageError(f"expected one of the tables {', '.join(Table)} (got {name!r})") from None


def open_run(folder: str | Path) -> RecordedRun:
    """Open a results folder. Raises UsageError where there is no run, StoreError where its store cannot be read."""
    return RecordedRun(folder)
