"""Who leads a run under Locust: the master, or the one process of a local run.

From test start to test stop there is one run: its sandbox where no host is given, its workers' parts, its books, and
what its scenario has happen beside the devices. It ends as ``estsim run`` does: with the same folder, verdict and exit
code.
"""

import logging
import subprocess
import sys
from typing import Final
from weakref import WeakKeyDictionary

import gevent
from gevent import Greenlet, GreenletExit
from gevent.event import Event
from locust.env import Environment
from locust.runners import MasterRunner

from estsim.errors import EstsimError, PreflightError
from estsim.fleet.clock import RunClock
from estsim.fleet.host import Host, Makers
from estsim.fleet.led_run import LedEnd, LedRun
from estsim.fleet.notices import notices_of
from estsim.fleet.part import WHOLE
from estsim.locust.crowd import Crowd
from estsim.locust.events import play_events
from estsim.locust.options import asked
from estsim.locust.play import Play, put_on
from estsim.locust.preflight import fly
from estsim.locust.sandbox import Sandbox, start
from estsim.locust.watch import Watch
from estsim.locust.wire import BlockingWire
from estsim.measure.exits import Exit
from estsim.measure.summary import Ending
from estsim.scenario.plan import Scenario

_LOG: Final = logging.getLogger(__name__)
_LEAD_S: Final = 1.5  # between the test's start and the run's zero, for the plan to reach everybody
_LEAD_PER_DEVICE_S: Final = 0.002  # for a worker to make its devices
_TEND_S: Final = 0.5
_LEADS: Final[WeakKeyDictionary[Environment, "Lead"]] = WeakKeyDictionary()


class Lead:
    """Leads the runs of one environment, one after another; ``run`` is the one under way, or the last."""

    def __init__(self, environment: Environment) -> None:
        self.run: LedRun | None = None
        self.end_of_run: LedEnd | None = None
        self.is_ending = False  # Locust stops its users, or the run is being saved
        self._environment = environment
        self._is_over = Event()
        self._tending: Greenlet[..., None] = Greenlet()
        self._playing: Greenlet[..., None] = Greenlet()
        self._sandbox: Sandbox | None = None
        self._watch: Watch | None = None
        self._interrupted = False
        _LEADS[environment] = self
        runner = environment.runner
        self._crowd = Crowd(runner) if isinstance(runner, MasterRunner) else None

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
        except EstsimError as error:
            self._refuse(str(error), Exit.USAGE)
        except GreenletExit:  # the test was stopped meanwhile
            self._leave()
            if self._is_headless:
                self._environment.process_exit_code = int(Exit.INTERRUPTED)
            raise

    def _begin(self) -> None:
        plan = asked(self._environment)
        lead_s = _LEAD_S + plan.scenario.devices * _LEAD_PER_DEVICE_S
        run = LedRun.begin(plan.scenario, plan.results, target="sandbox", in_s=lead_s)
        try:
            self._prepare(run, lead_s)
        except (PreflightError, GreenletExit) as stopped:
            run.introduce()
            run.finish(Ending.UNREACHABLE if isinstance(stopped, PreflightError) else Ending.ABORTED)
            raise
        self.run, self.end_of_run = run, None  # whoever looks at a run finds it prepared
        self._is_over = Event()
        self._tending = gevent.spawn(self._tend, run, self._is_over)
        self._playing = gevent.spawn(play_events, run, self._sandbox)

    def _prepare(self, run: LedRun, lead_s: float) -> None:
        """Have a server, begin the clock, and give everybody their part."""
        host = self._server(run.scenario, run)
        _try(host, run)
        run.clock = RunClock.start(in_s=lead_s)  # the sandbox may have taken its time
        run.books.target = f"sandbox {host.url}" if self._sandbox else str(host.url)
        if self._sandbox is not None:
            self._sandbox.begin(run.clock.wall_epoch_s)
        for notice in notices_of(run.scenario):
            run.books.recorder.mark(0, notice, kind="notice")
        if self._crowd is not None:
            self._crowd.begin(run, host)
        else:
            self._play_here(host, run)
        run.introduce()

    def _server(self, scenario: Scenario, run: LedRun) -> Host:
        """Return the server: the host's, the scenario's, or a sandbox started for the run."""
        makers = Makers.of(scenario)
        if scenario.target is not None:
            return makers.host_of(scenario.target)
        self._sandbox = start(scenario, makers.made, keep_log_in=run.folder)
        return makers.host_of_sandbox(self._sandbox)

    def _play_here(self, host: Host, run: LedRun) -> None:
        """Play the whole fleet in this process."""
        recorder = run.books.recorder
        play = Play(host, WHOLE, recorder, run.clock, run_id=run.books.id)
        play.make()
        put_on(self._environment, play)
        self._watch = Watch(
            run.clock, lambda: play.in_flight, recorder.generator, lambda: recorder.fleet(play.reading())
        )

    def _refuse(self, why: str, code: Exit) -> None:
        """Tell why no run can begin, and end the test."""
        _LOG.error("estsim: %s", why)
        self._environment.process_exit_code = int(code)
        self._leave()
        self._end_test()

    # -- while it lasts

    def _tend(self, run: LedRun, is_over: Event) -> None:
        """Write twice a second, and look after workers and the thresholds that may end the run."""
        pool = gevent.get_hub().threadpool
        while not is_over.wait(_TEND_S):
            pool.apply(run.write)
            if self._crowd is not None:
                self._crowd.look_after(run)
            if run.books.may_end_early and run.books.is_broken(max(0, run.clock.now_ns())):
                _LOG.warning("estsim: a threshold that may end the run does not hold")
                self._end_test()
                return

    # -- the end

    def interrupted(self) -> None:
        """Take note that Locust is being ended while a run is under way."""
        self._interrupted = self.is_under_way

    def end(self) -> None:
        """End the run, as Locust has ended the test."""
        run = self.run
        if run is None or not self.is_under_way:
            return
        self._is_over.set()
        self._tending.join()  # a batch that a thread writes is not left to it while we close the store
        self._playing.kill()
        if self._watch is not None:
            run.own = self._watch.stop()
            self._watch = None
        if self._crowd is not None:
            self._crowd.collect(run)
        end = self.end_of_run = run.finish(Ending.ABORTED if self._is_interrupted else Ending.FINISHED)
        self._leave()
        if end.code or not self._are_others_here:
            self._environment.process_exit_code = int(end.code)
        self.is_ending = False
        if self._is_headless or self._interrupted:
            _report(end)
        else:
            gevent.spawn(_report, end)  # Locust begins no other test before its listeners are done

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


def lead_of(environment: Environment) -> Lead | None:
    """Return who leads the runs of an environment; None in a worker."""
    return _LEADS.get(environment)


def _try(host: Host, run: LedRun) -> None:
    """Try the server with one exchange, recorded and in no figure; raises PreflightError where it does not answer."""
    scenario, books = run.scenario, run.books
    wire = BlockingWire.to(host, books.groups, RunClock.start())
    cohorts = [host.cohort(plan) for plan in scenario.cohorts]
    request_id = f"{books.id}-preflight" if scenario.generator.request_ids else None
    flight = fly(cohorts, wire, seed=scenario.seed, request_id=request_id)
    for sample in flight.samples:
        books.recorder.exchange(sample)
    flight.check(str(host.url))


def _report(end: LedEnd) -> None:
    """Say what the run came to, and have its page made."""
    summary = end.summary
    for judged in summary["thresholds"]:
        held = "holds" if judged["passed"] else "does not hold"
        why = f" ({judged['why']})" if judged.get("why") else ""
        _LOG.info("estsim: %s %s, was %s%s", judged["expression"], held, judged["value"], why)
    if summary["generator"]["why"]:
        _LOG.warning("estsim: %s", summary["generator"]["why"])
    if end.trouble:
        _LOG.error("estsim: the last rows are not in %s: %s", end.folder, end.trouble)
    command = [sys.executable, "-m", "estsim", "report", str(end.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        _LOG.warning("estsim: no report was made: %s", done.stderr.strip())
    _LOG.info("estsim: %s; everything is in %s", summary["verdict"], end.folder)
