"""20 000 devices wait out a deferral, 2000 of them are due at one instant: memory, and whose fault the queue is.

The first deferral is told to the machines directly, so that it takes no minute of enrolments; everything after is real:
the engine, TLS, the sandbox in a process of its own. Prints bytes a device above the idle process, and compares the
`wait` of every poll with the sandbox's own handling time of the same request. Run it on a quiet machine:

    .venv/bin/python tests/benchmarks/waiting_herd.py
"""

import argparse
import gc
import json
import sqlite3
import tempfile
from functools import partial
from pathlib import Path

import psutil
import trio

from estsim.device.commands import WaitUntil
from estsim.device.events import Answered, Started
from estsim.engine.exchange_task import ExchangeTask
from estsim.engine.loop_monitor import tune_process
from estsim.engine.sandbox import Sandbox, running_sandbox
from estsim.engine.shard import Shard
from estsim.est.url import Origin
from estsim.fleet.clock import NS_PER_S, RunClock
from estsim.fleet.devices import Device, Fleet, cohort_run, new_device
from estsim.fleet.exchange_context import request_ids
from estsim.fleet.ledger import Ledger
from estsim.fleet.server_access import ServerAccess
from estsim.fleet.trust import trust_file
from estsim.net.opening import Deadlines
from estsim.pki.keys import dump_key, make_key
from estsim.record.recorder import Recorder
from estsim.record.sample import Enrolment, Sample
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.testing import deferred

_HERD_AT_S = 3.0
_SCENARIO = """\
version: 1
duration: 1h
sandbox: {issue: {mode: immediate}}
cohorts:
  meters: {devices: 1, boot: {burst: 0s}, enroll: {cacerts: never}, renew: off, deferral: {max_wait: 2h}}
"""


class Rows(Recorder):
    """A recorder that keeps its samples for the comparison."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: list[Sample] = []

    def exchange(self, sample: Sample) -> None:
        """Record and keep."""
        self.samples.append(sample)
        super().exchange(sample)


async def measure(waiting: int, herd: int, folder: Path) -> None:
    """Build the fleet, let the herd poll, print the figures."""
    path = folder / "herd.yaml"
    path.write_text(_SCENARIO)
    scenario = load_scenario(path)
    async with running_sandbox(scenario.sandbox_text, {}, keep_log_in=folder) as sandbox:
        fleet = build(scenario, sandbox, waiting, herd)
        rows = Rows()
        await live(fleet, sandbox, rows, scenario, herd)
    compare(rows.samples, folder / "sandbox.sqlite")


def build(scenario: Scenario, sandbox: Sandbox, waiting: int, herd: int) -> Fleet:
    """Return a fleet that waits in a deferral; prints what a device takes."""
    trust = trust_file(sandbox.trust)
    cohort = cohort_run(scenario, scenario.cohorts[0], sandbox.url, trust.authorities, sandbox.factory)
    new_device(cohort, 0, seed=1)  # whatever is made once is made now
    gc.collect()
    idle = psutil.Process().memory_info().rss
    fleet = Fleet()
    for index in range(waiting):
        device = new_device(cohort, index, seed=1)
        fleet.devices.append(device)
        fleet.waiting.append((defer(device, _HERD_AT_S if index < herd else 3600.0), device))
    gc.collect()
    each = (psutil.Process().memory_info().rss - idle) / waiting
    print(f"{waiting} waiting devices: {each:.0f} bytes each above the idle process (aim ≤ 6144)", flush=True)
    return fleet


def defer(device: Device, at_s: float) -> WaitUntil:
    """Let a device have asked at time 0 and been told to come again at ``at_s``."""
    first = device.machine.step(Started(0.0), 0.0)
    wait = device.machine.step(Answered(first.turn, deferred(at_s)), 0.0)  # type: ignore[union-attr]
    device.identity.pending_key_der = dump_key(make_key(device.cohort.plan.key))
    device.enrolment = Enrolment(device.index, "meters", 1, device.machine.goal, 0)  # type: ignore[arg-type]
    assert isinstance(wait, WaitUntil)
    return wait


async def live(fleet: Fleet, sandbox: Sandbox, rows: Rows, scenario: Scenario, herd: int) -> None:
    """Run the shard until the herd has polled."""
    clock = RunClock.start()
    trust = trust_file(sandbox.trust)
    deadlines = Deadlines(60.0, 60.0, 60.0)
    endpoint = Origin(sandbox.url.host, sandbox.url.port)
    wire = ServerAccess(endpoint, deadlines, trust.anchors, trust.explicit, scenario.generator.groups, clock)
    ledger = Ledger(rows, clock)
    exchanges = ExchangeTask(wire, ledger, clock, request_ids=request_ids("herd"))
    for device in fleet.devices:
        rows.enrolment_began(device.enrolment)  # type: ignore[arg-type]
    tune_process()
    shard = Shard(fleet, exchanges, ledger, clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(shard.run, until_settled=False))
        while len(rows.samples) < herd:
            await trio.sleep(0.5)
        shard.stop()


def compare(samples: list[Sample], log: Path) -> None:
    """Print how far our wait and the sandbox's handling time of the same request lie apart."""
    with sqlite3.connect(log) as database:
        handling = dict(database.execute("SELECT request_id, handling_us FROM exchanges"))
    ok = [sample for sample in samples if sample.stamps.wait_ns is not None and sample.kind.value == "ok"]
    apart = sorted(sample.stamps.wait_ns / 1e6 - handling[sample.request_id] / 1e3 for sample in ok)  # type: ignore[operator]
    lag = sorted(sample.stamps.schedule_lag_ns / 1e6 for sample in samples)
    service = sorted(sample.stamps.service_ns / 1e6 for sample in ok)
    took = (max(s.stamps.ended_ns for s in samples) - min(s.stamps.started_ns for s in samples)) / NS_PER_S
    print(f"{len(samples)} polls in {took:.1f} s, {len(ok)} with a certificate")
    for name, values in (("wait - handling", apart), ("schedule lag", lag), ("service time", service)):
        p50, p99 = (values[int(len(values) * share)] for share in (0.5, 0.99))
        print(f"{name:16} p50 {p50:8.2f} ms   p99 {p99:8.2f} ms   max {values[-1]:8.2f} ms")
    print(json.dumps({"wait_minus_handling_p99_ms": round(apart[int(len(apart) * 0.99)], 2)}))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--waiting", type=int, default=20_000)
    arguments.add_argument("--herd", type=int, default=2000)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        trio.run(measure, options.waiting, options.herd, Path(scratch))
