"""What holds of every row that a run writes, whatever the server did."""

from collections.abc import Iterator
from math import isfinite
from typing import Final

from fuzz_report import text_problems

from estsim.est.outcome import OutcomeClass, RetryAfterForm
from estsim.est.retry_after import LONGEST_S
from estsim.record.rows import exchange_row, sample_of
from estsim.record.sample import Enrolment, Sample

_PARTS: Final = ("service_ns", "told_ns", "device_ns", "backoff_ns", "client_ns", "generator_ns")
_TOLERANCE_NS: Final = 1_000_000
_LARGEST_INTEGER: Final = 2**63  # of SQLite


def sample_problems(sample: Sample) -> Iterator[str]:
    """Yield what is wrong with the row of an exchange."""
    if sample.kind not in OutcomeClass:
        yield f"kind {sample.kind!r} is none of the closed set"
    failed = sample.kind is OutcomeClass.FAILED
    if failed != (sample.phase is not None) or failed != (sample.trouble is not None):
        yield f"{sample.kind}: phase {sample.phase}, trouble {sample.trouble}"
    if sample.status is not None and not 100 <= sample.status <= 999:
        yield f"status {sample.status}"
    yield from text_problems("detail", sample.detail, longest=2000)
    for broken in sample.non_conformances:
        yield from text_problems("rule", broken.rule, longest=100)
        yield from text_problems("section", broken.rfc_section, longest=40)
        yield from text_problems("detail of a rule", broken.detail, longest=5000)
    yield from _stamp_problems(sample)
    told = sample.retry_after
    if told is not None and told.wait_s is not None and not 0 <= told.wait_s <= LONGEST_S:
        yield f"Retry-After of {told.wait_s} s"
    if told is not None and (told.wait_s is None) == (told.form in {RetryAfterForm.SECONDS, RetryAfterForm.HTTP_DATE}):
        yield f"Retry-After {told}"
    if sample_of(exchange_row(sample)) != sample:
        yield f"the row is not read as it was written: {sample!r}"


def _stamp_problems(sample: Sample) -> Iterator[str]:
    stamps = sample.stamps
    order = (
        stamps.started_ns,
        stamps.connected_ns,
        stamps.handshaken_ns,
        stamps.sent_ns,
        stamps.first_byte_ns,
        stamps.ended_ns,
    )
    known = [at_ns for at_ns in order if at_ns is not None]
    if known != sorted(known):
        yield f"stamps out of order: {stamps!r}"
    if not all(abs(at_ns) < _LARGEST_INTEGER for at_ns in known):
        yield f"stamps out of range: {stamps!r}"
    if sample.reused and stamps.connected_ns is not None:
        yield "a reused connection was connected"


def enrolment_problems(enrolment: Enrolment) -> Iterator[str]:
    """Yield what is wrong with the row of an enrolment that ended."""
    if enrolment.end is None or enrolment.ended_ns is None:
        yield f"an enrolment ended without an end: {enrolment!r}"
        return
    for name in ("serial", "issuer", "subject", "not_after", "key_sha256"):
        text = getattr(enrolment, name)
        if text is not None:
            yield from text_problems(name, text, longest=20_000)
    whole_ns = enrolment.ended_ns - enrolment.intended_ns
    parts_ns = sum(getattr(enrolment, part) for part in _PARTS)
    if abs(whole_ns - parts_ns) > _TOLERANCE_NS:
        yield f"the parts of an enrolment make {parts_ns} ns of {whole_ns}: {enrolment!r}"
    if enrolment.margin_s is not None and not isfinite(enrolment.margin_s):
        yield f"margin of {enrolment.margin_s} s"
