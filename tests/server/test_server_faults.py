"""Faults: whom they meet, when, how often, and what they make of an answer; all of it pure."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, cast

import h11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from estsim.est.certificate import Certificate, read_certificate
from estsim.est.certs_only import encode_certs_only
from estsim.est.messages import EstResponse
from estsim.est.operations import CERTS_ONLY, Operation
from estsim.est.outcome import Deferred, Issued, Malformed, Outcome, RetryAfter, RetryAfterForm, ServerError
from estsim.est.reading import read_response
from estsim.est.transfer import PEM_ARMOUR, TransferError, decode_body, encode_body
from estsim.pki.authority import Issuer, make_authority
from estsim.pki.keys import KeyKind, spki_of
from estsim.pki.names import Names, common_name, spellings
from estsim.scenario.subjects import compile_subject
from estsim.server.answer import text_response
from estsim.server.config import SandboxConfig
from estsim.server.connections import Connections
from estsim.server.draws import DrawKey
from estsim.server.fault_config import FaultConfig, FaultKind
from estsim.server.faults import (
    Delivery,
    Fault,
    FaultPlan,
    FaultyAnswer,
    Request,
    WrongServerName,
    apply_faults,
    find,
)
from estsim.server.http import HttpConnection, Limits, Wire
from estsim.server.peer import Peer
from estsim.server.service import EstService

K: Final = FaultKind
EMPTY_NAME: Final = b"\x30\x00"


def fault(kind: FaultKind, **keys: Any) -> FaultConfig:  # noqa: ANN401 - keys of a configuration
    """Return a fault as the configuration has it."""
    return FaultConfig.model_validate({"kind": kind, **keys})


def request(
    who: int = 0,
    attempt: int = 0,
    operation: Operation = Operation.SIMPLEENROLL,
    subject: bytes | None = None,
) -> Request:
    """Return a request."""
    return Request(DrawKey(who, attempt), operation, lambda: subject)


def met_by(plan: FaultPlan, of: Request, age_s: float = 0.0) -> list[FaultKind]:
    """Return the kinds of the faults that a request meets."""
    return [each.kind for each in plan.drawn(of, age_s)]


# -- draws


HALF: Final = [fault(K.LATENCY, rate="50%"), fault(K.RESET, rate="50%"), fault(K.GARBAGE, rate="50%")]
names_of_requests = st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 10_000))


@given(asked=st.lists(names_of_requests, min_size=1, max_size=20), seed=st.integers(0, 2**63 - 1), order=st.randoms())
def test_what_a_request_meets_does_not_depend_on_what_came_before(
    asked: list[tuple[int, int]],
    seed: int,
    order: Any,  # noqa: ANN401 - hypothesis gives a Random
) -> None:
    """Another order, another plan of the same seed: the same faults with the same amounts."""
    plan = FaultPlan(HALF, seed=seed)
    first = {name: plan.drawn(request(*name), 0.0) for name in asked}
    order.shuffle(asked)
    again = FaultPlan(HALF, seed=seed)
    assert {name: again.drawn(request(*name), 0.0) for name in asked} == first


@pytest.mark.parametrize(
    "drawn",
    [
        lambda n: met_by(FaultPlan(HALF, seed=n), request(7)),
        lambda n: met_by(FaultPlan(HALF, seed=1), request(who=n)),
        lambda n: met_by(FaultPlan(HALF, seed=1), request(7, attempt=n)),
    ],
    ids=["seed", "who", "attempt"],
)
def test_seed_identity_and_attempt_each_draw_anew(drawn: Callable[[int], list[FaultKind]]) -> None:
    """All eight combinations of three faults come up, each about as often."""
    met = [tuple(drawn(n)) for n in range(800)]
    assert len(set(met)) == 8
    assert all(60 < met.count(each) < 140 for each in set(met))


def test_a_fault_added_at_the_end_leaves_the_others_as_they_were() -> None:
    """Its place in the list is what a fault is drawn by, so the same fault twice is met independently."""
    short, long = FaultPlan(HALF[:1], seed=1), FaultPlan(HALF[:1] * 2, seed=1)
    times = [0, 0, 0]
    for who in range(1000):
        drawn = long.drawn(request(who), 0.0)
        times[len(drawn)] += 1
        assert drawn[: len(short.drawn(request(who), 0.0))] == short.drawn(request(who), 0.0)
    assert all(low < count < high for count, low, high in zip(times, (200, 430, 200), (300, 570, 300), strict=True))


@pytest.mark.parametrize("rate", [0.0, 0.005, 0.1, 0.5, 0.9, 1.0])
def test_the_rate_is_the_share_of_requests_that_meet_a_fault(rate: float) -> None:
    """Of 10 000 identities, within four standard deviations; none of them at 0%, all of them at 100%."""
    plan = FaultPlan([fault(K.RESET, rate=f"{rate * 100:g}%")], seed=5)
    met = sum(bool(plan.drawn(request(who), 0.0)) for who in range(10_000))
    assert abs(met - 10_000 * rate) <= 4 * (10_000 * rate * (1 - rate)) ** 0.5


def test_whether_and_how_much_are_draws_apart() -> None:
    """Those who meet a rare latency are delayed by all of its range, not by its lowest part."""
    plan = FaultPlan([fault(K.LATENCY, rate="10%", add="1s..2s")], seed=1)
    met = [each for who in range(3000) for each in plan.drawn(request(who), 0.0)]
    added = [each.config.add.at(each.amount) for each in met]
    assert min(added) < 1.1
    assert max(added) > 1.9
    assert 1.45 < sum(added) / len(added) < 1.55


def test_faults_are_met_in_the_order_of_the_configuration() -> None:
    """All of them at once where all are certain."""
    plan = FaultPlan([fault(K.GARBAGE), fault(K.LATENCY), fault(K.RESET)], seed=1)
    assert met_by(plan, request()) == [K.GARBAGE, K.LATENCY, K.RESET]
    drawn = plan.drawn(request(), 0.0)
    assert find(drawn, K.LATENCY) is drawn[1]
    assert find(drawn, K.STALL) is None


def test_the_wrong_server_name_is_no_matter_of_requests() -> None:
    """It is over before there is one."""
    plan = FaultPlan([fault(K.WRONG_SERVER_NAME), fault(K.RESET)], seed=1)
    assert met_by(plan, request()) == [K.RESET]


def test_every_seed_that_the_configuration_takes_can_be_drawn_with() -> None:
    """Draws are keyed by 64 bits: a seed beyond them is a mistake to be told at the start, not at the first request."""
    for seed in (0, 2**63 - 1, 2**63, -(2**63) - 1):
        try:
            config = SandboxConfig.model_validate({"seed": seed})
        except ValidationError:
            continue
        FaultPlan(HALF, seed=config.seed).drawn(request(), 0.0)


# -- windows


@pytest.mark.parametrize(
    ("window", "on", "off"),
    [
        ({}, [0, 1e9], [-1]),
        ({"from": "60s"}, [60, 61, 1e9], [-1, 0, 59.999]),
        ({"to": "90s"}, [0, 89.999], [-1, 90, 91]),
        ({"from": "60s", "to": "90s"}, [60, 89.999], [0, 59.999, 90, 1e9]),
    ],
    ids=["always", "from", "to", "both"],
)
def test_a_fault_is_on_from_its_begin_up_to_its_end(window: dict[str, str], on: list[float], off: list[float]) -> None:
    """Counted from the beginning of the run, before which there are none."""
    plan = FaultPlan([fault(K.RESET, **window)], seed=1)
    name = WrongServerName([fault(K.WRONG_SERVER_NAME, **window)], seed=1)
    assert [(bool(plan.drawn(request(), age)), name.applies(1, age)) for age in on] == [(True, True)] * len(on)
    assert [(bool(plan.drawn(request(), age)), name.applies(1, age)) for age in off] == [(False, False)] * len(off)


# -- whom they concern


METER: Final = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example, Inc"),
        x509.NameAttribute(NameOID.COMMON_NAME, "meter-7"),
    ]
)


@pytest.mark.parametrize(
    ("glob", "fits"),
    [
        (r"C=DE,O=Example\, Inc,CN=meter-7", True),
        ("C=DE,*,CN=meter-?", True),
        ("*meter*", True),
        ("*", True),
        ("CN=meter-7", True),
        ("CN=meter-[0-9]", True),
        ("O=Example*", True),
        ("C=??", True),
        (r"CN=meter-7,O=Example\, Inc,C=DE", False),  # RFC 4514's order, not the one it is written in
        (r"O=Example\, Inc,CN=meter-7", False),  # neither the whole nor one part
        ("CN=meter-", False),
        ("meter-7", False),
        ("CN=METER-7", False),
        ("cn=meter-7", False),
        ("CN=meter-[!7]", False),
    ],
)
def test_a_subject_fits_by_its_whole_or_by_one_of_its_parts(glob: str, fits: bool) -> None:  # noqa: FBT001 - a table
    """As written in the order of the encoding; capitals count."""
    plan = FaultPlan([fault(K.RESET, match={"subject": glob})], seed=1)
    assert bool(plan.drawn(request(subject=METER.public_bytes()), 0.0)) is fits


def test_every_attribute_that_a_scenario_can_write_can_be_matched_as_written() -> None:
    """The subject of a cohort and the fault for it are written by the same person."""
    kinds = [
        "CN",
        "O",
        "OU",
        "L",
        "ST",
        "STREET",
        "DC",
        "UID",
        "SERIALNUMBER",
        "EMAILADDRESS",
        "E",
        "GN",
        "SN",
        "TITLE",
    ]
    missed = []
    for kind in kinds:
        name = compile_subject(f"{kind}=x-{{index}},O=Example", cohort="meters", seed=1)(0).public_bytes()
        plan = FaultPlan([fault(K.RESET, match={"subject": f"{kind}=x-*"})], seed=1)
        if not plan.drawn(request(subject=name), 0.0):
            missed.append((kind, spellings(name)[0][0]))
    assert missed == []


def test_a_fault_for_a_subject_passes_over_who_has_none() -> None:
    """Who fetches the CA certificates without a certificate is nobody; an empty name fits only what fits nothing."""
    named = FaultPlan([fault(K.RESET, match={"subject": "*"})], seed=1)
    assert not named.drawn(request(), 0.0)
    assert named.drawn(request(subject=EMPTY_NAME), 0.0)
    assert not FaultPlan([fault(K.RESET, match={"subject": "CN=*"})], seed=1).drawn(request(subject=EMPTY_NAME), 0.0)


def test_the_subject_is_read_only_where_a_fault_that_would_strike_names_one() -> None:
    """It costs something, and of a careless client's certificate it may not be readable."""

    def unreadable() -> bytes | None:
        raise AssertionError("nobody asked for it")

    faults = [
        fault(K.LATENCY),
        fault(K.RESET, rate="0%", match={"subject": "*"}),
        fault(K.STALL, **{"from": "60s"}, match={"subject": "*"}),
        fault(K.GARBAGE, match={"subject": "*", "operation": "cacerts"}),
    ]
    assert met_by(FaultPlan(faults, seed=1), Request(DrawKey(), Operation.SIMPLEENROLL, unreadable)) == [K.LATENCY]


@pytest.mark.parametrize("operation", Operation)
def test_an_operation_fits_itself_alone(operation: Operation) -> None:
    """Each of the six."""
    plan = FaultPlan([fault(K.RESET, match={"operation": operation.value})], seed=1)
    assert [each for each in Operation if plan.drawn(request(operation=each), 0.0)] == [operation]


def test_subject_and_operation_must_both_fit() -> None:
    """All that is said counts."""
    plan = FaultPlan([fault(K.RESET, match={"subject": "CN=meter-*", "operation": "simpleenroll"})], seed=1)
    met = {
        (name, operation): bool(plan.drawn(request(operation=operation, subject=common_name(name)), 0.0))
        for name in ("meter-1", "other-1")
        for operation in (Operation.SIMPLEENROLL, Operation.SIMPLEREENROLL)
    }
    assert [key for key, is_met in met.items() if is_met] == [("meter-1", Operation.SIMPLEENROLL)]


# -- what they make of an answer


@cache
def certificate() -> Certificate:
    """Return a device's certificate."""
    authority, names = (
        make_authority("acme", KeyKind.EC_P256, now=datetime.now(UTC)),
        Names(common_name("meter-1"), None),
    )
    spki = spki_of(ec.generate_private_key(ec.SECP256R1()))
    return read_certificate(Issuer(authority, 60).issue(spki, names, datetime.now(UTC).timestamp()).der)


def issued(*, columns: int | None = None) -> EstResponse:
    """Return an answer that issues it."""
    headers = (("content-type", CERTS_ONLY), ("content-transfer-encoding", "base64"))
    return EstResponse(200, headers, encode_body(encode_certs_only([certificate().der]), columns=columns))


DEFERRED: Final = text_response(202, "deferred: retry after 3 s", (("retry-after", "3"),))
REFUSED: Final = text_response(403, "the request was rejected: no reason given")
OVERLOADED: Final = text_response(503, "the CA is at capacity", (("retry-after", "1"),))
NOTHING: Final = EstResponse(204, (), b"")


def answer_with(response: EstResponse, *faults: FaultConfig, amount: float = 0.5) -> FaultyAnswer:
    """Return an answer after faults."""
    return apply_faults(response, [Fault(each, amount) for each in faults])


def read(response: EstResponse) -> Outcome:
    """Return what a device makes of an answer to simpleenroll."""
    return read_response(Operation.SIMPLEENROLL, response, wall_now_s=0.0).outcome


ON_ALL: Final = {K.LATENCY, K.RESET, K.WRONG_STATUS}
ON_BODIES: Final = {K.GARBAGE, K.PEM_ARMOUR, K.WRAPPED_BASE64, K.WRONG_CONTENT_TYPE, K.TRUNCATED_BODY}
ON_RETRY_AFTER: Final = {K.RETRY_AFTER_MISSING, K.RETRY_AFTER_ABSURD}


@pytest.mark.parametrize(
    ("response", "kinds"),
    [
        (issued(), ON_ALL | ON_BODIES),
        (DEFERRED, ON_ALL | ON_RETRY_AFTER),
        (OVERLOADED, ON_ALL | ON_RETRY_AFTER),
        (REFUSED, ON_ALL),
        (NOTHING, ON_ALL),
    ],
    ids=["issued", "deferred", "overloaded", "refused", "nothing"],
)
def test_a_fault_is_injected_where_there_is_something_to_spoil(response: EstResponse, kinds: set[FaultKind]) -> None:
    """Elsewhere the answer stays as it was, and the log says nothing; those on certificates acted before."""
    for kind in FaultKind:
        faulty_answer = answer_with(response, fault(kind))
        if kind in kinds:
            assert faulty_answer.injected == (kind,)
            assert faulty_answer != FaultyAnswer(response, injected=(kind,)), "something is different"
        else:
            assert faulty_answer == FaultyAnswer(response)


@pytest.mark.parametrize(
    ("response", "without_effect"),
    [
        (issued(columns=64), fault(K.WRAPPED_BASE64)),
        (issued(), fault(K.WRONG_STATUS, status=200)),
        (REFUSED, fault(K.WRONG_STATUS, status=403)),
    ],
    ids=["wrapped already", "200 already", "403 already"],
)
def test_a_fault_that_changes_nothing_is_not_injected(response: EstResponse, without_effect: FaultConfig) -> None:
    """A status that is the right one is not wrong, and lines where lines were to be sent are no fault."""
    assert answer_with(response, without_effect) == FaultyAnswer(response)


def test_latency_is_a_part_of_its_range_by_the_draw_and_adds_up() -> None:
    """50 ms and half of 100 to 300 ms."""
    fixed, spread = fault(K.LATENCY, add="50ms"), fault(K.LATENCY, add="100ms..300ms")
    faulty_answer = answer_with(issued(), fixed, spread)
    assert faulty_answer.add_s == pytest.approx(0.25)
    assert (faulty_answer.response, faulty_answer.injected) == (issued(), (K.LATENCY, K.LATENCY))


@pytest.mark.parametrize(
    ("kind", "delivery"), [(K.RESET, Delivery.RESET), (K.TRUNCATED_BODY, Delivery.TRUNCATED)], ids=lambda value: value
)
def test_a_cut_answer_is_whole_until_it_is_sent(kind: FaultKind, delivery: Delivery) -> None:
    """Only its delivery says that it will not arrive, or half of it."""
    assert answer_with(issued(), fault(kind)) == FaultyAnswer(issued(), delivery, injected=(kind,))


@pytest.mark.parametrize("order", [(K.RESET, K.TRUNCATED_BODY), (K.TRUNCATED_BODY, K.RESET)])
def test_an_answer_that_is_reset_is_not_truncated_as_well(order: tuple[FaultKind, FaultKind]) -> None:
    """Nothing of it is sent, whichever fault stands first: the log must not tell of a reset that never came."""
    faulty_answer = answer_with(issued(), *map(fault, order))
    assert (faulty_answer.delivery, K.RESET in faulty_answer.injected) == (Delivery.RESET, True)


def test_a_wrong_status_comes_with_the_right_body() -> None:
    """And its headers."""
    faulty_answer = answer_with(issued(), fault(K.WRONG_STATUS, status=500)).response
    assert faulty_answer == EstResponse(500, issued().headers, issued().body)
    assert isinstance(read(faulty_answer), ServerError)


async def test_every_wrong_status_can_be_sent_with_the_body_that_it_comes_with() -> None:
    """Statuses that have no body by their nature too (RFC 9110 §15.3.5, §15.4.5), or the configuration refuses them."""
    failed = []
    for status in range(200, 600):
        try:
            wrong = fault(K.WRONG_STATUS, status=status)
        except ValidationError:
            continue
        wire, service = cast("Wire", None), cast("EstService", None)  # it is only asked to frame
        connection = HttpConnection(wire, Peer(), service, Limits(), Connections(1).enter())
        connection._http.receive_data(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while type(connection._http.next_event()) is not h11.EndOfMessage:
            pass
        try:
            connection._frame(answer_with(issued(), wrong).response)
        except h11.LocalProtocolError as error:
            failed.append((status, str(error)))
    assert failed == []


def test_a_wrong_content_type_stands_alone() -> None:
    """In the place of the right one; the certificate is read all the same, and the device notes it."""
    faulty_answer = answer_with(issued(), fault(K.WRONG_CONTENT_TYPE)).response
    assert [value for name, value in faulty_answer.headers if name == "content-type"] == ["text/html"]
    assert faulty_answer.header("content-transfer-encoding") == "base64"
    reading = read_response(Operation.SIMPLEENROLL, faulty_answer, wall_now_s=0.0)
    assert reading.outcome == Issued(certificate())
    assert [note.rule for note in reading.non_conformances] == ["wrong content type"]


def test_a_missing_retry_after_is_noted_and_leaves_the_rest() -> None:
    """The deferral is one, with no wait."""
    faulty_answer = answer_with(DEFERRED, fault(K.RETRY_AFTER_MISSING)).response
    assert faulty_answer.header("content-type") == DEFERRED.header("content-type")
    assert read(faulty_answer) == Deferred(RetryAfter(None, RetryAfterForm.MISSING))


@pytest.mark.parametrize(("keys", "told"), [({}, "315360000"), ({"seconds": 0}, "0"), ({"seconds": 7}, "7")])
def test_an_absurd_retry_after_stands_in_place_of_the_other(keys: dict[str, int], told: str) -> None:
    """Once: ten years, or what was asked for."""
    faulty_answer = answer_with(DEFERRED, fault(K.RETRY_AFTER_ABSURD, **keys)).response
    assert [value for name, value in faulty_answer.headers if name == "retry-after"] == [told]


# -- bodies as a device reads them


@given(amount=st.floats(0.0, 1.0, exclude_max=True), also=st.sampled_from([None, K.PEM_ARMOUR, K.WRAPPED_BASE64]))
def test_garbage_is_never_read(amount: float, also: FaultKind | None) -> None:
    """Whatever was drawn, and whatever is done to it besides."""
    faults = [fault(K.GARBAGE), *([fault(also)] if also else [])]
    garbage = answer_with(issued(), *faults, amount=amount).response
    with pytest.raises(TransferError, match="expected base64"):
        decode_body(garbage.body)
    assert isinstance(read(garbage), Malformed)


def test_garbage_is_different_each_time() -> None:
    """And no little of it."""
    bodies = {answer_with(issued(), fault(K.GARBAGE), amount=n / 100).response.body for n in range(100)}
    assert len(bodies) == 100
    assert {len(body) for body in bodies} == {303}


@pytest.mark.parametrize("columns", [None, 64, 76])
def test_pem_armour_is_read_and_noted(columns: int | None) -> None:
    """In lines of 64 between two more, however the body was to be sent."""
    armoured = answer_with(issued(columns=columns), fault(K.PEM_ARMOUR)).response
    first, *lines, last = armoured.body.decode().splitlines()
    assert (first, last) == ("-----BEGIN PKCS7-----", "-----END PKCS7-----")
    assert {len(line) for line in lines[:-1]} == {64}
    assert base64.b64decode("".join(lines)) == base64.b64decode(issued().body)
    assert decode_body(armoured.body)[1] == (PEM_ARMOUR,)
    reading = read_response(Operation.SIMPLEENROLL, armoured, wall_now_s=0.0)
    assert (reading.outcome, reading.non_conformances) == (Issued(certificate()), (PEM_ARMOUR,))


def test_wrapped_base64_is_read_and_nothing_is_wrong_with_it() -> None:
    """RFC 8951 §3: "Receivers SHOULD be tolerant of whitespace"; it is for those who are not."""
    wrapped = answer_with(issued(), fault(K.WRAPPED_BASE64)).response
    assert wrapped.body == issued(columns=64).body != issued().body
    reading = read_response(Operation.SIMPLEENROLL, wrapped, wall_now_s=0.0)
    assert (reading.outcome, reading.non_conformances) == (Issued(certificate()), ())


# -- several at once


def test_faults_act_one_after_the_other() -> None:
    """Late, armoured, as HTML and cut in the middle: all of it at once, in the order of the configuration."""
    kinds = (K.LATENCY, K.PEM_ARMOUR, K.WRONG_CONTENT_TYPE, K.TRUNCATED_BODY)
    faulty_answer = answer_with(issued(), *map(fault, kinds))
    assert faulty_answer.injected == kinds
    assert (faulty_answer.add_s, faulty_answer.delivery) == (1.0, Delivery.TRUNCATED)
    assert faulty_answer.response.body.startswith(b"-----BEGIN")
    assert faulty_answer.response.header("content-type") == "text/html"


def test_a_fault_sees_what_those_before_it_have_left() -> None:
    """Under a wrong status there is no body to spoil; faulty_answer before, it is sent under the wrong status."""
    status, garbage = fault(K.WRONG_STATUS), fault(K.GARBAGE)
    first = answer_with(issued(), status, garbage)
    assert (first.injected, first.response.body) == ((K.WRONG_STATUS,), issued().body)
    last = answer_with(issued(), garbage, status)
    assert last.injected == (K.GARBAGE, K.WRONG_STATUS)
    assert (last.response.status, last.response.body != issued().body) == (500, True)


def test_a_retry_after_that_is_gone_cannot_be_made_absurd() -> None:
    """The other way round both have done something."""
    missing, absurd = fault(K.RETRY_AFTER_MISSING), fault(K.RETRY_AFTER_ABSURD)
    assert answer_with(DEFERRED, missing, absurd).injected == (K.RETRY_AFTER_MISSING,)
    both = answer_with(DEFERRED, absurd, missing)
    assert both.injected == (K.RETRY_AFTER_ABSURD, K.RETRY_AFTER_MISSING)
    assert both.response.header("retry-after") is None


# -- the server's name


def test_connections_are_struck_by_their_number_at_the_rate() -> None:
    """The same ones again with the same seed, others with another."""
    faults = [fault(K.RESET), fault(K.WRONG_SERVER_NAME, rate="20%")]

    def struck(seed: int) -> list[int]:
        wrong = WrongServerName(faults, seed=seed)
        return [number for number in range(2000) if wrong.applies(number, 0.0)]

    assert 330 < len(struck(1)) < 470
    assert struck(1) == struck(1)
    assert struck(1) != struck(2)


def test_two_faults_of_the_name_are_drawn_apart() -> None:
    """Three quarters of the connections meet one of two that strike half of them each."""
    wrong = WrongServerName([fault(K.WRONG_SERVER_NAME, rate="50%")] * 2, seed=1)
    assert 1420 < sum(wrong.applies(number, 0.0) for number in range(2000)) < 1580


def test_without_a_fault_of_the_name_no_connection_is_struck() -> None:
    """Others concern answers."""
    wrong = WrongServerName([fault(K.RESET)], seed=1)
    assert not any(wrong.applies(number, 0.0) for number in range(100))
