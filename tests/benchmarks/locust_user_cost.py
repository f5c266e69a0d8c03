"""CPU per enrolment of a device as a Locust user, against the HttpUser that an engineer would write by hand.

The hand-written user does what EST needs and no more: a key and a CSR by cryptography, a POST by ``self.client`` with
the device's certificate in files, the PKCS #7 answer parsed. It checks nothing of what came and records nothing of its
own. Ours is ``EstDevice`` with its fleet and its books. One user is one device with a connection of its own in both,
and stays when it is done; both enroll the same number at the same rate against one sandbox, and only the CPU of the
process with Locust in it counts, once a tenth of them is through. Run it on a quiet machine:

    .venv/bin/python tests/benchmarks/locust_user_cost.py [--devices 1000] [--rate 100] [--rounds 3]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

TARGET_RATIO: Final = 0.5
HERE: Final = Path(__file__).parent
_FLEET: Final = """\
version: 1
name: cost
duration: 10m
until: settled
target: {{url: "{url}", trust: {{ca: "{trust}"}}}}
authorities: {{factory: {{cert: "{factory}", key: "{factory}"}}}}
cohorts:
  meters:
    devices: {devices}
    subject: "CN=meter-{{index:6}}"
    bootstrap: {{kind: manufacturer, authority: factory}}
    boot: {{at_once: true}}
    enroll: {{cacerts: never}}
    renew: off
"""


def main() -> None:
    """Measure both in turn and print the ratio of their medians."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--devices", type=int, default=1000)
    options.add_argument("--rate", type=int, default=100)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(Path(folder), given.devices, given.rate, given.rounds)


def compare(folder: Path, devices: int, rate: int, rounds: int) -> None:
    """Start a sandbox, run both ``rounds`` times in turn, print every figure."""
    served = folder / "sandbox"
    command = [sys.executable, "-m", "estsim", "serve", "--port", "0", "--dir", str(served), "--with-parent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        announced = served / "sandbox.json"
        while not announced.exists():
            time.sleep(0.05)
        sandbox = json.loads(announced.read_text())
        scenario = folder / "cost.yaml"
        places = {"url": sandbox["url"], "trust": sandbox["trust"], "factory": sandbox["manufacturer"]}
        scenario.write_text(_FLEET.format(devices=devices, **places))
        by_hand, ours = [], []
        for number in range(1, rounds + 1):
            by_hand.append(in_a_process("by_hand", announced, scenario, devices, rate))
            ours.append(in_a_process("ours", announced, scenario, devices, rate))
            print(
                f"round {number}: HttpUser {by_hand[-1]:.3f} ms, EstDevice {ours[-1]:.3f} ms CPU per enrolment",
                flush=True,
            )
        process.communicate()
    hand_ms, ours_ms = statistics.median(by_hand), statistics.median(ours)
    ratio = ours_ms / hand_ms
    print(f"HttpUser {hand_ms:.3f} ms, EstDevice {ours_ms:.3f} ms: ratio {ratio:.2f} (aim ≤ {TARGET_RATIO})")


def in_a_process(which: str, announced: Path, scenario: Path, devices: int, rate: int) -> float:
    """Return the CPU in ms per enrolment of a process with Locust in it."""
    driver = HERE / "locust_user_drivers.py"
    command = [sys.executable, str(driver), which, str(announced), str(scenario), str(devices), str(rate)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout)


if __name__ == "__main__":
    main()
