"""Subject and SAN templates, compiled once per cohort: ``CN=meter-{index:6},O=Example`` (RFC 4514, order as written).

Placeholders: ``{index}`` the device's fleet-wide number, ``{index:6}`` padded with zeros, ``{cohort}`` the cohort's
name, ``{hex:8}`` hexadecimal digits drawn by seed and device. RFC 4514 writes a name in reverse; here the DER order is
the order as written (``/C=DE/O=Example/CN=x`` is ``C=DE,O=Example,CN=x``).

Compiling finds every mistake that does not depend on the device; ``devices`` are tried for the others.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import groupby
from typing import Final

from cryptography import x509

from estsim.errors import UnitError
from estsim.load.streams import Purpose, uniform
from estsim.pki.names import ATTRIBUTES
from estsim.units import shown

_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*))+")
_SLASH: Final = re.compile(r"/(?=[A-Za-z0-9.]+=)")
_PLACEHOLDER: Final = re.compile(r"(index)(?::([1-9][0-9]?))?|(cohort)|(hex):([1-9][0-9]?)")
_OCTETS: Final = re.compile(r"(?:\\[0-9A-Fa-f]{2})+")
_PLAIN: Final = re.compile(r"[^\\{}]+")
_PLAIN_WITHOUT_ESCAPES: Final = re.compile(r"[^{}]+")
_ESCAPED: Final = frozenset(' "#+,;<=>\\{}')
_MOST_DIGITS: Final = 32
_DIGITS_A_DRAW: Final = 8
_COUNTRY_LETTERS: Final = 2  # ISO 3166, as X.520 asks for
_SAN_KINDS: Final = "dns:, ip:, email: or uri:"

Part = str | Callable[[int], str]


@dataclass(frozen=True, slots=True)
class Text:
    """A compiled text with placeholders."""

    parts: tuple[Part, ...]
    is_numbered: bool = False  # has {index}
    hex_digits: int = 0  # number of drawn digits

    @property
    def constant(self) -> str | None:
        """The text if it does not depend on the device, else None."""
        return (
            "".join(p for p in self.parts if isinstance(p, str))
            if all(isinstance(p, str) for p in self.parts)
            else None
        )

    def at(self, device: int) -> str:
        """Return the text of a device (its fleet-wide number)."""
        return "".join([p if isinstance(p, str) else p(device) for p in self.parts])


@dataclass(frozen=True, slots=True)
class SubjectTemplate:
    """A distinguished name for each device; constant parts are built once."""

    text: str
    rdns: tuple[x509.RelativeDistinguishedName | tuple[tuple[x509.ObjectIdentifier, Text], ...], ...]

    @property
    def hex_digits(self) -> int | None:
        """The number of random digits that distinguish devices; None if their index does."""
        texts = [text for rdn in self.rdns if isinstance(rdn, tuple) for _, text in rdn]
        return None if any(text.is_numbered for text in texts) else sum(text.hex_digits for text in texts)

    def __call__(self, device: int) -> x509.Name:
        """Return the name of a device."""
        return x509.Name([r if isinstance(r, x509.RelativeDistinguishedName) else _rdn(r, device) for r in self.rdns])


@dataclass(frozen=True, slots=True)
class SansTemplate:
    """The subject alternative names of each device; a call returns None if the cohort has none."""

    entries: tuple[x509.GeneralName | tuple[str, Text], ...] = ()

    def __call__(self, device: int) -> x509.SubjectAlternativeName | None:
        """Return the alternative names of a device."""
        if not self.entries:
            return None
        return x509.SubjectAlternativeName(
            [_general_name(e[0], e[1].at(device)) if isinstance(e, tuple) else e for e in self.entries]
        )


def compile_subject(template: str, *, cohort: str, seed: int, devices: Sequence[int] = (0,)) -> SubjectTemplate:
    """Compile a subject template and try it on ``devices``; raises UnitError for an invalid name."""
    if template.startswith("/") and "=" in template:  # as OpenSSL writes names on its command line
        parts = (part.replace(",", "\\,") for part in _SLASH.split(template)[1:])
        raise UnitError(f"expected commas between the parts: write {','.join(parts)} (got {shown(template)})")
    rdns: list[x509.RelativeDistinguishedName | tuple[tuple[x509.ObjectIdentifier, Text], ...]] = []
    for written in _split(template, ","):
        pairs = tuple(_attribute(pair, cohort, seed) for pair in _split(written, "+"))
        constant = all(text.constant is not None for _, text in pairs)
        rdns.append(_rdn(pairs, 0) if constant else pairs)
    subject = SubjectTemplate(template, tuple(rdns))
    for device in devices:
        _encodes(subject(device), "subject")
    return subject


def compile_sans(templates: Sequence[str], *, cohort: str, seed: int, devices: Sequence[int] = (0,)) -> SansTemplate:
    """Compile SAN templates and try them on ``devices``; raises UnitError for an invalid name."""
    entries: list[x509.GeneralName | tuple[str, Text]] = []
    for template in templates:
        kind, colon, rest = template.partition(":")
        if not colon or kind not in ("dns", "ip", "email", "uri"):
            raise UnitError(f"must begin with {_SAN_KINDS} (got {shown(template)})")
        text = _text(rest, cohort, seed, escapes=False)
        entries.append(_general_name(kind, text.constant) if text.constant is not None else (kind, text))
    sans = SansTemplate(tuple(entries))
    for device in devices:
        names = sans(device)
        if names is not None:
            _encodes(names, "subject alternative name")
    return sans


def _encodes(name: x509.Name | x509.SubjectAlternativeName, what: str) -> None:
    """Find what only the encoding refuses, such as an umlaut in a domain component."""
    try:
        name.public_bytes()
    except ValueError as error:
        raise UnitError(f"cannot be encoded as a {what}: {error}") from error


def _rdn(pairs: tuple[tuple[x509.ObjectIdentifier, Text], ...], device: int) -> x509.RelativeDistinguishedName:
    written = [(oid, text.at(device)) for oid, text in pairs]
    for oid, value in written:
        if oid == x509.NameOID.COUNTRY_NAME and len(value) != _COUNTRY_LETTERS:
            raise UnitError(f"C must be a two-letter country code, such as DE (got {shown(value)})")
    try:
        return x509.RelativeDistinguishedName([x509.NameAttribute(oid, value) for oid, value in written])
    except ValueError as error:
        raise UnitError(f"is not a valid subject: {error}") from error


def _general_name(kind: str, text: str) -> x509.GeneralName:
    if not text:
        raise UnitError(f"{kind}: requires a name after the colon")
    try:
        match kind:
            case "dns":
                return x509.DNSName(text)
            case "ip":
                return x509.IPAddress(ip_address(text))
            case "email":
                return x509.RFC822Name(text)
            case _:
                return x509.UniformResourceIdentifier(text)
    except ValueError as error:
        raise UnitError(f"is not a valid {kind} name (got {shown(text)})") from error


def _split(template: str, separator: str) -> list[str]:
    """Split at a separator that is not escaped."""
    pieces, start, at = [], 0, 0
    while at < len(template):
        if template[at] == separator:
            pieces.append(template[start:at])
            start = at + 1
        at += 2 if template[at] == "\\" else 1
    return [*pieces, template[start:]]


def _attribute(written: str, cohort: str, seed: int) -> tuple[x509.ObjectIdentifier, Text]:
    kind, equals, value = written.partition("=")
    kind, value = kind.strip(), value.lstrip()
    value = value if value.endswith("\\ ") else value.rstrip()
    if not equals or not kind:
        raise UnitError(f"expected parts such as CN=meter-{{index:6}}, with commas between them (got {shown(written)})")
    if not value or value.startswith("#"):
        raise UnitError(f"{shown(kind)}= has no value (got {shown(written)})")
    return _oid(kind), _text(value, cohort, seed, escapes=True)


def _oid(kind: str) -> x509.ObjectIdentifier:
    oid = ATTRIBUTES.get(kind.upper())
    if oid is not None:
        return oid
    if not _OID.fullmatch(kind):
        raise UnitError(f"unknown attribute {shown(kind)}: expected one of {', '.join(ATTRIBUTES)} or an OID")
    try:
        return x509.ObjectIdentifier(kind)
    except ValueError as error:
        raise UnitError(f"{shown(kind)} is not an OID") from error


def _text(template: str, cohort: str, seed: int, *, escapes: bool) -> Text:
    """Compile a text: placeholders in braces and, in a subject, the escapes of RFC 4514 §2.4."""
    parts: list[Part] = []
    placeholders: list[str] = []
    at = 0
    while at < len(template):
        char = template[at]
        if char == "\\" and escapes:
            literal, at = _unescaped(template, at)
            parts.append(literal)
        elif char == "{":
            end = template.find("}", at)
            placeholders.append(template[at + 1 : end] if end > 0 else template[at:])
            parts.append(_placeholder(placeholders[-1], cohort, seed))
            at = end + 1
        elif char == "}":
            raise UnitError(f"unmatched }} (got {shown(template)})")
        else:
            run = (_PLAIN if escapes else _PLAIN_WITHOUT_ESCAPES).match(template, at)
            assert run is not None  # noqa: S101 - at least this character is plain
            parts.append(run[0])
            at = run.end()
    drawn = [int(each.partition(":")[2]) for each in placeholders if each.startswith("hex")]
    return Text(_joined(parts), any(each.startswith("index") for each in placeholders), sum(drawn))


def _unescaped(template: str, at: int) -> tuple[str, int]:
    following = template[at + 1 : at + 2]
    if following in _ESCAPED and following:
        return following, at + 2
    octets = _OCTETS.match(template, at)
    if octets is None:
        raise UnitError(
            f"\\ must be followed by one of {''.join(sorted(_ESCAPED))} or two hex digits (got {shown(template)})"
        )
    try:
        return bytes.fromhex(octets[0].replace("\\", "")).decode(), at + len(octets[0])
    except UnicodeDecodeError as error:
        raise UnitError(f"{octets[0]} is not UTF-8") from error


def _placeholder(written: str, cohort: str, seed: int) -> Part:
    match = _PLACEHOLDER.fullmatch(written)
    if match is None or int(match[2] or match[5] or 1) > _MOST_DIGITS:
        raise UnitError(
            f"unknown placeholder {{{shown(written)}}}: expected {{index}}, {{index:6}}, {{cohort}} or {{hex:8}}, "
            f"with at most {_MOST_DIGITS} digits"
        )
    if match[3]:
        return cohort
    if match[1]:
        return f"{{:0{match[2]}d}}".format if match[2] else str
    return _hex_digits(int(match[5]), seed)


def _hex_digits(digits: int, seed: int) -> Callable[[int], str]:
    draws = -(-digits // _DIGITS_A_DRAW)
    span = 16**_DIGITS_A_DRAW

    def fill(device: int) -> str:
        numbers = (int(uniform(seed, device, Purpose.SUBJECT, n) * span) for n in range(draws))
        return "".join(f"{number:08x}" for number in numbers)[:digits]

    return fill


def _joined(parts: list[Part]) -> tuple[Part, ...]:
    """Return the parts with adjacent constant ones joined."""
    joined: list[Part] = []
    for is_text, group in groupby(parts, key=lambda part: isinstance(part, str)):
        together = list(group)
        joined += ["".join(part for part in together if isinstance(part, str))] if is_text else together
    return tuple(joined)
