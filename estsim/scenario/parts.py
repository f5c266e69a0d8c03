"""The parts of a scenario that can be read on their own: what can be said about them is told with mistakes of shape."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from estsim.fields import PositiveDuration
from estsim.scenario.cohort_model import CohortModel
from estsim.scenario.document import Location, Step
from estsim.scenario.event_model import EventModel, ExpectModel
from estsim.scenario.model import AuthorityModel, TargetModel

M = TypeVar("M", bound=BaseModel)
_NOTHING: Final[Mapping[str, object]] = {}
# What stands in for the bad keys of a cohort while its other keys are looked at: values that raise no finding.
_HARMLESS: Final[Mapping[str, object]] = {"devices": 1, "boot": {"burst": "0s"}, "bootstrap": {"kind": "none"}}
Finding = tuple[Location, str]


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
    unread: dict[str, frozenset[Step]] = field(default_factory=dict)  # keys of cohorts that stand-ins are there for
    events: dict[int, EventModel] = field(default_factory=dict)  # by their place in the list
    expect: dict[int, ExpectModel] = field(default_factory=dict)

    @property
    def joins_s(self) -> dict[str, float]:
        """When each cohort joins that is told to by an event."""
        joining = [event for event in self.events.values() if event.cohort_join is not None]
        return {event.cohorts[0]: event.at for event in joining}

    @property
    def phases(self) -> frozenset[str]:
        """The names of the phases."""
        named = self.raw.get("phases")
        return frozenset(named) if isinstance(named, dict) else frozenset()

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
    parts.unread = {name: _bad_keys(CohortModel, raw["cohorts"][name]) for name in parts.cohorts}
    parts.events = _read_list(EventModel, raw.get("events"))
    parts.expect = _read_list(ExpectModel, raw.get("expect"))
    return parts


def _read(model: type[M], raw: object, harmless: Mapping[str, object] = _NOTHING) -> M | None:
    """Read a part, if need be without its bad keys: what can be said about the rest is worth saying."""
    try:
        return model.model_validate(raw)
    except ValidationError:
        bad = _bad_keys(model, raw)
    if not isinstance(raw, dict) or not bad:
        return None
    rest = {key: value for key, value in raw.items() if key not in bad}
    try:
        return model.model_validate(rest | {key: harmless[key] for key in harmless if key in bad})
    except ValidationError:
        return None


def _bad_keys(model: type[BaseModel], raw: object) -> frozenset[Step]:
    try:
        model.model_validate(raw)
    except ValidationError as error:
        return frozenset(details["loc"][0] for details in error.errors() if details["loc"])
    return frozenset()


def _read_all(model: type[M], raw: object, harmless: Mapping[str, object] = _NOTHING) -> dict[str, M]:
    parts = {name: _read(model, value, harmless) for name, value in raw.items()} if isinstance(raw, dict) else {}
    return {name: part for name, part in parts.items() if part is not None}


def _read_list(model: type[M], raw: object) -> dict[int, M]:
    parts = {number: _read(model, value) for number, value in enumerate(raw if isinstance(raw, list) else [])}
    return {number: part for number, part in parts.items() if part is not None}
