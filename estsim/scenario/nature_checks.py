"""What devices are by nature must fit their cohort, the server, and what a core can make of it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from estsim.errors import UnitError
from estsim.load.arrivals import boot_times
from estsim.scenario.boot_model import arrivals_of
from estsim.scenario.cohort_model import BootstrapKind, CohortModel
from estsim.scenario.document import Location
from estsim.scenario.parts import Finding, Parts
from estsim.scenario.pem_files import certificates_in, public_key_in
from estsim.scenario.trace_file import read_trace
from estsim.server.config import KeyKind

# Keys that one core makes in a second while it runs a fleet: a fifth of what it could with nothing else to do.
_KEYS_PER_S: Final = {KeyKind.RSA_2048: 4.0, KeyKind.RSA_3072: 1.0, KeyKind.RSA_4096: 0.3}
_WINDOW_S: Final = 10
_OF_A_MANUFACTURER: Final = ("expired_bootstrap", "unknown_ca", "wrong_eku")
_KEY_IS_ALL: Final = frozenset({BootstrapKind.NONE, BootstrapKind.SHARED, BootstrapKind.BASIC})


def nature_findings(parts: Parts, place: Location, cohort: CohortModel) -> Iterator[Finding]:
    """Yield what does not fit in one cohort."""
    yield from _papers(parts, place, cohort)
    yield from _start(parts, place, cohort)
    yield from _keys(parts, place, cohort)
    kind = cohort.bootstrap.kind
    if kind is not BootstrapKind.MANUFACTURER:
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
            certificates_in(path)
            public_key_in(path)
        elif bootstrap.kind is BootstrapKind.FILES:
            _enough_files(path, cohort.devices)
    except UnitError as error:
        yield at, str(error)


def _enough_files(path: Path, devices: int) -> None:
    try:
        found = sum(file.suffix == ".pem" for file in path.iterdir())
    except OSError as error:
        raise UnitError(f"cannot be read: {error.strerror} (got {path})") from error
    if found < devices:
        raise UnitError(f"must hold a file NAME.pem for each of {devices} devices (got {found} in {path})")


def _start(parts: Parts, place: Location, cohort: CohortModel) -> Iterator[Finding]:
    if cohort.start is None:
        return
    if parts.has_url:
        yield (*place, "start"), "operational needs the sandbox, whose CA has issued the certificates"
    if cohort.boot.stations is not None:
        yield (*place, "start"), "operational devices do not boot, so they need no stations"


def _keys(parts: Parts, place: Location, cohort: CohortModel) -> Iterator[Finding]:
    kind = cohort.bootstrap.kind
    if cohort.keys.reuse is not None and kind in _KEY_IS_ALL:
        yield (
            (*place, "keys", "reuse"),
            f"with bootstrap: {{kind: {kind.value}}} a server tells devices apart by their key alone; use prepare",
        )
    rate = _KEYS_PER_S.get(cohort.key)
    if rate is None or cohort.keys.reuse is not None or cohort.boot.stations is not None or cohort.start is not None:
        return
    try:
        trace = read_trace(parts.folder / cohort.boot.trace) if cohort.boot.trace else ()
    except UnitError:
        return  # told with the boot
    boots = Counter(
        int(at_s) // _WINDOW_S for at_s in boot_times(arrivals_of(cohort.boot, trace), cohort.devices, seed=parts.seed)
    )
    late = cohort.devices - cohort.keys.prepare
    busiest = min(late, max(boots.values(), default=0))
    if busiest > rate * _WINDOW_S:
        needed = (
            f"{busiest} devices need a {cohort.key.value} key within {_WINDOW_S} s, about {rate * _WINDOW_S:g} can be "
            f"made in that time: say keys: {{prepare: {cohort.devices}}}, or take ec-p256"
        )
        yield (*place, "key"), needed
