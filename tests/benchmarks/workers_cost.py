"""What sharing a fleet among worker processes costs: CPU per enrolment in one process, and in several, in turn.

All processes of the generator count, the leader, which merges, writes and draws, too. They have one core between them;
the server has another. Two that share a core's units or its cache slow each other down, which is the machine's doing.
Starts are spread, so that nobody is late. Run it on a quiet machine, it takes a minute for each round:

    .venv/bin/python tests/benchmarks/workers_cost.py [--devices 2000] [--rate 100] [--workers 2] [--rounds 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ADDS_AT_MOST = 0.05


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--devices", type=int, default=2000)
    options.add_argument("--rate", type=int, default=100)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    generator_core, server_core, *_ = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {generator_core})
    with tempfile.TemporaryDirectory() as name, server(Path(name), server_core) as target:
        folder = Path(name)
        scenario = folder / "fleet.yaml"
        scenario.write_text(json.dumps(fleet(given.devices, given.rate) | target), encoding="utf-8")
        costs: dict[int, list[float]] = {1: [], given.workers: []}
        for number in range(given.rounds):
            for workers, taken in costs.items():
                taken.append(cost(scenario, folder / f"{number}-{workers}", workers))
                print(f"round {number + 1}, {workers} at work: {taken[-1]:.2f} ms CPU per enrolment", flush=True)
    alone, shared = (statistics.median(taken) for taken in costs.values())
    adds = shared / alone - 1
    verdict = "holds" if adds <= _ADDS_AT_MOST else "does not hold"
    print(f"medians {alone:.2f} and {shared:.2f} ms: {adds:+.1%} (aim at most {_ADDS_AT_MOST:.0%}: {verdict})")


def fleet(devices: int, rate: int) -> dict[str, Any]:
    """Return a scenario of so many devices that enroll at an even rate, and are done."""
    return {
        "version": 1,
        "name": "workers",
        "duration": "1h",
        "until": "settled",
        "cohorts": {
            "meters": {
                "devices": devices,
                "bootstrap": {"kind": "manufacturer", "authority": "maker"},
                "boot": {"rate": f"{rate}/s", "shape": "even"},
                "renew": "off",
            }
        },
    }


@contextmanager
def server(folder: Path, core: int) -> Iterator[dict[str, Any]]:
    """Run a sandbox on that core; gives the keys of a scenario against it."""
    home = folder / "sandbox"
    command = [sys.executable, "-m", "estsim", "serve", "--port", "0", "--dir", str(home)]
    with subprocess.Popen(["taskset", "-c", str(core), *command], stdout=subprocess.DEVNULL) as process:
        while not (home / "sandbox.json").exists():
            assert process.poll() is None
            time.sleep(0.1)
        said = json.loads((home / "sandbox.json").read_text(encoding="utf-8"))
        maker = str(home / "pki" / "default" / "manufacturer.pem")
        try:
            yield {
                "target": {"url": said["url"], "trust": {"ca": said["trust"]}},
                "authorities": {"maker": {"cert": maker, "key": maker}},
            }
        finally:
            process.terminate()


def cost(scenario: Path, results: Path, workers: int) -> float:
    """Run it once; returns milliseconds of CPU per enrolment."""
    command = ["run", str(scenario), "--workers", str(workers), "--results", str(results), "--json", "--no-dashboard"]
    done = subprocess.run([sys.executable, "-m", "estsim", *command], capture_output=True, text=True, check=False)
    summary = json.loads(done.stdout)
    assert summary["certificates"]["verified"] == summary["fleet"]["devices"], summary["verdict"]
    return float(summary["generator"]["cpu_per_enrolment_ms"])


if __name__ == "__main__":
    main()
