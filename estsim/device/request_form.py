"""The form of a device's request: what it obeys of a server's CSR attributes, and what it cannot (RFC 9908 §3, §4)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from estsim.est.csr import SUBJECT_ALT_NAME
from estsim.est.csr_attributes import (
    EC,
    ED25519,
    P256,
    P384,
    RSA,
    SIGNATURES,
    CSRWishes,
    ExtensionWish,
    KeyWish,
    Part,
)
from estsim.est.der import OBJECT_IDENTIFIER, SEQUENCE, SET, children, dotted, encode, oid, sequence, typed
from estsim.est.signing import extension
from estsim.pki.extensions import CLIENT_AUTH, extended_key_usage, key_usage
from estsim.pki.keys import KeyKind

_EMPTY_NAME: Final = b"\x30\x00"
_ALGORITHMS: Final = {
    KeyKind.EC_P256: (EC, P256, None),
    KeyKind.EC_P384: (EC, P384, None),
    KeyKind.RSA_2048: (RSA, None, 2048),
    KeyKind.RSA_3072: (RSA, None, 3072),
    KeyKind.RSA_4096: (RSA, None, 4096),
    KeyKind.ED25519: (ED25519, None, None),
}
_FILLED: Final = {  # extensions that a client fills in of itself, where the template leaves them open
    oid("2.5.29.15"): key_usage(ca=False, encipher=False),
    oid("2.5.29.37"): extended_key_usage(CLIENT_AUTH),
}
_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class RequestForm:
    """What a request is to be like. ``key`` and ``hash_name`` None: the device's own choice.

    ``extensions`` go beside the SubjectAltName, as DER. ``subject`` is a template's; its open values, and the
    SubjectAltName of ``alternative``, are filled with the device's own names.
    """

    key: KeyKind | None = None
    hash_name: str | None = None
    extensions: tuple[bytes, ...] = ()
    subject: tuple[tuple[Part, ...], ...] | None = None
    alternative: ExtensionWish | None = None

    @property
    def told(self) -> str:
        """What differs from a request of the device's own choice, in words."""
        parts = (
            f"key {self.key.value}" if self.key else "",
            f"hash {self.hash_name}" if self.hash_name else "",
            "extensions" if self.extensions or self.alternative else "",
            "subject" if self.subject is not None else "",
        )
        return "; ".join(filter(None, parts))


OWN_FORM: Final = RequestForm()


class CannotObey(Exception):  # noqa: N818 - says what it is
    """A wish that the device cannot fulfil; the text names it."""


@lru_cache(maxsize=_REMEMBERED)
def request_form(wishes: CSRWishes, own: KeyKind, *, proves: bool = True) -> RequestForm:
    """Return the form that fulfils a server's wishes; ``own`` is the key that the device would use.

    ``proves``: the device may link its requests to the TLS session.

    Raises :class:`CannotObey`.
    """
    if wishes.wants_proof and not proves:
        raise CannotObey("challengePassword, and enroll.pop is never")
    kind = _key_kind(wishes.keys, own)
    form = RequestForm(
        key=None if kind is own else kind, hash_name=_hash_name(wishes.signatures, kind), subject=wishes.subject
    )
    for each in wishes.extensions:
        if each.kind == SUBJECT_ALT_NAME:
            form = replace(form, alternative=each)
        elif each.value is not None:
            made = extension(dotted(each.kind), each.value, critical=each.critical)
            form = replace(form, extensions=(*form.extensions, made))
        elif each.kind in _FILLED:
            form = replace(form, extensions=(*form.extensions, _FILLED[each.kind]))
        else:
            raise CannotObey(f"extension {dotted(each.kind)} is to be filled in by the client")
    return form


def _key_kind(wishes: Iterable[KeyWish], own: KeyKind) -> KeyKind:
    """Return the first wished key that devices can have; the device's own where it is one of them."""
    found = [*wishes]
    if not found:
        return own
    kinds: tuple[KeyKind, ...] = (own, *KeyKind)
    for kind in kinds:
        if any(_fits(kind, wish) for wish in found):
            return kind
    raise CannotObey(f"a key of {' or '.join(map(_told, found))}")


def _fits(kind: KeyKind, wish: KeyWish) -> bool:
    algorithm, curve, bits = _ALGORITHMS[kind]
    return (
        algorithm == wish.algorithm
        and (wish.curve is None or curve == wish.curve)
        and (wish.bits is None or bits == wish.bits)
    )


def _told(wish: KeyWish) -> str:
    if wish.algorithm == RSA:
        return "RSA" if wish.bits is None else f"RSA, {wish.bits} bits"
    return dotted(wish.curve or wish.algorithm)


def _hash_name(wishes: Iterable[bytes], kind: KeyKind) -> str | None:
    """Return the hash of the first wished signature that fits the key; None for the key's usual one."""
    found = [*wishes]
    if not found:
        return None
    algorithm = _ALGORITHMS[kind][0]
    for wish in found:
        if wish == algorithm:  # Ed25519: key and signature have one OID
            return None
        known = SIGNATURES.get(wish)
        if known is not None and known[0] == algorithm:
            return known[1]
    raise CannotObey(f"a signature by {' or '.join(map(dotted, found))} with a key of {kind.value}")


# -- names


def names_in_form(form: RequestForm, subject_der: bytes, san_der: bytes | None) -> tuple[bytes, bytes | None]:
    """Return Subject and SubjectAltName as the form has them, open values filled from the device's own names.

    Raises :class:`CannotObey` where the device has no name to fill in.
    """
    if form.subject is not None:
        subject_der = _filled_subject(form.subject, subject_der)
    if form.alternative is not None and form.alternative.value is not None:
        san_der = _filled_alternative(form.alternative.value, san_der)
    return subject_der, san_der


def _filled_subject(template: tuple[tuple[Part, ...], ...], own_der: bytes) -> bytes:
    own = _values_of(own_der)
    rdns = []
    for rdn in template:
        parts = []
        for kind, value in rdn:
            filled = value if value is not None else own.get(kind)
            if filled is None:
                raise CannotObey(f"the subject's {dotted(kind)}, which the device does not have")
            parts.append(encode(SEQUENCE, encode(OBJECT_IDENTIFIER, kind) + filled))
        rdns.append(encode(SET, b"".join(sorted(parts))))
    return encode(SEQUENCE, b"".join(rdns))


def _values_of(name_der: bytes) -> dict[bytes, bytes]:
    """Return the values of a name as DER, by OID; of one that is there twice, the first."""
    found: dict[bytes, bytes] = {}
    for _, _, start, end in sequence(name_der, "a Name"):
        for _, _, content, after in children(name_der, start, end):
            kind, rest = typed(name_der, content, after, "a Name")
            found.setdefault(kind, name_der[rest[0][1] : rest[0][3]])
    return found


def _filled_alternative(template: bytes, own_der: bytes | None) -> bytes:
    """Return GeneralNames with the empty ones filled: an address of no octets, a directoryName without RDNs."""
    own: dict[int, bytes] = {}
    for tag, at, _, after in sequence(own_der, "GeneralNames") if own_der is not None else []:
        own.setdefault(tag, own_der[at:after] if own_der is not None else b"")
    entries = []
    for tag, at, start, after in sequence(template, "GeneralNames"):
        entry = template[at:after]
        if template[start:after] in (b"", _EMPTY_NAME):
            if tag not in own:
                raise CannotObey(f"a subjectAltName (tag {tag & 0x1F}), which the device does not have")
            entry = own[tag]
        entries.append(entry)
    return encode(SEQUENCE, b"".join(entries))
