"""The network of each device, and how its connections begin, are kept and end: as the sandbox sees them."""

import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import engine_kit
import psutil
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from engine_kit import DEADLINE_S, NOWHERE, ONCE, Rig, Server, cohort, renewing, scenario, silence, until, wire_to

from estsim.device.policy import AfterRenewals, EnrollPolicy, Fetch, Policy, RetryPolicy
from estsim.errors import Phase, PreflightError, Trouble
from estsim.est.certificate import read_certificate
from estsim.est.enrolment import Cause
from estsim.est.messages import EstRequest
from estsim.est.operations import Operation
from estsim.est.outcome import OutcomeClass
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import cohort_run
from estsim.fleet.paths import path_of
from estsim.fleet.preflight import fly
from estsim.net import sockets
from estsim.net.contexts import TlsVersion
from estsim.net.io_trio import TRIO
from estsim.net.shaping import FAILURE_PHASES, LinkFailureKind
from estsim.pki.manufacturer import ManufacturerCA
from estsim.record.sample import Sample, Stamps
from estsim.scenario.plan import Close, Cohort, Network, NoBootstrap, Tls
from estsim.server import listener
from estsim.server.announcement import Announcement
from estsim.server.config import SandboxConfig
from estsim.server.http import Limits
from estsim.server.peer import Peer, read_peer
from estsim.server.run import Watchers, serve
from estsim.server.store import Exchange
from estsim.units import Constant, Uniform

MS: Final = 1_000_000
RTT_S: Final = 0.04
RTT_NS: Final = 40 * MS
CHAIN: Final = Policy(renew=None, retry=RetryPolicy(attempts=1))  # cacerts, then simpleenroll
KEPT: Final = Tls(keep_alive_s=30.0)
DEFERRED: Final = {"mode": "deferred", "delay": "10ms", "retry_after": {"seconds": 1}}
VERSIONS: Final = pytest.mark.parametrize("version", [TlsVersion.TLS_1_2, TlsVersion.TLS_1_3])


@dataclass(frozen=True)
class Watched(Server):
    """A sandbox, and what it saw: its log as it grows, and the handshakes that it refused."""

    seen: list[Exchange] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    @property
    def open(self) -> int:
        """How many connections it has open."""
        return self.here.open_connections()

    @property
    def accepted(self) -> int:
        """How many connections it has ever accepted."""
        return self.here.counts.connections

    def callers(self) -> Counter[str]:
        """Return from which addresses its open connections come, as the kernel has it."""
        port = self.url.port
        ends = psutil.Process().net_connections("tcp")
        return Counter(end.raddr.ip for end in ends if end.laddr.port == port and end.status == "ESTABLISHED")


@asynccontextmanager
async def watched(folder: Path, *, idle_s: float = 75.0, **config: object) -> AsyncIterator[Watched]:
    """Run a sandbox, watched, until the block ends."""
    stop = trio.Event()
    seen: list[Exchange] = []
    refused: list[str] = []
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            watchers = Watchers(seen.append, refused.append)
            begin = partial(serve, stop=stop, limits=Limits(idle_s=idle_s), watchers=watchers)
            plan = SandboxConfig.model_validate(config)
            here: Announcement = await nursery.start(begin, plan, folder)
            try:
                yield Watched(here, plan, seen=seen, refused=refused)
            finally:
                sockets.VANISHED.release()
                stop.set()


def fleet(devices: int = 1, policy: Policy = CHAIN, *, tls: Tls = Tls(), network: Network | None = None) -> Cohort:  # noqa: B008 - frozen
    """Return the plan of a cohort with a network."""
    return replace(cohort(devices, policy), tls=tls, network=network)


def rewired(made: Rig, **changes: object) -> Rig:
    """Give a fleet another way to its server."""
    made.wire = replace(made.wire, **changes)  # type: ignore[arg-type]  # fields by name
    made.shard._exchanges.lines._access = made.wire
    return made


async def lived(made: Rig) -> list[Sample]:
    """Let a fleet live until all is settled and return its rows."""
    await made.shard.run(until_settled=True)
    return made.recorder.samples


# -- the distance


@pytest.mark.parametrize(("version", "trips"), [("1.3", 3), ("1.2", 4)])
async def test_an_exchange_takes_its_round_trips(tmp_path: Path, version: str, trips: int) -> None:
    """TCP, the handshake's one or two, request and answer; so the server's log has the next request no earlier."""
    async with watched(tmp_path) as server:
        plan = fleet(2, tls=Tls(newest=version), network=Network(rtt_s=Constant(RTT_S)))
        rows = await lived(server.rig(plan))
        asked: defaultdict[str | None, list[float]] = defaultdict(list)
        for line in server.seen:
            asked[line.peer_subject].append(line.at_unix)
    assert [row.kind for row in rows] == [OutcomeClass.OK] * 4
    for row in rows:
        stamps = row.stamps
        assert stamps.connected_ns
        assert stamps.handshaken_ns
        assert stamps.connected_ns - stamps.started_ns >= RTT_NS
        assert stamps.handshaken_ns - stamps.connected_ns >= (trips - 2) * RTT_NS
        assert (stamps.wait_ns or 0) >= RTT_NS
        assert trips * RTT_NS <= stamps.service_ns < 2 * trips * RTT_NS
    assert sorted(map(len, asked.values())) == [2, 2]
    assert all(second - first >= trips * RTT_S for first, second in asked.values())


async def test_a_kept_connection_takes_one_round_trip(tmp_path: Path) -> None:
    """No connecting, no handshake: a new one would take three."""
    async with watched(tmp_path) as server:
        rows = await lived(server.rig(fleet(tls=KEPT, network=Network(rtt_s=Constant(RTT_S)))))
    assert RTT_NS <= rows[1].stamps.service_ns < 3 * RTT_NS


async def test_a_bit_rate_shows_in_the_times(tmp_path: Path) -> None:
    """A handshake of more than 2000 bytes at 160 kbit/s takes more than 100 ms."""
    async with watched(tmp_path) as server:
        (row,) = await lived(server.rig(fleet(policy=ONCE, network=Network(rate_bps=160_000.0))))
    assert row.kind is OutcomeClass.OK
    assert row.stamps.service_ns >= 100 * MS


def test_a_devices_distance_stays() -> None:
    """Whatever connection it is, in whatever process; each device has its own, within the bounds, by the seed."""
    network = Network(rtt_s=Uniform(0.04, 0.12))
    distances = [path_of(network, seed=1, device=device, connection=1).rtt_s for device in range(100)]
    assert distances == [path_of(network, seed=1, device=device, connection=7).rtt_s for device in range(100)]
    assert len(set(distances)) == 100
    assert all(0.04 <= distance <= 0.12 for distance in distances)
    assert distances != [path_of(network, seed=2, device=device, connection=1).rtt_s for device in range(100)]
    assert path_of(Network(rtt_s=Constant(-1.0)), seed=1, device=0, connection=1).rtt_s == 0.0


# -- its luck


def test_mishaps_come_in_their_shares() -> None:
    """Of all connections, those of one device too; alike in all flights; another draw for each connection."""
    network = Network(stall=0.2, reset=0.1)
    paths = [path_of(network, seed=1, device=d, connection=c) for d in range(40) for c in range(1, 101)]
    failures = [path.failure for path in paths if path.failure]
    kinds = Counter(failure.kind for failure in failures)
    assert kinds[LinkFailureKind.STALL] == pytest.approx(800, rel=0.1)
    assert kinds[LinkFailureKind.RESET] == pytest.approx(400, rel=0.15)
    assert all(
        count == pytest.approx(len(failures) / 3, rel=0.15) for count in Counter(m.phase for m in failures).values()
    )
    assert {failure.phase for failure in failures} == set(FAILURE_PHASES)
    assert path_of(Network(), seed=1, device=0, connection=1).failure is None


async def test_resets_of_the_network_are_told_from_the_servers(tmp_path: Path) -> None:
    """A row each in its true phase; the server knows a request only where its answer was cut."""
    async with watched(tmp_path) as server:
        rows = await lived(server.rig(fleet(24, ONCE, network=Network(reset=1.0))))
        await until(lambda: server.open == 0)
        known = {row.request_id for row in server.seen}
        failed = server.here.counts.failed_handshakes
    assert {(row.kind, row.trouble) for row in rows} == {(OutcomeClass.FAILED, Trouble.NETWORK_RESET)}
    phases = Counter(row.phase for row in rows)
    assert set(phases) == set(FAILURE_PHASES)
    assert failed == phases[Phase.HANDSHAKE]
    assert known == {row.request_id for row in rows if row.phase is Phase.WAIT}


async def test_stalls_of_the_network_end_at_our_deadlines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Timeouts that nobody is to blame for; the server waits for us all the while."""
    async with watched(tmp_path) as server:
        monkeypatch.setattr(engine_kit, "DEADLINE_S", 0.8)
        made = server.rig(fleet(12, ONCE, network=Network(stall=1.0)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=True))
            await until(lambda: server.accepted == 12)
            await trio.sleep(0.1)
            assert server.open == 12
        known = {row.request_id for row in server.seen if row.status}
    rows = made.recorder.samples
    assert {(row.kind, row.trouble) for row in rows} == {(OutcomeClass.FAILED, Trouble.NETWORK_STALL)}
    assert {row.phase for row in rows} == set(FAILURE_PHASES)
    assert known == {row.request_id for row in rows if row.phase is Phase.WAIT}


# -- where from


async def test_connections_leave_from_the_source_addresses_in_turn(tmp_path: Path) -> None:
    """The kernel has them so, at the server's end."""
    async with watched(tmp_path) as server:
        made = rewired(
            server.rig(fleet(6, ONCE, tls=Tls(close=Close.VANISH))), source_addresses=("127.0.0.2", "127.0.0.3")
        )
        await lived(made)
        assert server.callers() == {"127.0.0.2": 3, "127.0.0.3": 3}
    assert made.recorder.kinds() == ["ok"] * 6


async def test_a_source_address_that_is_not_here_fails_the_preflight(tmp_path: Path) -> None:
    """By name, before anything is tried."""
    async with watched(tmp_path) as server:
        clock = RunClock.start()
        wire = replace(
            wire_to(server.url, server.trust, clock),
            source_addresses=("127.0.0.2", "192.0.2.7"),  # RFC 5737
        )
        plan = fleet()
        run = cohort_run(scenario(plan), plan, server.url, server.trust.authorities, server.factory)
        flight = await fly([run], wire, TRIO, seed=1, request_id=None)
        assert server.accepted == 0
    with pytest.raises(PreflightError, match=r"the source address 192\.0\.2\.7 cannot be used"):
        flight.check("https://est.example")


async def test_the_preflight_has_no_bad_luck(tmp_path: Path) -> None:
    """But its distance; a run whose network stalls everything is a run."""
    async with watched(tmp_path) as server:
        clock = RunClock.start()
        plan = fleet(tls=KEPT, network=Network(rtt_s=Constant(RTT_S), reset=1.0))
        run = cohort_run(scenario(plan), plan, server.url, server.trust.authorities, server.factory)
        flight = await fly([run], wire_to(server.url, server.trust, clock), TRIO, seed=1, request_id=None)
        await until(lambda: server.open == 0)
    flight.check("https://est.example")
    assert flight.samples[0].stamps.service_ns >= 3 * RTT_NS


# -- how they end


@pytest.mark.parametrize(("close", "left"), [(Close.FIN, 0), (Close.RST, 0), (Close.VANISH, 3)])
async def test_what_a_device_leaves_behind(tmp_path: Path, close: Close, left: int) -> None:
    """A vanished one leaves a connection half open, which only the server's own idle timeout ends."""
    async with watched(tmp_path, idle_s=0.3) as server:
        rows = await lived(server.rig(fleet(3, ONCE, tls=Tls(close=close))))
        if left:
            await trio.sleep(0.1)
        else:
            await until(lambda: server.open == 0)
        assert server.open == server.callers().total() == left
        assert len(sockets.VANISHED) == left
        await until(lambda: server.open == 0)
        assert len(sockets.VANISHED) == left
    assert [row.kind for row in rows] == [OutcomeClass.OK] * 3


# -- kept connections


async def test_a_chain_goes_over_one_connection(tmp_path: Path) -> None:
    """One accept for each device; the second row has neither connecting nor handshake, and is marked."""
    async with watched(tmp_path) as server:
        rows = await lived(server.rig(fleet(3, tls=KEPT)))
        assert server.accepted == 3
        assert Counter(row.operation for row in server.seen) == {"cacerts": 3, "simpleenroll": 3}
        await until(lambda: server.open == 0)
    enrolled = [row for row in rows if row.operation is Operation.SIMPLEENROLL]
    assert all(row.reused and row.stamps.connected_ns is row.stamps.handshaken_ns is None for row in enrolled)
    assert all(row.tls_version == "1.3" for row in enrolled)
    assert [row.reused for row in rows if row.operation is Operation.CACERTS] == [False] * 3


async def test_without_keep_alive_each_exchange_has_its_connection(tmp_path: Path) -> None:
    """As it always was."""
    async with watched(tmp_path) as server:
        rows = await lived(server.rig(fleet(3)))
        assert server.accepted == 6
    assert not any(row.reused for row in rows)


async def test_a_poll_comes_on_the_kept_connection(tmp_path: Path) -> None:
    """It stands at the server all the while."""
    async with watched(tmp_path, issue=DEFERRED) as server:
        made = server.rig(fleet(tls=KEPT))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=True))
            await until(lambda: len(server.seen) == 2 and made.shard._exchanges.lines.idle == 1)
            assert server.open == 1
        assert server.accepted == 1
    assert [(row.kind, row.reused) for row in made.recorder.samples] == [
        (OutcomeClass.OK, False),
        (OutcomeClass.DEFERRED, True),
        (OutcomeClass.OK, True),
    ]


async def test_a_device_closes_what_it_has_not_used_in_time(tmp_path: Path) -> None:
    """Then, not when it comes back: the server sees it go in the middle of the wait."""
    async with watched(tmp_path, issue=DEFERRED) as server:
        made = server.rig(
            fleet(policy=replace(ONCE, enroll=EnrollPolicy(cacerts=Fetch.NEVER)), tls=Tls(keep_alive_s=0.2))
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=True))
            await until(lambda: len(server.seen) == 1)
            deferred_at = time.monotonic()
            await until(lambda: server.open == 0)
            assert 0.1 < time.monotonic() - deferred_at < 0.8
            assert len(server.seen) == 1
        assert server.accepted == 2
    assert [row.reused for row in made.recorder.samples] == [False, False]


async def test_a_connection_that_the_server_closed_is_noticed(tmp_path: Path) -> None:
    """Before the poll, not by it: no row is lost on it."""
    async with watched(tmp_path, idle_s=0.2, issue=DEFERRED) as server:
        rows = await lived(server.rig(fleet(tls=KEPT)))
        assert server.accepted == 2
        assert len(server.seen) == 3
    assert [(row.kind, row.reused) for row in rows] == [
        (OutcomeClass.OK, False),
        (OutcomeClass.DEFERRED, True),
        (OutcomeClass.OK, False),
    ]


async def test_a_request_that_meets_the_end_of_a_kept_connection_goes_out_once_more(tmp_path: Path) -> None:
    """RFC 9112 §9.3; once, on a new connection, in the same row. A server that had read it knows both by one id."""
    faults = [{"kind": "reset", "match": {"operation": "simpleenroll"}}]
    async with watched(tmp_path, faults=faults) as server:
        rows = await lived(server.rig(fleet(tls=KEPT)))
        assert server.accepted == 2
        log = [(row.request_id, row.fault) for row in server.seen]
    assert [(row.kind, row.reused, row.cause) for row in rows] == [
        (OutcomeClass.OK, False, Cause.PLAN),
        (OutcomeClass.FAILED, False, Cause.CHAIN),
    ]
    assert rows[1].trouble is Trouble.RESET
    assert [each.rule for each in rows[1].non_conformances] == ["persistent connection closed without notice"]
    assert log == [(rows[0].request_id, None), *[(rows[1].request_id, "reset")] * 2]
    assert rows[1].stamps.handshaken_ns is not None
    assert rows[1].stamps.started_ns < rows[1].stamps.handshaken_ns < (rows[1].stamps.sent_ns or 0)


async def test_a_new_connection_that_is_reset_is_not_tried_again(tmp_path: Path) -> None:
    """That is the retry policy's business."""
    async with watched(tmp_path, faults=[{"kind": "reset"}]) as server:
        rows = await lived(server.rig(fleet(tls=KEPT)))
        assert len(server.seen) == server.accepted == 1
    assert [row.kind for row in rows] == [OutcomeClass.FAILED]


@VERSIONS
async def test_a_new_identity_has_a_new_connection_and_session(tmp_path: Path, version: TlsVersion) -> None:
    """The server's log has each renewal under the certificate issued before it."""
    policy = renewing(after_s=0.05, times=2, then=AfterRenewals.LEAVE)
    async with watched(tmp_path) as server:
        tls = Tls(newest=version.value, keep_alive_s=30.0, resume=True)
        rows = await lived(server.rig(fleet(policy=policy, tls=tls)))
        log = list(server.seen)
    assert [row.kind for row in rows] == [OutcomeClass.OK] * 4
    assert [row.reused for row in rows] == [False, True, False, False]
    assert not any(row.resumed for row in rows)
    assert [row.peer_serial for row in log[2:]] == [row.serial for row in log[1:3]]


@pytest.mark.parametrize(("close", "left"), [(Close.FIN, 0), (Close.VANISH, 1)])
async def test_a_power_cut_ends_a_kept_connection_in_the_cohorts_way(tmp_path: Path, close: Close, left: int) -> None:
    """While the device waits."""
    async with watched(tmp_path, issue=DEFERRED) as server:
        made = server.rig(fleet(tls=replace(KEPT, close=close, resume=True)))
        lines = made.shard._exchanges.lines
        (device,) = made.fleet.devices
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=True))
            await until(lambda: lines.idle == 1 and device.scope is None)
            lines.forget(device)
            assert lines.idle == 0
            await trio.sleep(0.1)
            assert server.open == left
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("close", "left"), [(Close.FIN, 0), (Close.VANISH, 1)])
async def test_an_exchange_that_is_cut_takes_its_connection_along(tmp_path: Path, close: Close, left: int) -> None:
    """It is not kept, although the cohort keeps connections; the server is told of it in the cohort's way."""
    async with watched(tmp_path, faults=[{"kind": "stall"}]) as server:
        made = server.rig(fleet(tls=replace(KEPT, close=close)))
        (device,) = made.fleet.devices
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=True))
            await until(lambda: len(server.seen) == 1)
            assert device.scope is not None
            device.scope.cancel()
            await until(lambda: made.shard.in_flight == 0 and server.open == left)
            assert len(sockets.VANISHED) == left
            assert made.shard._exchanges.lines.idle == 0
            made.shard.stop()
    assert made.recorder.kinds() == ["abandoned"]


@pytest.mark.parametrize(("close", "left"), [(Close.FIN, 0), (Close.VANISH, 1)])
async def test_a_handshake_that_is_cut_ends_in_the_cohorts_way(close: Close, left: int) -> None:
    """A server that has heard one flight waits for the next, or is told that there is none."""
    async with silence() as server:
        made = engine_kit.rig(server.url, NOWHERE, None, replace(fleet(tls=Tls(close=close)), bootstrap=NoBootstrap()))
        (device,) = made.fleet.devices
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=True))
            await server.has(callers=1)
            assert device.scope is not None
            device.scope.cancel()
            await until(lambda: made.shard.in_flight == 0)
            assert len(sockets.VANISHED) == left
            sockets.VANISHED.release()
            made.shard.stop()
    assert made.recorder.kinds() == ["abandoned"]


async def test_the_end_closes_what_is_kept(tmp_path: Path) -> None:
    """Also where the fleet is stopped in the middle of its waits."""
    async with watched(tmp_path, issue=DEFERRED) as server:
        made = server.rig(fleet(4, tls=KEPT))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(made.shard.run, until_settled=True))
            await until(lambda: made.shard._exchanges.lines.idle == 4)
            made.shard.stop()
        await until(lambda: server.open == 0)
        assert server.accepted == 4


# -- sessions


@contextmanager
def handshakes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Note of each handshake of the sandbox whether it resumed a session, as its own TLS has it."""
    seen: list[bool] = []

    def note(certificate: x509.Certificate | None, *, resumed: bool = False, **facts: object) -> Peer:
        seen.append(resumed)
        return read_peer(certificate, resumed=resumed, **facts)  # type: ignore[arg-type]  # passed on as they are

    with monkeypatch.context() as patched:
        patched.setattr(listener, "read_peer", note)
        yield seen


@VERSIONS
@pytest.mark.parametrize("close", list(Close))
async def test_a_session_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: TlsVersion, close: Close
) -> None:
    """On the next connection of the same credential, and the row says so; the server knows the device by it."""
    async with watched(tmp_path) as server:
        with handshakes(monkeypatch) as seen:
            rows = await lived(server.rig(fleet(tls=Tls(newest=version.value, resume=True, close=close))))
        log = list(server.seen)
    assert [row.kind for row in rows] == [OutcomeClass.OK] * 2
    assert seen == [row.resumed for row in rows] == [False, True]
    assert log[0].peer_subject == log[1].peer_subject == "CN=meter-0"


async def test_a_server_that_resumes_nothing_gets_full_handshakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is offered."""
    async with watched(tmp_path, tls={"resume": False}) as server:
        with handshakes(monkeypatch) as seen:
            rows = await lived(server.rig(fleet(2, tls=Tls(resume=True))))
    assert [row.kind for row in rows] == [OutcomeClass.OK] * 4
    assert seen == [row.resumed for row in rows] == [False] * 4


async def test_nothing_is_resumed_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor remembered."""
    async with watched(tmp_path) as server:
        with handshakes(monkeypatch) as seen:
            made = server.rig(fleet(2))
            await lived(made)
    assert seen == [False] * 4
    assert made.shard._exchanges.lines._kept == {}


async def test_a_power_cut_loses_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device comes back with a full handshake."""
    async with watched(tmp_path, issue=DEFERRED) as server:
        with handshakes(monkeypatch) as seen:
            made = server.rig(fleet(tls=Tls(resume=True)))
            (device,) = made.fleet.devices
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(made.shard.run, until_settled=True))
                await until(lambda: len(seen) == 2 and device.scope is None)
                made.shard._exchanges.lines.forget(device)
    assert seen == [sample.resumed for sample in made.recorder.samples] == [False, True, False]


async def test_a_power_cut_loses_the_session_under_way_too(tmp_path: Path) -> None:
    """What an exchange had got before it was cut does not come back with it."""
    async with watched(tmp_path) as server:
        made = server.rig(fleet(tls=Tls(resume=True)))
        lines, (device,) = made.shard._exchanges.lines, made.fleet.devices
        kept = lines.of(device)
        line = kept.take(None)
        await line.ask(lambda: EstRequest("GET", "/.well-known/est/cacerts", (), b""), Stamps(0, 0, 0))
        assert line.session is not None
        lines.forget(device)
        kept.give_back(line, keep=False)
        assert lines.of(device).take(None).session is None


# -- the chain beside the certificate


def authority(name: str, parent: ManufacturerCA | None = None) -> ManufacturerCA:
    """Make a manufacturer's authority, below another one where given."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.load_pem_x509_certificate(parent.certificate_pem).subject if parent else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    signer = parent.key if parent else key
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    signed = read_certificate(certificate.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER))
    return ManufacturerCA(signed, key, (signed.der,) if parent else ())


@pytest.mark.parametrize("send_chain", [True, False])
async def test_the_chain_is_sent_or_not(tmp_path: Path, send_chain: bool) -> None:  # noqa: FBT001 - a parameter
    """The sandbox trusts the root alone, and refuses a certificate without the intermediate between them."""
    root = authority("root")
    factory = authority("product line", root)
    file = tmp_path / "root.pem"
    file.write_bytes(root.certificate_pem)
    async with watched(tmp_path / "s", clients={"bootstrap_cas": [str(file)]}) as server:
        made = engine_kit.rig(server.url, server.trust, factory, fleet(policy=ONCE, tls=Tls(send_chain=send_chain)))
        (row,) = await lived(made)
        with closing(sqlite3.connect(server.here.database)) as log:
            statuses = [status for (status,) in log.execute("SELECT status FROM exchanges")]
        refused = list(server.refused)
    if send_chain:
        assert (row.kind, statuses, refused) == (OutcomeClass.OK, [200], [])
    else:
        assert row.kind is OutcomeClass.FAILED
        assert (statuses, refused) == ([], ["unknown_ca"])
