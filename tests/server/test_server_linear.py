"""What a stranger sends the sandbox costs no more than its size, at its limit of 48 KB (the base64 of 64 KiB)."""

from collections.abc import Callable
from contextlib import suppress

import h11
import pytest
from linear import Reader, assert_linear, cpu_s
from odd_requests import (
    CN,
    DNS,
    UTF8,
    attribute,
    common_name,
    extension,
    extension_request,
    integer,
    rdn,
    request,
    san,
    seq,
)

from estsim.est.csr import CSRError, read_csr
from estsim.est.messages import EstRequest
from estsim.est.operations import Operation
from estsim.server.answer import Refused
from estsim.server.draws import DrawKey
from estsim.server.fault_config import FaultConfig
from estsim.server.faults import FaultPlan, Request
from estsim.server.http_head import check_head
from estsim.server.names import NamesError, requested_names

FULL = 48 * 1024
WORST = FaultPlan([FaultConfig.model_validate({"kind": "garbage", "match": {"subject": "CN=*a*a*a*a*b"}})], seed=1)


def read(der: bytes) -> None:
    """Read a request as the sandbox does."""
    with suppress(CSRError, NamesError):
        requested_names(read_csr(der), renewing=False)


def matched(name_der: bytes) -> None:
    """Hold a Subject against a pattern that never fits."""
    assert not WORST.drawn(Request(DrawKey(1), Operation.SIMPLEENROLL, lambda: name_der), 0.0)


def in_single_bytes(sent: bytes) -> None:
    """Read a head as it comes, a byte at a time."""
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=16 * 1024)
    with suppress(h11.RemoteProtocolError):
        for octet in sent:
            http.receive_data(bytes((octet,)))
            http.next_event()


def head(value: bytes) -> None:
    """Check a head with a long value in each field that is looked into."""
    text = value.decode("latin-1")
    for name in ("host", "expect", "content-encoding"):
        with suppress(Refused):
            check_head(EstRequest("GET", "/", ((name, text),), b""), "1.1")


Make = Callable[[int], bytes]
CASES: dict[str, tuple[Make, Callable[[bytes], None]]] = {
    "attributes": (lambda size: request(*(attribute("1.2.3.4", integer(1)) for _ in range(size // 14))), read),
    "an attribute": (lambda size: request(attribute("1.2.3.4", *(integer(1),) * (size // 3))), read),
    "extensions": (lambda size: request(extension_request(*(extension("1.2.3", b""),) * (size // 8))), read),
    "alternative names": (lambda size: request(extension_request(san(*((DNS, b"a"),) * (size // 3)))), read),
    "a long name": (lambda size: request(extension_request(san((DNS, b"a" * size)))), read),
    "RDNs": (lambda size: request(subject=seq(*(rdn((CN, UTF8, b"a")),) * (size // 14))), read),
    "an RDN": (lambda size: request(subject=seq(rdn(*((CN, UTF8, b"a"),) * (size // 12)))), read),
    "a long Subject": (lambda size: request(subject=common_name(b"a" * size)), read),
    "elements in elements": (lambda size: request(extension_request(b"\x30\x80" * (size // 2))), read),
    "a Subject and a pattern": (lambda size: common_name(b"a" * (size // 6)), matched),
    "a Subject of many parts and a pattern": (lambda size: seq(*(rdn((CN, UTF8, b"a")),) * (size // 84)), matched),
    "a head in single bytes": (lambda size: b"GET / HTTP/1.1\r\nX: " + b"a" * (size // 4), in_single_bytes),
    "header lines in single bytes": (lambda size: b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * (size // 24), in_single_bytes),
    "folded lines in single bytes": (
        lambda size: b"GET / HTTP/1.1\r\nX: a\r\n" + b" a\r\n" * (size // 16),
        in_single_bytes,
    ),
    "values of a head": (lambda size: b"100-continue, " * (size // 56), head),
    "a host": (lambda size: b"a" * (size // 4) + b":x", head),
}


@pytest.mark.alone
@pytest.mark.parametrize("case", CASES)
def test_ten_times_as_much_takes_at_most_twenty_times_as_long(case: str) -> None:
    """And nothing holds the event loop for long."""
    make, work = CASES[case]
    reader = Reader(case, work, make, FULL)
    assert_linear(reader)
    if work is read:
        assert min(cpu_s(reader, FULL) for _ in range(5)) < 0.02, "of 5 ms there is some left on a slow machine"
