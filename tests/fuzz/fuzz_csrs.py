"""Certification requests (PKCS#10, RFC 2986), each part of which may be odd, signed by the key they are for."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from der_writer import (
    SUBJECT_ALT_NAME,
    StringTag,
    bit_string,
    explicit,
    extension,
    integer,
    null,
    octet_string,
    sequence,
    set_of,
    tlv,
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
from fuzz_names import odd_name, odd_tag, odd_text, oid, plain_name, san
from fuzz_trees import changed

_EXTENSION_REQUEST: Final = oid("1.2.840.113549.1.9.14")
_CHALLENGE_PASSWORD: Final = oid("1.2.840.113549.1.9.7")
_CHANGE_SUBJECT_NAME: Final = oid("1.3.6.1.5.5.7.7.36")
_ODDITIES: Final = (0, 0, 0, 0, 1, 1, 1, 1, 2, 3)


@dataclass(frozen=True, slots=True)
class CsrParts:
    """The parts of a request as they are to be written."""

    subject: bytes
    spki: bytes
    attributes: tuple[bytes, ...]
    signer: SigningKey
    algorithm: Algorithm
    version: bytes = integer(0)
    listed: bytes | None = None  # the attributes as they stand, whatever they are

    def to_be_signed(self) -> bytes:
        """Return the CertificationRequestInfo."""
        listed = explicit(0, *self.attributes) if self.listed is None else self.listed
        return sequence(self.version, self.subject, self.spki, listed)

    def signed(self, to_be_signed: bytes) -> bytes:
        """Return the request, whatever it is that is signed."""
        return sequence(
            to_be_signed, self.algorithm.identifier, bit_string(self.algorithm.sign(self.signer, to_be_signed))
        )


def usual_csr(subject: bytes, key: SigningKey, names: bytes | None = None) -> CsrParts:
    """Return a request as it should be; ``names`` is the value of a SubjectAltName."""
    attributes = () if names is None else (_requesting(extension(SUBJECT_ALT_NAME, names)),)
    return CsrParts(subject, spki_of(key), attributes, key, usual_algorithm(key))


def odd_csr(draw: Draw, subject: bytes, key: SigningKey, names: bytes | None = None) -> bytes:
    """Return a request with as many oddities as come."""
    parts = usual_csr(subject, key, names)
    oddities = draw.one(_ODDITIES)
    for _ in range(oddities):
        parts = draw.one(_CHANGES)(draw, parts)
    if not oddities or draw.chance(0.85):
        return parts.signed(parts.to_be_signed())
    if draw.chance(0.6):
        return parts.signed(changed(draw, parts.to_be_signed()))
    return mutated(draw, parts.signed(parts.to_be_signed()))


def any_key(draw: Draw, number: int) -> SigningKey:
    """Return a key that a request may be for; elliptic mostly, since others are slow."""
    if draw.chance(0.9):
        return elliptic_key(200 + number)
    return draw.one(_other_keys())


def _other_keys() -> tuple[SigningKey, ...]:
    return (rsa_key(2048), rsa_key(1024), edwards_key())


def _attribute(kind: bytes, *values: bytes) -> bytes:
    return sequence(kind, set_of(*values))


def _requesting(*extensions: bytes) -> bytes:
    return _attribute(_EXTENSION_REQUEST, sequence(*extensions))


# -- what may be odd


def _subject(draw: Draw, parts: CsrParts) -> CsrParts:
    return replace(parts, subject=draw.one((odd_name(draw), odd_name(draw), sequence(), changed(draw, parts.subject))))


def _names(draw: Draw, parts: CsrParts) -> CsrParts:
    requested = _requesting(extension(SUBJECT_ALT_NAME, san(draw), critical=draw.chance(0.2)))
    return replace(
        parts, attributes=draw.one(((requested,), (*parts.attributes, requested), (requested, *parts.attributes)))
    )


def _extensions(draw: Draw, parts: CsrParts) -> CsrParts:
    return replace(
        parts, attributes=(*parts.attributes, _requesting(*(odd_extension(draw) for _ in range(1 + draw.few()))))
    )


def _doubled(_: Draw, parts: CsrParts) -> CsrParts:
    return replace(parts, attributes=parts.attributes * 2)


def _password(draw: Draw, parts: CsrParts) -> CsrParts:
    return replace(
        parts, attributes=(*parts.attributes, _attribute(_CHALLENGE_PASSWORD, tlv(odd_tag(draw), odd_text(draw))))
    )


def _changed_names(draw: Draw, parts: CsrParts) -> CsrParts:
    changed_to = (draw.one((plain_name("renamed"), odd_name(draw), b"")), draw.one((san(draw), b"", sequence())))
    value = draw.one(
        (sequence(*changed_to), sequence(), sequence(*changed_to, *changed_to), null(), octet_string(b"x"))
    )
    return replace(parts, attributes=(*parts.attributes, _attribute(_CHANGE_SUBJECT_NAME, value)))


def _attributes(draw: Draw, parts: CsrParts) -> CsrParts:
    odd = (
        _attribute(_EXTENSION_REQUEST), _attribute(_EXTENSION_REQUEST, sequence(), sequence()),
        _attribute(_EXTENSION_REQUEST, null()), sequence(_EXTENSION_REQUEST), sequence(), null(), set_of(),
        sequence(_EXTENSION_REQUEST, sequence(sequence())),
        _attribute(_CHALLENGE_PASSWORD), _attribute(_CHALLENGE_PASSWORD, null()),
        _attribute(_CHALLENGE_PASSWORD, sequence()),
        _attribute(oid("1.2.840.113549.1.9.2"), tlv(StringTag.UTF8, odd_text(draw))),
        _attribute(oid("1.3.6.1.4.1.311.13.2.3"), tlv(0x16, b"10.0")),
        _attribute(oid("2.999"), *[integer(n) for n in range(300)]),
    )  # fmt: skip
    return replace(parts, attributes=(*parts.attributes, draw.one(odd)))


def _listed(draw: Draw, parts: CsrParts) -> CsrParts:
    return replace(
        parts,
        listed=draw.one(
            (
                b"",
                explicit(1),
                set_of(*parts.attributes),
                explicit(0, *parts.attributes) * 2,
                tlv(0xA0, b"\x05\x00"),
                tlv(0x80),
                sequence(),
            )
        ),
    )


def _version(draw: Draw, parts: CsrParts) -> CsrParts:
    return replace(parts, version=draw.one((integer(1), integer(2), integer(-1), b"", tlv(0x02), integer(draw.edge()))))


def _spki(draw: Draw, parts: CsrParts) -> CsrParts:
    return replace(parts, spki=draw.one((odd_spki(draw), odd_spki(draw), changed(draw, parts.spki))))


def _key_and_spki(draw: Draw, parts: CsrParts) -> CsrParts:
    key = draw.one(_other_keys())
    return replace(parts, spki=spki_of(key), signer=key, algorithm=usual_algorithm(key))


def _algorithm(draw: Draw, parts: CsrParts) -> CsrParts:
    return replace(parts, algorithm=odd_algorithm(draw, parts.signer))


def _other_signer(draw: Draw, parts: CsrParts) -> CsrParts:
    key = draw.one((elliptic_key(5), *_other_keys()))
    return replace(parts, signer=key, algorithm=usual_algorithm(key))


_CHANGES: Final[tuple[Callable[[Draw, CsrParts], CsrParts], ...]] = (
    _subject, _subject, _names, _names, _extensions, _doubled, _password, _changed_names, _attributes, _listed,
    _version, _spki, _spki, _key_and_spki, _algorithm, _other_signer,
)  # fmt: skip
