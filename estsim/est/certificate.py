"""A foreign certificate, read once into a value of ours (RFC 5280 §4.1).

The only place that reads a peer's certificate. The library's object reads lazily and raises late: an odd policy text
must not fail a renewal that OpenSSL accepts. So the DER is walked here, and a rule that is broken without harm is noted
as an oddity. A certificate that cannot be read is a :class:`CertificateUnreadable` that names the part.

On the path of every enrolment: one pass over the bytes; names, times and extensions that many certificates share are
cached.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Final

from estsim.errors import EstsimError
from estsim.est.der import BIT_STRING, INTEGER, SEQUENCE, DERError, Span, ber_end, children, element, from_ber
from estsim.est.extensions import NONE, Extensions, read_extensions
from estsim.est.names import name_text, read_name, same_name
from estsim.est.outcome import NonConformance
from estsim.est.validity import read_time

NOT_DER: Final = NonConformance("certificate in BER, not DER", "RFC 5280 §4.1")
UNKNOWN_VERSION: Final = NonConformance("unknown certificate version", "RFC 5280 §4.1.2.1")
V1_EXTENSIONS: Final = NonConformance("extensions in a v1 or v2 certificate", "RFC 5280 §4.1.2.1")
SERIAL_NOT_POSITIVE: Final = NonConformance("serial number not positive", "RFC 5280 §4.1.2.2")
SERIAL_TOO_LONG: Final = NonConformance("serial number longer than 20 octets", "RFC 5280 §4.1.2.2")
ALGORITHMS_DIFFER: Final = NonConformance("signature algorithm fields differ", "RFC 5280 §4.1.1.2")
EMPTY_ISSUER: Final = NonConformance("empty issuer", "RFC 5280 §4.1.2.4")
STRANGE_PARTS: Final = NonConformance("unexpected fields in a certificate", "RFC 5280 §4.1")

_VERSION: Final = 0xA0
_UNIQUE_IDS: Final = (0x81, 0x82, 0xA1, 0xA2)
_EXTENSIONS: Final = 0xA3
_V3: Final = 2
_SERIAL_OCTETS: Final = 20
_MOST_SERIAL_OCTETS: Final = 1024  # OpenSSL accepts any length
_SHOWN_SERIAL_DIGITS: Final = 80
_EMPTY_NAME: Final = b"\x30\x00"


class CertificateUnreadable(EstsimError):  # noqa: N818 - says what it is
    """A certificate of which a needed part cannot be read."""

    def __init__(self, part: str, why: str) -> None:
        self.part = part
        super().__init__(f"{part} cannot be read: {why}")


def serial_text(serial: int) -> str:
    """Return a serial number in lower-case hexadecimal, two digits an octet, as OpenSSL writes it."""
    digits = f"{abs(serial):x}"
    return f"{'-' if serial < 0 else ''}{'0' * (len(digits) % 2)}{digits}"


@dataclass(frozen=True, slots=True, repr=False)
class Certificate:
    """What estsim needs of a certificate, in its original encoding; two of the same bytes are equal.

    ``tbs`` is what the issuer signed, ``spki`` the SubjectPublicKeyInfo, ``algorithm_der`` the AlgorithmIdentifier of
    the signature. Times are UNIX seconds. ``oddities`` are the rules that it breaks without being unusable.
    """

    der: bytes
    tbs: bytes = field(compare=False)
    serial: int = field(compare=False)
    issuer_der: bytes = field(compare=False)
    subject_der: bytes = field(compare=False)
    spki: bytes = field(compare=False)
    not_before_s: float = field(compare=False)
    not_after_s: float = field(compare=False)
    extensions: Extensions = field(compare=False)
    algorithm_der: bytes = field(compare=False)
    signature: bytes = field(compare=False)
    oddities: tuple[NonConformance, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return f"<Certificate {self.serial_hex} of {self.subject!r} by {self.issuer!r}>"

    @property
    def san_der(self) -> bytes | None:
        """The SubjectAltName (GeneralNames) as encoded, None where there is none."""
        return self.extensions.san_der

    @property
    def is_ca(self) -> bool:
        """Whether BasicConstraints say that it is a CA certificate."""
        return self.extensions.is_ca

    @property
    def subject(self) -> str:
        """The Subject as text for people (RFC 4514)."""
        return name_text(self.subject_der)

    @property
    def issuer(self) -> str:
        """The issuer's name as text for people (RFC 4514)."""
        return name_text(self.issuer_der)

    @property
    def serial_hex(self) -> str:
        """The serial number in hexadecimal, at most 80 digits."""
        digits = serial_text(self.serial)
        return digits if len(digits) <= _SHOWN_SERIAL_DIGITS else f"{digits[:_SHOWN_SERIAL_DIGITS]}…"

    @property
    def fingerprint(self) -> bytes:
        """The SHA-256 of the whole certificate."""
        return sha256(self.der).digest()

    @property
    def is_self_issued(self) -> bool:
        """Whether issuer and subject are the same name (RFC 5280 §3.2)."""
        return same_name(self.issuer_der, self.subject_der)


def read_certificate(der: bytes) -> Certificate:
    """Read a certificate; raises :class:`CertificateUnreadable`.

    BER, which OpenSSL accepts, is read from its re-encoding; ``tbs`` stays as sent.
    """
    try:
        return _Reading(der).certificate()
    except CertificateUnreadable as error:
        reencoded = _from_ber(der)
        if reencoded is None:
            raise
        try:
            return _Reading(reencoded).certificate(as_sent=der)
        except CertificateUnreadable:
            raise error from None


@lru_cache(maxsize=256)
def read_shared_certificate(der: bytes) -> Certificate:
    """Read a certificate that many peers show, a server's or a CA's. Cached; raises as :func:`read_certificate`."""
    return read_certificate(der)


def _from_ber(der: bytes) -> bytes | None:
    """Return BER as DER, None where it is neither, or DER already."""
    try:
        reencoded = from_ber(der)
    except DERError:
        return None
    return None if reencoded == der else reencoded


class _Reading:
    """One pass over a certificate; ``_part`` is what is being read, for the error message."""

    def __init__(self, der: bytes) -> None:
        self._der = der
        self._part = "structure"
        self._oddities: list[NonConformance] = []

    def certificate(self, *, as_sent: bytes | None = None) -> Certificate:
        """Read it; raises :class:`CertificateUnreadable` with the part."""
        try:
            return self._read(as_sent)
        except (DERError, IndexError, ValueError) as error:
            raise CertificateUnreadable(self._part, str(error)) from error

    def _read(self, as_sent: bytes | None) -> Certificate:
        """Read ``Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue BIT STRING }``."""
        der = self._der
        tag, start, end = element(der, 0)
        tbs, algorithm, signature = children(der, start, end)[:3]
        if (tag, tbs[0], algorithm[0], signature[0], end) != (SEQUENCE, SEQUENCE, SEQUENCE, BIT_STRING, len(der)):
            raise DERError("expected a certificate")
        parts = children(der, tbs[2], tbs[3])
        first = int(parts[0][0] == _VERSION)
        serial, inner_algorithm, issuer, validity, subject, spki = parts[first : first + 6]
        algorithm_der = der[algorithm[1] : algorithm[3]]
        if der[inner_algorithm[1] : inner_algorithm[3]] != algorithm_der:
            self._oddities.append(ALGORITHMS_DIFFER)
        begin_s, end_s = self._validity(validity)
        return Certificate(
            der=as_sent or der,
            tbs=der[tbs[1] : tbs[3]] if as_sent is None else _first_child(as_sent),
            serial=self._serial(serial),
            issuer_der=self._name("issuer", issuer),
            subject_der=self._name("subject", subject),
            spki=self._key(spki),
            not_before_s=begin_s,
            not_after_s=end_s,
            extensions=self._extensions(parts[first + 6 :], version=self._version(parts[0])),
            algorithm_der=algorithm_der,
            signature=der[signature[2] + 1 : signature[3]],
            oddities=self._all_oddities(ber=as_sent is not None),
        )

    def _version(self, span: Span) -> int:
        """Return the version less one: "Version ::= INTEGER { v1(0), v2(1), v3(2) }", v1 where it is left out."""
        self._part = "version"
        if span[0] != _VERSION:
            return 0
        ((tag, _, start, end),) = children(self._der, span[2], span[3])
        version = int.from_bytes(self._der[start:end][:8], "big", signed=True)
        if tag != INTEGER or not 0 <= version <= _V3:
            self._oddities.append(UNKNOWN_VERSION)
        return version

    def _serial(self, span: Span) -> int:
        """Read the serial number, which "MUST be a positive integer" and not "longer than 20 octets"."""
        self._part = "serial number"
        tag, _, start, end = span
        if tag != INTEGER or not 0 < end - start <= _MOST_SERIAL_OCTETS:
            raise DERError("expected an INTEGER")
        serial = int.from_bytes(self._der[start:end], "big", signed=True)
        if serial <= 0:
            self._oddities.append(SERIAL_NOT_POSITIVE)
        if end - start > _SERIAL_OCTETS:
            self._oddities.append(SERIAL_TOO_LONG)
        return serial

    def _name(self, part: str, span: Span) -> bytes:
        self._part = part
        name_der = self._der[span[1] : span[3]]
        self._oddities += read_name(name_der).oddities
        if part == "issuer" and name_der == _EMPTY_NAME:
            self._oddities.append(EMPTY_ISSUER)
        return name_der

    def _validity(self, span: Span) -> tuple[float, float]:
        self._part = "validity"
        bounds = children(self._der, span[2], span[3])
        if span[0] != SEQUENCE or len(bounds) != 2:  # noqa: PLR2004 - from and to
            raise DERError("expected a SEQUENCE of two times")
        times_s: list[float] = []
        for part, (tag, _, start, end) in zip(("notBefore", "notAfter"), bounds, strict=True):
            self._part = part
            time_s, odd = read_time(tag, self._der[start:end])
            times_s.append(time_s)
            if odd is not None:
                self._oddities.append(odd)
        return times_s[0], times_s[1]

    def _key(self, span: Span) -> bytes:
        """Return the SubjectPublicKeyInfo; whether its key is usable is checked when it is used."""
        self._part = "public key"
        parts = children(self._der, span[2], span[3])
        if span[0] != SEQUENCE or [part[0] for part in parts] != [SEQUENCE, BIT_STRING]:
            raise DERError("expected a SubjectPublicKeyInfo")
        return self._der[span[1] : span[3]]

    def _extensions(self, parts: list[Span], *, version: int) -> Extensions:
        self._part = "extensions"
        found = NONE
        for tag, _, start, end in parts:
            if tag == _EXTENSIONS:
                found = read_extensions(self._der, start, end)
            elif tag not in _UNIQUE_IDS:
                self._oddities.append(STRANGE_PARTS)
        if found is not NONE and version < _V3:
            self._oddities.append(V1_EXTENSIONS)
        self._oddities += found.oddities
        return found

    def _all_oddities(self, *, ber: bool) -> tuple[NonConformance, ...]:
        """Return the broken rules, each once."""
        if not (ber or self._oddities):
            return ()
        return tuple(dict.fromkeys((*((NOT_DER,) if ber else ()), *self._oddities)))


def _first_child(ber: bytes) -> bytes:
    """Return the first element in a BER element, as encoded."""
    length = ber[1]
    start = 2 + (length & 0x7F if length & 0x80 else 0)
    return ber[start : ber_end(ber, start)]
