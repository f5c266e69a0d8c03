"""Every reader of foreign bytes in est/ is linear in their number, up to the most that it is given."""

import base64
import os
from collections.abc import Callable
from functools import cache, partial
from typing import Final

import pytest
from est_pki import device_certificate
from linear import Reader, assert_linear

from estsim.est.bodies import read_body
from estsim.est.certs_only import encode_certs_only, read_certs_only
from estsim.est.challenge import read_challenges
from estsim.est.der import children, encode, from_ber
from estsim.est.messages import EstResponse
from estsim.est.operations import Operation
from estsim.est.readable import readable
from estsim.est.reading import read_response
from estsim.est.retry_after import read_retry_after
from estsim.est.transfer import decode_body, encode_body

BODY: Final = 1 << 20  # as much of a body as the wire lets pass
MESSAGE: Final = BODY * 3 // 4
HEAD: Final = 1 << 16
NOW_S: Final = 1_800_000_000.0


def repeated(unit: bytes, *, before: bytes = b"", after: bytes = b"") -> Callable[[int], bytes]:
    """Return a maker of bytes that repeat, up to a size."""
    return lambda size: before + unit * (size // len(unit)) + after


def text(unit: str, *, before: str = "", after: str = "") -> Callable[[int], str]:
    """Return the same for a header's value."""
    return lambda size: before + unit * (size // len(unit)) + after


def nested(depth: int, content: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Return a maker of BER in so many layers of indefinite length."""
    return lambda size: b"\x30\x80" * depth + content(size) + b"\x00\x00" * depth


def challenges(value: str) -> object:
    """Read a WWW-Authenticate."""
    return read_challenges([value])


def retry_after(value: str) -> object:
    """Read a Retry-After, and a Date beside it."""
    return read_retry_after(value, date=value, wall_now_s=NOW_S)


def response(operation: Operation, status: int, value: object) -> object:
    """Judge a response whose body or headers are given."""
    if isinstance(value, bytes):
        return read_response(operation, EstResponse(status, (), value), wall_now_s=NOW_S)
    assert isinstance(value, str)
    names = ("location", "retry-after", "date", "www-authenticate", "content-type", "content-range")
    headers = tuple((name, value) for name in names)
    return read_response(operation, EstResponse(status, headers, b""), wall_now_s=NOW_S)


@cache
def large_certificate_set(size: int) -> bytes:
    """Return a certs-only message of as many certificates as there is room for."""
    one = device_certificate().der
    return encode_certs_only([one] * (size // len(encode_certs_only([one]))))


def certificates_body(size: int) -> bytes:
    """Return such a message as a body, each time another one, since bodies are remembered."""
    body = encode_body(large_certificate_set(size * 3 // 4))
    return b" " * (int.from_bytes(os.urandom(2), "big") % 1000) + body


READERS: Final = (
    Reader("base64 in lines", decode_body, lambda size: base64.encodebytes(bytes(size * 3 // 4)), BODY),
    Reader("nothing but white space", decode_body, repeated(b" \r\n\t"), BODY),
    Reader("base64 that ends badly", decode_body, repeated(b"AAAA", after=b"="), BODY),
    Reader("nothing but padding", decode_body, repeated(b"=", before=b"AA"), BODY),
    Reader("armour that never ends", decode_body, repeated(b"-----BEGIN a-----"), BODY),
    Reader("armour that never ends its name", decode_body, repeated(b"-----BEGIN " + b"a" * 64), BODY),
    Reader("armour that only ends", decode_body, repeated(b"-----END a-----"), BODY),
    Reader("armour of dashes", decode_body, repeated(b"-"), BODY),
    Reader("armour with a text before it", decode_body, repeated(b"----- ", after=b"-----BEGIN a-----"), BODY),
    Reader("a DER set of empty elements", lambda made: children(made, 0, len(made)), repeated(b"\x04\x00"), MESSAGE),
    Reader("BER of empty elements", from_ber, nested(1, repeated(b"\x04\x00")), MESSAGE),
    Reader("BER of empty elements deep down", from_ber, nested(30, repeated(b"\x04\x00")), MESSAGE),
    Reader("BER of one large string deep down", from_ber, nested(30, lambda size: encode(4, bytes(size))), MESSAGE),
    Reader("BER of many deep elements", from_ber, nested(1, repeated(b"\x30\x80" * 30 + b"\x00\x00" * 30)), MESSAGE),
    Reader("BER that never ends", from_ber, repeated(b"\x30\x80"), MESSAGE),
    Reader("certs-only of many certificates", read_certs_only, large_certificate_set, MESSAGE),
    Reader("certs-only of no certificate", read_certs_only, repeated(b"\x30\x00"), MESSAGE),
    Reader(
        "CSR attributes", partial(response, Operation.CSRATTRS, 200), repeated(base64.b64encode(b"\x06\x01\x2a")), BODY
    ),
    Reader("CA certificates", partial(response, Operation.CACERTS, 200), certificates_body, BODY),
    Reader(
        "an issued certificate among many",
        lambda made: read_body(Operation.SIMPLEENROLL, made, b"another key"),
        certificates_body,
        BODY,
    ),
    Reader("an error page", partial(response, Operation.SIMPLEENROLL, 400), repeated(b"<p>\xff"), BODY),
    Reader("text for people", readable, repeated(b"\xff"), BODY),
    Reader("challenges", challenges, text("a "), HEAD),
    Reader("challenges with a parameter", challenges, text('a b="" '), HEAD),
    Reader("an open quote", challenges, text("\\a", before='a b="'), HEAD),
    Reader("many open quotes", challenges, text('a b="\\"'), HEAD),
    Reader("a long word", challenges, text("a"), HEAD),
    Reader("a long token", challenges, text("/", before="a ", after='"'), HEAD),
    Reader("commas", challenges, text(","), HEAD),
    Reader("blanks", challenges, text(" ", before="a b", after="="), HEAD),
    Reader("seconds", retry_after, text("9"), HEAD),
    Reader("zeros", retry_after, text("0", after="1"), HEAD),
    Reader("a date in pieces", retry_after, text("Mon, "), HEAD),
    Reader("blanks around seconds", retry_after, text(" ", before="1", after="1"), HEAD),
    *(
        Reader(f"long headers of a {status}", partial(response, Operation.SIMPLEENROLL, status), text("a;b=, "), HEAD)
        for status in (200, 202, 206, 307, 401, 503)
    ),
)


@pytest.mark.alone
@pytest.mark.parametrize("reader", READERS, ids=str)
def test_a_reader_is_linear(reader: Reader) -> None:
    """Ten times the bytes take ten times the time, whatever they are."""
    assert_linear(reader)


def test_the_inputs_are_as_bad_as_they_are_meant_to_be() -> None:
    """The large messages are read whole, not refused at their first byte."""
    certificates, _ = read_certs_only(large_certificate_set(MESSAGE))
    assert len(certificates) > 1000
