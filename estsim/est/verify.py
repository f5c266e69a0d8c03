"""The checks on every issued certificate: that it is what was asked for, by an authority the device trusts.

Device certificates carry no SubjectAltName or extended key usage by duty, so there is no web-PKI profile here: the key
is the request's, the chain ends in a trust anchor, the validity is sane, and what the names are is told.

On the hot path of every enrolment: a certificate that was read (:mod:`estsim.est.certificate`) costs comparisons and
one signature verification.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from estsim.est.authorities import CertificateAuthorities
from estsim.est.certificate import Certificate
from estsim.est.issuer_search import refusal_of
from estsim.est.name_changes import name_changes
from estsim.est.outcome import Malformed, NonConformance
from estsim.est.signatures import is_same_key

OLDER_ROOT: Final = NonConformance("issued under an older root than the newest", "RFC 7030 §4.1.3")
CLOCK_TOLERANCE_S: Final = 60.0
"""By how much an issued certificate may begin after the device's clock: clocks of a CA and a device differ."""


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
    """Return what is wrong with an issued certificate, else the rules that it breaks while it can be used.

    The expected parts are those of the request (:class:`estsim.est.csr.CSRFacts`). Names are compared by value; others
    than were asked for are the CA's policy, told, and wrong only where they are required.
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
    """Say why no device could use the certificate now, by the device's clock."""
    begin_s, end_s = certificate.not_before_s, certificate.not_after_s
    if begin_s >= end_s:
        return f"the certificate's validity ends before it begins: {_told(begin_s)} to {_told(end_s)}"
    if end_s <= wall_now_s:
        return f"the certificate had already expired when it was received: notAfter {_told(end_s)}"
    if begin_s > wall_now_s + CLOCK_TOLERANCE_S:
        return (
            f"the certificate is not valid yet: notBefore {_told(begin_s)} is more than {CLOCK_TOLERANCE_S:.0f} s after"
            f" the device's clock ({_told(wall_now_s)})"
        )
    return None


def _told(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%SZ}"
