"""Who leads a run under Locust: the master, or the one process of a local run.

From test start to test stop there is one run: its sandbox where no host is given, its workers' parts, its books, and
what its scenario has happen beside the devices. It ends as ``estsim run`` does: with the same folder, verdict and exit
code.
"""

import logging
import sys
from collections.abc import Callable
from typing import Final
from weakref import WeakKeyDictionary

import gevent
from gevent import Greenlet, GreenletExit
from gevent.event import Event
from locust.env import Environment
from locust.runners import MasterRunner

from estsim.errors import EstsimError, InternalFailure, PreflightError, UsageError, is_bug, noting, shortage
from estsim.figures.exits import Exit
from estsim.figures.verdict import Ending
from estsim.fleet.active_run import ActiveRun
from estsim.fleet.clock import RunClock
from estsim.fleet.error_log import told_elsewhere
from estsim.fleet.host import Host, Makers
from estsim.fleet.link_secret import Secret
from estsim.fleet.part import WHOLE
from estsim.fleet.results import RunResult
from estsim.fleet.run_books import RunBooks
from estsim.fleet.server_access import ServerAccess
from estsim.fleet.telling import unquoted
from estsim.locust.master.aftermath import tell_end
from estsim.locust.master.events import play_events
from estsim.locust.master.sandbox import Sandbox, start
from estsim.locust.master.worker_registry import WorkerRegistry
from estsim.locust.options import asked
from estsim.locust.users.process_fleet import LocustFleet, put_on
from estsim.locust.users.process_monitor import ProcessMonitor
from estsim.net.io import run_through
from estsim.net.io_blocking import BlockingIo
from estsim.scenario.plan import Scenario

_LOG: Final = logging.getLogger(__name__)
_LEAD_S: Final = 1.5  # between the test's start and the run's zero, for the plan to reach everybody
_LEAD_PER_DEVICE_S: Final = 0.002  # for a worker to make its devices
_SAVING_S: Final = 60.0  # for users to stop, workers to send their last worker reports, and the books to be closed
_TEND_S: Final = 0.5
_LEADS: Final[WeakKeyDictionary[Environment, "RunMaster"]] = WeakKeyDictionary()


class RunMaster:
    """Leads the runs of one environment, one after another; ``run`` is the one under way, or the last."""

    def __init__(self, environment: Environment, secret: Secret) -> None:
        self.run: ActiveRun | None = None
        self.end_of_run: RunResult | None = None
        self.is_ending = False  # Locust stops its users, or the run is being saved
        self._environment = environment
        self._is_over, self._is_saved = Event(), Event()
        self._tending: Greenlet[..., None] = Greenlet()
        self._playing: Greenlet[..., None] = Greenlet()
        self._sandbox: Sandbox | None = None
        self._missed: Sandbox | None = None  # one that has ended too early, and is told
        self._watch: ProcessMonitor | None = None
        self._interrupted = False
        _LEADS[environment] = self
        runner = environment.runner
        self._registry = WorkerRegistry(runner, secret) if isinstance(runner, MasterRunner) else None

    @property
    def is_under_way(self) -> bool:
        """Whether a run is under way."""
        return self.run is not None and self.end_of_run is None

    # -- the beginning

    def begin(self) -> None:
        """Begin a run, as Locust begins a test; what keeps it from that is told, and ends the test."""
        try:
            self._begin()
        except PreflightError as error:
            self._refuse(str(error), Exit.UNREACHABLE)
        except InternalFailure as failure:
            self._refuse(str(failure), Exit.ERROR)
        except GreenletExit:  # the test was stopped meanwhile
            self._leave()
            if self._is_headless:
                self._environment.process_exit_code = int(Exit.INTERRUPTED)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, a test that did not begin has not passed
            self._refuse(*self._told(error))

    def _begin(self) -> None:
        plan = asked(self._environment)
        lead_s = _LEAD_S + plan.scenario.devices * _LEAD_PER_DEVICE_S
        run = ActiveRun(RunBooks(plan.scenario), plan.results)
        try:
            self._prepare(run, lead_s)
        except (PreflightError, GreenletExit) as stopped:
            run.ending = Ending.ABORTED
            if isinstance(stopped, PreflightError):
                run.ending, run.unreachable = Ending.UNREACHABLE, str(stopped)
            run.introduce()
            run.finish()
            raise
        except Exception as error:
            if not is_bug(error):
                run.abandon()
                raise
            run.end_at_bug(error)
            run.introduce()
            bug = run.finish().log.told()
            what = shortage(error)
            raise UsageError(f"this machine ran out of {what}") if what else InternalFailure(bug) from error
        self.run, self.end_of_run = run, None  # whoever looks at a run finds it prepared
        self._is_over, self._is_saved = Event(), Event()
        self._tending = gevent.spawn(self._tend, run, self._is_over)
        self._playing = gevent.spawn(play_events, run, self._sandbox)

    def _prepare(self, run: ActiveRun, lead_s: float) -> None:
        """Have a server, begin the clock, and give everybody their part."""
        host = self._server(run.scenario, run)
        _try(host, run)
        run.clock = RunClock.start(in_s=lead_s)  # the sandbox may have taken its time
        run.books.target = f"sandbox {host.url}" if self._sandbox else str(host.url)
        if self._sandbox is not None:
            self._sandbox.begin(run.clock.wall_epoch_s)
        run.announce()
        if self._registry is not None:
            self._registry.begin(run, host)
        else:
            self._play_here(host, run)
        run.introduce()

    def _server(self, scenario: Scenario, run: ActiveRun) -> Host:
        """Return the server: the host's, the scenario's, or a sandbox started for the run."""
        makers = Makers.of(scenario)
        if scenario.target is not None:
            return makers.host_of(scenario.target)
        self._sandbox = start(scenario, makers.made, keep_log_in=run.folder)
        return makers.host_of_sandbox(self._sandbox)

    def _play_here(self, host: Host, run: ActiveRun) -> None:
        """Play the whole fleet in this process."""
        recorder = run.record.own
        play = LocustFleet(host, WHOLE, recorder, run.clock, run_id=run.books.id)
        play.make()
        put_on(self._environment, play)
        self._watch = ProcessMonitor(
            run.clock,
            lambda: play.in_flight,
            recorder.generator,
            lambda: recorder.fleet(play.reading()),
            note=run.note,
        )

    def _told(self, error: Exception) -> tuple[str, Exit]:
        """Return what is told of an error, and the exit code that it comes to."""
        if isinstance(error, EstsimError) and not is_bug(error):
            return self._fit_to_tell(error), Exit.USAGE
        return told_elsewhere(error, None), Exit.USAGE if shortage(error) else Exit.ERROR

    def _fit_to_tell(self, error: EstsimError) -> str:
        """Return an error as it may stand in the log: whoever reaches a web UI reads that, and no file of this machine.

        What is left out is told where the process was started.
        """
        told = str(error) if self._environment.web_ui is None else unquoted(error)
        if told != str(error):
            sys.stderr.write(f"estsim: {error}\n")
        return told

    def _fail(self, error: Exception) -> None:
        """Tell of an error that kept a run from being saved."""
        told, code = self._told(error)
        _LOG.error("estsim: %s", told)
        self._environment.process_exit_code = int(code)

    def _refuse(self, why: str, code: Exit) -> None:
        """Tell why no run can begin, and end the test."""
        _LOG.error("estsim: %s", why)
        self._environment.process_exit_code = int(code)
        self._leave()
        self._end_test()

    # -- while it lasts

    def _tend(self, run: ActiveRun, is_over: Event) -> None:
        """Write twice a second, and look after workers and the thresholds that may end the run."""
        told = 0
        while not is_over.wait(_TEND_S):
            with noting(run.note):
                run_through(run.write(_in_thread))
            with noting(run.note):
                if self._registry is not None:
                    self._registry.look_after(run)
                self._miss_sandbox(run)
            for kind in [*run.log.errors.kinds.values()][told:]:
                told += 1
                _LOG.error("estsim: internal error of estsim: %s", kind)
            with noting(run.note):
                if run.is_broken():
                    _LOG.warning("estsim: a threshold with abort_on_fail failed; stopping the test")
                    self._end_test()
                    return

    def _miss_sandbox(self, run: ActiveRun) -> None:
        """Take note, once, of a sandbox of ours that has ended before the run."""
        code = None if self._sandbox is None else self._sandbox.process.poll()
        if code is not None and self._sandbox is not self._missed:
            self._missed = self._sandbox
            run.miss_sandbox(code)

    # -- the end

    def interrupted(self) -> None:
        """Take note that Locust is being ended while a run is under way.

        A run that is being saved is waited for: Locust determines its exit code next, and may have ended the test in
        another greenlet, as where the last worker went missing.
        """
        if self.is_ending:
            self._is_saved.wait(_SAVING_S)
        self._interrupted = self.is_under_way

    def end(self) -> None:
        """End the run, as Locust has ended the test."""
        run = self.run
        if run is None or not self.is_under_way:
            return
        self._is_over.set()
        self._tending.join()  # a batch that a thread writes is not left to it while we close the store
        self._playing.kill()
        watch, self._watch = self._watch, None
        own = watch.stop() if watch is not None else None
        if self._registry is not None:
            with noting(run.note):
                self._registry.collect(run)
        run.end(own, self._sandbox)
        run.ending = Ending.ABORTED if self._is_interrupted else Ending.FINISHED
        try:
            end = self.end_of_run = run.finish()
        except Exception as error:  # noqa: BLE001 - Locust would go on, and say that all is well
            self.run, self.is_ending = None, False
            self._fail(error)
            self._is_saved.set()
            return
        finally:
            self._leave()
        if end.exit_code or not self._are_others_here:
            self._environment.process_exit_code = int(end.exit_code)
        self.is_ending = False
        self._is_saved.set()
        if self._is_headless or self._interrupted:
            tell_end(end)
        else:
            gevent.spawn(tell_end, end)  # Locust begins no other test before its listeners are done

    @property
    def _is_interrupted(self) -> bool:
        """Whether somebody ended Locust: a signal, or Ctrl-C, which in a headless test is the main greenlet's."""
        return self._interrupted or (self._is_headless and not isinstance(gevent.getcurrent(), Greenlet))

    @property
    def _is_headless(self) -> bool:
        return bool(getattr(self._environment.parsed_options, "headless", False))

    @property
    def _are_others_here(self) -> bool:
        """Whether there are users of another kind, whose failures are Locust's to judge."""
        return not all(hasattr(each, "cohort") for each in self._environment.user_classes)

    def _leave(self) -> None:
        """Stop what was started for the run."""
        put_on(self._environment, None)
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.stop()

    def _end_test(self) -> None:
        """Let Locust end the test, and where nobody is at a web UI to begin another, itself."""
        runner = self._environment.runner
        if runner is not None:
            gevent.spawn_later(0, runner.quit if self._is_headless else runner.stop)


def lead_of(environment: Environment) -> RunMaster | None:
    """Return who leads the runs of an environment; None in a worker."""
    return _LEADS.get(environment)


def _try(host: Host, run: ActiveRun) -> None:
    """Try the server with one exchange, recorded and in no figure; raises PreflightError where it does not answer."""
    access = ServerAccess.to(host, run.books.groups, RunClock.start())
    cohorts = [host.cohort(plan) for plan in run.scenario.cohorts]
    run_through(run.preflight(cohorts, access, BlockingIo(), str(host.url)))


async def _in_thread(act: Callable[[], list[Exception]]) -> list[Exception]:
    met: list[Exception] = gevent.get_hub().threadpool.apply(act)
    return met
