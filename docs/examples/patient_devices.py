"""Devices with firmware of their own: the wait doubles with every deferral, and the third failure in a row is the last.

python docs/examples/patient_devices.py [RESULTS]

A scenario names the class as ``behaviour: patient_devices:Patient``; here it is given directly.
"""

import sys
from collections.abc import Callable

import estsim

ATTEMPTS = 3


class Patient(estsim.Behaviour):
    """Doubles each Retry-After, up to a minute, and adds up to a second."""

    def deferral_wait(self, retry_after_s: float | None, deferrals: int, draw: Callable[[], float]) -> float:
        """Return the wait in seconds."""
        return min(60.0, (retry_after_s or 1.0) * 2.0 ** (deferrals - 1)) + draw()

    def gives_up_retrying(self, failures: int) -> bool:
        """Whether this failure is the last."""
        return failures >= ATTEMPTS


if __name__ == "__main__":
    for behaviours in ({}, {"meters": Patient}):
        scenario = estsim.load_scenario("deferral-herd", devices=300, behaviours=behaviours)
        predicted = estsim.forecast(scenario)
        who = "patient" if behaviours else "obedient"
        print(f"{who:9} {predicted.load.exchanges:6} exchanges, over after {predicted.ended_s:.0f} s")
    if len(sys.argv) > 1:
        scenario = estsim.load_scenario("deferral-herd", devices=20, behaviours={"meters": Patient})
        print(estsim.run(scenario, results=sys.argv[1]).verdict)
