"""How the names of an issued certificate differ from those that were asked for: the CA's policy, told and counted.

What a request asks for, a CA may certify or not: many drop an O, add an OU or a SubjectAltName. Names are the same by
value (RFC 5280 §7.1), whatever their string types.
"""

from collections.abc import Hashable, Iterable
from typing import Final

from estsim.est.certificate import Certificate
from estsim.est.der import DERError
from estsim.est.general_names import AlternativeNames, read_general_names
from estsim.est.names import name_text, name_value, read_name
from estsim.est.outcome import NonConformance

NAMES_DIFFER: Final = "names differ"
_SECTION: Final = "RFC 7030 §4.2"
_MOST_CHARACTERS: Final = 200


def name_changes(certificate: Certificate, subject_der: bytes, san_der: bytes | None) -> tuple[NonConformance, ...]:
    """Return how a certificate's Subject and SubjectAltName differ by value from those that were asked for."""
    if certificate.subject_der == subject_der and certificate.san_der == san_der:
        return ()
    return (*_subject_change(certificate, subject_der), *_san_change(certificate.san_der, san_der))


def _subject_change(certificate: Certificate, asked_der: bytes) -> Iterable[NonConformance]:
    if name_value(asked_der) == name_value(certificate.subject_der):
        return
    asked, got = _rdns(asked_der), _rdns(certificate.subject_der)
    kind = _kind(asked, got) or "in another order"
    yield _note("Subject", kind, name_text(asked_der), certificate.subject)


def _san_change(got_der: bytes | None, asked_der: bytes | None) -> Iterable[NonConformance]:
    if got_der == asked_der:
        return
    asked, got = _entries(asked_der), _entries(got_der)
    kind = _kind({text.lower() for text in asked}, {text.lower() for text in got})
    if kind is not None:  # GeneralNames have no order
        yield _note("SubjectAltName", kind, ", ".join(asked), ", ".join(got))


def _kind(asked: Iterable[Hashable], got: Iterable[Hashable]) -> str | None:
    """Say what became of the parts that were asked for, None where they are all there and no others."""
    wanted, had = set(asked), set(got)
    if wanted == had:
        return None
    if had < wanted:
        return "dropped"
    return "added" if wanted < had else "changed"


def _note(what: str, kind: str, asked: str, got: str) -> NonConformance:
    detail = f"{NAMES_DIFFER}: {what} requested {_short(asked)}, issued {_short(got)}"
    return NonConformance(f"{NAMES_DIFFER}: {what} {kind}", _SECTION, detail)


def _short(text: str) -> str:
    if not text:
        return "none"
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"


def _rdns(name_der: bytes) -> Iterable[Hashable]:
    try:
        return read_name(name_der).value
    except DERError:
        return (name_der,)


def _entries(san_der: bytes | None) -> tuple[str, ...]:
    try:
        found = AlternativeNames() if san_der is None else read_general_names(san_der)
    except DERError:
        return (f"#{(san_der or b'').hex()}",)
    return found.texts
