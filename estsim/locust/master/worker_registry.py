"""The workers of a Locust master: who is there, which part each plays, what they send, and who is gone."""

import logging
import time
from typing import Final

import gevent
from locust.runners import STATE_MISSING, STATE_RUNNING, STATE_SPAWNING, MasterRunner

from estsim.fleet.active_run import ActiveRun
from estsim.fleet.assignment import Assignment, Maker
from estsim.fleet.host import Host
from estsim.fleet.link_auth import LinkRefused
from estsim.fleet.link_secret import Secret
from estsim.fleet.master_messages import CLOCK, PLAN, WORKER_REPORT
from estsim.fleet.part import Part
from estsim.fleet.worker_messages import ReportOf, TimeAsked
from estsim.locust.master.workers_link import WorkersLink
from estsim.record.worker_report import WorkerReportError, unpack
from estsim.scenario.plan import MadeAuthority
from estsim.scenario.portable import portable_text

_LOG: Final = logging.getLogger(__name__)
_LAST_REPORTS_S: Final = 20.0
_MARGIN_S: Final = 3600.0  # that a certified manufacturer outlives its run: clocks differ, and a drain takes its time
_JOINS_S: Final = 2.0
_ASK_AGAIN_S: Final = 0.1
_UNDER_WAY: Final = (STATE_SPAWNING, STATE_RUNNING)


class WorkerRegistry:
    """The workers that have joined this master, and their part in the run under way."""

    def __init__(self, runner: MasterRunner, secret: Secret) -> None:
        self._runner = runner
        self._link = WorkersLink(runner, secret, self._on_join)
        self._link.listen(CLOCK, self._on_clock)
        self._link.listen(WORKER_REPORT, self._on_worker_report)
        self._run: ActiveRun | None = None
        self._host: Host | None = None
        self._of = 0  # among how many the fleet was shared as the run began

    def begin(self, run: ActiveRun, host: Host) -> None:
        """Give every worker that is there its part."""
        self._wait_for_joins()
        self._run, self._host = run, host
        names = sorted(self._there & {*self._link.workers}, key=self._runner.get_worker_index)
        self._of = len(names)
        for slot, name in enumerate(names):
            self._brief(run, host, name, Part(slot, self._of))

    @property
    def _there(self) -> set[str]:
        """The workers that Locust has a connection to."""
        return {client.id for client in self._runner.clients.all if client.state != STATE_MISSING}

    def _wait_for_joins(self) -> None:
        """Let those join who are on their way: Locust counts a worker of its own kind before it can say hello to us."""
        gives_up_s = time.monotonic() + _JOINS_S
        while self._there - {*self._link.workers} and time.monotonic() < gives_up_s:
            gevent.sleep(_ASK_AGAIN_S)

    def look_after(self, run: ActiveRun) -> None:
        """Tell of workers that have gone without a last worker report."""
        there = {client.id: client.state for client in self._runner.clients.all}
        for name in run.workers.pending:
            if there.get(name, STATE_MISSING) == STATE_MISSING:
                run.workers.lose(name, "stopped responding" if name in there else "left")
                _tell_last(run)

    def collect(self, run: ActiveRun) -> None:
        """Wait for the last worker reports; workers that Locust has not stopped yet are asked to."""
        for name in run.workers.pending:
            self._runner.send_message("stop", client_id=name)
        gives_up_s = time.monotonic() + _LAST_REPORTS_S
        while run.workers.pending and time.monotonic() < gives_up_s:
            gevent.sleep(_ASK_AGAIN_S)
            self.look_after(run)
        for name in run.workers.pending:
            run.workers.lose(name, "did not send its final report")
            _tell_last(run)
        self._run = None

    def _brief(self, run: ActiveRun, host: Host, name: str, part: Part) -> None:
        worker = run.workers.add(name, part)
        title = f"estsim worker {worker.number}"
        ends_in_s = max(0.0, run.scenario.duration_s - run.clock.now_s()) + _MARGIN_S
        assignment = Assignment(
            run.books.id,
            portable_text(run.scenario),
            str(host.url),
            host.trust.anchors,
            explicit=host.trust.explicit,
            makers={
                authority or "": Maker.branch(factory, self._link.public_key(name), title, ends_in_s=ends_in_s)
                for authority, factory in host.factories.items()
                if authority is None or isinstance(run.scenario.authorities[authority], MadeAuthority)
            },
            part=part,
            wall_epoch_s=run.clock.wall_epoch_s,
        )
        self._link.send(name, PLAN, assignment.packed())

    # -- what they send

    def _on_join(self, name: str) -> None:
        run, host = self._run, self._host
        if run is not None and host is not None and name not in run.workers.by_name:
            self._brief(run, host, name, run.workers.next_part(of=self._of))

    def _on_clock(self, name: str, content: object) -> None:
        asked = TimeAsked.of(content)
        self._link.send(name, CLOCK, {"sent_s": asked.sent_s, "master_s": time.time()})

    def _on_worker_report(self, name: str, content: object) -> None:
        sent, run = ReportOf.of(content), self._run
        if run is None or sent.run_id != run.books.id:
            return
        try:
            worker_report = unpack(sent.worker_report)
        except WorkerReportError as error:
            raise LinkRefused(f"cannot be read: {error}") from error
        run.workers.merge(name, worker_report)
        worker = run.workers.by_name.get(name)
        if worker is not None:
            worker.offset_s, worker.round_trip_s = sent.offset_s, sent.round_trip_s
            if worker.over and self._runner.state in _UNDER_WAY:  # nobody has told it to stop
                run.workers.leave(name)
                _tell_last(run)


def _tell_last(run: ActiveRun) -> None:
    """Tell at once of a worker that is gone, with its devices."""
    _LOG.error("estsim: %s", run.workers.told[-1])
