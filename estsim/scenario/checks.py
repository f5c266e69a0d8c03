"""What a scenario must hold true between its parts, and with the files that it names.

Works on whatever parts could be read on their own, so that these mistakes are told together with those of shape.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from pydantic import BaseModel, TypeAdapter, ValidationError

from estsim.errors import UnitError
from estsim.fields import PositiveDuration
from estsim.load.arrivals import boot_window_s
from estsim.measure.catalogue import ThresholdError
from estsim.measure.thresholds import parse_threshold
from estsim.scenario.cohort_model import MOST_DEVICES, BootstrapKind, CohortModel
from estsim.scenario.document import Location
from estsim.scenario.mistakes import suggestion
from estsim.scenario.model import AuthorityModel, TargetModel
from estsim.scenario.planning import arrivals_of
from estsim.scenario.subjects import compile_sans, compile_subject
from estsim.server.config import DEFAULT
from estsim.units import format_duration, shown

M = TypeVar("M", bound=BaseModel)
_NOTHING: Final[Mapping[str, object]] = {}
# What stands in for the bad keys of a cohort while its other keys are looked at: values that raise no finding.
_HARMLESS: Final[Mapping[str, object]] = {"devices": 1, "boot": {"burst": "0s"}, "bootstrap": {"kind": "none"}}
Finding = tuple[Location, str]

# An authority's name becomes a file's; a cohort's also stands in paths of thresholds and in subjects.
_AUTHORITY_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COHORT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")


@dataclass(slots=True)
class Parts:
    """The parts of a scenario that could be read; ``raw`` is the whole as it came."""

    raw: dict[str, Any]
    folder: Path
    seed: int = 1
    duration_s: float | None = None
    target: TargetModel | None = None
    authorities: dict[str, AuthorityModel] = field(default_factory=dict)
    cohorts: dict[str, CohortModel] = field(default_factory=dict)

    @property
    def has_url(self) -> bool:
        """Whether somebody else's server is the target."""
        target = self.raw.get("target")
        return isinstance(target, dict) and "url" in target


def readable_parts(raw: dict[str, Any], folder: Path) -> Parts:
    """Read each part on its own; what cannot be read is left out, the validation of the whole tells why."""
    parts = Parts(raw, folder)
    try:
        parts.duration_s = TypeAdapter[float](PositiveDuration).validate_python(raw.get("duration"))
    except ValidationError:
        parts.duration_s = None
    if isinstance(raw.get("seed"), int) and not isinstance(raw["seed"], bool) and 0 <= raw["seed"] < 2**63:
        parts.seed = raw["seed"]
    parts.target = _read(TargetModel, raw.get("target", {}))
    parts.authorities = _read_all(AuthorityModel, raw.get("authorities"))
    parts.cohorts = _read_all(CohortModel, raw.get("cohorts"), _HARMLESS)
    return parts


def findings(parts: Parts) -> Iterator[Finding]:
    """Yield everything that does not fit together."""
    yield from _server(parts)
    yield from _authority_files(parts)
    yield from _trust_file(parts)
    yield from _sandbox_files(parts)
    yield from _cohort_names(parts)
    first = 0
    for index, (name, cohort) in enumerate(parts.cohorts.items()):
        place = ("cohorts", name)
        yield from _boot_window(parts, place, cohort, index)
        yield from _authority_of(parts, place, cohort)
        yield from _names(parts, place, cohort, first)
        first += cohort.devices
    if first > MOST_DEVICES:
        yield ("cohorts",), f"the fleet must have at most {MOST_DEVICES} devices (got {first})"
    yield from _thresholds(parts)


def _read(model: type[M], raw: object, harmless: Mapping[str, object] = _NOTHING) -> M | None:
    """Read a part, if need be without its bad keys: what can be said about the rest is worth saying."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        bad = {details["loc"][0] for details in error.errors() if details["loc"]}
    if not isinstance(raw, dict) or not bad:
        return None
    rest = {key: value for key, value in raw.items() if key not in bad}
    try:
        return model.model_validate(rest | {key: harmless[key] for key in harmless if key in bad})
    except ValidationError:
        return None


def _read_all(model: type[M], raw: object, harmless: Mapping[str, object] = _NOTHING) -> dict[str, M]:
    parts = {name: _read(model, value, harmless) for name, value in raw.items()} if isinstance(raw, dict) else {}
    return {name: part for name, part in parts.items() if part is not None}


def _server(parts: Parts) -> Iterator[Finding]:
    if parts.has_url:
        if "sandbox" in parts.raw:
            yield ("sandbox",), "target.url and sandbox exclude each other: a run has one server"
        url = parts.target.url if parts.target else None
        if parts.target and url and url.label and parts.target.label not in (None, url.label):
            yield ("target", "label"), f"the URL already ends with the label {url.label} (got {parts.target.label})"
        return
    target = parts.raw.get("target")
    for key in ("trust", "authorised_by"):
        if isinstance(target, dict) and key in target:
            yield ("target", key), "needs target.url: without it the sandbox is the server"
    if parts.target and parts.target.label is not None:
        yield from _label_of_the_sandbox(parts, parts.target.label)


def _label_of_the_sandbox(parts: Parts, label: str) -> Iterator[Finding]:
    sandbox = parts.raw.get("sandbox")
    centers = sandbox.get("trust_centers") if isinstance(sandbox, dict) else None
    known = [name for name in centers if name != DEFAULT] if isinstance(centers, dict) else []
    if label not in known:
        hint = suggestion(label, known)
        yield ("target", "label"), f"the sandbox has no trust center '{shown(label)}' under trust_centers{hint}"


def _authority_files(parts: Parts) -> Iterator[Finding]:
    named = parts.raw.get("authorities")
    for name in named if isinstance(named, dict) else ():
        if not _AUTHORITY_NAME.fullmatch(name):
            yield ("authorities", name), "an authority's name is a letter or digit, then up to 63 of these and - _ ."
    for name, authority in parts.authorities.items():
        if authority.cert is None or authority.key is None:
            continue
        place: Location = ("authorities", name)
        key = certificate = None
        try:
            certificate = _certificates(parts.folder / authority.cert)[0]
        except UnitError as error:
            yield (*place, "cert"), str(error)
        try:
            key = _public_key(parts.folder / authority.key)
        except UnitError as error:
            yield (*place, "key"), str(error)
        if certificate and key and key != _spki(certificate.public_key()):
            yield (*place, "key"), f"is not the key of the certificate {authority.cert}"


def _sandbox_files(parts: Parts) -> Iterator[Finding]:
    sandbox = parts.raw.get("sandbox")
    named = parts.raw.get("authorities")
    for place, entry in _bootstrap_cas(sandbox, ("sandbox",)):
        if not isinstance(named, dict) or entry not in named:
            try:
                _certificates(parts.folder / entry)
            except UnitError as error:
                yield place, f"is no authority of this scenario, and as a file it {error}"


def _bootstrap_cas(sandbox: object, place: Location) -> Iterator[tuple[Location, str]]:
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
        yield from _bootstrap_cas(center, (*place, "trust_centers", name))


def _trust_file(parts: Parts) -> Iterator[Finding]:
    if parts.target and parts.target.trust.ca is not None:
        try:
            _certificates(parts.folder / parts.target.trust.ca)
        except UnitError as error:
            yield ("target", "trust", "ca"), str(error)


def _cohort_names(parts: Parts) -> Iterator[Finding]:
    cohorts = parts.raw.get("cohorts")
    for name in cohorts if isinstance(cohorts, dict) else ():
        if not _COHORT_NAME.fullmatch(name):
            yield ("cohorts", name), "a cohort's name is a letter, then up to 31 letters, digits, - and _"


def _boot_window(parts: Parts, place: Location, cohort: CohortModel, index: int) -> Iterator[Finding]:
    boot = cohort.boot
    way = "burst" if boot.burst is not None else "rate" if boot.rate is not None else "ramp"
    if boot.ramp and boot.over and boot.ramp[1] == 0 and boot.ramp[0] / 2 * boot.over < cohort.devices:
        booted = int(boot.ramp[0] / 2 * boot.over)
        yield (*place, "boot", way), f"comes to rest when {booted} of {cohort.devices} devices have booted"
    elif parts.duration_s is not None:
        window_s = boot.burst or boot_window_s(arrivals_of(boot), cohort.devices, seed=parts.seed, cohort=index)
        if window_s >= parts.duration_s:
            last, end = format_duration(round(window_s, 1)), format_duration(parts.duration_s)
            yield (
                (*place, "boot", way),
                f"the last of {cohort.devices} devices would boot after {last}, the run ends after {end}",
            )


def _authority_of(parts: Parts, place: Location, cohort: CohortModel) -> Iterator[Finding]:
    bootstrap = cohort.bootstrap
    if bootstrap.kind is not BootstrapKind.MANUFACTURER:
        return
    named = parts.raw.get("authorities")
    known = [*named] if isinstance(named, dict) else []
    if bootstrap.authority is None and parts.has_url:
        yield (
            (*place, "bootstrap"),
            "a server that is not the sandbox knows no device: kind: manufacturer needs authority",
        )
    elif bootstrap.authority is not None and bootstrap.authority not in known:
        hint = suggestion(bootstrap.authority, known)
        yield (*place, "bootstrap", "authority"), f"there is no authority '{shown(bootstrap.authority)}'{hint}"


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
    thresholds, cohorts = parts.raw.get("thresholds"), parts.raw.get("cohorts")
    names = frozenset(cohorts) if isinstance(cohorts, dict) else frozenset[str]()
    for number, demand in enumerate(thresholds if isinstance(thresholds, list) else []):
        place: Location = ("thresholds", number)
        text = demand
        if isinstance(demand, dict):
            text, place = demand.get("threshold"), (*place, "threshold")
        if isinstance(text, str) and text:
            try:
                parse_threshold(text, cohorts=names)
            except ThresholdError as error:
                yield place, str(error)


def _certificates(path: Path) -> list[x509.Certificate]:
    content = _content(path)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise UnitError(f"holds no certificate in PEM (got {path})") from error


def _public_key(path: Path) -> bytes:
    content = _content(path)
    try:
        return _spki(load_pem_private_key(content, None).public_key())
    except TypeError as error:
        raise UnitError(f"is encrypted: a key must be there without a password (got {path})") from error
    except ValueError as error:
        raise UnitError(f"holds no private key in PEM (got {path})") from error


def _spki(key: Any) -> bytes:  # noqa: ANN401 - cryptography's public keys have no common type with this method
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnitError(f"cannot be read: {error.strerror} (got {path})") from error
