"""A herd over real TLS does what the virtual-time driver says of it: the table of docs/metrics.md, made small.

The driver itself is held to the table in ``tests/engine/test_virtual.py``. The table's own rows cannot be run on a
small machine: the first wants 2000 handshakes a second. This herd has its shape (waves in lock-step that the server's
burst and rate eat up bite by bite) at a hundred a second, with a seed whose last wave has room: how many waves it takes
does not hang on a few milliseconds.
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from calibration_runs import GENERATOR, valid_run
from cli_runs import Done, Results, assert_log_agrees, estsim
from reference_herd import Herd

from estsim.server.capacity import Overflow

pytestmark = [pytest.mark.alone, pytest.mark.full]

WITHIN = 0.10
FORGETS = Herd(devices=50, boot_s=0.5, rate_per_s=16.0, burst=3, retry_after_s=2, seed=5)
HERDS = {"forgets": FORGETS, "keeps": replace(FORGETS, overflow=Overflow.DEFER)}
ROBUST_TO = "60ms"  # moving each boot by up to so much moves the virtual drain by 1 %
Runs = dict[str, Results]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run it against a server that forgets what it defers, then against one that keeps it."""
    runs: Runs = {}
    for name, herd in HERDS.items():
        folder = tmp_path_factory.mktemp(name)
        scenario = folder / "herd.yaml"
        keys = {**herd.scenario(), "generator": {**GENERATOR, "max_lag": ROBUST_TO}}
        scenario.write_text(json.dumps(keys), encoding="utf-8")
        runs[name] = valid_run(folder, partial(play, scenario))[0]
    return runs


def play(scenario: Path, results: Path) -> tuple[Done, None]:
    """Run a scenario."""
    return estsim("run", scenario, "--results", results), None


@pytest.mark.parametrize("name", HERDS)
def test_a_live_herd_drains_as_in_virtual_time(runs: Runs, name: str) -> None:
    """Drain and exchanges per certificate within 10 %, for either server; nobody is left without a certificate."""
    run, virtual = runs[name], HERDS[name].virtual()
    assert_log_agrees(run)
    deferral = run.summary["deferral"]
    assert run.summary["certificates"]["issued"] == virtual.certificates == FORGETS.devices
    assert deferral["drain_s"] == pytest.approx(virtual.drain_s, rel=WITHIN)
    assert deferral["exchanges_per_certificate"] == pytest.approx(virtual.exchanges_per_certificate, rel=WITHIN)


def test_the_two_servers_are_told_apart(runs: Runs) -> None:
    """Live as in the table: who forgets drains in more than twice the time, with a third more exchanges at least."""
    forgets, keeps = (runs[name].summary["deferral"] for name in ("forgets", "keeps"))
    assert forgets["drain_s"] > 2 * keeps["drain_s"]
    assert forgets["exchanges_per_certificate"] > 1.33 * keeps["exchanges_per_certificate"]
    assert forgets["wasted_share"] > keeps["wasted_share"]
