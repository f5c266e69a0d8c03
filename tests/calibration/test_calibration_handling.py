"""The generator measures a server whose handling times are known: its ``wait`` is what the sandbox took."""

from statistics import median

import pytest
from calibration_runs import GENERATOR, Pair, assert_agree, pairs_of, valid_run, why_invalid
from cli_runs import Results, estsim, write_scenario

pytestmark = [pytest.mark.alone, pytest.mark.long]

BASE_MS, MORE_MS, SHARE = 20.0, 100.0, 0.3
DEVICES = 200  # of each cohort, over ten seconds
COHORT = {"devices": DEVICES, "boot": {"rate": "20/s", "shape": "even"}, "enroll": {"cacerts": "never"}, "renew": "off"}
WORK_MS = 15.0  # of the sandbox itself, at most: a certificate takes it about 4
Pairs = dict[str, list[Pair]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Two cohorts side by side: one meets a constant latency, the other in three of ten exchanges a second one."""
    folder = tmp_path_factory.mktemp("handling")
    more = {"add": f"{MORE_MS:g}ms", "rate": f"{SHARE:.0%}", "match": {"subject": "CN=bimodal-*"}}
    scenario = write_scenario(
        folder,
        generator=GENERATOR,
        sandbox={"faults": [{"kind": "latency", "add": f"{BASE_MS:g}ms"}, {"kind": "latency", **more}]},
        cohorts={name: {**COHORT, "subject": f"CN={name}-{{index:6}}"} for name in ("constant", "bimodal")},
    )
    return valid_run(folder, lambda results: (estsim("run", scenario, "--results", results), None))[0]


@pytest.fixture(scope="module")
def pairs(run: Results) -> Pairs:
    """Every exchange of the two cohorts, as both sides saw it."""
    matched = pairs_of(run, run.log("SELECT * FROM exchanges"))
    cohorts = {name: [pair for pair in matched if pair.cohort == name] for name in ("constant", "bimodal")}
    assert [len(pairs) for pairs in cohorts.values()] == [DEVICES, DEVICES]
    return cohorts


def test_the_generator_was_within_its_limits(run: Results) -> None:
    """At most 30 % of a core and no lag to speak of; beyond that nothing is promised."""
    assert why_invalid(run) == ""
    assert run.summary["verdict"] == "passed"


def test_waits_are_what_the_server_took(pairs: Pairs) -> None:
    """Against the sandbox's log, by request id: p50 within 1 ms, p99 within 5 ms, for each distribution and both."""
    for some in (pairs["constant"], pairs["bimodal"], pairs["constant"] + pairs["bimodal"]):
        assert_agree(some)


def test_a_constant_latency_is_one_mode_at_its_place(pairs: Pairs) -> None:
    """No wait is shorter than the latency, and half of them lie within the sandbox's own work of it."""
    waits = [pair.wait_ms for pair in pairs["constant"]]
    assert min(waits) >= BASE_MS
    assert median(waits) <= BASE_MS + WORK_MS
    assert max(waits) < BASE_MS + MORE_MS


def test_two_latencies_are_two_modes_at_their_places_in_their_shares(pairs: Pairs) -> None:
    """The gap between the modes is empty: above it lie the exchanges that were delayed twice, and no others."""
    slow = [pair for pair in pairs["bimodal"] if pair.wait_ms >= BASE_MS + MORE_MS]
    fast = [pair for pair in pairs["bimodal"] if pair.wait_ms < BASE_MS + MORE_MS]
    assert {pair.faults for pair in slow} == {2}
    assert {pair.faults for pair in fast} == {1}
    assert median(pair.wait_ms for pair in fast) <= BASE_MS + WORK_MS
    assert median(pair.wait_ms for pair in slow) <= BASE_MS + MORE_MS + WORK_MS
    four_sigma = 4 * (SHARE * (1 - SHARE) / DEVICES) ** 0.5
    assert len(slow) / DEVICES == pytest.approx(SHARE, abs=four_sigma)
