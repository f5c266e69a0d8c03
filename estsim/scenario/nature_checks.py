"""What devices are by nature must fit their cohort and the server."""

from collections.abc import Iterator
from typing import Final

from estsim.errors import UnitError
from estsim.scenario.bootstrap_model import BootstrapKind
from estsim.scenario.cohort_model import CohortModel
from estsim.scenario.credential_files import CredentialFiles, check_credential, check_folder
from estsim.scenario.document import Location
from estsim.scenario.parts import Finding, Parts
from estsim.scenario.pem_files import device_certificate_in, public_key_in

_OF_A_MANUFACTURER: Final = ("expired_bootstrap", "unknown_ca", "wrong_eku")


def nature_findings(parts: Parts, place: Location, cohort: CohortModel) -> Iterator[Finding]:
    """Yield what does not fit in one cohort, but nothing that follows from keys of it that could not be read."""
    unread = parts.unread.get(str(place[-1]), frozenset())
    yield from _papers(parts, place, cohort)
    yield from _start(parts, place, cohort)
    if "bootstrap" not in unread:
        yield from _reuse(place, cohort)
    kind = cohort.bootstrap.kind
    if kind is not BootstrapKind.MANUFACTURER and "bootstrap" not in unread:
        for fault in _OF_A_MANUFACTURER:
            if getattr(cohort.faults, fault) > 0:
                yield (*place, "faults", fault), f"requires bootstrap: {{kind: manufacturer}} (got {kind.value})"


def _papers(parts: Parts, place: Location, cohort: CohortModel) -> Iterator[Finding]:
    bootstrap = cohort.bootstrap
    try:
        if bootstrap.cert is not None and bootstrap.key is not None:
            yield from _two_files(parts, (*place, "bootstrap"), bootstrap.cert, bootstrap.key)
        elif bootstrap.path is not None and bootstrap.kind is BootstrapKind.SHARED:
            check_credential(CredentialFiles.one(parts.folder / bootstrap.path))
        elif bootstrap.path is not None and bootstrap.kind is BootstrapKind.FILES:
            check_folder(parts.folder / bootstrap.path, cohort.devices)
    except UnitError as error:
        yield (*place, "bootstrap", "path"), str(error)


def _two_files(parts: Parts, place: Location, cert: str, key: str) -> Iterator[Finding]:
    """Look at each file on its own, then at both."""
    files = CredentialFiles(parts.folder / cert, parts.folder / key)
    told = False
    for name, read, path in (("cert", device_certificate_in, files.cert), ("key", public_key_in, files.key)):
        try:
            read(path)
        except UnitError as error:
            told = True
            yield (*place, name), str(error)
    if not told:
        try:
            check_credential(files)
        except UnitError as error:
            yield (*place, "key"), str(error)


def _start(parts: Parts, place: Location, cohort: CohortModel) -> Iterator[Finding]:
    if cohort.start is None:
        return
    if parts.has_url:
        yield (*place, "start"), "operational requires the sandbox, whose CA issues the certificates"
    if cohort.boot.stations is not None:
        yield (*place, "start"), "operational and stations are mutually exclusive"


def _reuse(place: Location, cohort: CohortModel) -> Iterator[Finding]:
    kind = cohort.bootstrap.kind
    if cohort.keys.reuse is not None and not kind.tells_devices_apart:
        yield (
            (*place, "keys", "reuse"),
            f"with bootstrap: {{kind: {kind.value}}} the server distinguishes devices only by their keys; use prepare",
        )
