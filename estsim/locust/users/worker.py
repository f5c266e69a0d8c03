"""A Locust worker's process: it plays the part of the fleet that its master gives it, and hands on what it counts.

It makes a manufacturer's key of its own at the start, and the master certifies it: no private key travels.
"""

import logging
import sys
import time
from typing import Final

import gevent
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from locust.env import Environment
from locust.runners import WorkerRunner

from estsim.errors import EstsimError, noting
from estsim.figures.exits import Exit
from estsim.fleet.assignment import Assignment
from estsim.fleet.clock import RunClock
from estsim.fleet.demands import recorder_of
from estsim.fleet.destination import OwnDestination
from estsim.fleet.error_log import told_elsewhere
from estsim.fleet.link_secret import Secret
from estsim.fleet.master_messages import CLOCK, JOIN, PLAN, WORKER_REPORT
from estsim.fleet.offsets import Offsets
from estsim.fleet.records import noting_by
from estsim.fleet.telling import unquoted
from estsim.locust.options import own_scenario
from estsim.locust.users.master_of_worker import MasterOfWorker
from estsim.locust.users.process_fleet import LocustFleet, put_on
from estsim.locust.users.process_monitor import ProcessMonitor
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.recorder import Recorder
from estsim.record.worker_report import pack

_LOG: Final = logging.getLogger(__name__)
_QUESTIONS: Final = 4  # of the time, at first
_QUESTION_GAP_S: Final = 0.2
_QUESTION_EVERY_S: Final = 30.0


class FleetWorker:
    """One worker; made when its runner is there, and hears its master from then on."""

    def __init__(self, environment: Environment, runner: WorkerRunner, secret: Secret) -> None:
        self._environment = environment
        self._runner = runner
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._link = MasterOfWorker(runner, secret, self._on_proved, self._give_up)
        self._offsets = Offsets()
        self._play: LocustFleet | None = None
        self._recorder: Recorder | None = None
        self._watch: ProcessMonitor | None = None
        self._run_id = ""
        self._link.listen(PLAN, self._on_plan)
        self._link.listen(CLOCK, self._on_clock)
        gevent.spawn(self._link.join)

    def end(self) -> None:
        """Hand on what is left: Locust has stopped all users."""
        watch, self._watch = self._watch, None
        if watch is not None:
            self._hand_on(watch.stop())
        put_on(self._environment, None)

    def leave(self) -> None:
        """Stop all users while the master still listens: Locust takes leave of it before it stops them."""
        if self._watch is not None:
            self._runner.stop()

    # -- what the master says

    def _on_proved(self) -> None:
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._link.send(JOIN, {"public_key": public})
        gevent.spawn(self._ask_the_time)

    def _on_plan(self, content: object) -> None:
        try:
            with noting(self._give_up_at, on_purpose=True):
                self._begin(self._environment, Assignment.unpacked(content))
        except EstsimError as error:
            sys.stderr.write(f"estsim: {error}\n")  # whole; but Locust sends its workers' logs to its web UI
            self._give_up(unquoted(error))

    def _give_up_at(self, bug: Exception) -> None:
        """Tell the master of a bug of ours that leaves nothing to go on with, in a worker report that is the last."""
        self._recorder = self._recorder or Recorder()
        self._recorder.internal_error(bug, at_ns=0)
        self._send(pack(self._recorder.take_report(GeneratorTotals(0.0, 0))), is_last=True)
        self._give_up(told_elsewhere(bug, None), Exit.ERROR)

    def _begin(self, environment: Environment, assignment: Assignment) -> None:
        self._run_id = assignment.run_id
        own = own_scenario(environment)
        assignment = OwnDestination(own).of(assignment, is_proved=self._link.is_secret)
        scenario = assignment.scenario(source=own.source, own=own)
        host = assignment.host(scenario, own_key=self._key)
        clock = RunClock.at_wall(assignment.wall_epoch_s - (self._offsets.offset_s or 0.0))
        self._recorder = recorder = recorder_of(scenario)
        run_id = f"{assignment.run_id}-w{assignment.part.slot}"
        self._play = play = LocustFleet(host, assignment.part, recorder, clock, run_id=run_id)
        made = play.make()
        _LOG.info("estsim: %d devices of %s are ready", made, scenario.name)
        put_on(environment, play)
        note = noting_by(clock, recorder)
        self._watch = ProcessMonitor(clock, lambda: play.in_flight, recorder.generator, self._hand_on, note=note)

    def _on_clock(self, content: object) -> None:
        match content:
            case {"sent_s": float(sent_s), "master_s": float(master_s)}:
                self._offsets.answer(sent_s=sent_s, told_s=master_s, now_s=time.time())

    def _give_up(self, why: str, code: Exit = Exit.USAGE) -> None:
        _LOG.error("estsim: %s", why)
        self._environment.process_exit_code = int(code)
        gevent.spawn(self._runner.quit)

    # -- what the master hears

    def _ask_the_time(self) -> None:
        for _ in range(_QUESTIONS):
            self._link.send(CLOCK, {"sent_s": time.time()})
            gevent.sleep(_QUESTION_GAP_S)
        while True:
            gevent.sleep(_QUESTION_EVERY_S)
            self._link.send(CLOCK, {"sent_s": time.time()})

    def _hand_on(self, totals: GeneratorTotals | None = None) -> None:
        """Send what has been counted and recorded; ``totals`` make it the last worker report."""
        play, recorder = self._play, self._recorder
        if play is None or recorder is None:
            return
        recorder.fleet(play.reading())
        worker_report = recorder.take_report(totals)
        if worker_report.internal_errors.count:
            self._environment.process_exit_code = int(Exit.ERROR)
        self._send(pack(worker_report), is_last=totals is not None)

    def _send(self, worker_report: bytes, *, is_last: bool) -> None:
        offsets = self._offsets
        self._link.send(
            WORKER_REPORT,
            {
                "run_id": self._run_id,
                "parcel": worker_report,
                "offset_s": offsets.offset_s,
                "round_trip_s": offsets.round_trip_s,
                "last": is_last,
            },
        )
