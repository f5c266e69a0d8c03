"""The keys of events, phases and expectations."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from estsim.errors import UnitError
from estsim.fields import Duration, DurationRange, PositiveDuration, PositiveShare, Section, Text
from estsim.figures.snapshot import FAILURES
from estsim.record.phases import Stretch
from estsim.scenario.boot_model import BootModel, arrivals_of
from estsim.scenario.happenings import (
    CohortJoin,
    Happening,
    Mark,
    PowerCut,
    RenewNow,
    Retire,
    SandboxChange,
    Touched,
    What,
)
from estsim.scenario.plan import Expectation
from estsim.spreads import parse_pair
from estsim.units import format_duration, parse_duration, shown

_KINDS: Final = ("power_cut", "renew_now", "retire", "cohort_join", "sandbox", "mark")
_CENTER_DEPTH: Final = 3  # trust_centers.NAME.capacity is a section, as capacity is
_AT_ONCE: Final = BootModel(at_once=True)
_REFUSALS: Final = ("rejected", "unauthorized")

Cohorts = Annotated[tuple[Text, ...], Field(min_length=1, description="Affected cohorts: [north, south].")]


class TouchedModel(Section):
    """The devices affected by an event."""

    short_for: ClassVar[tuple[str, ...]] = ("cohorts",)

    cohorts: Cohorts
    share: PositiveShare = Field(default=1.0, description="Share of affected devices per cohort: 40%.")

    @field_validator("cohorts")
    @classmethod
    def _each_once(cls, cohorts: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(cohorts)) != len(cohorts):
            raise UnitError(f"duplicate cohort (got {', '.join(map(shown, cohorts))})")
        return cohorts

    def touched(self) -> Touched:
        """Return it for the plan."""
        return Touched(self.cohorts, self.share)


class PowerCutModel(TouchedModel):
    """Power failure."""

    short_for: ClassVar[tuple[str, ...]] = ("off", "cohorts")
    example: ClassVar[str] = "{cohorts: [NAME], off: 30s}"

    off: DurationRange = Field(description="Outage duration, drawn per device: 30s.")
    return_: BootModel = Field(default=_AT_ONCE, alias="return", description="Arrival after the outage: {burst: 2m}.")
    keeps: frozenset[Literal["key", "pending"]] = Field(
        default=frozenset(), description="Parts of an unfinished request that survive the outage: [key, pending]."
    )

    @model_validator(mode="after")
    def _comes_back(self) -> Self:
        if self.return_.way in ("trace", "stations"):
            raise UnitError(f"return must be burst, at_once, rate, ramp or steps (got {self.return_.way})")
        if "pending" in self.keeps and "key" not in self.keeps:
            raise UnitError("keeps: pending requires key; use [key, pending]")
        return self


class WithinModel(TouchedModel):
    """Order to devices, at a random time per device."""

    example: ClassVar[str] = "{cohorts: [NAME], within: 10s}"

    within: Duration = Field(default=0.0, description="Time over which the devices receive the order: 10s.")


class MarkModel(Section):
    """Annotation in the event log."""

    text: Text = Field(description="Text of the annotation.")
    wait_for: Literal["enter"] | None = Field(
        default=None, description="enter: delay all following events until Enter is pressed."
    )


class JoinModel(Section):
    """Cohort that starts to boot at this time."""

    cohort: Text = Field(description="Name of the cohort: south.")


def _mark(value: object) -> object:
    return {"text": value} if isinstance(value, str) else value


def _join(value: object) -> object:
    return {"cohort": value} if isinstance(value, str) else value


def _changes(value: object) -> object:
    if not isinstance(value, dict) or not value:
        raise UnitError(f"expected keys of the sandbox, such as {{capacity.rate: 20/s}} (got {shown(value)})")
    changes: dict[str, object] = {}
    for path, part in _flat(value):
        if path in changes:
            raise UnitError(f"duplicate key '{shown(path)}'")
        changes[path] = part
    return changes


def _flat(changes: dict[str, object], above: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    """Yield dotted paths for sections written as mappings, so that ``capacity: {rate: 20/s}`` keeps its queue.

    The value of a section's key is replaced as a whole.
    """
    for key, value in changes.items():
        steps = (*above, *key.split("."))
        if isinstance(value, dict) and value and len(steps) <= (_CENTER_DEPTH if steps[0] == "trust_centers" else 1):
            yield from _flat(value, steps)
        else:
            yield ".".join(steps), value


class EventModel(Section):
    """Event at a time of the run."""

    example: ClassVar[str] = "{at: 5m, mark: TEXT}"

    at: Duration = Field(description="Time since the start of the run: 5m.")
    power_cut: PowerCutModel | None = Field(
        default=None, description="Power failure: {cohorts: [north], share: 40%, off: 30s, return: {burst: 2m}}."
    )
    renew_now: WithinModel | None = Field(default=None, description="Order to renew: {cohorts: [north], within: 10s}.")
    retire: WithinModel | None = Field(
        default=None, description="Devices leave service: {cohorts: [north], share: 10%}."
    )
    cohort_join: Annotated[JoinModel | None, BeforeValidator(_join)] = Field(
        default=None, description="Cohort that starts to boot: south."
    )
    sandbox: Annotated[dict[str, object] | None, BeforeValidator(_changes)] = Field(
        default=None, description="New values for sandbox keys: {capacity.rate: 20/s}."
    )
    mark: Annotated[MarkModel | None, BeforeValidator(_mark)] = Field(
        default=None, description="Annotation in the event log: text, or {text: …, wait_for: enter}."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = self._kinds
        if len(kinds) != 1:
            raise UnitError(f"requires exactly one of {', '.join(_KINDS)} (got {' and '.join(kinds) or 'none'})")
        return self

    @property
    def kind(self) -> str:
        """The key of its kind."""
        return self._kinds[0]

    @property
    def _kinds(self) -> list[str]:
        return [kind for kind in _KINDS if getattr(self, kind) is not None]

    @property
    def cohorts(self) -> tuple[str, ...]:
        """The cohorts that it names."""
        touching = self.power_cut or self.renew_now or self.retire
        if touching is not None:
            return touching.cohorts
        return () if self.cohort_join is None else (self.cohort_join.cohort,)

    def happening(self) -> Happening:
        """Return it for the plan."""
        return Happening(self.at, self._what())

    def _what(self) -> What:
        if (cut := self.power_cut) is not None:
            back = arrivals_of(cut.return_)
            return PowerCut(cut.touched(), cut.off, back, "key" in cut.keeps, "pending" in cut.keeps)
        if self.renew_now is not None:
            return RenewNow(self.renew_now.touched(), self.renew_now.within)
        if self.retire is not None:
            return Retire(self.retire.touched(), self.retire.within)
        if self.cohort_join is not None:
            return CohortJoin(self.cohort_join.cohort)
        if self.sandbox is not None:
            return SandboxChange(self.sandbox)
        assert self.mark is not None  # noqa: S101 - the last kind
        return Mark(self.mark.text, self.mark.wait_for is not None)


def phase_span(value: object) -> object:
    """Return the two times of ``5m..8m``, in seconds."""
    span = parse_pair(value, parse_duration, "two times such as 0s..5m")
    if not 0 <= span[0] < span[1]:
        raise UnitError(f"must start at 0s or later and end after its start (got {shown(value)})")
    return span


Span = Annotated[tuple[float, float], BeforeValidator(phase_span)]


def phases_of(spans: dict[str, tuple[float, float]]) -> tuple[Stretch, ...]:
    """Return the phases in the order of time."""
    ordered = sorted(spans.items(), key=lambda item: item[1])
    return tuple(Stretch(name, from_s, to_s) for name, (from_s, to_s) in ordered)


def _refusal(value: object) -> str:
    if not isinstance(value, str) or value not in FAILURES:
        raise UnitError(f"expected one of {', '.join(sorted(FAILURES))} (got {shown(value)})")
    return value


class ExpectModel(Section):
    """Expected refusals, not counted as failures."""

    example: ClassVar[str] = "{cohorts: [NAME], outcomes: [rejected]}"

    cohorts: tuple[Text, ...] = Field(default=(), description="Cohorts concerned; defaults to all.")
    outcomes: Annotated[tuple[Annotated[str, BeforeValidator(_refusal)], ...], Field(min_length=1)] = Field(
        default=_REFUSALS, description="Expected outcomes: [rejected, unauthorized]."
    )
    from_: Duration = Field(default=0.0, alias="from", description="Start of the expectation: 0s.")
    to: PositiveDuration = Field(default=float("inf"), description="End of the expectation: 5m.")

    @model_validator(mode="after")
    def _from_before_to(self) -> Self:
        if self.to <= self.from_:
            ends, begins = format_duration(self.to), format_duration(self.from_)
            raise UnitError(f"to must be after from, {begins} (got {ends})")
        return self

    def expectation(self, cohorts: frozenset[str]) -> Expectation:
        """Return it for the plan; ``cohorts`` are all cohorts."""
        return Expectation(frozenset(self.cohorts) or cohorts, frozenset(self.outcomes), self.from_, self.to)
