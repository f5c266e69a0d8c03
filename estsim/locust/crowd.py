"""The workers of a Locust master: who is there, which part each plays, what they send, and who is gone."""

import logging
import time
from typing import Any, Final

import gevent
from locust.env import Environment
from locust.runners import STATE_MISSING, STATE_RUNNING, STATE_SPAWNING, MasterRunner

from estsim.fleet.briefing import Briefing, Maker
from estsim.fleet.host import Host
from estsim.fleet.led_run import LedRun
from estsim.fleet.master_messages import CLOCK, HELLO, PARCEL, PLAN, PROTOCOL, REFUSED
from estsim.fleet.part import Part
from estsim.measure.parcel import ParcelError, unpack
from estsim.scenario.plan import MadeAuthority
from estsim.scenario.portable import portable_text

_LOG: Final = logging.getLogger(__name__)
_LAST_PARCELS_S: Final = 20.0
_ASK_AGAIN_S: Final = 0.1
_UNDER_WAY: Final = (STATE_SPAWNING, STATE_RUNNING)


class Crowd:
    """The workers that have greeted this master, and their part in the run under way."""

    def __init__(self, runner: MasterRunner) -> None:
        self._runner = runner
        self._keys: dict[str, bytes] = {}  # by worker, the public key of its manufacturer
        self._run: LedRun | None = None
        self._host: Host | None = None
        self._of = 0  # among how many the fleet was shared as the run began
        for name, listener in ((HELLO, self._on_hello), (CLOCK, self._on_clock), (PARCEL, self._on_parcel)):
            runner.register_message(name, listener)

    def begin(self, run: LedRun, host: Host) -> None:
        """Give every worker that is there its part."""
        self._run, self._host = run, host
        there = self._keys.keys() & {client.id for client in self._runner.clients.all if client.state != STATE_MISSING}
        names = sorted(there, key=self._runner.get_worker_index)
        self._of = len(names)
        for slot, name in enumerate(names):
            self._brief(run, host, name, Part(slot, self._of))

    def look_after(self, run: LedRun) -> None:
        """Tell of workers that have gone without a last parcel."""
        there = {client.id: client.state for client in self._runner.clients.all}
        for name in run.pending:
            if there.get(name, STATE_MISSING) == STATE_MISSING:
                run.lose(name, "went silent" if name in there else "left")
                _tell_last(run)

    def collect(self, run: LedRun) -> None:
        """Wait for the last parcels; workers that Locust has not stopped yet are asked to."""
        for name in run.pending:
            self._runner.send_message("stop", client_id=name)
        gives_up_s = time.monotonic() + _LAST_PARCELS_S
        while run.pending and time.monotonic() < gives_up_s:
            gevent.sleep(_ASK_AGAIN_S)
            self.look_after(run)
        for name in run.pending:
            run.lose(name, "did not say what it had done")
            _tell_last(run)
        self._run = None

    def _brief(self, run: LedRun, host: Host, name: str, part: Part) -> None:
        worker = run.hire(name, part)
        title = f"estsim worker {worker.number}"
        briefing = Briefing(
            run.books.id,
            portable_text(run.scenario),
            str(host.url),
            host.trust.anchors,
            explicit=host.trust.explicit,
            makers={
                authority or "": Maker.branch(factory, self._keys[name], title)
                for authority, factory in host.factories.items()
                if authority is None or isinstance(run.scenario.authorities[authority], MadeAuthority)
            },
            part=part,
            wall_epoch_s=run.clock.wall_epoch_s,
        )
        self._runner.send_message(PLAN, briefing.packed(), client_id=name)

    # -- what they send

    def _on_hello(self, environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401, ARG002 - Locust's
        name, run, host = str(msg.node_id), self._run, self._host
        protocol, version = msg.data.get("protocol"), msg.data.get("version")
        if protocol != PROTOCOL:
            why = f"this master speaks protocol {PROTOCOL} of estsim, worker {name} {protocol} (estsim {version})"
            _LOG.error("estsim: %s", why)
            self._runner.send_message(REFUSED, {"why": why}, client_id=name)
            return
        self._keys[name] = msg.data["public_key"]
        if run is not None and host is not None and name not in run.workers:
            self._brief(run, host, name, run.next_part(of=self._of))

    def _on_clock(self, environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401, ARG002 - Locust's
        answer = {"sent_s": msg.data["sent_s"], "master_s": time.time()}
        self._runner.send_message(CLOCK, answer, client_id=str(msg.node_id))

    def _on_parcel(self, environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401, ARG002 - Locust's
        run, name = self._run, str(msg.node_id)
        if run is None:
            return
        try:
            parcel = unpack(msg.data["parcel"])
        except ParcelError as error:
            _LOG.error("estsim: worker %s sent what cannot be read: %s", name, error)
            return
        run.merge(name, parcel)
        worker = run.workers.get(name)
        if worker is not None:
            worker.offset_s, worker.round_trip_s = msg.data.get("offset_s"), msg.data.get("round_trip_s")
            if worker.over and self._runner.state in _UNDER_WAY:  # nobody has told it to stop
                run.leave(name)
                _tell_last(run)


def _tell_last(run: LedRun) -> None:
    """Tell at once of a worker that is gone, with its devices."""
    _LOG.error("estsim: %s", run.books.losses.told[-1])
