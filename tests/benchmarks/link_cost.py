"""What the link to a Locust master costs a worker: CPU per enrolment beside a run in one process, in turn.

Only the process that plays the devices counts; the master's merging and writing is its own, where ``estsim run`` writes
in the same process: its CPU is told as well. The server has another core. Run it on a quiet machine, it takes a minute
for each round:

    .venv/bin/python tests/benchmarks/link_cost.py [--devices 1500] [--rate 60] [--rounds 3]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from socket import create_server

from workers_cost import cost, fleet, server

from estsim.fleet.link_secret import VARIABLE

_ADDS_AT_MOST = 0.05
_LOCUSTFILE = Path(__file__).parents[2] / "locustfile.py"


def main() -> None:
    """Print the figures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--devices", type=int, default=1500)
    options.add_argument("--rate", type=int, default=60)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    generator_core, server_core, *_ = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {generator_core})
    alone: list[float] = []
    linked: list[float] = []
    with tempfile.TemporaryDirectory() as name, server(Path(name), server_core) as target:
        folder = Path(name)
        scenario = folder / "fleet.yaml"
        scenario.write_text(json.dumps(fleet(given.devices, given.rate) | target), encoding="utf-8")
        for number in range(given.rounds):
            alone.append(cost(scenario, folder / f"{number}-alone", 1))
            worker_ms, master_ms = linked_cost(scenario, folder / f"{number}-linked")
            linked.append(worker_ms)
            print(
                f"round {number + 1}: alone {alone[-1]:.2f} ms CPU per enrolment, linked {worker_ms:.2f} ms "
                f"(and {master_ms:.2f} ms in the master)",
                flush=True,
            )
    adds = statistics.median(linked) / statistics.median(alone) - 1
    verdict = "holds" if adds <= _ADDS_AT_MOST else "does not hold"
    print(f"the link adds {adds:+.1%} (aim at most {_ADDS_AT_MOST:.0%}: {verdict})")


def linked_cost(scenario: Path, results: Path) -> tuple[float, float]:
    """Run it under a master; returns milliseconds of CPU per enrolment in the worker, and in the master."""
    with create_server(("127.0.0.1", 0)) as nobody:
        port = str(nobody.getsockname()[1])
    lead = ["--master", "--master-bind-port", port, "--headless", "--expect-workers", "1", "--only-summary"]
    master = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), *lead]
    work = [sys.executable, "-m", "estsim", "worker", str(scenario), "--master", f"127.0.0.1:{port}"]
    quiet = subprocess.DEVNULL
    environment = {**os.environ, VARIABLE: "a secret for a benchmark alone"}
    with subprocess.Popen(work, stdout=quiet, stderr=quiet, env=environment) as worker:
        before_s = resource.getrusage(resource.RUSAGE_CHILDREN)
        play = ["--scenario", str(scenario), "--results", str(results)]
        subprocess.run([*master, *play], stdout=quiet, stderr=quiet, env=environment, check=False)
        after_s = resource.getrusage(resource.RUSAGE_CHILDREN)
        worker.wait(30)
    (folder,) = results.iterdir()
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    enrolled = summary["certificates"]["verified"]
    assert enrolled == summary["fleet"]["devices"], summary["verdict"]
    took_s = after_s.ru_utime + after_s.ru_stime - before_s.ru_utime - before_s.ru_stime
    return float(summary["generator"]["cpu_per_enrolment_ms"]), took_s * 1000 / enrolled


if __name__ == "__main__":
    main()
