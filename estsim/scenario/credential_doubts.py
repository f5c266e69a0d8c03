"""Warnings about certificates in devices' own files that a server will refuse, one for each cohort.

Checks the first thousand of a folder, as :mod:`estsim.scenario.pem_files` does for mistakes. There is no warning for a
cohort with expected refusals.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from estsim.errors import UnitError
from estsim.est.certificate import Certificate
from estsim.est.outcome import OutcomeClass
from estsim.pki.names import EMPTY_NAME
from estsim.scenario.document import Finding
from estsim.scenario.pem_files import MOST_LOOKED_AT, certificates_in, credentials_in
from estsim.scenario.plan import Cohort, Files, Scenario

_REFUSALS: Final = frozenset({OutcomeClass.REJECTED.value, OutcomeClass.UNAUTHORIZED.value, OutcomeClass.FAILED.value})


@dataclass(frozen=True, slots=True)
class _Own:
    """A device's certificate and the file that it is in."""

    path: Path
    certificate: Certificate


def credential_doubts(scenario: Scenario) -> Iterator[Finding]:
    """Yield what a server may refuse in the devices' own certificates, at the folder of each cohort."""
    now_s = time.time()
    for cohort in scenario.cohorts:
        folder = cohort.bootstrap.path if isinstance(cohort.bootstrap, Files) else None
        if folder is None or _is_to_be_refused(scenario, cohort):
            continue
        own = _certificates(folder, cohort.devices)
        problems = [*_validity(own, now_s, now_s + scenario.duration_s), *_of_a_ca(own)]
        if cohort.subject is None:
            problems += _shared_subjects(own)
        if problems:
            yield ("cohorts", cohort.name, "bootstrap", "path"), f"{_of(own, cohort.devices)}, {'; '.join(problems)}"


def _is_to_be_refused(scenario: Scenario, cohort: Cohort) -> bool:
    return any(cohort.name in each.cohorts and each.outcomes & _REFUSALS for each in scenario.expect)


def _certificates(folder: Path, devices: int) -> list[_Own]:
    """Read the certificates; files that became unreadable meanwhile are reported when the devices are made."""
    try:
        used = credentials_in(folder, devices)[:MOST_LOOKED_AT]
        return [_Own(files.cert, certificates_in(files.cert)[0]) for files in used]
    except UnitError:
        return []


def _of(own: list[_Own], devices: int) -> str:
    if devices == 1:
        return "of 1 certificate"
    return f"of {'the first ' if len(own) < devices else ''}{len(own)} certificates"


def _validity(own: list[_Own], now_s: float, ends_s: float) -> Iterator[str]:
    expired = [each for each in own if each.certificate.not_after_s < now_s]
    early = [each for each in own if each.certificate.not_before_s > now_s]
    ending = [each for each in own if now_s <= each.certificate.not_after_s < ends_s]
    if expired:
        at = _date(expired[0].certificate.not_after_s)
        yield f"{len(expired)} {_has(expired)} expired ({_first(expired)}, on {at})"
    if early:
        at = _date(early[0].certificate.not_before_s)
        yield f"{len(early)} {_is(early)} not valid yet ({_first(early)}, from {at})"
    if ending:
        at, expire = _date(ending[0].certificate.not_after_s), "expires" if len(ending) == 1 else "expire"
        yield f"{len(ending)} {expire} before the end of the run ({_first(ending)}, on {at})"


def _of_a_ca(own: list[_Own]) -> Iterator[str]:
    if cas := [each for each in own if each.certificate.is_ca]:
        what = "a CA certificate" if len(cas) == 1 else "CA certificates"
        yield f"{len(cas)} {_is(cas)} {what} ({_first(cas)})"


def _shared_subjects(own: list[_Own]) -> Iterator[str]:
    """Find devices that enroll for the same name, which is the SubjectAltName where the Subject is empty."""
    names = [_name_of(each.certificate) for each in own]
    counted = Counter(names)
    if same := [each for each, name in zip(own, names, strict=True) if counted[name] > 1]:
        subject = same[0].certificate.subject
        yield f"{len(same)} have the same Subject as another ({_first(same)}, {subject or 'the empty Subject'})"


def _name_of(certificate: Certificate) -> bytes | None:
    return certificate.san_der if certificate.subject_der == EMPTY_NAME else certificate.subject_der


def _first(found: list[_Own]) -> str:
    return str(found[0].path) if len(found) == 1 else f"first {found[0].path}"


def _has(found: list[_Own]) -> str:
    return "has" if len(found) == 1 else "have"


def _is(found: list[_Own]) -> str:
    return "is" if len(found) == 1 else "are"


def _date(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%d %H:%M} UTC"
