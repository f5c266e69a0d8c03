"""A large fleet is no trouble to read: 100 000 devices in three cohorts load and plan in 5 s and 500 MB."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

MOST_S: Final = 5.0
MOST_MIB: Final = 500.0
FLEET: Final = """\
version: 1
duration: 2h
cohorts:
  city: {devices: 50000, subject: "CN=city-{index:6},O=Example", boot: {burst: 10m}, renew: {at: 66%, spread: -5%..5%}}
  land: {devices: 30000, sans: ["dns:land-{index}.example"], boot: {rate: 20/s}, network: {rtt: 40ms..120ms}}
  ship: {devices: 20000, subject: "CN={cohort}-{hex:8}", boot: {ramp: 0/s..50/s, over: 20m}, faults: {unknown_ca: 1%}}
events:
  - {at: 1h, power_cut: {cohorts: [city, land], share: 40%, off: 30s, return: {burst: 2m}}}
"""
LOAD: Final = r"""import json, re, sys, time
from pathlib import Path
from estsim.load.arrivals import boot_times
from estsim.scenario.loader import load_scenario
began = time.perf_counter()
plan = load_scenario(Path(sys.argv[1]))
booted = [
    [*boot_times(cohort.arrivals, cohort.devices, seed=plan.seed, cohort=cohort.index)] for cohort in plan.cohorts
]
took_s = time.perf_counter() - began
status = Path("/proc/self/status").read_text()  # its own peak; that of getrusage outlives exec: it may be pytest's
peak_mib = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
print(json.dumps({"took_s": took_s, "peak_mib": peak_mib, "booted": sum(map(len, booted))}))
"""


@pytest.mark.alone
def test_a_hundred_thousand_devices_load_and_plan_in_five_seconds_and_500_mb(tmp_path: Path) -> None:
    """In a process of its own, whose memory is nobody else's."""
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET, encoding="utf-8")
    loaded = subprocess.run([sys.executable, "-c", LOAD, path], capture_output=True, text=True, check=True, timeout=60)
    figures = json.loads(loaded.stdout)
    assert figures["booted"] == 100_000
    assert figures["took_s"] < MOST_S, figures
    assert figures["peak_mib"] < MOST_MIB, figures
