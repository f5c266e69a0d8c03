"""Extensions of certificates and requests (RFC 5280 §4.2): each known one, right or wrong, and unknown ones."""

from collections.abc import Callable
from typing import Final

from der_writer import (
    StringTag,
    bit_string,
    boolean,
    explicit,
    extension,
    implicit,
    integer,
    null,
    octet_string,
    sequence,
    tlv,
)
from fuzz_draw import Draw
from fuzz_names import general_name, odd_name, odd_text, oid, san
from fuzz_trees import changed

_KEY_PURPOSES: Final = (
    "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.3", "1.3.6.1.5.5.7.3.27", "1.3.6.1.5.5.7.3.28",
    "2.5.29.37.0", "1.3.6.1.4.1.311.20.2.2", "2.999",
)  # fmt: skip

Value = Callable[[Draw], bytes]


def _basic_constraints(draw: Draw) -> bytes:
    ca = draw.one((boolean(True), boolean(True), boolean(False), b"", tlv(0x01, b"\x01"), tlv(0x01)))
    length = draw.one((b"", b"", integer(0), integer(1), integer(-1), integer(2**64), integer(draw.edge()), null()))
    return sequence(ca, length)


def _key_usage(draw: Draw) -> bytes:
    return draw.one((
        tlv(0x03, b"\x05\xa0"), tlv(0x03, b"\x01\x06"), tlv(0x03, b"\x07\x00\x80"), tlv(0x03, b"\x00"), tlv(0x03),
        tlv(0x03, b"\x09\xff"), tlv(0x03, b"\x00\xff\xff\xff"), tlv(0x03, b"\x07\xa0"), integer(3),
    ))  # fmt: skip


def _extended_key_usage(draw: Draw) -> bytes:
    return sequence(*map(oid, draw.some(_KEY_PURPOSES, 4)))


def _subject_key(draw: Draw) -> bytes:
    return octet_string(draw.one((bytes(20), b"", draw.octets(64), bytes(2000))))


def _authority_key(draw: Draw) -> bytes:
    parts = (
        draw.one((b"", implicit(0, bytes(20)), implicit(0, b""))),
        draw.one((b"", b"", explicit(1, general_name(draw)), explicit(1, explicit(4, odd_name(draw))))),
        draw.one((b"", b"", implicit(2, b"\x01"), implicit(2, b""), implicit(2, b"\xff" * 30))),
    )
    return sequence(*parts)


def _policies(draw: Draw) -> bytes:
    tag = draw.one((*StringTag, 0x30))
    notice = sequence(oid("1.3.6.1.5.5.7.2.2"), sequence(tlv(tag, odd_text(draw))))
    numbers = sequence(tlv(tag, odd_text(draw)), sequence(integer(draw.edge()), integer(-1)))
    reference = sequence(oid("1.3.6.1.5.5.7.2.2"), sequence(numbers, tlv(tag, odd_text(draw))))
    statement = sequence(oid("1.3.6.1.5.5.7.2.1"), tlv(0x16, odd_text(draw)))
    other = sequence(oid("1.2.3.4.5"), null())
    information = sequence(
        oid(draw.one(("1.2.3.4", "2.5.29.32.0"))), sequence(*draw.some((notice, reference, statement, other)))
    )
    return sequence(*[information] * draw.one((0, 1, 1, 1, 2, 30)))


def _distribution_points(draw: Draw) -> bytes:
    name = explicit(0, draw.one((explicit(0, general_name(draw)), tlv(0xA1, odd_name(draw)[2:]))))
    reasons = draw.one((b"", implicit(1, b"\x01\x7e"), implicit(1, b"")))
    return sequence(*[sequence(name, reasons, draw.one((b"", explicit(2, general_name(draw)))))] * draw.few())


def _information_access(draw: Draw) -> bytes:
    method = oid(draw.one(("1.3.6.1.5.5.7.48.1", "1.3.6.1.5.5.7.48.2", "1.3.6.1.5.5.7.48.5", "1.2.3")))
    return sequence(*[sequence(method, general_name(draw)) for _ in range(draw.few())])


def _name_constraints(draw: Draw) -> bytes:
    def trees(number: int) -> bytes:
        if draw.chance(0.4):
            return b""
        base = implicit(7, bytes(draw.one((8, 4, 32, 7)))) if draw.chance(0.3) else general_name(draw)
        least = implicit(0, b"\x05") if draw.chance(0.2) else b""
        return explicit(number, *[sequence(base, least)] * draw.few())

    return sequence(trees(0), trees(1))


def _policy_numbers(draw: Draw) -> bytes:
    return sequence(implicit(0, b"\x00"), implicit(1, draw.one((b"\x01", b"\xff" * 9, b""))))


def _timestamps(draw: Draw) -> bytes:
    """Return signed certificate timestamps (RFC 6962 §3.3): lengths within lengths."""
    one = b"\x00" + bytes(32) + bytes(8) + b"\x00\x00" + b"\x04\x03" + b"\x00\x08" + bytes(8)
    listed = len(one).to_bytes(2, "big") + one
    return octet_string(
        draw.one((len(listed).to_bytes(2, "big") + listed, b"\x00\x00", b"\xff\xff" + listed, draw.octets(60), b""))
    )


def _features(draw: Draw) -> bytes:
    return sequence(*[integer(draw.one((5, 17, 0, draw.edge())))] * draw.few())


def _any(draw: Draw) -> bytes:
    return draw.one(
        (
            b"",
            null(),
            b"\x00",
            b"\x30\x80\x00\x00",
            b"\x30\x82\xff\xff",
            draw.octets(100),
            sequence(null()),
            bytes(20_000),
        )
    )


KNOWN: Final[dict[str, Value]] = {
    "2.5.29.19": _basic_constraints,
    "2.5.29.15": _key_usage,
    "2.5.29.37": _extended_key_usage,
    "2.5.29.14": _subject_key,
    "2.5.29.35": _authority_key,
    "2.5.29.17": san,
    "2.5.29.18": san,
    "2.5.29.32": _policies,
    "2.5.29.31": _distribution_points,
    "2.5.29.46": _distribution_points,
    "2.5.29.28": lambda draw: sequence(
        explicit(0, explicit(0, general_name(draw))), draw.one((b"", implicit(1, b"\xff"), implicit(2, b"\xff")))
    ),
    "1.3.6.1.5.5.7.1.1": _information_access,
    "1.3.6.1.5.5.7.1.11": _information_access,
    "2.5.29.30": _name_constraints,
    "2.5.29.36": _policy_numbers,
    "2.5.29.54": lambda draw: integer(draw.edge()),
    "2.5.29.33": lambda draw: sequence(sequence(oid("1.2.3"), oid(draw.one(("1.2.4", "2.5.29.32.0"))))),
    "2.5.29.16": lambda draw: sequence(
        implicit(0, b"20260101000000Z"), implicit(1, draw.one((b"", b"20990101000000Z")))
    ),
    "2.5.29.9": lambda draw: sequence(sequence(oid("1.3.6.1.5.5.7.9.1"), tlv(0x31, tlv(0x18, odd_text(draw))))),
    "2.5.29.20": lambda draw: integer(draw.edge()),
    "1.3.6.1.4.1.11129.2.4.2": _timestamps,
    "1.3.6.1.4.1.11129.2.4.3": lambda draw: draw.one((null(), b"", null() * 2)),
    "1.3.6.1.5.5.7.1.24": _features,
    "1.3.6.1.5.5.7.48.1.5": lambda draw: draw.one((null(), b"")),
    "1.3.6.1.4.1.311.21.7": lambda draw: sequence(oid("1.3.6.1.4.1.311.21.8.1"), integer(draw.edge()), integer(1)),
    "1.3.6.1.4.1.311.20.2": lambda draw: tlv(0x1E, odd_text(draw)),
    "1.3.6.1.5.5.7.1.3": lambda draw: sequence(
        sequence(oid("0.4.0.1862.1.1")), sequence(oid("1.2"), general_name(draw))
    ),
    "2.16.840.1.113730.1.1": lambda draw: tlv(0x03, draw.octets(3)),
    "2.16.840.1.113730.1.13": lambda draw: tlv(0x16, odd_text(draw)),
    "1.3.6.1.4.1.99999.7": _any,
    "2.999.3": _any,
}
_KINDS: Final = tuple(KNOWN)


def odd_extension(draw: Draw, kind: str | None = None) -> bytes:
    """Return an extension, of a given kind or of any."""
    kind = kind or draw.one(_KINDS)
    value = KNOWN[kind](draw)
    if draw.chance(0.15):
        value = draw.one((changed(draw, value), _any(draw), value + b"\0", value[:-1]))
    match int(draw.random() * 20):
        case 0:
            return sequence(oid(kind), boolean(False), octet_string(value))  # a default, which DER leaves out
        case 1:
            return sequence(oid(kind), tlv(0x01, b"\x01"), octet_string(value))
        case 2:
            return draw.one(
                (sequence(oid(kind)), sequence(oid(kind), value), sequence(oid(kind), bit_string(value)), sequence())
            )
        case _:
            return extension(kind, value, critical=draw.chance(0.15))
