"""What a step of the device's machine costs: deferrals, failures and renewals, in microseconds of CPU.

python tests/benchmarks/machine_steps.py [--steps N] [--repeat N]

There is no network and no clock in it. Compare two commits side by side on one machine: the figures depend on it.
"""

import argparse
import gc
import time
from collections.abc import Callable

from estsim.device.commands import Exchange, WaitUntil
from estsim.device.events import Answered, Lifetime, Started, Woke
from estsim.device.policy import DeferralPolicy, EnrollPolicy, Fetch, Policy, RenewPolicy, RetryPolicy
from estsim.est.outcome import Issued, Outcome, Overloaded
from estsim.testing import ScriptedDevice, deferred
from estsim.units import Uniform

_POLICY = Policy(
    enroll=EnrollPolicy(cacerts=Fetch.NEVER),
    renew=RenewPolicy(at=0.5, spread=Uniform(-0.05, 0.05)),
    deferral=DeferralPolicy(spread=Uniform(0.0, 0.1), max_polls=1 << 60, max_wait_s=1e12),
    retry=RetryPolicy(attempts=1 << 60),
)


def cost_us(outcome: Outcome, steps: int) -> float:
    """Return the CPU of a step of a device that gets the same answer again and again."""
    machine = ScriptedDevice(_POLICY, ()).machine
    lifetime = Lifetime(0.0, 3600.0) if isinstance(outcome, Issued) else None
    now_s = 0.0
    command = machine.step(Started(0.0), now_s)
    gc.disable()
    before_ns = time.process_time_ns()
    for _ in range(steps):
        if type(command) is Exchange:
            if lifetime is not None:
                lifetime = Lifetime(now_s, now_s + 3600.0)
            command = machine.step(Answered(command.turn, outcome, lifetime), now_s)
        elif type(command) is WaitUntil:
            now_s = command.at_s
            command = machine.step(Woke(command.turn), now_s)
    took_ns = time.process_time_ns() - before_ns
    gc.enable()
    return took_ns / steps / 1000


_CASES: dict[str, Callable[[], Outcome]] = {
    "deferral": lambda: deferred(5.0),
    "failure": Overloaded,
    "renewal": lambda: Issued(None),
}


def main() -> None:
    """Print the lowest cost of each case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    asked = parser.parse_args()
    for name, outcome in _CASES.items():
        lowest = min(cost_us(outcome(), asked.steps) for _ in range(asked.repeat))
        print(f"{name:10} {lowest:6.3f} us a step")


if __name__ == "__main__":
    main()
