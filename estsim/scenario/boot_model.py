"""How devices power up, as YAML says it: the ``boot`` of a cohort, and the ``return`` of a power cut."""

from math import ceil
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from estsim.errors import UnitError
from estsim.fields import Duration, Flag, PositiveCount, PositiveDuration, Rate, RateOrZero, Section, Text
from estsim.load.arrivals import Arrivals, Burst, Even, Poisson, Ramp, Steps, Trace
from estsim.scenario import words

_COUNTED = 1e-9  # the first device boots at the very begin, so an integral of 9.5 lets ten boot, one of 9 lets nine
_WAYS = ("burst", "at_once", "rate", "ramp", "steps", "trace", "stations")


class StepModel(Section):
    """A step of a stepped arrival rate."""

    short_for: ClassVar[tuple[str, ...]] = ("rate", "for")
    example: ClassVar[str] = "{rate: 10/s, for: 60s}"

    rate: RateOrZero = Field(description="Devices per time: 10/s.")
    for_: PositiveDuration = Field(alias="for", description="Duration of this rate: 60s.")


class BootModel(Section):
    """Arrival of devices: one of burst, at_once, rate, ramp, steps, trace or stations."""

    short_for: ClassVar[tuple[str, ...]] = ("burst", "rate", "ramp", "stations")
    example: ClassVar[str] = "{burst: 5s}"

    burst: Duration | None = Field(default=None, description="All devices boot within this time, at random times: 5s.")
    at_once: Flag = Field(default=False, description="All devices boot at the same time: true.")
    rate: Rate | None = Field(default=None, description="Arrival rate until all devices have booted: 24/min.")
    shape: Literal["poisson", "even"] | None = Field(
        default=None, description="Spacing at a rate: poisson (random, the default) or even."
    )
    ramp: Annotated[tuple[float, float] | None, BeforeValidator(words.ramp)] = Field(
        default=None, description="Rate that changes linearly, then stays: 0/s..50/s. Requires over."
    )
    over: PositiveDuration | None = Field(default=None, description="Duration of the ramp: 10m.")
    steps: Annotated[tuple[StepModel, ...], Field(min_length=1)] | None = Field(
        default=None, description="Stepped rate: [{rate: 10/s, for: 60s}, {rate: 20/s, for: 60s}]."
    )
    trace: Text | None = Field(
        default=None, description="CSV file with boot times in seconds: a column named at, or a single column."
    )
    stations: PositiveCount | None = Field(
        default=None, description="Closed loop with this many devices at a time; the next boots when one is done: 8."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = self._ways
        if len(ways) != 1:
            wanted = f"{', '.join(_WAYS[:-1])} or {_WAYS[-1]}"
            raise UnitError(f"requires exactly one of {wanted} (got {' and '.join(ways) or 'none'})")
        if self.shape is not None and self.rate is None:
            raise UnitError(f"shape requires rate (got {ways[0]})")
        if (self.over is not None) != (self.ramp is not None):
            raise UnitError("ramp and over require each other: write {ramp: 0/s..50/s, over: 10m}")
        return self

    @property
    def way(self) -> str:
        """Which of the ways it is."""
        return self._ways[0]

    @property
    def _ways(self) -> list[str]:
        given = {way: getattr(self, way) for way in _WAYS if way in self.model_fields_set}
        return [way for way, value in given.items() if value is not None and value is not False]


def comes_to_rest(boot: BootModel, trace: tuple[float, ...] = ()) -> int | None:
    """Return how many devices an arrival process ever lets boot; None if there is no end to it."""
    if boot.trace is not None:
        return len(trace)
    if boot.ramp and boot.over and boot.ramp[1] == 0:
        return ceil(boot.ramp[0] / 2 * boot.over - _COUNTED)
    if boot.steps and boot.steps[-1].rate == 0:
        return ceil(sum(step.rate * step.for_ for step in boot.steps) - _COUNTED)
    return None


def arrivals_of(boot: BootModel, trace: tuple[float, ...] = ()) -> Arrivals:
    """Return the arrival process; ``trace`` is what the file holds. Stations begin as others end, so all are there."""
    if boot.ramp is not None and boot.over is not None:
        return Ramp(boot.ramp[0], boot.ramp[1], boot.over)
    if boot.steps is not None:
        return Steps(tuple((step.rate, step.for_) for step in boot.steps))
    if boot.rate is not None:
        return Even(boot.rate) if boot.shape == "even" else Poisson(boot.rate)
    return Trace(trace) if boot.trace is not None else Burst(boot.burst or 0.0)
