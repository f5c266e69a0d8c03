"""The fleet of a recorded run, as far as its devices' names and files are known from the scenario beside the store.

The scenario names the folder of devices' own files; which device had which is known where the folder still has the
same files for them as when the run began.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from estsim.errors import ScenarioError, UnitError
from estsim.est.names import text_parts
from estsim.scenario.bootstrap_model import BootstrapKind
from estsim.scenario.cohort_model import CohortModel
from estsim.scenario.document import plain_copy, read_document
from estsim.scenario.parts import readable_parts
from estsim.scenario.pem_files import CredentialFiles, certificates_in, credentials_in, fingerprint_of
from estsim.scenario.subjects import SubjectTemplate, compile_subject


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
