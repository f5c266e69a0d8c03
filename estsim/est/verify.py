"""The checks on every issued certificate: that it is what was requested, from an authority that the device trusts.

Device certificates need no SubjectAltName or extended key usage, so no web-PKI profile applies: the key is the
request's, the chain ends in a trust anchor, and the certificate is valid now. Names that differ from the request are
the CA's policy: noted and counted, and wrong only where the scenario requires them. Names are compared by value
(RFC 5280 §7.1), whatever their string types.

On the path of every enrolment: comparisons and one signature verification.
"""

from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import Final

from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import Certificate
from estsim.est.der import DERError
from estsim.est.issuer_search import refusal_of
from estsim.est.names import AlternativeNames, name_text, name_value, read_general_names, read_name
from estsim.est.outcome import Malformed, NonConformance
from estsim.est.public_keys import is_same_key
from estsim.est.validity import utc_text

NAMES_DIFFER: Final = "names differ"
_SECTION: Final = "RFC 7030 §4.2"
_MOST_CHARACTERS: Final = 200
OLDER_ROOT: Final = NonConformance("issued under an older root than the newest", "RFC 7030 §4.1.3")
CLOCK_TOLERANCE_S: Final = 60.0
"""How far notBefore may be ahead of the device's clock: the clocks of a CA and a device differ."""


def name_changes(certificate: Certificate, subject_der: bytes, san_der: bytes | None) -> tuple[NonConformance, ...]:
    """Note how a certificate's Subject and SubjectAltName differ by value from those requested."""
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
    """Say how issued parts differ from the requested ones, or None."""
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


def verify_issued(
    certificate: Certificate,
    *,
    public_key_der: bytes,
    subject_der: bytes,
    san_der: bytes | None,
    authorities: CertificateAuthorities,
    wall_now_s: float,
    names_required: bool = False,
) -> Malformed | tuple[NonConformance, ...]:
    """Return why an issued certificate cannot be used, else the rules that it breaks all the same.

    The expected parts are those of the request (:class:`estsim.est.csr.CSRFacts`).
    """
    if not is_same_key(certificate.spki, public_key_der):
        return Malformed("the certificate's public key is not the one in the request", "RFC 7030 §4.2.3")
    notes = name_changes(certificate, subject_der, san_der)
    if notes and names_required:
        return Malformed("; ".join(each.detail for each in notes), notes[0].rfc_section)
    wrong = _wrong_time(certificate, wall_now_s)
    if wrong is not None:
        return Malformed(wrong, "RFC 5280 §4.1.2.5")
    chain = authorities.chain_of(certificate)
    if chain is None:
        refusal = refusal_of(certificate)
        if refusal is not None:
            return Malformed(f"the certificate is {refusal}", "RFC 7030 §4.2.3")
        why = authorities.why_not(certificate)
        return Malformed(f"the certificate does not chain to the CA certificates: {why}", "RFC 7030 §4.1.3")
    if authorities.is_older(chain[-1]):
        notes = (*notes, replace(OLDER_ROOT, detail=chain[-1].subject))
    return notes


def _wrong_time(certificate: Certificate, wall_now_s: float) -> str | None:
    """Say why the certificate cannot be used at the device's time, or None."""
    begin_s, end_s = certificate.not_before_s, certificate.not_after_s
    if begin_s >= end_s:
        dates = f"{utc_text(begin_s)} to {utc_text(end_s)}"
        return f"the certificate's validity ends before it begins: {dates}"
    if end_s <= wall_now_s:
        return f"the certificate had already expired when it was received: notAfter {utc_text(end_s)}"
    if begin_s > wall_now_s + CLOCK_TOLERANCE_S:
        return (
            f"the certificate is not valid yet: notBefore {utc_text(begin_s)} is more than {CLOCK_TOLERANCE_S:.0f} s"
            f" after the device's clock ({utc_text(wall_now_s)})"
        )
    return None
