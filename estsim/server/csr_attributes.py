"""The CSR attributes that a trust center tells, in both forms, and whether a request fulfils them (RFC 9908)."""

from functools import cache
from typing import Final

from estsim.est.csr import CHALLENGE_PASSWORD, EXTENSION_REQUEST, CSRFacts
from estsim.est.csr_attributes import EC, ED25519, P256, P384, RSA, SIGNATURES, TEMPLATE
from estsim.est.der import (
    BIT_STRING,
    INTEGER,
    NULL,
    OBJECT_IDENTIFIER,
    SEQUENCE,
    SET,
    UTF8_STRING,
    encode,
    encoded_oid,
    is_string,
    oid,
    read_string,
)
from estsim.est.names import read_name
from estsim.est.public_keys import public_key
from estsim.est.signing import extension
from estsim.pki.keys import KeyKind, public_kind_of
from estsim.server.csr_attributes_config import SUBJECT_ATTRIBUTES, AttributesForm, CsrAttrsConfig

_VERSION_0: Final = encode(INTEGER, b"\0")
_CURVES: Final = {KeyKind.EC_P256: P256, KeyKind.EC_P384: P384}
_BITS: Final = {KeyKind.RSA_2048: 2048, KeyKind.RSA_3072: 3072, KeyKind.RSA_4096: 4096}


def attributes_der(config: CsrAttrsConfig) -> bytes:
    """Return CsrAttrs as DER."""
    entries = _list(config) if config.form is AttributesForm.LIST else [_attribute(TEMPLATE, _template(config))]
    return encode(SEQUENCE, b"".join(entries))


def unfulfilled(config: CsrAttrsConfig, facts: CSRFacts) -> str | None:
    """Say in which way a request does not fulfil the attributes, None where it does."""
    kind = public_kind_of(public_key(facts.public_key_der))
    if config.key is not None and kind is not config.key:
        return f"expected a key of {config.key.value} (got {kind.value if kind else 'another'}; see csrattrs)"
    if config.hash is not None and SIGNATURES.get(facts.signature, (b"", ""))[1] != config.hash:
        return f"expected a signature with {config.hash.value} (see csrattrs)"
    if config.pop and facts.challenge_password is None:
        return "expected a challengePassword that links the request to its TLS session (see csrattrs)"
    for number, value in config.extensions.items():
        if facts.extensions.get(oid(number)) != bytes.fromhex(value):
            return f"expected extension {number} with the value told (see csrattrs)"
    missing = [part for part in _fixed(config) if _part_value(part) not in _parts_of(facts.subject_der)]
    return f"expected {', '.join(missing)} in the Subject (see csrattrs)" if missing else None


def _fixed(config: CsrAttrsConfig) -> list[str]:
    """Return the parts of a template's subject that have a value."""
    return [part.strip() for part in (config.subject or "").split(",") if part.partition("=")[2].strip()]


def _part_value(part: str) -> tuple[bytes, str]:
    name, _, value = part.partition("=")
    return oid(SUBJECT_ATTRIBUTES[name.strip()]), value.strip()


def _parts_of(subject_der: bytes) -> set[tuple[bytes, str]]:
    """Return the attributes of a subject that are strings, by OID."""
    attributes = [each for rdn in read_name(subject_der).rdns for each in rdn]
    return {(kind, read_string(tag, value)[0]) for kind, tag, value in attributes if is_string(tag)}


def _list(config: CsrAttrsConfig) -> list[bytes]:
    entries = [encode(OBJECT_IDENTIFIER, CHALLENGE_PASSWORD)] if config.pop else []
    kind = config.key
    if kind in _CURVES:
        entries.append(_attribute(EC, encode(OBJECT_IDENTIFIER, _CURVES[kind])))
    elif kind in _BITS:
        entries.append(_attribute(RSA, encode(INTEGER, _BITS[kind].to_bytes(2, "big"))))
    elif kind is not None:
        entries.append(encode(OBJECT_IDENTIFIER, ED25519))
    if config.extensions:
        entries.append(_attribute(EXTENSION_REQUEST, encode(SEQUENCE, b"".join(_extensions(config)))))
    if config.hash is not None:
        algorithm = EC if kind in _CURVES else RSA
        signature = next(key for key, value in SIGNATURES.items() if value == (algorithm, config.hash.value))
        entries.append(encode(OBJECT_IDENTIFIER, signature))
    return entries


def _template(config: CsrAttrsConfig) -> bytes:
    parts = [_VERSION_0]
    if config.subject is not None:
        parts.append(encode(SEQUENCE, b"".join(_rdn(part.strip()) for part in config.subject.split(","))))
    if config.key is not None:
        parts.append(_template_key(config.key))
    attributes = b""
    if config.pop:
        attributes += encode(SEQUENCE, encode(OBJECT_IDENTIFIER, CHALLENGE_PASSWORD) + encode(SET, b""))
    if config.extensions:
        attributes += _attribute(EXTENSION_REQUEST, encode(SEQUENCE, b"".join(_extensions(config))))
    parts.append(encode(0xA1, attributes))
    return encode(SEQUENCE, b"".join(parts))


def _rdn(part: str) -> bytes:
    name, _, value = part.partition("=")
    told = encode(UTF8_STRING, value.strip().encode()) if value.strip() else b""
    return encode(SET, encode(SEQUENCE, encoded_oid(SUBJECT_ATTRIBUTES[name.strip()]) + told))


@cache
def _template_key(kind: KeyKind) -> bytes:
    """Return ``[0] {algorithm, subjectPublicKey OPTIONAL}``; for RSA the key is a dummy of the wanted size."""
    if kind in _CURVES:
        algorithm = encode(SEQUENCE, encode(OBJECT_IDENTIFIER, EC) + encode(OBJECT_IDENTIFIER, _CURVES[kind]))
        return encode(0xA0, algorithm)
    if kind in _BITS:
        modulus = (1 << (_BITS[kind] - 1) | 1).to_bytes(_BITS[kind] // 8 + 1, "big")
        numbers = encode(SEQUENCE, encode(INTEGER, modulus) + encode(INTEGER, b"\x01\x00\x01"))
        algorithm = encode(SEQUENCE, encode(OBJECT_IDENTIFIER, RSA) + encode(NULL, b""))
        return encode(0xA0, algorithm + encode(BIT_STRING, b"\0" + numbers))
    return encode(0xA0, encode(SEQUENCE, encode(OBJECT_IDENTIFIER, ED25519)))


def _extensions(config: CsrAttrsConfig) -> list[bytes]:
    return [extension(number, bytes.fromhex(value)) for number, value in config.extensions.items()]


def _attribute(kind: bytes, value: bytes) -> bytes:
    return encode(SEQUENCE, encode(OBJECT_IDENTIFIER, kind) + encode(SET, value))
