"""Names as certificates and requests carry them, right and wrong: attributes, string types, GeneralNames, texts.

What is odd is odd in one place, so that the rest is read.
"""

from functools import cache
from typing import Final

from der_writer import StringTag, boolean, explicit, implicit, integer, sequence, set_of, tlv
from der_writer import oid as encoded_oid
from fuzz_draw import Draw

oid = cache(encoded_oid)

_TYPES: Final = (
    "2.5.4.3", "2.5.4.4", "2.5.4.5", "2.5.4.6", "2.5.4.7", "2.5.4.8", "2.5.4.9", "2.5.4.10", "2.5.4.11", "2.5.4.12",
    "2.5.4.17", "2.5.4.42", "2.5.4.43", "2.5.4.44", "2.5.4.45", "2.5.4.46", "2.5.4.65", "2.5.4.97",
    "0.9.2342.19200300.100.1.1", "0.9.2342.19200300.100.1.25", "1.2.840.113549.1.9.1", "1.3.6.1.4.1.311.60.2.1.3",
    "1.3.6.1.4.1.99999.1", "2.999.1", "2.25.329800735698586629295641978511506172918", "1.2.643.3.131.1.1",
)  # fmt: skip
_TEXTS: Final = (
    b"dev", b"", b" ", b" leading and trailing ", b"a" * 64, b"a" * 65, b"b" * 3000, b'=,+"\\<>;#', b"CN=inner,O=x",
    b"meter-0\x00.example", b"line\r\nfeed: x", b"\x1b[31mred\x1b[0m", "ra\u00edz".encode(),
    "ra\u00edz".encode("latin-1"),
    "\u202egpj.exe".encode(), "\U0001f511".encode(), b"\xed\xa0\x80", b"\xc0\xaf", b"\xff\xfe", "\u2028".encode(),
    "\ud7ff\ufeff".encode(), b"%s%n${jndi:x}", b"'; DROP TABLE exchanges --", b"=1+1", b"xn--", b"DE", b"DEU", b"d",
)  # fmt: skip
_TAGS: Final = (*StringTag, 0x12, 0x19, 0x1B, 0x03, 0x04, 0x05, 0x02, 0x30)
_HOSTS: Final = (
    b"localhost", b"est.example.com", b"*.example.com", b"*", b"*.", b"*.*.com", b"", b".", b"a..b", b"-a.example",
    b"xn--", b"xn--maana-pta.example", b"xn--ls8h.la", "m\u00fcller.example".encode("latin-1"),
    "\u5e73.example".encode(),
    b"localhost.", b"LOCALHOST", b"a\x00b", b"a b", b"127.0.0.1", b"[::1]", b"host:443", b"x" * 64 + b".example",
    b"a." * 130, b"_srv.example", b"https://localhost/", b"local\nhost", b"\x1b]0;t\x07",
)  # fmt: skip
_ADDRESSES: Final = (
    b"\x7f\0\0\1", b"", b"\x7f", b"\x7f\0\0", b"\x7f\0\0\1\xff\xff\xff\0", bytes(15) + b"\1", bytes(17), bytes(32),
    b"\n" * 4,
)  # fmt: skip
_URIS: Final = (
    b"https://est.example.com/", b"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", b"", b"http://[::1",
    b"http://a\x00b/",
    b"javascript:alert(1)", b"http://\xff/", b"x:" + b"y" * 2000, b"//", b"https://xn--/",
)  # fmt: skip
_MAILS: Final = (b"a@example.com", b"", b"@", b"a@b@c", "\u00e4@example.com".encode(), b"a\0@b", b"a@" + b"b" * 300)


def plain_name(text: str, organization: str | None = None) -> bytes:
    """Return a Name as most CAs write it."""
    rdns = [(b"" if organization is None else _attribute("2.5.4.10", StringTag.UTF8, organization.encode()))]
    return sequence(
        *([set_of(rdns[0])] if rdns[0] else []), set_of(_attribute("2.5.4.3", StringTag.UTF8, text.encode()))
    )


def _attribute(kind: str, tag: int, text: bytes) -> bytes:
    return sequence(oid(kind), tlv(tag, text))


def odd_name(draw: Draw) -> bytes:
    """Return a Name of any attributes, of any types and texts."""
    match int(draw.random() * 8):
        case 0:
            return sequence()
        case 1:
            return sequence(set_of())
        case 2:
            return sequence(*(set_of(odd_attribute(draw)) for _ in range(draw.one((1, 2, 5, 40)))))
        case 3:
            return sequence(set_of(*(odd_attribute(draw) for _ in range(3))))
        case _:
            return sequence(*(set_of(odd_attribute(draw)) for _ in range(1 + draw.few())))


def odd_attribute(draw: Draw) -> bytes:
    """Return an AttributeTypeAndValue of any kind."""
    return _attribute(draw.one(_TYPES), odd_tag(draw), odd_text(draw))


def odd_tag(draw: Draw) -> int:
    """Return a string type, mostly."""
    return StringTag.UTF8 if draw.chance(0.3) else draw.one(_TAGS)


def odd_text(draw: Draw) -> bytes:
    """Return the content of a string."""
    if draw.chance(0.1):
        return draw.octets(40)
    text = draw.one(_TEXTS)
    return text.decode("latin-1").encode("utf-16-be") if draw.chance(0.05) else text


def san(draw: Draw, host: bytes | None = None) -> bytes:
    """Return GeneralNames, mostly odd ones; ``host`` stands among them as it should."""
    names = [general_name(draw) for _ in range(draw.few())]
    if host is not None:
        names.insert(int(draw.random() * (len(names) + 1)), implicit(2, host))
    return sequence(*names)


def general_name(draw: Draw) -> bytes:
    """Return a GeneralName of any of its nine kinds, or of none (RFC 5280 §4.2.1.6)."""
    match int(draw.random() * 11):
        case 0:
            return explicit(0, sequence(oid(draw.one(_TYPES)), explicit(0, tlv(odd_tag(draw), odd_text(draw)))))
        case 1:
            return explicit(0, oid("1.3.6.1.5.5.7.8.4"), explicit(0, sequence(oid("1.2.3"), tlv(0x04, draw.octets(9)))))
        case 2:
            return implicit(1, draw.one(_MAILS))
        case 3 | 4:
            return implicit(2, draw.one(_HOSTS))
        case 5:
            return explicit(3, draw.octets(12))
        case 6:
            return explicit(4, odd_name(draw))
        case 7:
            return implicit(6, draw.one(_URIS))
        case 8:
            return implicit(7, draw.one(_ADDRESSES))
        case 9:
            return implicit(8, oid(draw.one(_TYPES))[2:]) if draw.chance(0.7) else implicit(8, draw.octets(6))
        case _:
            return draw.one(
                (implicit(9, b"x"), tlv(0x30), tlv(0x0C, b"x"), implicit(2, b""), boolean(True), integer(1))
            )
