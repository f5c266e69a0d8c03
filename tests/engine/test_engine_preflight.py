"""The first exchange of a run: what it finds out, and in which words it says that the fleet could not even begin."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio
from engine_kit import (
    NOWHERE,
    ONCE,
    Server,
    closed_port,
    cohort,
    sandbox,
    scenario,
    silence,
    wire_to,
)

from estsim.device.policy import Policy
from estsim.engine.preflight import fly
from estsim.errors import PreflightError
from estsim.est.enrolment import Cause
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun, cohort_run
from estsim.fleet.factory import Factory
from estsim.fleet.preflight import Preflight
from estsim.fleet.trust import Trust, trust_file
from estsim.net.opening import Deadlines
from estsim.scenario.plan import Basic, Cohort, NoBootstrap
from estsim.scenario.target_url import TargetUrl

FETCHING: Final = Policy()
TARGET: Final = "https://est.example"


async def flown(
    url: TargetUrl, trust: Trust, factory: Factory | None, *plans: Cohort, answer_s: float = 5.0, ids: bool = True
) -> Preflight:
    """Do the preflight of a run."""
    clock = RunClock.start()
    runs: list[CohortRun] = [cohort_run(scenario(*plans), plan, url, trust.authorities, factory) for plan in plans]
    wire = replace(wire_to(url, trust, clock), deadlines=Deadlines(5.0, answer_s, answer_s))
    with trio.fail_after(10):
        return await fly(runs, wire, clock, seed=1, request_id="r-preflight" if ids else None)


async def flown_to(server: Server, *plans: Cohort) -> Preflight:
    """Do the preflight to a sandbox."""
    return await flown(server.url, server.trust, server.factory, *plans)


async def test_a_server_that_answers_is_fine(tmp_path: Path) -> None:
    """One recorded exchange, outside all metrics, as the first device would do it."""
    async with sandbox(tmp_path) as server:
        flight = await flown_to(server, cohort(3, FETCHING))
        made = server.rig(cohort(3, FETCHING))
    flight.check(TARGET)
    (sample,) = flight.samples
    assert (sample.cause, sample.operation, sample.kind) == (Cause.PREFLIGHT, Operation.CACERTS, OutcomeClass.OK)
    assert (sample.request_id, sample.enrolment, sample.device) == ("r-preflight", 0, 0)
    assert (sample.tls_version, flight.group) == ("1.3", "x25519")
    made.recorder.exchange(sample)
    assert made.recorder.book.total().requests == 0
    assert len(made.recorder.take_batch().exchanges) == 1


async def test_the_cohort_that_fetches_is_the_one_to_try(tmp_path: Path) -> None:
    """A cohort that does not would not notice a wrong path."""
    async with sandbox(tmp_path) as server:
        flight = await flown_to(server, cohort(2, ONCE), cohort(2, FETCHING, name="b", index=1, first_device=2))
    assert [(sample.cohort, sample.device) for sample in flight.samples] == [("b", 2)]


async def test_without_request_ids_none_is_sent(tmp_path: Path) -> None:
    """A scenario may turn them off."""
    async with sandbox(tmp_path) as server:
        flight = await flown(server.url, server.trust, server.factory, cohort(1, FETCHING), ids=False)
    assert [sample.request_id for sample in flight.samples] == [None]


async def test_where_nobody_fetches_only_the_connection_is_tried(tmp_path: Path) -> None:
    """Resolve, connect, handshake; a row that is abandoned, for nothing was asked; no exchange in the server's log."""
    async with sandbox(tmp_path) as server:
        flight = await flown_to(server, cohort(3, ONCE))
        assert server.here.counts.connections == 1
    flight.check(TARGET)
    (sample,) = flight.samples
    assert (sample.kind, sample.cause) == (OutcomeClass.ABANDONED, Cause.PREFLIGHT)
    assert sample.stamps.handshaken_ns is not None
    assert sample.stamps.sent_ns is None
    assert flight.group == "x25519"


@pytest.mark.parametrize("policy", [FETCHING, ONCE])
async def test_nobody_there_is_told_by_phase(policy: Policy) -> None:
    """Whether it would fetch or only knock."""
    flight = await flown(closed_port(), NOWHERE, None, cohort(1, policy, bootstrap=NoBootstrap()))
    with pytest.raises(PreflightError, match=r"^preflight to https://est\.example failed in phase connect: .*refused"):
        flight.check(TARGET)
    assert [sample.kind for sample in flight.samples] == [OutcomeClass.FAILED]


async def test_a_name_that_nobody_knows_is_told_by_phase() -> None:
    """Resolving is the first thing that can go wrong."""
    url = TargetUrl("est.invalid", 443)
    flight = await flown(url, NOWHERE, None, cohort(1, FETCHING, bootstrap=NoBootstrap()))
    with pytest.raises(PreflightError, match="failed in phase resolve: "):
        flight.check(TARGET)


@pytest.mark.parametrize("policy", [FETCHING, ONCE])
async def test_a_server_that_is_not_trusted_is_told(tmp_path: Path, policy: Policy) -> None:
    """With the reason of the check that failed."""
    path = tmp_path / "other.pem"
    path.write_bytes(Factory.made("other").certificate_pem)
    async with sandbox(tmp_path / "s") as server:
        flight = await flown(server.url, trust_file(path), server.factory, cohort(1, policy))
    with pytest.raises(PreflightError, match=r"failed in phase handshake: .*(issuer|self-signed|self signed)"):
        flight.check(TARGET)


async def test_a_manufacturer_that_the_server_does_not_trust_is_told(tmp_path: Path) -> None:
    """TLS 1.3 says so only after the handshake, in the phase in which the alert comes."""
    async with sandbox(tmp_path) as server:
        flight = await flown(server.url, server.trust, Factory.made("stranger"), cohort(1, FETCHING))
    with pytest.raises(PreflightError, match=r"failed in phase (handshake|send|wait): .*unknown.ca"):
        flight.check(TARGET)


async def test_a_wrong_path_is_told(tmp_path: Path) -> None:
    """The server answered, but this is not where EST lives."""
    async with sandbox(tmp_path) as server:
        url = replace(server.url, label="nobody")
        flight = await flown(url, server.trust, server.factory, cohort(1, FETCHING))
    with pytest.raises(
        PreflightError, match=r"^preflight to https://est\.example: cacerts was answered rejected: 404 "
    ):
        flight.check(TARGET)


async def test_a_demand_for_a_password_is_answered_in_the_preflight_too(tmp_path: Path) -> None:
    """Whatever the sandbox asks of a user for cacerts, both rows have the preflight's id."""
    clients = {"require_certificate": "never", "users": {"alice": {"password": "secret"}}}
    plan = cohort(1, FETCHING, bootstrap=Basic("alice", "secret"))
    async with sandbox(tmp_path, clients=clients) as server:
        flight = await flown(server.url, server.trust, None, plan)
    flight.check(TARGET)
    assert {sample.request_id for sample in flight.samples} == {"r-preflight"}
    assert flight.samples[-1].kind is OutcomeClass.OK


async def test_a_server_that_says_nothing_is_told_in_time() -> None:
    """Each wait has its deadline."""
    async with silence() as server:
        flight = await flown(server.url, NOWHERE, None, cohort(1, FETCHING, bootstrap=NoBootstrap()), answer_s=0.1)
    with pytest.raises(PreflightError, match=r"failed in phase handshake: .*not done within 0\.1 s"):
        flight.check(TARGET)
