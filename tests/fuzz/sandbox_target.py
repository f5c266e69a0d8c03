"""The whole sandbox against hostile clients, bytes to bytes: HTTP, service, trust centers, policy, issuer and store.

An input is a client's visit: what it sends on a connection or two, and whose certificate it has shown. The connection
is in memory, where TLS would give its plaintext; the store is SQLite's own, in memory. What comes back has to be HTTP,
every certificate in it has to be what was asked for, and each request has its line in the log.
"""

import tempfile
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import trio
import trio.testing
from fuzz_certificates import Asked, Signer, odd_certificate, usual
from fuzz_csrs import any_key, odd_csr, usual_csr
from fuzz_draw import Draw
from fuzz_http import End
from fuzz_keys import elliptic_key, make_slow_keys, spki_of
from fuzz_messages import transferred
from fuzz_names import odd_name, plain_name, san
from fuzz_report import CpuWatch, LogKeeper, Report, noting_warnings, text_problems, warning_problems
from fuzz_requests import Sent, request, sent
from http_answers import Heard, NotWellFormed, heard
from issued_checks import certificate_problems, issued_in

from estsim.errors import Phase, TransportFailed, Trouble
from estsim.est.certificate import Certificate, CertificateUnreadable, read_certificate, serial_text
from estsim.est.transfer import encode_body
from estsim.server.clock import SandboxClock
from estsim.server.config import DEFAULT, SandboxConfig
from estsim.server.connections import Connections
from estsim.server.http import HttpConnection, Limits
from estsim.server.peer import Peer, read_peer
from estsim.server.pki import Pki
from estsim.server.run import _anchors, _centers, _open_pkis
from estsim.server.service import EstService
from estsim.server.store import Exchange, Store

_HANG_S: Final = 3600.0
_CONNECTIONS: Final = 64
_RECORD_BYTES: Final = 16 * 1024  # what TLS gives at a time
_HEALTH: Final = "/health"
_OPEN: Final = {"clients": {"require_certificate": "never"}}
_ALICE: Final = {"alice": {"password": "correct-horse-fuzz"}}
_FIXED: Final = {"kind": "fixed", "seconds": 3}
_CONFIGS: Final[tuple[dict[str, Any], ...]] = (
    {
        "trust_centers": {
            DEFAULT: {"clients": {"users": _ALICE}},
            "open": _OPEN,
            "slow": {**_OPEN, "issue": {"mode": "deferred", "delay": "2s..4s", "retry_after": _FIXED}},
            "person": {**_OPEN, "issue": {"mode": "manual"}},
            "strict": {"clients": {"require_certificate": "always", "users": _ALICE}},
            "busy": {**_OPEN, "capacity": {"rate": "1/s", "burst": 1, "queue": 1, "overflow": "wait"}},
        }
    },
    {
        "base64": "wrapped",
        "bodies": "empty",
        "trust_centers": {
            DEFAULT: {"clients": {"users": _ALICE, "require_certificate": "never"}, "issuer": {"intermediates": 0}},
            "open": {**_OPEN, "issuer": {"key": "ed25519", "validity": "60s"}},
            "slow": {
                **_OPEN,
                "issue": {
                    "mode": "deferred",
                    "share": "50%",
                    "delay": "0s",
                    "status": 206,
                    "early": "forbid",
                    "retry_after": {"kind": "random", "from": 1, "to": 3, "form": "http-date"},
                },
            },
            "busy": {**_OPEN, "capacity": {"rate": "1/s", "queue": 1, "overflow": "defer"}},
        },
    },
)


class _MemoryWire:
    """The plaintext of a connection: what the client sends, and what it is sent."""

    def __init__(self, what: Sent) -> None:
        records = (
            piece[at : at + _RECORD_BYTES] for piece in what.pieces for at in range(0, len(piece), _RECORD_BYTES)
        )
        self._coming = deque(records)
        self._end = what.end
        self.said = b""
        self.heard_ns = time.monotonic_ns()
        self.last_sent_ns = 0
        self.was_reset = False

    async def receive(self) -> bytes:
        """Return the next piece; at the end be closed, be reset, or wait."""
        if self._coming:
            self.heard_ns = time.monotonic_ns()
            return self._coming.popleft()
        if self._end is End.RESET:
            raise TransportFailed(Phase.RECEIVE, Trouble.RESET, "the peer reset the connection")
        if self._end is End.SILENCE:
            await trio.sleep_forever()
        return b""

    async def send_all(self, payload: bytes) -> None:
        """Take what is said."""
        self.last_sent_ns = time.monotonic_ns()
        self.said += payload

    def reset(self) -> None:
        """Be reset."""
        self.was_reset = True


class _House:
    """A configuration with its authorities; services are made anew for each visit, so that each can be replayed."""

    def __init__(self, settings: dict[str, Any], folder: Path) -> None:
        self._config = SandboxConfig.model_validate(settings)
        self._pkis = _open_pkis(folder, self._config)
        self._anchors = {label: _anchors(self._config.centers[label], pki) for label, pki in self._pkis.items()}
        self._empty_bodies = self._config.bodies == "empty"
        manufacturer = self._pkis[DEFAULT].manufacturer
        self.maker = Signer(manufacturer.certificate.subject_der, manufacturer.key)
        self.labels = tuple(self._config.centers)

    def pki(self, label: str) -> Pki:
        """Return the authorities of a trust center."""
        return self._pkis[label]

    def service(self, store: Store, log: list[Exchange]) -> EstService:
        """Return the service of all trust centers."""
        clock = SandboxClock()
        centers = _centers(self._config, self._pkis, self._anchors, clock, store)
        return EstService(centers, store, clock, log.append, empty_bodies=self._empty_bodies)


class SandboxTarget:
    """Sandboxes of several configurations, visited one client at a time."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._log = self._stack.enter_context(LogKeeper())
        make_slow_keys()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="estsim-fuzz-")))
        self._houses = [_House(settings, folder / f"{number}") for number, settings in enumerate(_CONFIGS)]

    def close(self) -> None:
        """Remove the files."""
        self._stack.close()

    def play(self, seed: int, numbers: range) -> Iterator[Report]:
        """Play visits."""
        reports: list[Report] = []
        trio.run(self._visits, seed, numbers, reports, clock=trio.testing.MockClock(autojump_threshold=0))
        return iter(reports)

    async def _visits(self, seed: int, numbers: range, reports: list[Report]) -> None:
        for number in numbers:
            draw = Draw.of(seed, "sandbox", number)
            with closing(Store(Path(":memory:"))) as store:
                visit = _Visit(draw, number, draw.one(self._houses), store)
                report = await visit.report()
            report.problems += self._log.problems()
            reports.append(report)


class _Visit:
    """One client, on a connection or two."""

    def __init__(self, draw: Draw, number: int, house: _House, store: Store) -> None:
        self._draw = draw
        self._house = house
        self._log: list[Exchange] = []
        self._service = house.service(store, self._log)
        self._label = draw.one(house.labels)
        self._key = any_key(draw, number % 64)
        self._subject = plain_name(f"dev-{number % 1000}", "Example") if draw.chance(0.8) else odd_name(draw)
        self._names = None if draw.chance(0.6) else san(draw, b"dev.example")
        self._asked: list[bytes] = []  # the CSRs sent
        self._watch = CpuWatch()
        self._report = Report(number)

    async def report(self) -> Report:
        """Visit, and tell what became of it."""
        report = self._report
        with noting_warnings() as noted:
            try:
                issued = await self._connect(self._peer(None), b"simpleenroll")
                if issued is not None and self._draw.chance(0.7):
                    await self._connect(self._peer(issued), b"simplereenroll")
            except trio.TooSlowError:
                report.problems.append("the connection hangs: nothing happens any more, and no deadline passes")
            except Exception:  # noqa: BLE001 - whatever it is, nobody has declared it
                report.problems.append(f"undeclared exception: {traceback.format_exc()}")
            self._watch.step()
            report.problems += warning_problems(noted)
        report.cpu_s = self._watch.longest_s
        report.problems += self._log_problems()
        return report

    async def _connect(self, peer: Peer, operation: bytes) -> bytes | None:
        """Go through one connection, and return the certificate that was issued on it, if one was."""
        with self._watch.away():
            what = sent(self._draw, [self._request(operation) for _ in range(self._draw.one((1, 1, 1, 2, 3, 5)))])
            wire = _MemoryWire(what)
        guest = Connections(_CONNECTIONS).enter()
        before = len(self._log)
        with trio.fail_after(_HANG_S), guest.stay():
            await HttpConnection(wire, peer, self._service, Limits(), guest).serve()
        self._watch.step()
        with self._watch.away():
            return self._heard(wire, self._log[before:], with_heads=b"HEAD" in b"".join(what.pieces))

    # -- what is sent

    def _request(self, operation: bytes) -> bytes:
        draw = self._draw
        path = operation if self._label == DEFAULT else self._label.encode() + b"/" + operation
        if draw.chance(0.2):
            return request(
                draw,
                draw.one((None, path.replace(operation, b"cacerts"), path.replace(operation, b"csrattrs"))),
                b"",
                b"id",
            )
        if draw.chance(0.4):
            parts = usual_csr(self._subject, self._key, self._names)
            der = parts.signed(parts.to_be_signed())
        else:
            der = odd_csr(draw, self._subject, self._key, self._names)
        self._asked.append(der)
        body = transferred(draw, der) if draw.chance(0.5) else encode_body(der)
        return request(draw, path, body, b"fuzz-%d" % len(self._asked))

    def _peer(self, issued: bytes | None) -> Peer:
        """Return who is there: nobody, a device of the manufacturer's, the owner of a certificate, or anybody."""
        draw, now = self._draw, datetime.now(UTC)
        device = Asked(plain_name("bootstrap"), spki_of(elliptic_key(60)))
        shown = issued
        if issued is None:
            match int(draw.random() * 4):
                case 0:
                    return read_peer(None, wall_now_s=now.timestamp())
                case 1 | 2:
                    shown = usual(device, self._house.maker, now, serial=77).written()
                case _:
                    shown = odd_certificate(draw, device, self._house.maker, now)
        certificate = _read(shown)
        if certificate is None:  # the listener refuses it in the handshake
            return read_peer(None, wall_now_s=now.timestamp())
        problem = "certificate has expired" if draw.chance(0.05) else None
        return read_peer(certificate, problem=problem, resumed=draw.chance(0.2), wall_now_s=now.timestamp())

    # -- what has to hold

    def _heard(self, wire: _MemoryWire, log: Sequence[Exchange], *, with_heads: bool) -> bytes | None:
        problems, tags = self._report.problems, self._report.tags
        answers: list[Heard] = []
        try:
            answers = heard(wire.said, with_heads=with_heads)
        except NotWellFormed as error:
            problems.append(f"what was said is no answer: {error}")
        self._report.steps += max(1, len(answers))
        on_record = [exchange.status for exchange in log if exchange.status is not None]
        said = [answer.status for answer in answers if not _is_health(answer)]
        if [status for status in said if status not in (400, 408, 413, 431)] != [
            status for status in on_record if status not in (400, 408, 413, 431)
        ]:
            problems.append(f"answers {said}, in the log {on_record}")
        certificate: bytes | None = None
        for answer in answers:
            tags.append(f"status {answer.status}")
            if answer.status == 500:
                problems.append("internal error of the sandbox")
            if answer.status == 200 and "certs-only" in answer.fields.get("content-type", ""):
                certificate = issued_in(answer.body)
                pki = self._house.pki(_label_of(log, certificate, self._label))
                problems += certificate_problems(certificate, self._asked, pki)
        return certificate

    def _log_problems(self) -> Iterator[str]:
        for exchange in self._log:
            self._report.tags.append(f"logged {exchange.operation} {exchange.status}")
            for name in (
                "request_id",
                "center",
                "peer_subject",
                "peer_serial",
                "user",
                "operation",
                "method",
                "path",
                "retry_after",
                "serial",
                "detail",
            ):
                text = getattr(exchange, name)
                if text is not None:
                    quotes = name == "request_id"  # which a client may make of anything
                    yield from text_problems(f"{name} in the log", text, longest=2000, quotes=quotes)


def _read(der: bytes | None) -> Certificate | None:
    try:
        return None if der is None else read_certificate(der)
    except CertificateUnreadable:
        return None


def _is_health(answer: Heard) -> bool:
    return answer.fields.get("content-type") == "application/json" or answer.fields.get("allow") == "GET, HEAD"


def _label_of(log: Sequence[Exchange], certificate: bytes, label: str) -> str:
    """Return the trust center that issued a certificate: the log says which, where a path was odd."""
    read = _read(certificate)
    serial = None if read is None else serial_text(read.serial)
    issued = [exchange.center for exchange in log if exchange.serial == serial]
    return (issued[-1] or label) if issued else label
