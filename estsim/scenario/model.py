"""A scenario file as pydantic sees it (DESIGN §6): the top level, the target and the generator.

Checks that need more than one place of the file, or other files, are in :mod:`estsim.scenario.checks`.
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from estsim.errors import UnitError
from estsim.fields import Duration, Flag, PositiveDuration, PositiveShare, Section, Text
from estsim.scenario import words
from estsim.scenario.cohort_model import CohortModel
from estsim.scenario.event_model import EventModel, ExpectModel, Span
from estsim.scenario.plan import Generator, Timeouts
from estsim.scenario.target_url import TargetUrl, parse_label, parse_url
from estsim.server.config import SandboxConfig
from estsim.units import shown

_TIMEOUTS = Timeouts()
_GENERATOR = Generator()

Group = Literal["x25519", "p-256", "p-384", "p-521"]


def _system_or_mapping(value: object) -> object:
    if value == "system":
        return {}
    if value == {} or value is None:
        raise UnitError("expected {ca: root.pem} or system (got nothing)")
    return value


def _one(value: object) -> object:
    if value != 1 or isinstance(value, bool | float):
        raise UnitError(f"must be 1, the only version of this language so far (got {shown(value)})")
    return value


class AuthorityModel(Section):
    """A certification authority: made by estsim, or in files."""

    made: Flag = False
    cert: Text | None = None
    key: Text | None = None

    @model_validator(mode="after")
    def _made_or_files(self) -> Self:
        files = [name for name in ("cert", "key") if getattr(self, name) is not None]
        if self.made and files:
            raise UnitError("made: true excludes cert and key")
        if not self.made and len(files) != 2:  # noqa: PLR2004 - cert and key
            raise UnitError(f"needs made: true, or cert and key (got {files[0] if files else 'none of them'})")
        return self


class TrustModel(Section):
    """Whom the devices trust as the server; nothing here means the system's web PKI."""

    not_yet: ClassVar[frozenset[str]] = frozenset({"fingerprint"})

    ca: Text | None = None


class TimeoutsModel(Section):
    """Deadlines of one exchange."""

    connect: PositiveDuration = _TIMEOUTS.connect_s
    handshake: PositiveDuration = _TIMEOUTS.handshake_s
    answer: PositiveDuration = _TIMEOUTS.answer_s


class TargetModel(Section):
    """The server under test, and how to read it."""

    url: Annotated[TargetUrl | None, BeforeValidator(parse_url)] = None
    label: Annotated[str | None, BeforeValidator(parse_label)] = None
    trust: Annotated[TrustModel, BeforeValidator(_system_or_mapping)] = TrustModel()
    timeouts: TimeoutsModel = TimeoutsModel()
    deferral_statuses: tuple[Literal[202, 206], ...] = (202,)
    authorised_by: Text | None = None

    @field_validator("deferral_statuses")
    @classmethod
    def _always_202(cls, statuses: tuple[int, ...]) -> tuple[int, ...]:
        # RFC 7030 §4.2.3 knows no other; 206 can only be added.
        if 202 not in statuses:  # noqa: PLR2004 - the status
            raise UnitError("must hold 202, which is a deferral by the RFC")
        return statuses


class GeneratorModel(Section):
    """The generator itself."""

    workers: Annotated[int | None, BeforeValidator(words.workers)] = _GENERATOR.workers
    groups: Annotated[tuple[Group, ...], Field(min_length=1)] = ("x25519", "p-256", "p-384")
    max_lag: PositiveDuration = _GENERATOR.max_lag_s
    max_cpu: PositiveShare = _GENERATOR.max_cpu
    request_ids: Flag = _GENERATOR.request_ids
    source_addresses: tuple[Annotated[str, BeforeValidator(words.address)], ...] = ()

    @field_validator("groups")
    @classmethod
    def _each_once(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(groups)) != len(groups):
            raise UnitError(f"names a group twice (got {', '.join(groups)})")
        return groups


class ThresholdModel(Section):
    """A threshold that can end the run: asked each second from ``after`` on."""

    threshold: Text
    abort_on_fail: Flag = False
    after: Duration = 0.0

    @model_validator(mode="after")
    def _after_is_for_aborting(self) -> Self:
        if "after" in self.model_fields_set and not self.abort_on_fail:
            raise UnitError("after would have no effect without abort_on_fail: true")
        return self


def _threshold(value: object) -> object:
    """Read a threshold that is only its expression."""
    return {"threshold": value} if isinstance(value, str) else value


class ScenarioModel(Section):
    """A scenario file, with its defaults already merged into the cohorts."""

    not_yet: ClassVar[frozenset[str]] = frozenset({"fleet"})  # saved fleets

    version: Annotated[Literal[1], BeforeValidator(_one)]
    name: Annotated[Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    description: str = ""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 1
    duration: PositiveDuration
    until: Literal["settled"] | None = None
    authorities: dict[str, AuthorityModel] = Field(default_factory=dict)
    target: TargetModel = TargetModel()
    sandbox: SandboxConfig | None = None
    generator: GeneratorModel = GeneratorModel()
    defaults: dict[str, Any] = Field(default_factory=dict)
    cohorts: Annotated[dict[str, CohortModel], Field(min_length=1)]
    events: tuple[EventModel, ...] = ()
    phases: dict[str, Span] = Field(default_factory=dict)
    expect: tuple[ExpectModel, ...] = ()
    thresholds: tuple[Annotated[ThresholdModel, BeforeValidator(_threshold)], ...] = ()
