"""Locust's users over time as the scenario has its devices boot, and a test that ends when the scenario is over.

``class Boots(BootCurve): pass`` in a locustfile is all; Locust asks it once a second. Its pure part is
:mod:`estsim.locust.master.curve`.
"""

import logging
from typing import Final

from locust.shape import LoadTestShape

from estsim.fleet.active_run import ActiveRun
from estsim.locust.master.curve import FIRST_TICK, Tick, curve_of, plan_ends_s, tick_to, users_at
from estsim.locust.master.run_master import lead_of

_LOG: Final = logging.getLogger(__name__)
_HEARD_S: Final = 2.5  # workers say once a second where their devices stand: what the plan had last is in it by then


class BootCurve(LoadTestShape):
    """A user for each device that has booted, a little ahead of its boot. Over with the scenario.

    That is when its duration is over, or, where it says ``until: settled``, once all devices have booted and none of
    them has a step planned.
    """

    abstract = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Locust says no types here
        self._played: ActiveRun | None = None
        self._curve: tuple[float, ...] = ()
        self._plan_ends_s = 0.0
        self._last = FIRST_TICK

    def tick(self) -> Tick | None:
        """Return how many users there are to be now, None when the scenario is over.

        While the run is being prepared the answer stays the same: with another one Locust would break that off.
        """
        lead = lead_of(self.runner.environment) if self.runner else None
        run = lead.run if lead is not None and lead.is_under_way else None
        if run is None:
            return FIRST_TICK
        if run is not self._played:
            self._take_up(run)
        if self._is_over(run):
            return None
        self._last = tick_to(users_at(self._curve, run.clock.now_s()), self._last)
        return self._last

    def _take_up(self, run: ActiveRun) -> None:
        """Begin with a run that was not there before."""
        self._played, self._last = run, FIRST_TICK
        self._curve, self._plan_ends_s = curve_of(run.scenario), plan_ends_s(run.scenario)

    def _is_over(self, run: ActiveRun) -> bool:
        now_s = run.clock.now_s()
        if now_s >= run.scenario.duration_s:
            _LOG.info("estsim: the scenario's duration has elapsed")
            return True
        if not run.scenario.until_settled or now_s < self._plan_ends_s + _HEARD_S:
            return False
        if run.is_settled:
            _LOG.info("estsim: all devices have settled")
        return run.is_settled
