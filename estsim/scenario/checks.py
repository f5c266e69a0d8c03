"""What a scenario must hold true between its parts, and with the files that it names.

Works on whatever parts could be read on their own, so that these mistakes are told together with those of shape.
"""

import re
from collections.abc import Iterator
from typing import Final

from estsim.errors import UnitError
from estsim.figures.catalogue import ThresholdError
from estsim.figures.thresholds import parse_threshold
from estsim.load.arrivals import boot_window_s
from estsim.nearness import suggestion
from estsim.scenario.boot_model import arrivals_of, comes_to_rest
from estsim.scenario.bootstrap_model import BootstrapKind
from estsim.scenario.cohort_model import MOST_DEVICES, CohortModel
from estsim.scenario.document import Location
from estsim.scenario.ending_checks import ending_findings
from estsim.scenario.event_checks import event_findings
from estsim.scenario.key_checks import key_findings
from estsim.scenario.nature_checks import nature_findings
from estsim.scenario.parts import Finding, Parts
from estsim.scenario.pem_files import certificates_in, is_key_of, public_key_in
from estsim.scenario.subjects import compile_sans, compile_subject
from estsim.scenario.trace_file import trace_of
from estsim.server.config import DEFAULT
from estsim.units import format_duration, shown

# An authority's name becomes a file's; a cohort's also stands in paths of thresholds and in subjects.
_AUTHORITY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MAKER: Final = "{kind: manufacturer, authority: NAME}"
_PEMS: Final = "{kind: files, path: DIR}, {kind: shared, path: PEM}"
_BASIC: Final = '{kind: basic, user: NAME, password: "${EST_PASSWORD}"}'
_COHORT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


def findings(parts: Parts) -> Iterator[Finding]:
    """Yield everything that does not fit together."""
    yield from _server(parts)
    yield from _authority_files(parts)
    yield from _trust_file(parts)
    yield from _sandbox_files(parts)
    yield from _cohort_names(parts)
    devices = sum(cohort.devices for cohort in parts.cohorts.values())
    if devices > MOST_DEVICES:  # what follows looks at each of them
        yield ("cohorts",), f"the fleet must have at most {MOST_DEVICES} devices (got {devices})"
        return
    first = 0
    for index, (name, cohort) in enumerate(parts.cohorts.items()):
        place = ("cohorts", name)
        yield from _boot_window(parts, place, cohort, index)
        yield from _authority_of(parts, place, cohort)
        yield from _names(parts, place, cohort, first)
        yield from nature_findings(parts, place, cohort)
        first += cohort.devices
    yield from key_findings(parts)
    yield from event_findings(parts)
    yield from ending_findings(parts)
    yield from _thresholds(parts)


def _server(parts: Parts) -> Iterator[Finding]:
    if parts.has_url:
        if "sandbox" in parts.raw:
            yield ("sandbox",), "target.url and sandbox are mutually exclusive"
        url = parts.target.url if parts.target else None
        if parts.target and url and url.label and parts.target.label not in (None, url.label):
            yield ("target", "label"), f"the URL already ends with the label {url.label} (got {parts.target.label})"
        return
    target = parts.raw.get("target")
    for key in ("trust", "authorised_by"):
        if isinstance(target, dict) and key in target:
            yield ("target", key), "requires target.url"
    if parts.target and parts.target.label is not None:
        yield from _label_of_the_sandbox(parts, parts.target.label)


def _label_of_the_sandbox(parts: Parts, label: str) -> Iterator[Finding]:
    sandbox = parts.raw.get("sandbox")
    centers = sandbox.get("trust_centers") if isinstance(sandbox, dict) else None
    known = [name for name in centers if name != DEFAULT] if isinstance(centers, dict) else []
    if label not in known:
        hint = suggestion(label, known)
        yield ("target", "label"), f"trust center '{shown(label)}' is not defined in sandbox.trust_centers{hint}"


def _authority_files(parts: Parts) -> Iterator[Finding]:
    for name in parts.authority_names:
        if not _AUTHORITY_NAME.fullmatch(name):
            yield (
                ("authorities", name),
                "an authority name must be a letter or digit followed by up to 63 letters, digits, -, _ or .",
            )
    for name, authority in parts.authorities.items():
        if authority.cert is None or authority.key is None:
            continue
        place: Location = ("authorities", name)
        key = certificate = None
        try:
            certificate = certificates_in(parts.folder / authority.cert)[0]
        except UnitError as error:
            yield (*place, "cert"), str(error)
        try:
            key = public_key_in(parts.folder / authority.key)
        except UnitError as error:
            yield (*place, "key"), str(error)
        try:
            if certificate and key and not is_key_of(key, certificate):
                yield (*place, "key"), f"does not match the certificate {authority.cert}"
        except UnitError as error:
            yield (*place, "cert"), str(error)


def _sandbox_files(parts: Parts) -> Iterator[Finding]:
    sandbox = parts.raw.get("sandbox")
    for place, entry in bootstrap_cas(sandbox, ("sandbox",)):
        if entry not in parts.authority_names:
            try:
                certificates_in(parts.folder / entry)
            except UnitError as error:
                yield place, f"is not an authority of this scenario, and the file {error}"


def bootstrap_cas(sandbox: object, place: Location) -> Iterator[tuple[Location, str]]:
    """Yield whom the trust centers take devices from, as far as it can be read."""
    if not isinstance(sandbox, dict):
        return
    clients = sandbox.get("clients")
    entries = clients.get("bootstrap_cas") if isinstance(clients, dict) else None
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        if isinstance(entry, str):
            yield (*place, "clients", "bootstrap_cas", number), entry
    centers = sandbox.get("trust_centers")
    for name, center in centers.items() if isinstance(centers, dict) else ():
        yield from bootstrap_cas(center, (*place, "trust_centers", name))


def _trust_file(parts: Parts) -> Iterator[Finding]:
    if parts.target and parts.target.trust.ca is not None:
        try:
            certificates_in(parts.folder / parts.target.trust.ca)
        except UnitError as error:
            yield ("target", "trust", "ca"), str(error)


def is_nameless(data: object) -> bool:
    """Say whether the keys of a cohort stand directly under ``cohorts``."""
    cohorts = data.get("cohorts") if isinstance(data, dict) else None
    return isinstance(cohorts, dict) and isinstance(cohorts.get("devices"), int | float | str)


def _cohort_names(parts: Parts) -> Iterator[Finding]:
    if is_nameless(parts.raw):
        yield (
            ("cohorts", "devices"),
            "expected the name of a cohort: write cohorts: {NAME: {devices: …}}",
        )
        return
    for name in parts.cohort_names:
        if not _COHORT_NAME.fullmatch(name):
            yield ("cohorts", name), "a cohort name must be a letter followed by up to 31 letters, digits, - or _"


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
    """Return what a cohort has to say of its bootstrap where the server is not the run's own sandbox."""
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


def _thresholds(parts: Parts) -> Iterator[Finding]:
    thresholds, names = parts.raw.get("thresholds"), frozenset(parts.cohort_names)
    for number, demand in enumerate(thresholds if isinstance(thresholds, list) else []):
        place: Location = ("thresholds", number)
        text = demand
        if isinstance(demand, dict):
            text, place = demand.get("threshold"), (*place, "threshold")
        if isinstance(text, str) and text:
            try:
                parse_threshold(text, cohorts=names, phases=parts.phases)
            except ThresholdError as error:
                yield place, str(error)
