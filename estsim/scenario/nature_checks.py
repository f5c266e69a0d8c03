"""What devices are by nature must fit their cohort and the server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from estsim.errors import UnitError
from estsim.scenario.cohort_model import BootstrapKind, CohortModel
from estsim.scenario.document import Location
from estsim.scenario.parts import Finding, Parts
from estsim.scenario.pem_files import certificates_in, public_key_in, spki
from estsim.scenario.unreadable import unreadable

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
                yield (*place, "faults", fault), f"needs bootstrap: {{kind: manufacturer}} (got {kind.value})"


def _papers(parts: Parts, place: Location, cohort: CohortModel) -> Iterator[Finding]:
    bootstrap = cohort.bootstrap
    if bootstrap.path is None:
        return
    path, at = parts.folder / bootstrap.path, (*place, "bootstrap", "path")
    try:
        if bootstrap.kind is BootstrapKind.SHARED:
            certificate, key = certificates_in(path)[0], public_key_in(path)
            if key != spki(certificate.public_key()):
                yield at, f"holds a key that is not the key of its first certificate (got {path})"
        elif bootstrap.kind is BootstrapKind.FILES:
            _enough_files(path, cohort.devices)
    except UnitError as error:
        yield at, str(error)


def _enough_files(path: Path, devices: int) -> None:
    try:
        found = sum(file.suffix == ".pem" for file in path.iterdir())
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise unreadable(path, error) from error
    if found < devices:
        raise UnitError(f"must hold a file NAME.pem for each of {devices} devices (got {found} in {path})")


def _start(parts: Parts, place: Location, cohort: CohortModel) -> Iterator[Finding]:
    if cohort.start is None:
        return
    if parts.has_url:
        yield (*place, "start"), "operational needs the sandbox, whose CA has issued the certificates"
    if cohort.boot.stations is not None:
        yield (*place, "start"), "operational devices do not boot, so they need no stations"


def _reuse(place: Location, cohort: CohortModel) -> Iterator[Finding]:
    kind = cohort.bootstrap.kind
    if cohort.keys.reuse is not None and not kind.tells_devices_apart:
        yield (
            (*place, "keys", "reuse"),
            f"with bootstrap: {{kind: {kind.value}}} a server tells devices apart by their key alone; use prepare",
        )
