"""The first exchange of a run: what it finds out, and in which words it says that the fleet could not even begin."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio
from device_files import DeviceMaker, acme
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
from estsim.errors import Phase, PreflightError, Trouble
from estsim.est.enrolment import Cause
from estsim.est.operations import Operation
from estsim.est.outcome import (
    NO_RETRY_AFTER,
    Deferred,
    Failed,
    Malformed,
    Outcome,
    OutcomeClass,
    Rejected,
    ServerError,
    Unauthorized,
)
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun, cohort_run
from estsim.fleet.preflight import Preflight, fly, passed_over
from estsim.fleet.preflight_advice import remedy, why_unknown
from estsim.fleet.trust import Trust, trust_file
from estsim.net.io_trio import TRIO
from estsim.net.opening import Deadlines
from estsim.pki.manufacturer import ManufacturerCA
from estsim.scenario.plan import (
    Bootstrap,
    Cohort,
    Expectation,
    Files,
    HttpAuth,
    MadeAuthority,
    Manufacturer,
    NoBootstrap,
    Target,
)
from estsim.scenario.target_url import TargetUrl

FETCHING: Final = Policy()
TARGET: Final = "https://est.example"
NOWHERE_URL: Final = TargetUrl("est.invalid", 443)


async def flown(
    url: TargetUrl,
    trust: Trust,
    factory: ManufacturerCA | None,
    *plans: Cohort,
    answer_s: float = 5.0,
    ids: bool = True,
    expect: tuple[Expectation, ...] = (),
) -> Preflight:
    """Do the preflight of a run."""
    clock, whole = RunClock.start(), replace(scenario(*plans), expect=expect)
    runs: list[CohortRun] = [cohort_run(whole, plan, url, trust.authorities, factory) for plan in plans]
    wire = replace(wire_to(url, trust, clock), deadlines=Deadlines(5.0, answer_s, answer_s))
    with trio.fail_after(10):
        return await fly(runs, wire, TRIO, seed=1, request_id="r-preflight" if ids else None)


def others(flight: Preflight, *plans: Cohort, expect: tuple[Expectation, ...]) -> str | None:
    """Return what is said of cohorts that it was not tried with."""
    whole = replace(scenario(*plans), expect=expect)
    return passed_over([cohort_run(whole, plan, NOWHERE_URL, None, ManufacturerCA.made("m")) for plan in plans], flight)


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


GRAY: Final = Expectation(frozenset({"gray"}), frozenset({"rejected", "unauthorized", "failed"}))
STRANGE: Final = cohort(1, FETCHING, name="gray")
KNOWN: Final = cohort(1, FETCHING, name="good", index=1, first_device=1)


async def test_a_cohort_that_is_expected_to_be_refused_is_not_the_one_to_try(tmp_path: Path) -> None:
    """It would fail as it should; with whom it was tried is said, and of whom nothing was."""
    async with sandbox(tmp_path) as server:
        flight = await flown(server.url, server.trust, server.factory, STRANGE, KNOWN, expect=(GRAY,))
    flight.check(TARGET)
    assert [sample.cohort for sample in flight.samples] == ["good"]
    said = others(flight, STRANGE, KNOWN, expect=(GRAY,))
    assert said == "preflight: tried with cohort good (expected to be refused: gray)"
    assert others(flight, KNOWN, expect=()) is None


async def test_a_device_with_a_file_of_its_own_is_named_by_it(tmp_path: Path) -> None:
    """Its number is that of the fleet; the server that refuses it may take the others."""
    maker = DeviceMaker.made(tmp_path)
    maker.write(tmp_path / "pki" / "dev1.crt", acme("SN-1"))
    plan = cohort(1, FETCHING, name="devs", index=1, first_device=3, bootstrap=Files(tmp_path / "pki"))
    async with sandbox(tmp_path / "sandbox") as server:
        flight = await flown(server.url, server.trust, None, plan)
    with pytest.raises(PreflightError) as caught:
        flight.check(TARGET)
    assert str(caught.value).splitlines()[1] == f"  tried with device 3 of cohort devs, {tmp_path}/pki/dev1.crt"


async def test_where_all_are_to_be_refused_a_refusal_is_as_planned(tmp_path: Path) -> None:
    """A server that was reached and refuses them fails no preflight, unless it is too early for that."""
    async with sandbox(tmp_path) as server:
        stranger = ManufacturerCA.made("stranger")
        flight = await flown(server.url, server.trust, stranger, STRANGE, expect=(GRAY,))
        early = await flown(server.url, server.trust, stranger, STRANGE, expect=(replace(GRAY, from_s=5.0),))
    flight.check(TARGET)
    assert flight.outcome is not None
    assert flight.outcome.kind is OutcomeClass.FAILED
    with pytest.raises(PreflightError, match=r"unknown.ca"):
        early.check(TARGET)


async def test_a_server_that_cannot_be_reached_is_no_refusal() -> None:
    """Whatever is expected of it."""
    flight = await flown(closed_port(), NOWHERE, None, replace(STRANGE, bootstrap=NoBootstrap()), expect=(GRAY,))
    with pytest.raises(
        PreflightError, match=r"(?s)failed in phase connect: .*refused.*tried with a device of cohort gray"
    ):
        flight.check(TARGET)


@pytest.mark.parametrize(
    ("outcome", "names"),
    [
        (Failed(Phase.RESOLVE, Trouble.REFUSED, "the name cannot be resolved"), "target.url"),
        (Failed(Phase.CONNECT, Trouble.REFUSED, "connection refused"), "server is running"),
        (Failed(Phase.CONNECT, Trouble.TIMEOUT, "timed out after 5 s"), "target.timeouts.connect"),
        (Failed(Phase.HANDSHAKE, Trouble.TIMEOUT, "timed out after 5 s"), "target.timeouts.handshake"),
        (Failed(Phase.HANDSHAKE, Trouble.TLS, "the peer's certificate was rejected"), "target.trust.ca"),
        (
            Failed(Phase.HANDSHAKE, Trouble.TLS, "the device's certificate: OpenSSL rejects the certificate"),
            "check the file of the cohort's bootstrap (path, or cert and key)",
        ),
        (Failed(Phase.HANDSHAKE, Trouble.TLS, "wrong version number"), "https"),
        (Failed(Phase.WAIT, Trouble.TIMEOUT, "timed out after 5 s"), "target.timeouts.answer"),
        (Failed(Phase.WAIT, Trouble.PROTOCOL, "not HTTP/1.1"), "HTTP/1.1"),
        (Rejected(404, "no such thing"), "target.label"),
        (Malformed("expected PKCS#7", "4.1.3"), "not EST"),
        (ServerError(500, ""), "--no-preflight"),
        (Deferred(NO_RETRY_AFTER), "--no-preflight"),
    ],
)
def test_a_failure_says_what_would_help(outcome: Outcome, names: str) -> None:
    """By phase and trouble, or by the answer, in the keys of a scenario."""
    assert names in remedy(outcome)


UNKNOWN_CA: Final = Failed(Phase.HANDSHAKE, Trouble.TLS, "the peer's certificate was rejected: why", "unknown_ca")
ELSEWHERE: Final = Target(NOWHERE_URL)
MADE: Final = Manufacturer(MadeAuthority("mfg"))


def test_a_server_of_an_unknown_ca_is_told_by_what_was_trusted() -> None:
    """The system's CAs, where none was given; nobody is sent to a key that this version refuses."""
    assert remedy(UNKNOWN_CA, ELSEWHERE) == (
        "no CA was given, so the system's CAs were used; pass --trust ca.pem (target.trust.ca) with the root CA of the"
        " server's certificate"
    )
    given = (
        "target.trust.ca (--trust) must contain the root CA of the server's certificate, which must name the host in"
    )
    assert remedy(UNKNOWN_CA, replace(ELSEWHERE, ca=Path("ca.pem"))) == f"{given} target.url"
    assert remedy(replace(UNKNOWN_CA, alert="certificate_unknown"), ELSEWHERE) == f"{given} target.url"


@pytest.mark.parametrize(
    ("outcome", "bootstrap", "target", "is_told"),
    [
        (Failed(Phase.WAIT, Trouble.TLS, "alert", "unknown_ca", "is it known?"), MADE, ELSEWHERE, True),
        (Failed(Phase.WAIT, Trouble.RESET, "closed", None, "possible causes"), MADE, ELSEWHERE, True),
        (Rejected(403, "no"), MADE, ELSEWHERE, True),
        (Unauthorized("no"), MADE, ELSEWHERE, True),
        (UNKNOWN_CA, MADE, ELSEWHERE, False),
        (Rejected(404, "no"), MADE, ELSEWHERE, False),
        (Failed(Phase.CONNECT, Trouble.REFUSED, "refused"), MADE, ELSEWHERE, False),
        (Failed(Phase.WAIT, Trouble.TLS, "alert", "protocol_version", "has none"), MADE, ELSEWHERE, False),
        (Rejected(403, "no"), MADE, None, False),
        (Rejected(403, "no"), Manufacturer(None), ELSEWHERE, False),
        (Rejected(403, "no"), NoBootstrap(), ELSEWHERE, False),
    ],
)
def test_an_authority_made_for_the_run_is_one_that_no_server_knows(
    outcome: Outcome, bootstrap: Bootstrap, target: Target | None, *, is_told: bool
) -> None:
    """Where the server refuses its device's certificate, or may do; our own sandbox is told of it."""
    assert bool(why_unknown(outcome, bootstrap, target)) == is_told


async def test_a_server_refuses_devices_of_an_authority_made_for_the_run(tmp_path: Path) -> None:
    """And the preflight says that it had to."""
    async with sandbox(tmp_path) as server:
        flight = await flown(server.url, server.trust, ManufacturerCA.made("mfg"), cohort(1, FETCHING, bootstrap=MADE))
    with pytest.raises(PreflightError) as caught:
        flight.check(TARGET, ELSEWHERE)
    first, tried, why = str(caught.value).splitlines()
    assert "unknown_ca" in first.replace(" ", "_")
    assert tried == "  tried with a device of cohort meters"
    assert why == (
        "  authority mfg is generated for each run, so the server cannot know it: set it to a CA that the"
        " server trusts, authorities.mfg: {cert: ca.pem, key: ca.key}; --export-authorities DIR writes the new"
        " certificate when the run starts, for servers that load it then"
    )


def test_a_failure_that_says_so_itself_is_not_explained_twice() -> None:
    """The server's alert has its own advice."""
    assert not remedy(Failed(Phase.WAIT, Trouble.TLS, "alert", "unknown_ca", "is its CA known there?"))


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
    path.write_bytes(ManufacturerCA.made("other").certificate_pem)
    async with sandbox(tmp_path / "s") as server:
        flight = await flown(server.url, trust_file(path), server.factory, cohort(1, policy))
    with pytest.raises(PreflightError, match=r"failed in phase handshake: .*(issuer|self-signed|self signed)"):
        flight.check(TARGET)


async def test_a_manufacturer_that_the_server_does_not_trust_is_told(tmp_path: Path) -> None:
    """TLS 1.3 says so only after the handshake, in the phase in which the alert comes."""
    async with sandbox(tmp_path) as server:
        flight = await flown(server.url, server.trust, ManufacturerCA.made("stranger"), cohort(1, FETCHING))
    with pytest.raises(PreflightError, match=r"failed in phase (handshake|send|wait): .*unknown.ca"):
        flight.check(TARGET)


async def test_a_wrong_path_is_told(tmp_path: Path) -> None:
    """The server answered, but this is not where EST lives."""
    async with sandbox(tmp_path) as server:
        url = replace(server.url, label="nobody")
        flight = await flown(url, server.trust, server.factory, cohort(1, FETCHING))
    with pytest.raises(PreflightError, match=r"^preflight to https://est\.example: cacerts failed: rejected: 404 "):
        flight.check(TARGET)


async def test_a_demand_for_a_password_is_answered_in_the_preflight_too(tmp_path: Path) -> None:
    """Whatever the sandbox asks of a user for cacerts, both rows have the preflight's id."""
    clients = {"require_certificate": "never", "users": {"alice": {"password": "secret"}}}
    plan = cohort(1, FETCHING, bootstrap=NoBootstrap(), http_auth=HttpAuth("alice", "secret"))
    async with sandbox(tmp_path, clients=clients) as server:
        flight = await flown(server.url, server.trust, None, plan)
    flight.check(TARGET)
    assert {sample.request_id for sample in flight.samples} == {"r-preflight"}
    assert flight.samples[-1].kind is OutcomeClass.OK


async def test_a_server_that_says_nothing_is_told_in_time() -> None:
    """Each wait has its deadline."""
    async with silence() as server:
        flight = await flown(server.url, NOWHERE, None, cohort(1, FETCHING, bootstrap=NoBootstrap()), answer_s=0.1)
    with pytest.raises(PreflightError, match=r"failed in phase handshake: .*timed out after 0\.1 s"):
        flight.check(TARGET)
