"""100 000 devices in three cohorts, from YAML to a plan: CPU seconds, and the peak of memory above the idle process.

Reads the scenario with every check, and draws what a run takes from the plan: when each device boots, what it is
called, what an event orders of it. Run it on a quiet machine:

    .venv/bin/python tests/benchmarks/fleet_plan.py
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from estsim.fleet.orders import orders_of
from estsim.load.arrivals import boot_times
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.scenario.source import Overrides

DEVICES = 100_000
_KIB_PER_MIB = 1024
_SCENARIO = """\
version: 1
duration: 4h
sandbox: {capacity: {rate: 50/s, overflow: defer}}
defaults: {subject: "CN={cohort}-{index:6}-{hex:8},O=Example", sans: ["dns:meter-{index}.example"]}
cohorts:
  north: {devices: 3, boot: {rate: 20/s, shape: poisson}, network: {rtt: 40ms..120ms}, faults: {unknown_ca: 1%}}
  south: {devices: 2, boot: {ramp: 1/s..50/s, over: 10m}}
  field: {devices: 5, start: {operational: {age: 0%..100%}}, boot: {at_once: true}}
events:
  - {at: 2h, power_cut: {cohorts: [north, field], share: 40%, off: 30s..60s, return: {burst: 2m}}}
  - {at: 3h, renew_now: {cohorts: [south], within: 10m}}
phases: {calm: 0s..2h, recovery: 2h..3h}
thresholds: [failures < 1%, recovery.simpleenroll.response.p99 < 2s]
"""


def planned(folder: Path, devices: int = DEVICES) -> Scenario:
    """Return the scenario at a size."""
    path = folder / "fleet.yaml"
    path.write_text(_SCENARIO, encoding="utf-8")
    return load_scenario(path, overrides=Overrides(devices=devices))


def drawn(scenario: Scenario) -> tuple[int, int]:
    """Draw boots, names and orders of every device; returns how many boots and orders there are."""
    boots = 0
    for cohort in scenario.cohorts:
        boots += sum(1 for _ in boot_times(cohort.arrivals, cohort.devices, seed=scenario.seed, cohort=cohort.index))
        for device in range(cohort.first_device, cohort.first_device + cohort.devices):
            cohort.requested.of(device, None)
    orders = (orders_of(scenario, number, event.at_s) for number, event in enumerate(scenario.events))
    return boots, sum(1 for each in orders for _ in each)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_MIB


def main(devices: int) -> None:
    """Measure, and print a line for people and one for programs."""
    idle_mib = _peak_mib()
    with tempfile.TemporaryDirectory() as scratch:
        began_s = time.process_time()
        scenario = planned(Path(scratch), devices)
        loaded_s = time.process_time() - began_s
    boots, orders = drawn(scenario)
    total_s, peak_mib = time.process_time() - began_s, _peak_mib()
    print(f"{devices} devices: loaded in {loaded_s:.2f} s of CPU, drawn ({boots} boots, {orders} orders) in ", end="")
    print(f"{total_s - loaded_s:.2f} s; peak {peak_mib:.0f} MiB, {idle_mib:.0f} MiB of it idle (aim: 5 s, 500 MB)")
    print(json.dumps({"load_s": round(loaded_s, 2), "total_s": round(total_s, 2), "peak_mib": round(peak_mib)}))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--devices", type=int, default=DEVICES)
    main(arguments.parse_args().devices)
