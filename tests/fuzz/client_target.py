"""The whole client against hostile servers: shard, machine, exchange, TLS, HTTP, readers, ledger, recorder and store.

An input is the life of a device: what each of its requests is answered with, and what becomes of its connections. The
network alone is not there (:mod:`memory_wire`), and time passes as fast as nothing happens. Devices of several cohorts
take turns, so that challenges, deferrals, renewals, kept connections and resumed sessions are all met.
"""

import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from math import inf
from pathlib import Path
from socket import AF_INET
from typing import Final
from unittest.mock import patch

import trio
import trio.testing
from client_life import Life
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import load_der_x509_certificate
from fuzz_certificates import ROOT, Asked, self_signed, usual
from fuzz_draw import Draw
from fuzz_keys import elliptic_key, make_slow_keys, spki_of
from fuzz_names import plain_name
from fuzz_report import LogKeeper, Report
from hostile_tls import TLS_ROOT, TlsServers
from memory_wire import MemorySocket

from estsim.est.url import Origin
from estsim.figures.snapshot import RunStage
from estsim.figures.verdict import Ending
from estsim.fleet.clock import RunClock
from estsim.fleet.devices import CohortRun, cohort_run
from estsim.fleet.keys import KeyRing
from estsim.fleet.run_books import RunBooks
from estsim.fleet.server_access import ServerAccess
from estsim.fleet.trust import trust_file
from estsim.net.opening import Deadlines
from estsim.net.resolver import SHARED
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.run_reader import RunReader
from estsim.record.store import RunStore
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import KeyKind, Keys, Scenario

EPOCH_S: Final = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
_KEYS: Final = 16
_LOOK_NS: Final = 50
_HOST: Final = "localhost"
_DEVICE_KEY: Final = elliptic_key(32)

_SCENARIO: Final = """
version: 1
name: fuzz
duration: 1d
until: settled
target:
  url: https://localhost:1/.well-known/est
  trust: {ca: trust.pem}
  deferral_statuses: [202, 206]
generator: {groups: [x25519, p-256]}
defaults:
  devices: 1
  subject: "CN=meter-{index:6},O=Example"
  boot: {at_once: true}
  enroll: {deadline: 2h}
  renew: {at: 50%, times: 3}
  retry: {base: 1s, cap: 10s, attempts: 4}
cohorts:
  plain: {bootstrap: {kind: none}, sans: ["dns:meter.example.com"]}
  challenged:
    bootstrap: {kind: basic, user: alice, password: correct-horse-fuzz}
    tls: {keep_alive: 1m}
  asked:
    bootstrap: {kind: basic, user: alice, password: correct-horse-fuzz, preemptive: true}
    enroll: {cacerts: always, deadline: 2h}
  kept:
    bootstrap: {kind: shared, path: bootstrap.pem}
    tls: {keep_alive: 1h, resume: true}
    renew: {at: 50%, rekey: false, times: 3}
  resuming:
    bootstrap: {kind: shared, path: bootstrap.pem}
    tls: {resume: true, close: rst, versions: "1.2"}
    enroll: {cacerts: never, deadline: 2h}
  astray:
    bootstrap: {kind: none}
    clock: {skew: -1h..1h}
    faults: {retries_at_once: 100%}
"""


@dataclass(frozen=True, slots=True)
class VirtualClock(RunClock):
    """A run's clock that goes by trio's, which jumps to whatever comes next, and a little further with each look."""

    looks: Iterator[int] = field(default_factory=count)

    def now_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return round(trio.current_time() * 1e9) + _LOOK_NS * next(self.looks) - self.mono_epoch_ns


def _beside(clock: trio.testing.MockClock) -> Callable[..., Awaitable[object]]:
    """Return what does work in a thread as ever, but lets no time pass meanwhile: the loop only looks idle."""
    run_sync = trio.to_thread.run_sync

    async def run(work: Callable[..., object], *arguments: object, abandon_on_cancel: bool = False) -> object:
        clock.autojump_threshold = inf
        try:
            return await run_sync(work, *arguments, abandon_on_cancel=abandon_on_cancel)
        finally:
            clock.autojump_threshold = 0

    return run


class ClientTarget:
    """Devices of a scenario, one after the other, each against a server that is drawn."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="estsim-fuzz-")))
        now = datetime.now(UTC)
        self._servers = TlsServers(now)
        self._scenario = self._written(now)
        trust = trust_file(self._folder / "trust.pem")
        self._anchors, self._explicit = trust.anchors, trust.explicit
        target = self._scenario.target
        assert target is not None
        self._cohorts = [
            _with_keys(cohort_run(self._scenario, plan, target.url, trust.authorities, None))
            for plan in self._scenario.cohorts
        ]
        self._endpoint = Origin(_HOST, target.url.port)
        SHARED.keep(self._endpoint, [(AF_INET, 0, 0, "", ("127.0.0.1", target.url.port))])
        self._log = self._stack.enter_context(LogKeeper())
        make_slow_keys()
        self._blocks = 0

    def close(self) -> None:
        """Remove the files."""
        self._stack.close()

    def play(self, seed: int, numbers: range) -> Iterator[Report]:
        """Play lives, whose rows are then written to a store and summed up."""
        reports: list[Report] = []
        clock = trio.testing.MockClock(autojump_threshold=0)
        with patch("estsim.net.opening.connect", self._connect), patch("trio.to_thread.run_sync", _beside(clock)):
            trio.run(self._enrolment_tally, seed, numbers, reports, clock=clock)
        return iter(reports)

    async def _enrolment_tally(self, seed: int, numbers: range, reports: list[Report]) -> None:
        clock = VirtualClock(0, EPOCH_S)
        books = RunBooks(self._scenario)
        wire = ServerAccess(
            endpoint=self._endpoint,
            deadlines=Deadlines(connect_s=10, handshake_s=10, answer_s=60),
            anchors=self._anchors,
            explicit=self._explicit,
            groups=self._scenario.generator.groups,
            clock=clock,
        )
        rows = 0
        for number in numbers:
            draw = Draw.of(seed, "client", number)
            self._life = Life(
                draw, number, draw.one(self._cohorts), wire=wire, recorder=books.record.own, servers=self._servers
            )
            report = await self._life.live()
            report.problems += self._log.problems()
            rows += self._life.rows
            reports.append(report)
        reports[-1].problems += self._books_problems(books, rows, clock)

    async def _connect(self, *_: object) -> MemorySocket:
        """Stand in for the kernel: connect at once."""
        return self._life.connected().socket

    def _books_problems(self, books: RunBooks, rows: int, clock: RunClock) -> Iterator[str]:
        """Write what a block of lives left as a run does, and read it again."""
        self._blocks += 1
        path = self._folder / f"run-{self._blocks}.sqlite"
        with RunStore(path) as store:
            books.introduce(store)
            store.write(books.record.take_batch())
        with RunReader(path) as reader:
            written = sum(1 for _ in reader.exchanges())
            if written != rows:
                yield f"{rows} rows were recorded, {written} written"
        path.unlink()
        books.snapshot(clock.now_ns(), RunStage.RUNNING)
        summary = books.summary(Ending.FINISHED, ended_ns=clock.now_ns(), totals=GeneratorTotals(1.0, 1))
        counted = sum(operation.requests for operation in summary.operations.values())
        if counted != rows:
            yield f"{rows} rows were recorded, the summary counts {counted}"
        summary.to_json()

    def _written(self, now: datetime) -> Scenario:
        """Write the scenario with its files, and load it."""
        device = load_der_x509_certificate(
            usual(Asked(plain_name("bootstrap"), spki_of(_DEVICE_KEY)), ROOT, now, serial=9).written()
        )
        private = _DEVICE_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self._folder / "bootstrap.pem").write_bytes(device.public_bytes(Encoding.PEM) + private)
        roots = (self_signed(TLS_ROOT, now), self_signed(ROOT, datetime.fromtimestamp(EPOCH_S, UTC)))
        pem = [load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in roots]
        (self._folder / "trust.pem").write_bytes(b"".join(pem))
        path = self._folder / "fuzz.yaml"
        path.write_text(_SCENARIO, encoding="utf-8")
        return load_scenario(path)


def _with_keys(run: CohortRun) -> CohortRun:
    """Let a cohort's keys go round: they follow from their number, and cost nothing."""
    ring = KeyRing(KeyKind.EC_P256, Keys(reuse=_KEYS))
    for number in range(_KEYS):
        ring.go_round(elliptic_key(40 + number))
    return replace(run, origin=replace(run.origin, keys=ring))
