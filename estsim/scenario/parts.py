"""The parts of a scenario that can be read on their own, so that checks of them run despite other mistakes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from estsim.fields import PositiveDuration
from estsim.scenario.cohort_model import CohortModel
from estsim.scenario.document import Step
from estsim.scenario.event_model import EventModel, ExpectModel
from estsim.scenario.model import AuthorityModel, TargetModel
from estsim.server.config import SandboxConfig

M = TypeVar("M", bound=BaseModel)
At = TypeVar("At", str, int)
_NOTHING: Final[Mapping[str, object]] = {}
# Replacements for the bad keys of a cohort while its other keys are checked: values without findings.
_HARMLESS: Final[Mapping[str, object]] = {"devices": 1, "boot": {"burst": "0s"}, "bootstrap": {"kind": "none"}}


@dataclass(slots=True)
class Parts:
    """The readable parts of a scenario; ``raw`` is the whole data."""

    raw: dict[str, Any]
    folder: Path
    seed: int = 1
    duration_s: float | None = None
    target: TargetModel | None = None
    sandbox: SandboxConfig | None = None  # complete or None; the defaults if it is not given
    authorities: dict[str, AuthorityModel] = field(default_factory=dict)
    cohorts: dict[str, CohortModel] = field(default_factory=dict)
    unread: dict[str, frozenset[Step]] = field(default_factory=dict)  # keys of cohorts that were replaced
    events: dict[int, EventModel] = field(default_factory=dict)  # by their place in the list
    expect: dict[int, ExpectModel] = field(default_factory=dict)
    joins_s: dict[str, float] = field(default_factory=dict)  # when cohorts join by an event

    @property
    def phases(self) -> frozenset[str]:
        """The names of the phases."""
        return frozenset(_mapping(self.raw, "phases"))

    @property
    def cohort_names(self) -> tuple[str, ...]:
        """The names of all cohorts, including unreadable ones."""
        return tuple(_mapping(self.raw, "cohorts"))

    def has_cohort(self, name: str) -> bool:
        """Whether there is a cohort of this name, readable or not."""
        return name in _mapping(self.raw, "cohorts")

    @property
    def authority_names(self) -> tuple[str, ...]:
        """The names of all authorities, including unreadable ones."""
        return tuple(_mapping(self.raw, "authorities"))

    @property
    def has_url(self) -> bool:
        """Whether the target is another server than the sandbox."""
        target = self.raw.get("target")
        return isinstance(target, dict) and "url" in target


def readable_parts(raw: dict[str, Any], folder: Path) -> Parts:
    """Read each part on its own; unreadable ones are left out, as the validation of the whole reports them."""
    parts = Parts(raw, folder)
    try:
        parts.duration_s = TypeAdapter[float](PositiveDuration).validate_python(raw.get("duration"))
    except ValidationError:
        parts.duration_s = None
    if isinstance(raw.get("seed"), int) and not isinstance(raw["seed"], bool) and 0 <= raw["seed"] < 2**63:
        parts.seed = raw["seed"]
    parts.target, _ = _read(TargetModel, raw.get("target", {}))
    parts.sandbox = _whole(SandboxConfig, raw.get("sandbox") or {})
    parts.authorities = _read_each(AuthorityModel, _mapping(raw, "authorities").items())
    for name, value in _mapping(raw, "cohorts").items():
        cohort, bad = _read(CohortModel, value, _HARMLESS)
        if cohort is not None:
            parts.cohorts[name], parts.unread[name] = cohort, bad
    parts.events = _read_each(EventModel, enumerate(_list(raw, "events")))
    joining = [event for event in parts.events.values() if event.cohort_join is not None]
    parts.joins_s = {event.cohorts[0]: event.at for event in joining}
    parts.expect = _read_each(ExpectModel, enumerate(_list(raw, "expect")))
    return parts


def _read_each(model: type[M], raws: Iterable[tuple[At, object]]) -> dict[At, M]:
    read = {at: _read(model, raw)[0] for at, raw in raws}
    return {at: part for at, part in read.items() if part is not None}


def _read(model: type[M], raw: object, harmless: Mapping[str, object] = _NOTHING) -> tuple[M | None, frozenset[Step]]:
    """Read a part, if necessary without its bad keys, so that the rest can be checked; returns it and the bad keys."""
    try:
        return model.model_validate(raw), frozenset()
    except ValidationError as error:
        bad = frozenset(details["loc"][0] for details in error.errors() if details["loc"])
    if not isinstance(raw, dict) or not bad:
        return None, bad
    rest = {key: value for key, value in raw.items() if key not in bad}
    return _whole(model, rest | {key: harmless[key] for key in harmless if key in bad}), bad


def _whole(model: type[M], raw: object) -> M | None:
    try:
        return model.model_validate(raw)
    except ValidationError:
        return None


def _mapping(raw: dict[str, Any], key: str) -> dict[str, object]:
    value = raw.get(key)
    return value if isinstance(value, dict) else {}


def _list(raw: dict[str, Any], key: str) -> list[object]:
    value = raw.get(key)
    return value if isinstance(value, list) else []
