"""Checks between the parts of a scenario, and of the files that it names.

Works on the parts that could be read on their own, so that these mistakes are reported together with those of shape.
"""

import re
from collections.abc import Iterator
from typing import Final

from estsim.errors import UnitError
from estsim.figures.catalogue import ThresholdError
from estsim.figures.thresholds import parse_threshold
from estsim.nearness import suggestion
from estsim.scenario.cohort_checks import cohort_findings
from estsim.scenario.cohort_model import MOST_DEVICES
from estsim.scenario.document import Finding, Location
from estsim.scenario.event_checks import event_findings
from estsim.scenario.key_checks import key_findings
from estsim.scenario.parts import Parts
from estsim.scenario.pem_files import certificates_in, is_key_of, public_key_in
from estsim.server.config import DEFAULT
from estsim.units import shown

# An authority's name becomes a file's; a cohort's also stands in paths of thresholds and in subjects.
_AUTHORITY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COHORT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


def findings(parts: Parts) -> Iterator[Finding]:
    """Yield everything that is inconsistent."""
    yield from _server(parts)
    yield from _authority_files(parts)
    yield from _trust_file(parts)
    yield from _sandbox_files(parts)
    yield from _cohort_names(parts)
    devices = sum(cohort.devices for cohort in parts.cohorts.values())
    if devices > MOST_DEVICES:  # the checks below look at each device
        yield ("cohorts",), f"the fleet must have at most {MOST_DEVICES} devices (got {devices})"
        return
    first = 0
    for index, (name, cohort) in enumerate(parts.cohorts.items()):
        yield from cohort_findings(parts, name, cohort, index=index, first_device=first)
        first += cohort.devices
    yield from key_findings(parts)
    yield from event_findings(parts)
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
    """Yield the readable ``bootstrap_cas`` of all trust centers with their places."""
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
    """Whether the keys of a cohort are directly under ``cohorts``."""
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
