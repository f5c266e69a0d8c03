"""The sandbox's injected faults: which apply to a request, and what they do to its answer. Pure; time is passed in.

A draw is keyed by the seed, the request's :class:`~estsim.server.draws.DrawKey` and the fault's place in the
configuration, so the same fleet gets the same faults again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Final

from estsim.est.messages import EstResponse
from estsim.est.operations import Operation
from estsim.load.streams import Purpose, uniform
from estsim.pki.names import spellings
from estsim.server.draws import DrawKey
from estsim.server.fault_config import FaultConfig, FaultKind

_FAULTS_AT_MOST: Final = 1 << 20  # distance between the counters of two requests
_AMOUNT: Final = 1 << 19  # offset of draws of amounts from those of occurrence
_COLUMNS: Final = 64
_OCTETS_OF_GARBAGE: Final = 300
_ON_BODIES: Final = frozenset(
    {
        FaultKind.GARBAGE,
        FaultKind.PEM_ARMOUR,
        FaultKind.WRAPPED_BASE64,
        FaultKind.WRONG_CONTENT_TYPE,
        FaultKind.TRUNCATED_BODY,
    }
)
_ON_RETRY_AFTER: Final = frozenset({FaultKind.RETRY_AFTER_MISSING, FaultKind.RETRY_AFTER_ABSURD})
_OK: Final = 200


class Delivery(Enum):
    """How an answer reaches the client."""

    WHOLE = "whole"
    TRUNCATED = "truncated"  # half of its body, then the end of the connection
    RESET = "reset"  # not at all: a TCP reset in its place
    SILENCE = "silence"  # not at all: nothing, for a while, then the end of the connection


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that applies to a request; ``amount`` is a draw for values with a distribution."""

    config: FaultConfig
    amount: float = 0.0

    @property
    def kind(self) -> FaultKind:
        """The kind of fault."""
        return self.config.kind


@dataclass(frozen=True, slots=True)
class Request:
    """What faults are drawn and matched by; ``subject`` is called where a fault matches subjects."""

    draws: DrawKey
    operation: Operation
    subject: Callable[[], bytes | None]


class FaultPlan:
    """The ``faults`` of one trust center."""

    def __init__(self, faults: Sequence[FaultConfig], *, seed: int) -> None:
        self._faults = tuple((n, f) for n, f in enumerate(faults) if f.kind is not FaultKind.WRONG_SERVER_NAME)
        self._seed = seed

    def drawn(self, request: Request, age_s: float) -> tuple[Fault, ...]:
        """Return the faults of a request, ``age_s`` seconds into the run, in the order of the configuration."""
        return tuple(
            Fault(fault, self._draw(request, number + _AMOUNT))
            for number, fault in self._faults
            if _is_on(fault, age_s) and self._draw(request, number) < fault.rate and _concerns(fault, request)
        )

    def _draw(self, request: Request, counter: int) -> float:
        key = request.draws
        return uniform(self._seed, key.who, Purpose.FAULT, key.ordinal * _FAULTS_AT_MOST + counter)


class WrongServerName:
    """The fault in the handshake, drawn by the number of the connection.

    A server presents its certificate before it sees the client's, so only here the order of arrival decides.
    """

    def __init__(self, faults: Iterable[FaultConfig], *, seed: int) -> None:
        self._faults = tuple((n, f) for n, f in enumerate(faults) if f.kind is FaultKind.WRONG_SERVER_NAME)
        self._seed = seed

    def applies(self, connection: int, age_s: float) -> bool:
        """Whether a connection gets the wrong certificate."""
        return any(
            _is_on(fault, age_s) and uniform(self._seed, number, Purpose.FAULT, connection) < fault.rate
            for number, fault in self._faults
        )


@dataclass(frozen=True, slots=True)
class FaultyAnswer:
    """An answer after its faults: what is sent, how, with which delay, and which faults had an effect."""

    response: EstResponse
    delivery: Delivery = Delivery.WHOLE
    add_s: float = 0.0
    injected: tuple[FaultKind, ...] = ()


def apply_faults(response: EstResponse, faults: Iterable[Fault]) -> FaultyAnswer:
    """Apply faults to an answer; those without effect are not reported as injected."""
    faulty_answer = FaultyAnswer(response)
    for fault in faults:
        if _applies(fault.kind, faulty_answer.response):
            after = _apply(faulty_answer, fault)
            if after != faulty_answer:
                faulty_answer = replace(after, injected=(*after.injected, fault.kind))
    return faulty_answer


def find(faults: Iterable[Fault], kind: FaultKind) -> Fault | None:
    """Return the first fault of a kind."""
    return next((fault for fault in faults if fault.kind is kind), None)


def _is_on(fault: FaultConfig, age_s: float) -> bool:
    return fault.from_ <= age_s and (fault.to is None or age_s < fault.to)


def _concerns(fault: FaultConfig, request: Request) -> bool:
    match = fault.match
    if match.operation is not None and match.operation is not request.operation:
        return False
    if match.subject is None:
        return True
    name = request.subject()
    if name is None:
        return False
    return any(fnmatchcase(text, match.subject) for parts in spellings(name) for text in (",".join(parts), *parts))


def _applies(kind: FaultKind, response: EstResponse) -> bool:
    """Whether a fault can affect an answer; those on certificates already did when it was issued."""
    if kind in _ON_BODIES:
        return response.status == _OK
    if kind in _ON_RETRY_AFTER:
        return response.header("retry-after") is not None
    return kind in (FaultKind.LATENCY, FaultKind.RESET, FaultKind.WRONG_STATUS)


def _apply(faulty_answer: FaultyAnswer, fault: Fault) -> FaultyAnswer:
    response = faulty_answer.response
    match fault.kind:
        case FaultKind.LATENCY:
            return replace(faulty_answer, add_s=faulty_answer.add_s + fault.config.add.at(fault.amount))
        case FaultKind.RESET:  # nothing is sent, so nothing is truncated
            others = tuple(kind for kind in faulty_answer.injected if kind is not FaultKind.TRUNCATED_BODY)
            return replace(faulty_answer, delivery=Delivery.RESET, injected=others)
        case FaultKind.TRUNCATED_BODY:  # unless it is reset
            cut = faulty_answer.delivery is Delivery.WHOLE
            return replace(faulty_answer, delivery=Delivery.TRUNCATED) if cut else faulty_answer
        case FaultKind.WRONG_STATUS:
            return replace(faulty_answer, response=replace(response, status=fault.config.status))
        case _:
            return replace(faulty_answer, response=_rewritten(response, fault))


def _rewritten(response: EstResponse, fault: Fault) -> EstResponse:
    match fault.kind:
        case FaultKind.GARBAGE:
            return replace(response, body=_garbage(fault.amount))
        case FaultKind.PEM_ARMOUR:
            lines = _wrapped(response.body)
            return replace(response, body=b"-----BEGIN PKCS7-----\n" + lines + b"-----END PKCS7-----\n")
        case FaultKind.WRAPPED_BASE64:
            return replace(response, body=_wrapped(response.body))
        case FaultKind.WRONG_CONTENT_TYPE:
            return _with_header(response, "content-type", "text/html")
        case FaultKind.RETRY_AFTER_MISSING:
            return _with_header(response, "retry-after", None)
        case FaultKind.RETRY_AFTER_ABSURD:
            return _with_header(response, "retry-after", str(fault.config.seconds))
        case _:
            raise AssertionError(fault.kind)


def _with_header(response: EstResponse, name: str, value: str | None) -> EstResponse:
    others = tuple(header for header in response.headers if header[0] != name)
    return replace(response, headers=others if value is None else (*others, (name, value)))


def _wrapped(body: bytes) -> bytes:
    line = body.translate(None, b"\r\n")
    return b"".join(line[at : at + _COLUMNS] + b"\n" for at in range(0, len(line), _COLUMNS))


def _garbage(amount: float) -> bytes:
    """Return bytes that are not base64, different for each draw."""
    seed = repr(amount).encode()
    noise = b"".join(blake2b(seed, salt=bytes([n])).digest() for n in range(5))[:_OCTETS_OF_GARBAGE]
    return b"\x00\xff!" + noise
