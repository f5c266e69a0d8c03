"""What the sandbox costs and keeps: enrolments a second, CPU for each, memory of what is pending, configured capacity.

The floor is what no EST server over mutual TLS can do without: the server's side of a handshake that verifies a client
certificate, and one signature, P-256 both, in this process and this minute. Clients are the bare loop of
``enrolment_cost.py``, a few at a time, each coming again as soon as it is done. Run it on a quiet machine:

    .venv/bin/python tests/benchmarks/sandbox_cost.py [--enrolments 2000] [--pending 10000] [--seconds 20]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import psutil
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from enrolment_cost import bare_context, credential, enroll

from estsim.net.contexts import ContextKey, Role, TlsContexts, Verify
from estsim.net.tls import TlsSession
from estsim.pki.authority import Issuer, make_authority, make_server_certificate
from estsim.pki.credentials import Credential
from estsim.pki.keys import KeyKind, make_key, spki_of
from estsim.pki.names import Names, common_name
from estsim.scenario.target_url import parse_url

AT_A_TIME = 8
WITHIN = 0.02
HANDSHAKES = 400
CAPACITIES = {
    "rate: 50/s": "{rate: 50/s}",
    "signers: 2, sign_time: 40ms": "{signers: 2, sign_time: 40ms}",
    "signers: 2, sign_time: 30ms..50ms": "{signers: 2, sign_time: 30ms..50ms}",
}


@dataclass(frozen=True, slots=True)
class Served:
    """A sandbox in a process of its own."""

    process: psutil.Process
    place: dict[str, str]

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def main() -> None:
    """Measure everything and print it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--enrolments", type=int, default=2000)
    options.add_argument("--pending", type=int, default=10_000)
    options.add_argument("--seconds", type=int, default=20)
    given = options.parse_args()
    floor_ms = floor()
    cost(given.enrolments, floor_ms)
    pending(given.pending)
    for name, capacity in CAPACITIES.items():
        achieved(name, capacity, given.seconds)


def floor() -> float:
    """Return CPU ms of a server's handshake and one signature."""
    now = datetime.now(UTC)
    authority = make_authority("floor", KeyKind.EC_P256, now=now)
    anchor = (authority.certificate.der,)
    server_key, device_key = make_key(KeyKind.EC_P256), make_key(KeyKind.EC_P256)
    server = Credential(make_server_certificate(authority, server_key.public_key(), ("h",), now=now).der, server_key)
    names = Names(common_name("device"), None)
    device = Credential(Issuer(authority, 600).issue(spki_of(device_key), names, now.timestamp()).der, device_key)
    contexts = TlsContexts()
    theirs = contexts.get(ContextKey(role=Role.CLIENT, anchors=anchor))
    ours = contexts.get(ContextKey(role=Role.SERVER, anchors=anchor, verify=Verify.REQUEST))
    signing_key = ec.generate_private_key(ec.SECP256R1())
    spent_s = 0.0
    for _ in range(HANDSHAKES):
        client = TlsSession(theirs, device, "h")
        client.handshake()
        started = time.process_time()
        session = TlsSession(ours, server)
        spent_s += time.process_time() - started
        done = False
        while not done:
            hello = client.outgoing()
            started = time.process_time()
            session.incoming(hello)
            done = session.handshake()
            flight = session.outgoing()
            spent_s += time.process_time() - started
            if flight:
                client.incoming(flight)
                client.handshake()
        started = time.process_time()
        signing_key.sign(b"tbs" * 200, ec.ECDSA(hashes.SHA256()))
        spent_s += time.process_time() - started
    return spent_s * 1000 / HANDSHAKES


def cost(enrolments: int, floor_ms: float) -> None:
    """Print CPU for an enrolment, and how many of them one core can serve in a second."""
    with serving("{}") as served:
        before_s, began = served.cpu_s, time.monotonic()
        trio.run(closed_loop, served.place, enrolments, None)
        took_s, cpu_ms = time.monotonic() - began, (served.cpu_s - before_s) * 1000 / enrolments
    print(f"handshake and signature: {floor_ms:.2f} ms CPU")
    print(f"enrolment: {cpu_ms:.2f} ms CPU, ratio {cpu_ms / floor_ms:.2f}")
    print(f"one core: {1000 / cpu_ms:.0f} enrolments/s; seen with the clients beside it: {enrolments / took_s:.0f}/s")


def pending(requests: int) -> None:
    """Print what each pending request takes in memory."""
    with serving("issue: {mode: deferred, delay: 1h, retry_after: {seconds: 3600}}") as served:
        trio.run(closed_loop, served.place, 200, None)  # warm
        before = served.process.memory_info().rss
        trio.run(closed_loop, served.place, requests, None)
        grown = served.process.memory_info().rss - before
    print(f"{requests} pending: {grown >> 20} MiB more, {grown / requests / 1024:.1f} KiB each")


def achieved(name: str, capacity: str, seconds: int) -> None:
    """Print how many certificates a second come out where more are asked for."""
    with serving(f"capacity: {capacity}") as served:
        times = trio.run(closed_loop, served.place, None, seconds)
    rate = (len(times) - 1) / (times[-1] - times[0])
    print(f"capacity {{{name}}}: {rate:.2f}/s of 50/s, {rate / 50 - 1:+.1%} (aim within {WITHIN:.0%})")


@contextmanager
def serving(config: str) -> Iterator[Served]:
    """Run a sandbox."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "s.yaml").write_text(f"{config}\n")
        words = ["serve", str(folder / "s.yaml"), "--port", "0", "--dir", str(folder / "s"), "--with-parent"]
        with subprocess.Popen([sys.executable, "-m", "estsim", *words], stdin=subprocess.PIPE) as process:
            announced = folder / "s" / "sandbox.json"
            while not announced.exists():
                time.sleep(0.05)
            yield Served(psutil.Process(process.pid), json.loads(announced.read_text()))
            process.communicate()


async def closed_loop(place: dict[str, str], enrolments: int | None, seconds: int | None) -> list[float]:
    """Enroll so many times, or for so long, a few at a time; returns when each was done."""
    url = parse_url(place["url"])
    maker = Path(place["manufacturer"]).read_bytes()
    issuer = x509.load_pem_x509_certificate(maker)
    issuer_key = serialization.load_pem_private_key(maker, None)
    context = bare_context(Path(place["trust"]))
    until = trio.current_time() + (seconds or 10_000)
    numbers = iter(range(enrolments)) if enrolments else count()
    done: list[float] = []

    async def client() -> None:
        for number in numbers:
            certificate, key = credential(issuer, issuer_key, number)
            await enroll(context, url, certificate, key, accepts=(b"200", b"202"))
            if trio.current_time() > until:
                return
            done.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for _ in range(AT_A_TIME):
            nursery.start_soon(client)
    return done


if __name__ == "__main__":
    main()
