"""``estsim device``: the timeline of one device, found by number or name.

Names and files of a run's devices are known from the scenario next to its store. The scenario names the folder of
devices' own files; which device had which is known if the folder still has the same files as when the run began.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from estsim.cli.complaints import output, usage_errors
from estsim.cli.console import SizedConsole
from estsim.errors import ScenarioError, UnitError, UsageError
from estsim.est.names import text_parts
from estsim.nearness import suggestion
from estsim.record.reading import enrolments_of, exchanges_of, internal_errors_of, open_run, subjects_with
from estsim.record.run_reader import RunReader
from estsim.scenario.bootstrap_model import BootstrapKind
from estsim.scenario.cohort_model import CohortModel
from estsim.scenario.document import plain_copy, read_document
from estsim.scenario.parts import readable_parts
from estsim.scenario.pem_files import CredentialFiles, certificates_in, credentials_in, fingerprint_of
from estsim.scenario.subjects import SubjectTemplate, compile_subject
from estsim.terminal.ink import Line, Page
from estsim.terminal.timeline import About, timeline
from estsim.units import shown

_NUMBER: Final = re.compile("[0-9]{1,18}")  # an INTEGER of SQLite
_WIDEST: Final = 100
_LOOKED_AT: Final = 20_000  # names to find the nearest among: half a second
_LISTED: Final = 5


@dataclass(frozen=True, slots=True)
class RecordedCohort:
    """A cohort of a run. ``subject`` is None where devices enroll for the Subject in their own certificates."""

    name: str
    devices: range
    subject: SubjectTemplate | None
    files: tuple[CredentialFiles, ...] = ()  # of each device, none where that is not known

    def file_of(self, number: int) -> Path | None:
        """Return the file of a device's own certificate, None where it has none or it is not known."""
        return self.files[number - self.devices.start].cert if self.files else None

    def called(self, name: str) -> list[int]:
        """Return the devices whose file has a name, with its suffix or without."""
        numbered = zip(self.devices, self.files, strict=False)
        return [number for number, files in numbered if name in (files.cert.name, files.cert.stem)]

    def subject_of(self, number: int) -> str | None:
        """Return the Subject that a device enrolls for, as text, None where its file does not tell."""
        if self.subject is not None:
            return self.subject(number).rfc4514_string()
        file = self.file_of(number)
        try:
            return None if file is None else certificates_in(file)[0].subject
        except UnitError:
            return None

    def name_of(self, number: int) -> x509.Name | None:
        """Return the same as a name, None where the text is none."""
        if self.subject is not None:
            return self.subject(number)
        try:
            return x509.Name.from_rfc4514_string(self.subject_of(number) or "")
        except ValueError:
            return None

    def parts_of(self, number: int) -> frozenset[str]:
        """Return the parts of a device's Subject as text."""
        return text_parts(self.subject_of(number) or "")


def fleet_of(folder: Path, facts: Mapping[str, str]) -> list[RecordedCohort]:
    """Return the cohorts of the scenario in a run's folder, none where it cannot be read.

    ``facts`` are those of the run's store. Only names are read: the other files that a scenario needs may be gone.
    """
    try:
        data = plain_copy(read_document(folder / "scenario.yaml").root.value)
        parts = readable_parts(data if isinstance(data, dict) else {}, folder)
        fleet: list[RecordedCohort] = []
        first = 0
        for name, cohort in parts.cohorts.items():
            own = cohort.has_own_subject
            subject = None if own else compile_subject(cohort.subject, cohort=name, seed=parts.seed)
            devices = range(first, first + cohort.devices)
            fleet.append(RecordedCohort(name, devices, subject, _files_of(folder, name, cohort, facts)))
            first += cohort.devices
    except (ScenarioError, UnitError):
        return []
    return fleet


def _files_of(folder: Path, name: str, cohort: CohortModel, facts: Mapping[str, str]) -> tuple[CredentialFiles, ...]:
    """Return the files of a cohort's devices where they are those of the run, else none."""
    path = cohort.bootstrap.path
    if cohort.bootstrap.kind is not BootstrapKind.FILES or path is None:
        return ()
    try:
        files = credentials_in(folder / path, cohort.devices)
        known = json.loads(facts.get("credential_files", "{}"))
        return files if known.get(name) == fingerprint_of(files) else ()
    except (UnitError, ValueError, AttributeError):
        return ()


def show_timeline(run: Path, name: str) -> None:
    """Print the story of a device; raises typer.Exit where there is none."""
    with usage_errors(), open_run(run) as reader:
        lines = _lines(reader, name)
    with output():
        SizedConsole(highlight=False, emoji=False).print(Page(lines), soft_wrap=True)


def _lines(reader: RunReader, name: str) -> list[Line]:
    facts = reader.facts()
    fleet = fleet_of(reader.path.parent, facts)
    number = _found(reader, fleet, name)
    exchanges, enrolments = exchanges_of(reader, number), enrolments_of(reader, number)
    member = next((cohort for cohort in fleet if number in cohort.devices), None)
    cohorts = [each.cohort for each in enrolments] or [each.cohort for each in exchanges]
    subject = next((each.subject for each in enrolments if each.subject), None)
    file = member.file_of(number) if member else None
    about = About(
        device=number,
        cohort=member.name if member else next(iter(cohorts), None),
        subject=subject or (member.subject_of(number) if member else None),
        facts=facts,
        file=str(file) if file else None,
        met=internal_errors_of(reader, number),
    )
    return timeline(about, exchanges, enrolments, min(SizedConsole().width, _WIDEST))


def _found(reader: RunReader, fleet: list[RecordedCohort], name: str) -> int:
    """Return the number of the device that is meant. Raises UsageError where there is none, or more than one."""
    if not name.strip():
        raise UsageError("NAME: expected a device number, CN or Subject (got nothing)")
    if _NUMBER.fullmatch(name) and _is_there(reader, fleet, int(name)):
        return int(name)
    for wanted in _readings(name):
        devices = _recorded_as(reader, wanted) or _called(fleet, name) or _planned_as(fleet, wanted)
        if len(devices) > 1:
            some = ", ".join(map(str, devices[:_LISTED])) + (", …" if len(devices) > _LISTED else "")
            raise UsageError(f"{shown(name)}: matches several devices: {some}")
        if devices:
            return devices[0]
    raise UsageError(f"{shown(name)}: no such device{_hint(reader, fleet, name)}")


def _is_there(reader: RunReader, fleet: list[RecordedCohort], number: int) -> bool:
    if fleet:
        return number < fleet[-1].devices.stop
    return bool(enrolments_of(reader, number) or exchanges_of(reader, number))


def _readings(name: str) -> Iterator[frozenset[str]]:
    """Yield what a name may mean, as the parts that a Subject must have: a common name, or parts of it in any order."""
    try:
        yield _parts(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        if "=" in name:
            yield _parts(x509.Name.from_rfc4514_string(name))
    except ValueError:  # no name at all
        return


def _parts(subject: x509.Name) -> frozenset[str]:
    return frozenset(rdn.rfc4514_string() for rdn in subject.rdns)


def _recorded_as(reader: RunReader, wanted: frozenset[str]) -> list[int]:
    """Return the devices that got a certificate with all of the parts."""
    part = max(wanted, key=len)
    return sorted({number for number, subject in subjects_with(reader, part) if wanted <= text_parts(subject)})


def _called(fleet: list[RecordedCohort], name: str) -> list[int]:
    """Return the devices whose own file has the name."""
    return [number for cohort in fleet for number in cohort.called(name)]


def _planned_as(fleet: list[RecordedCohort], wanted: frozenset[str]) -> list[int]:
    """Return the devices that the scenario, or its own certificate, gives all of the parts."""
    return [number for cohort in fleet for number in cohort.devices if wanted <= cohort.parts_of(number)]


def _hint(reader: RunReader, fleet: list[RecordedCohort], name: str) -> str:
    """Return the nearest name, or the numbers there are; of names equally near, the one with the number in the name."""
    if fleet and _NUMBER.fullmatch(name):
        return f" (expected a number from 0 to {fleet[-1].devices.stop - 1})"
    numbers = {int(digits) for digits in re.findall(_NUMBER, name)}
    near = [cohort.name_of(number) for cohort in fleet for number in numbers if number in cohort.devices]
    return suggestion(name, _spellings(near, name)) or suggestion(name, _spellings(_first_names(reader, fleet), name))


def _first_names(reader: RunReader, fleet: list[RecordedCohort]) -> Iterator[x509.Name | None]:
    """Yield names to find the nearest among: the first of the fleet, or where it is not known, of those recorded."""
    if fleet:
        yield from islice((cohort.name_of(number) for cohort in fleet for number in cohort.devices), _LOOKED_AT)
        return
    for _, subject in islice(subjects_with(reader, ""), _LOOKED_AT):
        with suppress(ValueError):
            yield x509.Name.from_rfc4514_string(subject)


def _spellings(subjects: Iterable[x509.Name | None], name: str) -> Iterator[str]:
    """Yield names in the ways that the one looked for may be meant: a common name, or a subject in either order."""
    for subject in filter(None, subjects):
        if "=" in name:
            yield subject.rfc4514_string()
            yield ",".join(rdn.rfc4514_string() for rdn in subject.rdns)
        else:
            yield from (str(common.value) for common in subject.get_attributes_for_oid(NameOID.COMMON_NAME))
