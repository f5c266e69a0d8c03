"""Certificates (RFC 5280 §4.1), each part of which may be odd, signed by a key that the reader trusts, mostly.

How many parts are odd is drawn first: most certificates have one oddity or none, so that what reads the parts after it
is reached.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from der_writer import (
    SUBJECT_ALT_NAME,
    bit_string,
    boolean,
    explicit,
    extension,
    generalized_time,
    integer,
    sequence,
    time_of,
    tlv,
    utc_time,
)
from fuzz_draw import Draw
from fuzz_extensions import odd_extension
from fuzz_keys import (
    Algorithm,
    SigningKey,
    edwards_key,
    elliptic_key,
    odd_algorithm,
    odd_spki,
    rsa_key,
    spki_of,
    usual_algorithm,
)
from fuzz_mutations import mutated
from fuzz_names import odd_name, oid, plain_name, san
from fuzz_trees import changed

_VERSION_3: Final = explicit(0, integer(2))
_IS_CA: Final = extension("2.5.29.19", sequence(boolean(True)), critical=True)
_ODDITIES: Final = (0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 3, 6)
_UTC_TEXTS: Final = (
    "260101000000Z", "9901010000Z", "500101000000Z", "491231235959Z", "260230000000Z", "261301000000Z", "260101240000Z",
    "260101235960Z", "260101000000+0100", "260101000000-2359", "2601010000", "", "Z", "260101000000z", "\u0000" * 13,
    "99999999999999Z",
)  # fmt: skip
_GENERALIZED_TEXTS: Final = (
    "99991231235959Z", "00000101000000Z", "00010101000000Z", "20260101000000Z", "20260101000000.5Z", "20260101000000",
    "20500101000000Z", "19500101000000Z", "20260101000000+0100", "202601010000Z", "99999999999999Z", "",
    "-0010101000000Z",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for, as DER; ``san`` is the value of a SubjectAltName."""

    subject: bytes
    spki: bytes
    san: bytes | None = None


@dataclass(frozen=True, slots=True)
class Signer:
    """An authority: its name and key."""

    name: bytes
    key: SigningKey


ROOT: Final = Signer(plain_name("Fuzz Root", "Example"), elliptic_key(0))
ISSUING: Final = Signer(plain_name("Fuzz Issuing", "Example"), elliptic_key(1))
OLD_ROOT: Final = Signer(plain_name("Fuzz Root", "Example"), elliptic_key(2))
STRANGER: Final = Signer(plain_name("Stranger"), elliptic_key(3))


def rsa_root() -> Signer:
    """Return a root whose key is RSA."""
    return Signer(plain_name("Fuzz RSA Root"), rsa_key(2048))


def edwards_root() -> Signer:
    """Return a root whose key is Ed25519."""
    return Signer(plain_name("Fuzz Edwards Root"), edwards_key())


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a certificate as they are to be written."""

    version: bytes
    serial: bytes
    algorithm: Algorithm
    issuer: bytes
    validity: bytes
    subject: bytes
    spki: bytes
    extensions: tuple[bytes, ...]
    signer: SigningKey
    outer: bytes | None = None  # another algorithm than the one within
    unique: bytes = b""  # issuerUniqueID, subjectUniqueID
    listed: bytes | None = None  # the extensions as they stand, whatever they are

    def written(self) -> bytes:
        """Return the certificate, signed."""
        return self.signed(self.to_be_signed())

    def to_be_signed(self) -> bytes:
        """Return what is signed."""
        listed = self.listed
        if listed is None:
            listed = explicit(3, sequence(*self.extensions)) if self.extensions else b""
        inner = (self.version, self.serial, self.algorithm.identifier, self.issuer, self.validity, self.subject)
        return sequence(*inner, self.spki, self.unique, listed)

    def signed(self, to_be_signed: bytes) -> bytes:
        """Return the whole, whatever it is that is signed."""
        signature = self.algorithm.sign(self.signer, to_be_signed)
        return sequence(to_be_signed, self.outer or self.algorithm.identifier, bit_string(signature))


def usual(asked: Asked, by: Signer, now: datetime, *, serial: int, ca: bool = False) -> Parts:
    """Return a certificate as it should be, from an hour ago to an hour from now; a CA's is ten years long."""
    extensions = (_IS_CA,) if ca else ()
    if asked.san is not None:
        extensions = (*extensions, extension(SUBJECT_ALT_NAME, asked.san))
    return Parts(
        version=_VERSION_3,
        serial=integer(serial),
        algorithm=usual_algorithm(by.key),
        issuer=by.name,
        validity=_validity(now, timedelta(days=3650) if ca else timedelta(hours=1)),
        subject=asked.subject,
        spki=asked.spki,
        extensions=extensions,
        signer=by.key,
    )


def odd_certificate(draw: Draw, asked: Asked, by: Signer, now: datetime, *, ca: bool = False) -> bytes:
    """Return a certificate for what was asked, with as many oddities as come."""
    parts = usual(asked, by, now, serial=1 + draw.getrandbits(63), ca=ca)
    oddities = draw.one(_ODDITIES)
    for _ in range(oddities):
        parts = draw.one(_CHANGES)(draw, parts, now)
    if not oddities or draw.chance(0.85):
        return parts.written()
    if draw.chance(0.7):
        return parts.signed(changed(draw, parts.to_be_signed()))
    return mutated(draw, parts.written())


def self_signed(signer: Signer, now: datetime, *, serial: int = 1) -> bytes:
    """Return a root's own certificate."""
    return usual(Asked(signer.name, spki_of(signer.key)), signer, now, serial=serial, ca=True).written()


def _validity(now: datetime, length: timedelta) -> bytes:
    return sequence(time_of(now - timedelta(hours=1)), time_of(now + length))


# -- what may be odd

Change = Callable[[Draw, Parts, datetime], Parts]


def _version(draw: Draw, parts: Parts, _: datetime) -> Parts:
    version = draw.one(
        (
            b"",
            explicit(0, integer(0)),
            explicit(0, integer(1)),
            explicit(0, integer(3)),
            explicit(0, integer(-1)),
            explicit(0),
            explicit(0, integer(2**70)),
        )
    )
    return replace(parts, version=version)


def _serial(draw: Draw, parts: Parts, _: datetime) -> Parts:
    odd = (
        integer(0),
        integer(-1),
        integer(-(2**80)),
        integer(2**160),
        integer(2**2000),
        tlv(0x02),
        tlv(0x02, b"\0\0\1"),
        tlv(0x02, b"\xff\xff"),
        tlv(0x0A, b"\1"),
        integer(draw.edge()),
    )
    return replace(parts, serial=draw.one(odd))


def _inner_algorithm(draw: Draw, parts: Parts, _: datetime) -> Parts:
    return replace(parts, algorithm=odd_algorithm(draw, parts.signer))


def _outer_algorithm(draw: Draw, parts: Parts, _: datetime) -> Parts:
    return replace(parts, outer=odd_algorithm(draw, parts.signer).identifier)


def _issuer(draw: Draw, parts: Parts, _: datetime) -> Parts:
    return replace(parts, issuer=draw.one((odd_name(draw), STRANGER.name, parts.subject, sequence())))


def _signer(draw: Draw, parts: Parts, _: datetime) -> Parts:
    by = draw.one((STRANGER.key, rsa_key(2048), edwards_key()))
    return replace(parts, signer=by, algorithm=usual_algorithm(by))


def _dates(draw: Draw, parts: Parts, now: datetime) -> Parts:
    return replace(parts, validity=draw.one(_VALIDITIES)(draw, now))


def _subject(draw: Draw, parts: Parts, _: datetime) -> Parts:
    return replace(parts, subject=draw.one((odd_name(draw), odd_name(draw), changed(draw, parts.subject), sequence())))


def _retyped_subject(draw: Draw, parts: Parts, _: datetime) -> Parts:
    """Write the same texts in another string type."""
    return replace(parts, subject=parts.subject.replace(b"\x0c", bytes((draw.one((0x13, 0x14, 0x16, 0x1A)),))))


def _spki(draw: Draw, parts: Parts, _: datetime) -> Parts:
    return replace(parts, spki=draw.one((odd_spki(draw), odd_spki(draw), changed(draw, parts.spki))))


def _more_extensions(draw: Draw, parts: Parts, _now: datetime) -> Parts:
    extensions = list(parts.extensions)
    for _ in range(1 + draw.few()):
        extensions.insert(int(draw.random() * (len(extensions) + 1)), odd_extension(draw))
    return replace(parts, extensions=tuple(extensions))


def _doubled_extension(draw: Draw, parts: Parts, _: datetime) -> Parts:
    doubled = draw.one(parts.extensions) if parts.extensions else odd_extension(draw)
    return replace(parts, extensions=(*parts.extensions, doubled) + ((doubled,) if not parts.extensions else ()))


def _names(draw: Draw, parts: Parts, _: datetime) -> Parts:
    named = extension(SUBJECT_ALT_NAME, san(draw), critical=draw.chance(0.2))
    others = tuple(each for each in parts.extensions if oid(SUBJECT_ALT_NAME) not in each)
    return replace(parts, extensions=draw.one(((named, *others), (*others, named), others, (*parts.extensions, named))))


def _constraints(draw: Draw, parts: Parts, _: datetime) -> Parts:
    kept = tuple(each for each in parts.extensions if oid("2.5.29.19") not in each)
    return replace(parts, extensions=(*kept, odd_extension(draw, "2.5.29.19")) if draw.chance(0.8) else kept)


def _listed(draw: Draw, parts: Parts, _: datetime) -> Parts:
    listed = draw.one((
        explicit(3), explicit(3, sequence()), explicit(3, sequence(sequence())), explicit(4, sequence()),
        tlv(0xA3, b"\x05\x00"),
        explicit(3, sequence(*parts.extensions), sequence()),
        explicit(3, sequence(*[odd_extension(draw) for _ in range(60)])),
        explicit(3, sequence(*parts.extensions)) * 2,
    ))  # fmt: skip
    return replace(parts, listed=listed)


def _unique(draw: Draw, parts: Parts, _: datetime) -> Parts:
    return replace(
        parts,
        unique=draw.one(
            (tlv(0x81, b"\0\1"), tlv(0x82, b"\0\2"), tlv(0x81, b"\0\1") + tlv(0x82, b"\0"), tlv(0xA1, b"\0"))
        ),
    )


_CHANGES: Final[tuple[Change, ...]] = (
    _version, _serial, _inner_algorithm, _outer_algorithm, _issuer, _signer, _dates, _dates, _subject, _retyped_subject,
    _spki, _more_extensions, _more_extensions, _more_extensions, _doubled_extension, _names, _names, _constraints,
    _listed, _unique,
)  # fmt: skip


def _odd_time(draw: Draw) -> bytes:
    match int(draw.random() * 4):
        case 0:
            return utc_time(draw.one(_UTC_TEXTS))
        case 1:
            return generalized_time(draw.one(_GENERALIZED_TEXTS))
        case 2:
            return tlv(draw.one((0x17, 0x18, 0x0C, 0x02)), draw.octets(20))
        case _:
            return time_of(datetime(1950 + int(draw.random() * 200), 6, 15, tzinfo=UTC))


_VALIDITIES: Final[tuple[Callable[[Draw, datetime], bytes], ...]] = (
    lambda draw, now: sequence(_odd_time(draw), time_of(now + timedelta(hours=1))),
    lambda draw, now: sequence(time_of(now - timedelta(hours=1)), _odd_time(draw)),
    lambda draw, _now: sequence(_odd_time(draw), _odd_time(draw)),
    lambda _draw, now: sequence(time_of(now + timedelta(hours=1)), time_of(now - timedelta(hours=1))),
    lambda _draw, now: sequence(time_of(now + timedelta(hours=1)), time_of(now + timedelta(hours=2))),
    lambda _draw, now: sequence(time_of(now - timedelta(hours=2)), time_of(now - timedelta(hours=1))),
    lambda _draw, now: sequence(time_of(now), time_of(now)),
    lambda draw, now: sequence(
        time_of(now - timedelta(days=10_000 * draw.random())), time_of(now + timedelta(seconds=2))
    ),
    lambda draw, now: sequence(time_of(now), time_of(now + timedelta(seconds=int(3 * draw.random())))),
    lambda _draw, now: sequence(time_of(now)),
    lambda _draw, _now: sequence(),
    lambda _draw, now: sequence(time_of(now), time_of(now + timedelta(hours=1)), time_of(now)),
)
