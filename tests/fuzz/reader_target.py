"""Every reader of foreign bytes by itself: what it says is of the kinds declared, printable, and the same twice.

Readers are pure functions, so thousands of inputs a second are read: what the whole client and the whole sandbox meet
seldom is met here often.
"""

import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final

from fuzz_certificates import ROOT, self_signed
from fuzz_draw import Draw
from fuzz_headers import challenge, content_type, location, retry_after
from fuzz_http import answer
from fuzz_messages import indefinite, transferred
from fuzz_mutations import mutated
from fuzz_report import Report, noting_warnings, text_problems, warning_problems
from reader_inputs import ASKED, BLOCK, KINDS, NOW, Pool

from estsim.errors import TransportFailed
from estsim.est.authorities import authorities_of, is_root
from estsim.est.certificate import Certificate, CertificateUnreadable, read_certificate
from estsim.est.certs_only import CertsOnlyError, read_certs_only
from estsim.est.csr import CSRError, read_csr
from estsim.est.der import DERError, from_ber
from estsim.est.issuer_search import refusal_of
from estsim.est.login import Login
from estsim.est.messages import EstResponse
from estsim.est.names import alternative_names, name_text, name_value, read_name, same_name
from estsim.est.operations import Operation
from estsim.est.outcome import (
    CACertificates,
    CSRAttributes,
    Issued,
    Malformed,
    NoCSRAttributes,
    NonConformance,
    Outcome,
    OutcomeClass,
)
from estsim.est.public_keys import public_key
from estsim.est.reading import read_response
from estsim.est.transfer import TransferError, decode_body
from estsim.est.verify import verify_issued
from estsim.fleet.rows import detail_of, status_of
from estsim.net.connection import WireStamps
from estsim.net.http import HttpExchange, Question
from estsim.net.server_checks import check_host, has_cmc_ra
from estsim.pki.keys import weakness_of
from estsim.pki.pem import PemError, certificates_in_pem
from estsim.server.names import NamesError, requested_names

_WALL_S: Final = NOW.timestamp()
_OPERATIONS: Final = (
    Operation.SIMPLEENROLL,
    Operation.SIMPLEREENROLL,
    Operation.CACERTS,
    Operation.CSRATTRS,
    Operation.SERVERKEYGEN,
    Operation.FULLCMC,
)
_STATUSES: Final = (
    100,
    199,
    200,
    201,
    202,
    204,
    206,
    301,
    307,
    308,
    400,
    401,
    403,
    404,
    429,
    500,
    501,
    503,
    599,
    600,
    999,
)

_RECORD_BYTES: Final = 16 * 1024  # what TLS gives at a time

Said = Iterator[str]  # what was reached; what begins with "!" is wrong


class ReaderTarget:
    """The readers, each played with inputs of its kind."""

    def __init__(self) -> None:
        self._pool = Pool(0, -1)
        self._seed = 0

    def close(self) -> None:
        """Nothing is open."""

    def play(self, seed: int, numbers: range) -> Iterator[Report]:
        """Play inputs, each for one reader."""
        with noting_warnings() as noted:
            for number in numbers:
                block = number // BLOCK
                if block != self._pool.block or seed != self._seed:
                    self._pool, self._seed = Pool(seed, block), seed
                report = _played(Draw.of(seed, "readers", number), number, self._pool)
                if noted:
                    report.problems += warning_problems(noted)
                yield report


def _played(draw: Draw, number: int, pool: Pool) -> Report:
    """Play one input."""
    name, make, read = draw.one(_READERS)
    report = Report(number, steps=1)
    given = make(draw, pool)
    before_ns = time.process_time_ns()
    try:
        for said in read(draw, given):
            if said.startswith("!"):
                report.problems.append(f"{name}: {said[1:]}")
            else:
                report.tags.append(f"{name} {said}")
    except Exception:  # noqa: BLE001 - whatever it is, nobody has declared it
        report.problems.append(f"undeclared exception in {name}: {traceback.format_exc()}")
    report.cpu_s = (time.process_time_ns() - before_ns) / 1e9
    return report


def _wrong(what: str, text: object, longest: int = 1500) -> Said:
    for problem in text_problems(what, text, longest=longest):
        yield f"!{problem}"


def _rules(rules: tuple[NonConformance, ...]) -> Said:
    for broken in rules:
        yield f"rule {broken.rule}"
        yield from _wrong("detail of a rule", broken.detail, 5000)
    if len(set(rules)) != len(rules):
        yield f"!a rule stands twice: {rules}"


# -- certificates and names


def _certificate(_: Draw, der: bytes) -> Said:
    try:
        certificate = read_certificate(der)
    except CertificateUnreadable as error:
        yield f"unreadable {error.part}"
        yield from _wrong("message", str(error))
        return
    yield "read"
    yield from _rules(certificate.oddities)
    for what in ("subject", "issuer", "serial_hex"):
        yield from _wrong(what, getattr(certificate, what))
    yield from _wrong("repr", repr(certificate), 4000)
    for text in alternative_names(certificate.san_der).texts:
        yield from _wrong("alternative name", text, 3000)
    if not certificate.not_before_s < float("inf") or not certificate.not_after_s > float("-inf"):
        yield f"!validity from {certificate.not_before_s} to {certificate.not_after_s}"
    if (refusal := refusal_of(certificate)) is not None:
        yield "refused"
        yield from _wrong("refusal", refusal)
    if (why := check_host(certificate, "localhost")) is not None:
        yield from _wrong("host check", why)
    yield f"{is_root(certificate) and 'root'} {has_cmc_ra(certificate) and 'RA'} {certificate.is_ca and 'CA'}"
    if read_certificate(certificate.der) != certificate:
        yield "!what was read is not read again as it was"
    yield from _verified(certificate)


def _verified(certificate: Certificate) -> Said:
    verdict = verify_issued(
        certificate,
        public_key_der=ASKED.spki,
        subject_der=ASKED.subject,
        san_der=None,
        authorities=_TRUST,
        wall_now_s=_WALL_S,
    )
    if isinstance(verdict, Malformed):
        yield from _wrong("reason", verdict.reason, 5000)
        yield "not verified"
    else:
        yield from _rules(verdict)
        yield "verified"


def _name(_: Draw, der: bytes) -> Said:
    yield from _wrong("name", name_text(der))
    if not same_name(der, der):
        yield "!a name is not the same as itself"
    hash(name_value(der))
    try:
        name = read_name(der)
    except DERError as error:
        yield "no name"
        yield from _wrong("message", str(error))
    else:
        yield "name"
        yield from _rules(name.oddities)


def _names(_: Draw, der: bytes) -> Said:
    for text in alternative_names(der).texts:
        yield from _wrong("alternative name", text, 3000)
        yield "entry"


# -- messages


def _message(_: Draw, der: bytes) -> Said:
    try:
        certificates, notes = read_certs_only(der)
    except CertsOnlyError as error:
        yield "no message"
        yield from _wrong("message", str(error))
    else:
        yield f"message {min(len(certificates), 3)}"
        yield from _rules(notes)


def _ber(_: Draw, source: bytes) -> Said:
    try:
        der = from_ber(source)
    except DERError as error:
        yield "no BER"
        yield from _wrong("message", str(error))
        return
    yield "BER"
    if from_ber(der) != der:
        yield f"!DER made of BER is not DER: {der.hex()}"


def _transfer(_: Draw, body: bytes) -> Said:
    try:
        der, notes = decode_body(body)
    except TransferError as error:
        yield "no base64"
        yield from _wrong("message", str(error))
    else:
        yield f"base64 {bool(der)}"
        yield from _rules(notes)


def _response(draw: Draw, given: tuple[Operation, EstResponse]) -> Said:
    operation, response = given
    ours = frozenset({"basic"}) if draw.chance(0.5) else frozenset[str]()
    reading = read_response(
        operation,
        response,
        deferral_statuses=frozenset({202, 206}),
        wall_now_s=_WALL_S,
        login=Login(can_answer=ours),
        public_key_der=ASKED.spki,
    )
    outcome = reading.outcome
    yield f"{operation.value} {type(outcome).__name__}"
    if outcome.kind not in OutcomeClass:
        yield f"!{outcome!r} is of no class"
    yield from _wrong("detail", detail_of(outcome))
    if (status := status_of(outcome)) is not None and not 100 <= status <= 999:
        yield f"!status {status}"
    yield from _rules(reading.non_conformances)
    yield from _of_outcome(outcome)


def _of_outcome(outcome: Outcome) -> Said:
    match outcome:
        case CACertificates(certificates):
            authorities = authorities_of(certificates)
            yield f"chains {sum(authorities.chain_of(each) is not None for each in certificates[:20])}"
        case Issued(certificate) if certificate is not None:
            yield from _verified(certificate)
        case CSRAttributes() | NoCSRAttributes():
            yield "attributes"
        case _:
            pass


def _request(draw: Draw, der: bytes) -> Said:
    try:
        facts = read_csr(der)
        names = requested_names(facts, renewing=draw.chance(0.5))
    except (CSRError, NamesError) as error:
        yield type(error).__name__
        yield from _wrong("message", str(error))
        return
    yield f"CSR {weakness_of(public_key(facts.public_key_der)) is None}"
    yield from _wrong("subject", names.subject)


def _pem(_: Draw, content: bytes) -> Said:
    try:
        yield f"certificates {min(3, len(certificates_in_pem(content)))}"
    except PemError as error:
        yield "no PEM"
        yield from _wrong("message", str(error))


# -- HTTP


class _Wire:
    """As much of a connection as the reader of an answer looks at."""

    def __init__(self, *, truncated: bool) -> None:
        self.http = None
        self.heard_ns = self.last_sent_ns = 1
        self.truncated = truncated


def _http(draw: Draw, pieces: tuple[bytes, ...]) -> Said:
    wire: Any = _Wire(truncated=draw.chance(0.3))
    stamps = WireStamps()
    exchange = HttpExchange(wire, stamps)
    exchange.request(Question("localhost", "GET", "/x", (), b"", 1.0).on(wire, clock=lambda: 1, stamps=stamps), b"")
    coming = iter(pieces)
    try:
        for _ in exchange.answer():
            exchange.received(next(coming, b""))
    except TransportFailed as failed:
        yield f"failed {failed.phase.value} {failed.trouble.value}"
        yield from _wrong("reason", failed.reason)
    else:
        yield f"status {exchange.response.status_code // 100}xx"


# -- what is read

_ROOT: Final = read_certificate(self_signed(ROOT, NOW))
_TRUST: Final = authorities_of((_ROOT,))


def _answered(draw: Draw, pool: Pool) -> tuple[bytes, ...]:
    body = transferred(draw, pool.take(draw, "issued")) if draw.chance(0.3) else draw.octets(300)
    pieces = answer(draw, draw.one(_STATUSES), [(b"Content-Type", content_type(draw))], body).pieces
    if draw.chance(0.3):
        pieces = (mutated(draw, b"".join(pieces)),)
    return tuple(piece[at : at + _RECORD_BYTES] for piece in pieces for at in range(0, len(piece), _RECORD_BYTES))


def _responded(draw: Draw, pool: Pool) -> tuple[Operation, EstResponse]:
    operation = draw.one(_OPERATIONS)
    of_operation = {Operation.CACERTS: "cacerts", Operation.CSRATTRS: "attributes"}.get(operation, "issued")
    kind = of_operation if draw.chance(0.9) else draw.one(KINDS)
    status = 200 if draw.chance(0.6) else draw.one(_STATUSES)
    body = transferred(draw, pool.take(draw, kind)) if draw.chance(0.9) else draw.octets(3000)
    told = (
        ("content-type", content_type(draw)),
        ("retry-after", retry_after(draw, _WALL_S)),
        ("location", location(draw)),
        ("www-authenticate", challenge(draw)),
        ("date", retry_after(draw, _WALL_S)),
    )
    fields = tuple((name, value.decode("latin-1")) for name, value in draw.some(told, 5))
    return operation, EstResponse(status, fields, body)


_READERS: Final[tuple[tuple[str, Callable[[Draw, Pool], Any], Callable[[Draw, Any], Said]], ...]] = (
    ("certificate", lambda draw, pool: pool.take(draw, "certificate"), _certificate),
    ("certificate", lambda draw, pool: pool.take(draw, "certificate"), _certificate),
    ("certificate", lambda draw, pool: pool.take(draw, "certificate"), _certificate),
    ("name", lambda draw, pool: pool.take(draw, "name"), _name),
    ("names", lambda draw, pool: pool.take(draw, "names"), _names),
    ("message", lambda draw, pool: pool.take(draw, draw.one(("cacerts", "issued", "plain"))), _message),
    ("ber", lambda draw, pool: indefinite(draw, pool.take(draw, draw.one(KINDS)) + bytes(2)), _ber),
    ("transfer", lambda draw, pool: transferred(draw, pool.take(draw, draw.one(KINDS))), _transfer),
    ("response", _responded, _response),
    ("response", _responded, _response),
    ("response", _responded, _response),
    ("request", lambda draw, pool: pool.take(draw, "request"), _request),
    ("pem", lambda draw, pool: pool.take(draw, "pem"), _pem),
    ("http", _answered, _http),
    ("http", _answered, _http),
)
