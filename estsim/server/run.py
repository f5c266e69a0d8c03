"""A whole sandbox from its configuration: PKI, store, service and listener, put together and kept (trio).

``serve`` announces itself through its task status and, for other processes, in ``sandbox.json``, which exists only
while it listens. One sandbox at a time uses a folder.
"""

import fcntl
import gc
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import trio
from cryptography.hazmat.primitives.serialization import Encoding

from estsim.errors import StoreError, UsageError
from estsim.est.operations import WELL_KNOWN
from estsim.net.contexts import ContextKey, Role, TlsContexts, Verify
from estsim.net.credential import Credential
from estsim.server.admission import Admission
from estsim.server.ca import Issuer, make_key, make_server_certificate
from estsim.server.capacity import CapacityGate, TokenBucket
from estsim.server.config import CapacityConfig, KeyKind, RequireCertificate, SandboxConfig
from estsim.server.http import Limits
from estsim.server.listener import Counts, Listener, bind
from estsim.server.pki import Pki, open_pki, read_certificates, write_private
from estsim.server.policy import IssuePolicy
from estsim.server.service import EstService
from estsim.server.store import Exchange, Store

GRACE_S: Final = 2.0
_LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
_CHECKPOINT_S: Final = 5.0
_FLUSH_S: Final = 0.5
_GC_THRESHOLDS: Final = (50_000, 20, 1000)
_GROUPS: Final = ("x25519", "p-256", "p-384", "p-521")  # whatever a device may come with
_PUBLIC_FILE: Final = 0o644


@dataclass(frozen=True, slots=True)
class Announcement:
    """Where a running sandbox is, and the files that its clients need."""

    url: str
    trust: Path
    bootstrap: Path
    database: Path
    pending: int  # requests taken up from before
    counts: Counts


@dataclass(frozen=True, slots=True)
class Watchers:
    """Who is told of exchanges served and of handshakes that failed (with the alert's name, or the reason)."""

    on_exchange: Callable[[Exchange], None] | None = None
    on_failed_handshake: Callable[[str], None] | None = None


def tune_process() -> None:
    """Set this process up to serve a herd: all descriptors allowed, no collector pauses over what never dies."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def serve(
    config: SandboxConfig,
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    stop: trio.Event,
    limits: Limits | None = None,
    watchers: Watchers | None = None,
    task_status: trio.TaskStatus[Announcement] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until ``stop`` is set, and drain. Raises ``UsageError`` or ``StoreError`` before it listens.

    Cancelled, it cuts its connections at once; the store is whole in either case.
    """
    watchers = watchers or Watchers()
    pki = open_pki(folder, config.center.issuer.key)
    with _sole_user_of(folder):
        listeners = await bind(host, port)
        name = _name_in_url(host)
        url = f"https://{_bracketed(name)}:{_port_of(listeners)}{WELL_KNOWN}"
        database = folder / "sandbox.sqlite"
        store = Store(database)
        try:
            policy = _policy(config)
            for pending in store.pending():
                policy.resume(pending)
            service = _service(config, pki, policy, store, watchers.on_exchange)
            listener = _listener(config, pki, service, name=name, limits=limits or Limits(), watchers=watchers)
            with _announced(folder, url, pki):
                task_status.started(Announcement(url, pki.trust, pki.bootstrap, database, len(policy), listener.counts))
                await _keep(listener, listeners, store, stop)
        finally:
            for each in listeners:
                each.socket.close()
            store.close()


async def _keep(listener: Listener, listeners: list[trio.SocketListener], store: Store, stop: trio.Event) -> None:
    async with trio.open_nursery() as housekeeping:
        housekeeping.start_soon(_flush, store)
        housekeeping.start_soon(_checkpoint, store)
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


def _policy(config: SandboxConfig) -> IssuePolicy:
    center = config.center
    return IssuePolicy(center.issue, _gate(center.capacity), seed=config.seed)


def _gate(capacity: CapacityConfig | None) -> CapacityGate | None:
    if capacity is None:
        return None
    return CapacityGate(TokenBucket(capacity.rate, capacity.burst), capacity.overflow, capacity.queue)


def _service(
    config: SandboxConfig,
    pki: Pki,
    policy: IssuePolicy,
    store: Store,
    on_exchange: Callable[[Exchange], None] | None,
) -> EstService:
    center = config.center
    offset_s = time.time() - time.monotonic()  # wall time that no correction of the clock moves while we serve
    return EstService(
        admission=Admission(center.clients, pki.issuer.certificate.subject),
        policy=policy,
        issuer=Issuer(pki.issuer, center.issuer.validity),
        ca_certificates=pki.ca_certificates,
        store=store,
        wrapped=config.base64 == "wrapped",
        deferral_status=center.issue.status,
        http_dates=center.issue.retry_after.form == "http-date",
        clock=lambda: offset_s + time.monotonic(),
        on_exchange=on_exchange,
    )


def _listener(
    config: SandboxConfig, pki: Pki, service: EstService, *, name: str, limits: Limits, watchers: Watchers
) -> Listener:
    clients = config.center.clients
    given = [ca for path in clients.bootstrap_cas for ca in read_certificates(path)]
    trusted = (*pki.ca_certificates, pki.manufacturer.certificate, *given)
    key = make_key(KeyKind.EC_P256)
    hosts = tuple(dict.fromkeys((*_LOCAL_NAMES, name)))
    certificate = make_server_certificate(pki.issuer, key.public_key(), hosts, now=datetime.now(UTC))
    always = clients.require_certificate is RequireCertificate.ALWAYS
    return Listener(
        service,
        contexts=TlsContexts(),
        context_key=ContextKey(
            role=Role.SERVER,
            anchors=tuple(ca.public_bytes(Encoding.DER) for ca in trusted),
            chain=(pki.issuer.certificate.public_bytes(Encoding.DER),),
            groups=_GROUPS,
            tickets=False,  # no device resumes yet, and two tickets cost an eighth of a handshake
            verify=Verify.REQUIRE if always else Verify.REQUEST,
        ),
        credential=Credential(certificate, key),
        limits=limits,
        on_refused=watchers.on_failed_handshake,
    )


@contextmanager
def _sole_user_of(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it when the process dies."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{folder}: another sandbox is using it; take another folder with --dir") from None
        (folder / "sandbox.json").unlink(missing_ok=True)  # left by one that was killed
        yield


@contextmanager
def _announced(folder: Path, url: str, pki: Pki) -> Iterator[None]:
    """Let ``sandbox.json`` say where the sandbox is, for as long as it is there."""
    path = folder / "sandbox.json"
    paths = {"trust": str(pki.trust.absolute()), "bootstrap": str(pki.bootstrap.absolute())}
    content = {
        "url": url,
        **paths,
        "manufacturer": str(pki.manufacturer_file.absolute()),
        "labels": {},
        "pid": os.getpid(),
    }
    write_private(path, json.dumps(content, indent=1).encode() + b"\n", _PUBLIC_FILE)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _name_in_url(host: str) -> str:
    """Return what clients call ``host``: a wildcard address is no name to connect to."""
    try:
        return "localhost" if ip_address(host).is_unspecified else host
    except ValueError:
        return host


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _port_of(listeners: list[trio.SocketListener]) -> int:
    port: int = listeners[0].socket.getsockname()[1]
    return port
