"""A Locust worker's process: it plays the part of the fleet that its master gives it, and hands on what it counts.

It makes a manufacturer's key of its own at the start, and the master certifies it: no private key travels.
"""

import logging
import time
from typing import Any, Final

import gevent
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from locust.env import Environment
from locust.runners import WorkerRunner

from estsim import __version__
from estsim.errors import EstsimError
from estsim.fleet.briefing import Briefing
from estsim.fleet.clock import RunClock
from estsim.fleet.demands import gatherer_of
from estsim.fleet.master_messages import CLOCK, HELLO, PARCEL, PLAN, PROTOCOL, REFUSED
from estsim.fleet.offsets import Offsets
from estsim.locust.options import own_scenario
from estsim.locust.play import Play, put_on
from estsim.locust.watch import Watch
from estsim.measure.exits import Exit
from estsim.measure.gatherer import Gatherer
from estsim.measure.parcel import pack
from estsim.measure.summary import GeneratorTotals

_LOG: Final = logging.getLogger(__name__)
_QUESTIONS: Final = 4  # of the time, at first
_QUESTION_GAP_S: Final = 0.2
_QUESTION_EVERY_S: Final = 30.0


class Follower:
    """One worker; made when its runner is there, and hears its master from then on."""

    def __init__(self, environment: Environment, runner: WorkerRunner) -> None:
        self._environment = environment
        self._runner = runner
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._offsets = Offsets()
        self._play: Play | None = None
        self._gatherer: Gatherer | None = None
        self._watch: Watch | None = None
        for name, listener in ((PLAN, self._on_plan), (REFUSED, self._on_refused), (CLOCK, self._on_clock)):
            runner.register_message(name, listener)
        public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        runner.send_message(HELLO, {"protocol": PROTOCOL, "version": __version__, "public_key": public})
        gevent.spawn(self._ask_the_time)

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

    def _on_plan(self, environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401 - Locust's message
        try:
            self._begin(environment, Briefing.unpacked(msg.data))
        except EstsimError as error:
            self._give_up(str(error))

    def _begin(self, environment: Environment, briefing: Briefing) -> None:
        own = own_scenario(environment)
        scenario = briefing.scenario(source=own.source, own=own)
        host = briefing.host(scenario, own_key=self._key)
        clock = RunClock.at_wall(briefing.wall_epoch_s - (self._offsets.offset_s or 0.0))
        self._gatherer = gatherer = gatherer_of(scenario)
        run_id = f"{briefing.run_id}-w{briefing.part.slot}"
        self._play = play = Play(host, briefing.part, gatherer, clock, run_id=run_id)
        made = play.make()
        _LOG.info("estsim: %d devices of %s are ready", made, scenario.name)
        put_on(environment, play)
        self._watch = Watch(clock, lambda: play.in_flight, gatherer.generator, self._hand_on)

    def _on_refused(self, environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401, ARG002
        self._give_up(str(msg.data.get("why", "")))

    def _on_clock(self, environment: Environment, msg: Any, **_: object) -> None:  # noqa: ANN401, ARG002
        self._offsets.answer(sent_s=msg.data["sent_s"], told_s=msg.data["master_s"], now_s=time.time())

    def _give_up(self, why: str) -> None:
        _LOG.error("estsim: %s", why)
        self._environment.process_exit_code = int(Exit.USAGE)
        gevent.spawn(self._runner.quit)

    # -- what the master hears

    def _ask_the_time(self) -> None:
        for _ in range(_QUESTIONS):
            self._runner.send_message(CLOCK, {"sent_s": time.time()})
            gevent.sleep(_QUESTION_GAP_S)
        while True:
            gevent.sleep(_QUESTION_EVERY_S)
            self._runner.send_message(CLOCK, {"sent_s": time.time()})

    def _hand_on(self, totals: GeneratorTotals | None = None) -> None:
        """Send what has been counted and recorded; ``totals`` make it the last parcel."""
        play, gatherer = self._play, self._gatherer
        if play is None or gatherer is None:
            return
        gatherer.fleet(play.reading())
        parcel = pack(gatherer.take_parcel(totals))
        offsets = self._offsets
        self._runner.send_message(
            PARCEL,
            {
                "parcel": parcel,
                "offset_s": offsets.offset_s,
                "round_trip_s": offsets.round_trip_s,
                "last": totals is not None,
            },
        )
