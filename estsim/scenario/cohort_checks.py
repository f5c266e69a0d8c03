"""Checks of one cohort: its boots, credentials, names, initial state and keys, with the server and the files."""

from collections.abc import Iterator
from typing import Final

from estsim.errors import UnitError
from estsim.load.arrivals import boot_window_s
from estsim.nearness import suggestion
from estsim.scenario.boot_model import arrivals_of, comes_to_rest, trace_of
from estsim.scenario.bootstrap_model import BootstrapKind
from estsim.scenario.cohort_model import CohortModel
from estsim.scenario.document import Finding, Location
from estsim.scenario.parts import Parts
from estsim.scenario.pem_files import (
    CredentialFiles,
    check_credential,
    check_folder,
    device_certificate_in,
    public_key_in,
)
from estsim.scenario.subjects import compile_sans, compile_subject
from estsim.units import format_duration, shown

_OF_A_MANUFACTURER: Final = ("expired_bootstrap", "unknown_ca", "wrong_eku")
_MAKER: Final = "{kind: manufacturer, authority: NAME}"
_PEMS: Final = "{kind: files, path: DIR}, {kind: shared, path: PEM}"
_BASIC: Final = '{kind: basic, user: NAME, password: "${EST_PASSWORD}"}'


def cohort_findings(
    parts: Parts, name: str, cohort: CohortModel, *, index: int, first_device: int
) -> Iterator[Finding]:
    """Yield what is wrong with one cohort, except what follows from keys of it that could not be read."""
    place, unread = ("cohorts", name), parts.unread.get(name, frozenset())
    yield from _boot_window(parts, place, cohort, index)
    yield from _authority_of(parts, place, cohort)
    yield from _names(parts, place, cohort, first_device)
    yield from _credential(parts, place, cohort)
    yield from _start(parts, place, cohort)
    if "bootstrap" not in unread:
        yield from _reuse(place, cohort)
    kind = cohort.bootstrap.kind
    if kind is not BootstrapKind.MANUFACTURER and "bootstrap" not in unread:
        for fault in _OF_A_MANUFACTURER:
            if getattr(cohort.faults, fault) > 0:
                yield (*place, "faults", fault), f"requires bootstrap: {{kind: manufacturer}} (got {kind.value})"


def _credential(parts: Parts, place: Location, cohort: CohortModel) -> Iterator[Finding]:
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
    """Check each file on its own, then both."""
    files = CredentialFiles(parts.folder / cert, parts.folder / key)
    is_wrong = False
    for name, read, path in (("cert", device_certificate_in, files.cert), ("key", public_key_in, files.key)):
        try:
            read(path)
        except UnitError as error:
            is_wrong = True
            yield (*place, name), str(error)
    if not is_wrong:
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


def _boot_window(parts: Parts, place: Location, cohort: CohortModel, index: int) -> Iterator[Finding]:
    boot = cohort.boot
    at = (*place, "boot", boot.way)
    try:
        trace = trace_of(boot, parts.folder)
    except UnitError as error:
        yield at, str(error)
        return
    ends_at = comes_to_rest(boot, trace)
    if ends_at is not None and ends_at < cohort.devices:
        yield at, f"stops after {ends_at} of {cohort.devices} devices have booted"
    elif parts.duration_s is not None:
        joins_s = parts.joins_s.get(str(place[-1]), 0.0)
        window_s = boot.burst or boot_window_s(arrivals_of(boot, trace), cohort.devices, seed=parts.seed, cohort=index)
        if joins_s + window_s >= parts.duration_s:
            last, end = format_duration(round(joins_s + window_s, 1)), format_duration(parts.duration_s)
            yield at, f"the last of {cohort.devices} devices boots at {last}, after the end of the run, {end}"


def _authority_of(parts: Parts, place: Location, cohort: CohortModel) -> Iterator[Finding]:
    bootstrap = cohort.bootstrap
    if bootstrap.kind not in (BootstrapKind.MANUFACTURER, BootstrapKind.SHARED) or bootstrap.has_files:
        return
    if bootstrap.authority is None and parts.has_url:
        yield (*place, "bootstrap"), _bootstrap_needed(cohort)
    elif bootstrap.authority is not None and bootstrap.authority not in parts.authority_names:
        hint = suggestion(bootstrap.authority, parts.authority_names)
        yield (*place, "bootstrap", "authority"), f"there is no authority '{shown(bootstrap.authority)}'{hint}"


def _bootstrap_needed(cohort: CohortModel) -> str:
    """Return what a cohort's bootstrap needs where the server is not the run's own sandbox."""
    with_password = cohort.http_auth is not None
    basic, none = (
        ("", ", or {kind: none} for http_auth alone") if with_password else (f"{_BASIC}, ", " or {kind: none}")
    )
    if "bootstrap" not in cohort.model_fields_set:
        return f"is missing: with target.url, say how devices authenticate: {basic}{_PEMS}, {_MAKER}{none}"
    needed = "with target.url, bootstrap needs `authority`, a CA that the server trusts"
    if cohort.bootstrap.kind is BootstrapKind.SHARED:
        return f"{needed}, or `path`, a PEM file with certificate and key"
    return f"{needed}; or write {basic}{_PEMS}{none}"


def _names(parts: Parts, place: Location, cohort: CohortModel, first: int) -> Iterator[Finding]:
    name, seed, devices = str(place[-1]), parts.seed, (first, first + cohort.devices - 1)
    try:
        compile_subject(cohort.subject, cohort=name, seed=seed, devices=devices)
    except UnitError as error:
        yield (*place, "subject"), str(error)
    for number, san in enumerate(cohort.sans):
        try:
            compile_sans([san], cohort=name, seed=seed, devices=devices)
        except UnitError as error:
            yield (*place, "sans", number), str(error)
