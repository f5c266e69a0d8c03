"""A herd of docs/metrics.md's reference table, live over TLS, beside the same herd in virtual time.

The first row unless told otherwise: 1000 devices boot within half a second, a server that signs 100/s (burst 10) and
forgets what it defers, Retry-After 6 s. A machine has to start 2000 exchanges a second for it, and again at every wave;
one that cannot spreads the herd by its own slowness, and the run's verdict says ``saturated``: its figures are not the
server's then. ``--devices 100 --rate 20 --burst 4`` is a herd that two cores can hold. Takes the drain, and some more:

    .venv/bin/python tests/benchmarks/reference_herd.py [--devices 1000] [--boot 0.5] [--rate 100] [--burst 10]
        [--retry-after 6] [--overflow defer_forget|defer] [--seed 1]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from estsim.device.policy import DeferralPolicy, EnrollPolicy, Fetch, Policy, RenewPolicy
from estsim.load.arrivals import Burst, boot_times
from estsim.server.capacity import Overflow
from estsim.units import Constant, format_duration, format_rate

sys.path.append(str(Path(__file__).parent.parent))  # the driver in virtual time is of the tests

from virtual_fleet import ServerModel, VirtualFleet, VirtualResult

_PATIENCE = 1_000_000  # polls: nobody gives up


@dataclass(frozen=True, slots=True)
class Herd:
    """Devices that boot together and want one certificate each, and a server that cannot sign for all at once."""

    devices: int = 1000
    boot_s: float = 0.5
    rate_per_s: float = 100.0
    burst: int = 10
    retry_after_s: int = 6
    overflow: Overflow = Overflow.DEFER_FORGET
    seed: int = 1

    def scenario(self) -> dict[str, Any]:
        """Return it as a live run, with the generator's own limits as they ship."""
        capacity = {"rate": format_rate(self.rate_per_s), "burst": self.burst, "overflow": self.overflow.value}
        return {
            "version": 1,
            "name": "herd",
            "seed": self.seed,
            "duration": "1h",
            "until": "settled",
            "sandbox": {"capacity": capacity, "issue": {"retry_after": {"seconds": self.retry_after_s}}},
            "cohorts": {
                "herd": {
                    "devices": self.devices,
                    "boot": {"burst": format_duration(self.boot_s)},
                    "enroll": {"cacerts": "never"},
                    "renew": "off",
                    "deferral": {"max_polls": _PATIENCE},
                }
            },
        }

    def virtual(self) -> VirtualResult:
        """Return what it comes to where exchanges take no time: the same plan, the same machines."""
        policy = Policy(
            enroll=EnrollPolicy(cacerts=Fetch.NEVER),
            renew=RenewPolicy(times=0),
            deferral=DeferralPolicy(spread=Constant(0.0), max_polls=_PATIENCE, max_wait_s=inf),
        )
        boots = boot_times(Burst(self.boot_s), self.devices, seed=self.seed)
        server = ServerModel(self.rate_per_s, self.burst, self.overflow, self.retry_after_s)
        return VirtualFleet(policy, boots, server, seed=self.seed).run()


def main() -> None:
    """Run the herd and print the figures."""
    herd = asked_for()
    virtual = herd.virtual()
    print(herd)
    if herd == Herd():
        print("docs/metrics.md: drain  120.5 s, 9.6  exchanges per certificate")
    print(f"virtual:    drain {virtual.drain_s:6.1f} s, {virtual.exchanges_per_certificate:.2f} each", flush=True)
    summary = live(herd)
    deferral, generator = summary["deferral"], summary["generator"]
    drain_s, each = deferral["drain_s"], deferral["exchanges_per_certificate"]
    print(
        f"live:       drain {drain_s:6.1f} s ({drain_s / virtual.drain_s - 1:+.1%}), "
        f"{each:.2f} each ({each / virtual.exchanges_per_certificate - 1:+.1%})"
    )
    print(f"generator:  {summary['verdict']}; {generator['why'] or 'it kept up'}")


def asked_for() -> Herd:
    """Return the herd of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    row = Herd()
    options.add_argument("--devices", type=int, default=row.devices)
    options.add_argument("--boot", type=float, default=row.boot_s, metavar="SECONDS")
    options.add_argument("--rate", type=float, default=row.rate_per_s, metavar="PER_SECOND")
    options.add_argument("--burst", type=int, default=row.burst)
    options.add_argument("--retry-after", type=int, default=row.retry_after_s, metavar="SECONDS")
    options.add_argument(
        "--overflow", type=Overflow, default=row.overflow, choices=(Overflow.DEFER_FORGET, Overflow.DEFER)
    )
    options.add_argument("--seed", type=int, default=row.seed)
    given = options.parse_args()
    return Herd(given.devices, given.boot, given.rate, given.burst, given.retry_after, given.overflow, given.seed)


def live(herd: Herd) -> dict[str, Any]:
    """Run it against a sandbox over TLS and return the summary."""
    with tempfile.TemporaryDirectory() as scratch:
        scenario = Path(scratch) / "herd.yaml"
        scenario.write_text(json.dumps(herd.scenario()), encoding="utf-8")
        command = [sys.executable, "-m", "estsim", "run", str(scenario), "--results", f"{scratch}/results", "--json"]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


if __name__ == "__main__":
    main()
