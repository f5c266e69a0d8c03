"""What EST bodies carry: certs-only messages, CSR attributes, and the base64 around them, right and wrong."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from der_writer import explicit, integer, null, octet_string, sequence, set_of, tlv
from fuzz_certificates import (
    ISSUING,
    OLD_ROOT,
    ROOT,
    STRANGER,
    Asked,
    Signer,
    edwards_root,
    odd_certificate,
    rsa_root,
    self_signed,
    usual,
)
from fuzz_draw import Draw
from fuzz_keys import elliptic_key, odd_spki, spki_of
from fuzz_mutations import mutated
from fuzz_names import odd_name, oid, plain_name
from fuzz_trees import changed

_SIGNED_DATA: Final = oid("1.2.840.113549.1.7.2")
_DATA: Final = oid("1.2.840.113549.1.7.1")
_KINDS: Final = tuple(map(oid, ("1.2.840.113549.1.7.3", "1.2.840.113549.1.7.1", "1.2.840.113549.1.9.16.1.2", "2.999")))
_LONGEST_CHAIN: Final = 100


def certs_only(certificates: Sequence[bytes]) -> bytes:
    """Return a certs-only message as it should be (RFC 5272 §4.1)."""
    held = explicit(0, *certificates) if certificates else b""
    return sequence(_SIGNED_DATA, explicit(0, sequence(integer(1), set_of(), sequence(_DATA), held, set_of())))


def odd_certs_only(draw: Draw, certificates: Sequence[bytes]) -> bytes:
    """Return a message with certificates in which something else is odd, now and then."""
    if draw.chance(0.75):
        return certs_only(certificates)
    if draw.chance(0.25):
        return indefinite(draw, certs_only(certificates))
    version = draw.one((integer(1), integer(3), integer(0), integer(-1), b"", tlv(0x02)))
    algorithms = draw.one(
        (set_of(), set_of(sequence(oid("2.16.840.1.101.3.4.2.1"), null())), sequence(), b"", tlv(0x31, b"x"))
    )
    held = draw.one((octet_string(b"content"), explicit(0, octet_string(draw.octets(99))), b"", sequence()))
    content = sequence(draw.one((_DATA, _DATA, *_KINDS)), draw.one((b"", b"", held)))
    choices = [
        *certificates,
        *draw.some((explicit(0, sequence()), explicit(1, sequence()), explicit(3, oid("1.2")), null(), b""), 2),
    ]
    draw.shuffle(choices)
    listed = draw.one(
        (explicit(0, *choices), explicit(0, *choices), explicit(0), b"", set_of(*choices), explicit(0, *choices) * 2)
    )
    crls = draw.one((b"", b"", explicit(1, sequence()), explicit(1)))
    signers = draw.one((set_of(), set_of(), set_of(sequence(integer(1))), b"", sequence(), set_of() + null()))
    inner = sequence(version, algorithms, content, listed, crls, signers)
    message = sequence(
        draw.one((_SIGNED_DATA, _SIGNED_DATA, *_KINDS)),
        draw.one((explicit(0, inner), explicit(0, inner), explicit(1, inner), inner)),
    )
    match int(draw.random() * 6):
        case 0:
            return changed(draw, message)
        case 1:
            return mutated(draw, message)
        case 2:
            return message + draw.one((b"\0\0", draw.octets(30), message))
        case _:
            return message


def indefinite(draw: Draw, der: bytes) -> bytes:
    """Return a message in BER: outer elements of indefinite length, with or without their ends."""
    inner = der
    ends = b"\0\0" if draw.chance(0.8) else b""
    for _ in range(draw.one((1, 1, 2, 3))):
        header = 2 + (inner[1] & 0x7F if inner[1] & 0x80 else 0)
        inner = inner[:1] + b"\x80" + inner[header:] + ends
        if draw.chance(0.3):
            break
    return inner


# -- the CA certificates


def ca_certificates(draw: Draw, now: datetime) -> list[bytes]:
    """Return what an answer to cacerts holds: the root that issues, and whatever else comes."""
    certificates = [self_signed(ROOT, now)]
    issuing = Asked(ISSUING.name, spki_of(ISSUING.key))
    if draw.chance(0.4):
        certificates.append(usual(issuing, ROOT, now, serial=2, ca=True).written())
    for _ in range(draw.one((0, 0, 1, 1, 2))):
        certificates += draw.one(_BESIDE)(draw, now)
    if draw.chance(0.3):
        draw.shuffle(certificates)
    return certificates


def _of_root(draw: Draw, now: datetime) -> list[bytes]:
    """Return odd certificates of the root itself, and of the CA below it."""
    who = draw.one((ROOT, ISSUING, OLD_ROOT))
    return [odd_certificate(draw, Asked(who.name, spki_of(who.key)), draw.one((ROOT, who)), now, ca=True)]


def _other_roots(draw: Draw, now: datetime) -> list[bytes]:
    signer = draw.one((OLD_ROOT, STRANGER, rsa_root(), edwards_root()))
    return [odd_certificate(draw, Asked(signer.name, spki_of(signer.key)), signer, now, ca=True)]


def _roll_over(draw: Draw, now: datetime) -> list[bytes]:
    """Return the certificates of a root that changes its key (RFC 4210 §4.4)."""
    new_with_old = usual(Asked(ROOT.name, spki_of(ROOT.key)), OLD_ROOT, now, serial=3, ca=True).written()
    old_with_new = usual(Asked(OLD_ROOT.name, spki_of(OLD_ROOT.key)), ROOT, now, serial=4, ca=True).written()
    return draw.some((self_signed(OLD_ROOT, now + timedelta(days=draw.one((-9, 0, 9)))), new_with_old, old_with_new))


def _odd_ca(draw: Draw, now: datetime) -> list[bytes]:
    spki = draw.one((odd_spki(draw), spki_of(elliptic_key(5))))
    return [odd_certificate(draw, Asked(odd_name(draw), spki), draw.one((ROOT, ISSUING)), now, ca=True)]


def _no_ca(draw: Draw, now: datetime) -> list[bytes]:
    return [odd_certificate(draw, Asked(plain_name("leaf"), spki_of(elliptic_key(6))), ROOT, now)]


def _garbage(draw: Draw, _: datetime) -> list[bytes]:
    return [
        draw.one((sequence(), sequence(b"\x05\0"), draw.octets(50), sequence(sequence(), sequence(), tlv(0x03, b"\0"))))
    ]


def _chain(draw: Draw, now: datetime) -> list[bytes]:
    """Return a chain of CAs, of one name or of many, each signed by the one before."""
    name = plain_name("Chain")
    above = Signer(name, elliptic_key(10))
    chain = [self_signed(above, now)]
    for number in range(draw.one((2, 3, 5, 17, _LONGEST_CHAIN)) if draw.chance(0.3) else 2):
        below = Signer(name if draw.chance(0.7) else plain_name(f"Chain {number}"), elliptic_key(11 + number))
        chain.append(usual(Asked(below.name, spki_of(below.key)), above, now, serial=100 + number, ca=True).written())
        above = below
    return chain


_BESIDE: Final = (_of_root, _of_root, _other_roots, _roll_over, _odd_ca, _odd_ca, _no_ca, _garbage, _chain)


# -- what was issued


def issued(draw: Draw, asked: Asked, now: datetime) -> list[bytes]:
    """Return the certificates of an answer to an enrolment: the one that was asked for, and whatever else comes."""
    by = (
        draw.one((ROOT, ROOT, ROOT, ROOT, ISSUING)) if draw.chance(0.95) else draw.one((STRANGER, OLD_ROOT, rsa_root()))
    )
    certificates = [odd_certificate(draw, asked, by, now)]
    if draw.chance(0.15):
        certificates += draw.one(_BESIDE)(draw, now)
        draw.shuffle(certificates)
    return certificates if draw.chance(0.99) else []


# -- CSR attributes (RFC 7030 §4.5.2, RFC 9908)

_ATTRIBUTES: Final = tuple(map(oid, (
    "1.2.840.113549.1.9.7", "1.2.840.113549.1.9.14", "1.2.840.113549.1.1.1", "1.2.840.10045.2.1", "1.2.840.10045.4.3.3",
    "1.2.840.113549.1.9.16.2.61", "1.3.6.1.1.1.1.22", "2.999",
)))  # fmt: skip


def csr_attributes(draw: Draw) -> bytes:
    """Return CSR attributes: object identifiers, attributes with values, and what is neither."""
    values = (
        oid("1.3.132.0.34"),
        integer(draw.edge()),
        set_of(),
        octet_string(draw.octets(20)),
        sequence(odd_name(draw)),
    )
    entries = [
        draw.one((draw.one(_ATTRIBUTES), sequence(draw.one(_ATTRIBUTES), set_of(*draw.some(values)))))
        for _ in range(draw.one((0, 1, 2, 5, 200)))
    ]
    if draw.chance(0.2):
        entries.append(draw.one((null(), sequence(), b"\x00", octet_string(b"x"), set_of())))
    der = sequence(*entries)
    match int(draw.random() * 8):
        case 0:
            return changed(draw, der)
        case 1:
            return mutated(draw, der)
        case 2:
            return indefinite(draw, der)
        case _:
            return der


# -- the base64 around it


def transferred(draw: Draw, der: bytes) -> bytes:
    """Return a body that carries DER: as it should be, mostly, or in another way that servers were seen to do it."""
    if draw.chance(0.6):
        return binascii.b2a_base64(der, newline=False)
    return draw.one(_TRANSFERS)(draw, der)


def _armoured(draw: Draw, der: bytes) -> bytes:
    label = draw.one((b"CERTIFICATE", b"PKCS7", b"CERTIFICATE REQUEST", b"", b"X" * 70, b"a-b", b"\xff"))
    begin, end = b"-----BEGIN " + label + b"-----", b"-----END " + label + b"-----"
    inner = base64.encodebytes(der)
    match int(draw.random() * 8):
        case 0:
            return begin * draw.one((2, 100, 3000)) + inner + end
        case 1:
            return begin + inner
        case 2:
            return inner + end + begin
        case 3:
            return (begin + b"\n" + inner + end + b"\n") * 2
        case 4:
            return b"bag attributes\n" + begin + b"\nProc-Type: 4,ENCRYPTED\n\n" + inner + end
        case 5:
            return b"-" * draw.one((5, 11, 10_000)) + inner
        case _:
            return begin + b"\n" + inner + end + b"\n"


def _bare(draw: Draw, _: bytes) -> bytes:
    return draw.one((b"", b"=", b"====", b"A", b"AA=A", b"deadbeef"))


def _with_bytes_before(draw: Draw, der: bytes) -> bytes:
    return draw.one((b"\xef\xbb\xbf", b"\x00", b"\xff\xfe", b"=", b"\x0b")) + base64.b64encode(der)


_TRANSFERS: Final[tuple[Callable[[Draw, bytes], bytes], ...]] = (
    lambda _, der: base64.encodebytes(der),
    lambda _, der: base64.encodebytes(der).replace(b"\n", b"\r\n"),
    lambda _, der: base64.b64encode(der).rstrip(b"="),
    lambda _, der: base64.b64encode(der)[:-1],
    lambda _, der: base64.urlsafe_b64encode(der),
    lambda _, der: base64.b64encode(base64.b64encode(der)),
    lambda _, der: der,
    lambda _, der: der.hex().encode(),
    lambda _, der: b"--b\r\nContent-Type: application/pkcs7-mime\r\n\r\n" + base64.encodebytes(der) + b"\r\n--b--\r\n",
    lambda draw, der: b" \t\r\n" * draw.one((1, 50, 5000)) + base64.b64encode(der),
    lambda draw, der: mutated(draw, base64.b64encode(der)),
    _with_bytes_before,
    _armoured,
    _armoured,
    _bare,
)
