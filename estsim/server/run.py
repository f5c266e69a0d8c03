"""A whole sandbox: PKI, store, service and listener, assembled from its configuration and run (trio).

``serve`` announces itself through its task status and, for other processes, in ``sandbox.json``, which exists only
while it listens. A folder is used by one sandbox at a time.
"""

import gc
import resource
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import psutil
import trio

from estsim.errors import StoreError
from estsim.est.certificate import Certificate
from estsim.est.operations import WELL_KNOWN
from estsim.server.announcement import Announcement, CenterReading, Place, announced, sole_user_of
from estsim.server.assembly import build_center, change_center
from estsim.server.center import TrustCenter
from estsim.server.clock import SandboxClock
from estsim.server.config import DEFAULT, SandboxConfig, TrustCenterConfig
from estsim.server.endpoint import is_verified, make_endpoint
from estsim.server.fault_config import FaultConfig
from estsim.server.faults import WrongServerName
from estsim.server.forwarded import PeersBehind
from estsim.server.http import CONNECTIONS, Limits
from estsim.server.listener import Listener, bind
from estsim.server.memory import give_back_memory
from estsim.server.pki import Pki, open_pki, read_certificates
from estsim.server.service import EstService, patiently
from estsim.server.store import Exchange, Store

GRACE_S: Final = 2.0
_CHECKPOINT_S: Final = 5.0
_FLUSH_S: Final = 0.5
_GC_THRESHOLDS: Final = (50_000, 20, 1000)
_OWN_FILES: Final = 64
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


@dataclass(frozen=True, slots=True)
class Watchers:
    """Callbacks for exchanges served and for failed handshakes (with the alert's name, or the reason)."""

    on_exchange: Callable[[Exchange], None] | None = None
    on_failed_handshake: Callable[[str], None] | None = None


def tune_process() -> None:
    """Set the garbage collector up for serving a herd, without pauses for long-lived objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def serve(
    config: SandboxConfig,
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    names: Sequence[str] = (),
    stop: trio.Event,
    limits: Limits | None = None,
    watchers: Watchers | None = None,
    clock: SandboxClock | None = None,
    task_status: trio.TaskStatus[Announcement] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``stop`` is set, and drain. Raises ``UsageError`` or ``StoreError`` before it listens.

    ``names`` are host names and addresses for the server's certificate, besides those that follow from ``host``. No
    fault is injected before ``clock`` has begun, which is when a run that owns it begins.

    Cancellation closes its connections at once; the store is consistent in either case.
    """
    watchers, clock = watchers or Watchers(), clock or SandboxClock()
    with sole_user_of(folder):
        # In a thread: large RSA keys take seconds, and Ctrl-C must work. The PKI is moved into place atomically.
        pkis = await trio.to_thread.run_sync(_open_pkis, folder, config, abandon_on_cancel=True)
        database = folder / "sandbox.sqlite"
        with closing(Store(database)) as store:
            listeners = await bind(host, port)
            try:
                endpoint_names = (*_names_of(host), *names)
                sandbox = _assembled(config, pkis, store, clock, watchers, names=endpoint_names, limits=limits)
                taken_up = _take_up(store, sandbox.centers)
                here = sandbox.announcement(_places(pkis, host, _port_of(listeners)), database, taken_up)
                with announced(folder, here.places):
                    task_status.started(here)
                    await _keep(sandbox.listener, listeners, store, stop)
            finally:
                for each in listeners:
                    each.socket.close()


@dataclass(frozen=True, slots=True)
class _Sandbox:
    """The parts of a running sandbox that it is read and changed by."""

    centers: Mapping[str, TrustCenter]
    service: EstService
    listener: Listener
    store: Store
    clock: SandboxClock

    def announcement(self, places: Mapping[str, Place], database: Path, taken_up: int) -> Announcement:
        """Return what its caller gets; ``taken_up`` counts the requests that were pending before."""
        return Announcement(
            places,
            database,
            taken_up,
            self.listener.counts,
            self.clock,
            self._read,
            lambda: self.service.trouble,
            lambda: self.listener.connections.open,
            self._change,
        )

    async def _change(self, config: SandboxConfig, what: str) -> None:
        await patiently(partial(self.store.changed, self.clock.now_s(), what))
        for center in self.centers.values():
            change_center(center, config)
        self.listener.change(WrongServerName(_all_faults(config), seed=config.seed))

    def _read(self) -> tuple[CenterReading, ...]:
        undecided: dict[str, int] = {}
        if any(center.policy.is_manual for center in self.centers.values()):
            with suppress(StoreError):
                undecided = self.store.undecided()
        return tuple(
            CenterReading(
                label,
                pending=len(center.policy),
                undecided=undecided.get(label, 0) if center.policy.is_manual else 0,
                backlog=center.policy.backlog(self.clock.now_s()),
            )
            for label, center in self.centers.items()
        )


def _assembled(
    config: SandboxConfig,
    pkis: Mapping[str, Pki],
    store: Store,
    clock: SandboxClock,
    watchers: Watchers,
    *,
    names: Sequence[str],
    limits: Limits | None,
) -> _Sandbox:
    """Put trust centers, service and listener together."""
    anchors = {label: _anchors(config.centers[label], pki) for label, pki in pkis.items()}
    centers = _centers(config, pkis, anchors, clock, store)
    header = config.peer_from_header
    service = EstService(
        centers,
        store,
        clock,
        watchers.on_exchange,
        empty_bodies=config.bodies == "empty",
        peers_behind=PeersBehind(header, clock.now_s) if header else None,
    )
    listener = Listener(
        service,
        make_endpoint(config, pkis[DEFAULT], anchors, names=names),
        clock=clock,
        wrong_name=WrongServerName(_all_faults(config), seed=config.seed),
        limits=limits or _limits(),
        on_refused=watchers.on_failed_handshake,
    )
    return _Sandbox(centers, service, listener, store, clock)


def _centers(
    config: SandboxConfig,
    pkis: Mapping[str, Pki],
    anchors: Mapping[str, tuple[Certificate, ...]],
    clock: SandboxClock,
    store: Store,
) -> dict[str, TrustCenter]:
    verified = is_verified(config)
    return {
        label: build_center(label, config, pki, anchors[label], verified=verified, clock=clock, decision=store.decision)
        for label, pki in pkis.items()
    }


def _open_pkis(folder: Path, config: SandboxConfig) -> dict[str, Pki]:
    """Open the PKI of each trust center; the default one's also issues the server's own certificate."""
    default = open_pki(folder, DEFAULT, config.centers[DEFAULT].issuer)
    root = default.chain[0].certificate
    others = {
        label: open_pki(folder, label, center.issuer, tls_root=root)
        for label, center in config.centers.items()
        if label != DEFAULT
    }
    return {DEFAULT: default, **others}


def _anchors(center: TrustCenterConfig, pki: Pki) -> tuple[Certificate, ...]:
    """Return a trust center's anchors: its own CAs, its manufacturer's, and the configured ones."""
    given = [ca for path in center.clients.bootstrap_cas for ca in read_certificates(path)]
    return (*pki.ca_certificates, pki.manufacturer.certificate, *given)


def _places(pkis: Mapping[str, Pki], host: str, port: int) -> dict[str, Place]:
    base = f"https://{_bracketed(_name_in_url(host))}:{port}{WELL_KNOWN}"
    return {
        label: Place(base if label == DEFAULT else f"{base}/{label}", pki.trust, pki.bootstrap, pki.manufacturer_file)
        for label, pki in pkis.items()
    }


def _take_up(store: Store, centers: Mapping[str, TrustCenter]) -> int:
    """Give pending requests back to their trust centers, where those still exist; returns how many."""
    taken = 0
    for label, pending in store.pending():
        if label in centers:
            centers[label].policy.resume(pending)
            taken += 1
    return taken


def _all_faults(config: SandboxConfig) -> list[FaultConfig]:
    return [fault for center in config.centers.values() for fault in center.faults]


def _limits() -> Limits:
    """Raise this process's limit of open files, and return the limits that follow from it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return Limits(connections=max(16, min(CONNECTIONS, hard - _OWN_FILES)))


async def _keep(listener: Listener, listeners: list[trio.SocketListener], store: Store, stop: trio.Event) -> None:
    async with trio.open_nursery() as housekeeping:
        housekeeping.start_soon(_flush, store)
        housekeeping.start_soon(_checkpoint, store)
        housekeeping.start_soon(give_back_memory, listener.connections)
        await listener.serve(listeners, stop, grace_s=GRACE_S)
        housekeeping.cancel_scope.cancel()


async def _flush(store: Store) -> None:
    while True:
        await trio.sleep(_FLUSH_S)
        with suppress(StoreError):  # a full disk: each exchange that needs room says so itself
            store.flush()


async def _checkpoint(store: Store) -> None:
    while True:
        await trio.sleep(_CHECKPOINT_S)
        with suppress(StoreError):
            await trio.to_thread.run_sync(store.checkpoint)


def _names_of(host: str) -> tuple[str, ...]:
    """Return the names for the server's certificate; for a wildcard address, all of this machine's."""
    name = _name_in_url(host)
    if name == host:
        return (name,)
    addresses = (each.address for own in psutil.net_if_addrs().values() for each in own if each.family in _INTERNET)
    return (name, socket.gethostname(), socket.getfqdn(), *(address.partition("%")[0] for address in addresses))


def _name_in_url(host: str) -> str:
    """Return the name by which clients connect to ``host``, which may be a wildcard address."""
    try:
        return "localhost" if ip_address(host).is_unspecified else host
    except ValueError:
        return host


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _port_of(listeners: list[trio.SocketListener]) -> int:
    port: int = listeners[0].socket.getsockname()[1]
    return port
