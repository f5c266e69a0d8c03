"""How devices power up, as YAML says it: the ``boot`` of a cohort, and the ``return`` of a power cut."""

from math import ceil
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from estsim.errors import UnitError
from estsim.fields import Duration, Flag, PositiveCount, PositiveDuration, Rate, RateOrZero, Section, Text
from estsim.load.arrivals import Arrivals, Burst, Even, Poisson, Ramp, Steps, Trace
from estsim.scenario import words

_COUNTED = 1e-9  # the first device boots at the very begin, so an integral of 9.5 lets ten boot, one of 9 lets nine
_WAYS = ("burst", "at_once", "rate", "ramp", "steps", "trace", "stations")


class StepModel(Section):
    """One step of a staircase of rates."""

    rate: RateOrZero = Field(description="Devices per time, such as 10/s.")
    for_: PositiveDuration = Field(alias="for", description="How long this rate lasts, such as 60s.")


class BootModel(Section):
    """When devices power up: one of burst, at_once, rate, ramp, steps, trace and stations."""

    burst: Duration | None = Field(default=None, description="All within this time, each at a moment of its own: 5s.")
    at_once: Flag = Field(default=False, description="All at one moment: true.")
    rate: Rate | None = Field(default=None, description="So many per time, for as long as it takes: 24/min.")
    shape: Literal["poisson", "even"] | None = Field(
        default=None, description="Of a rate: poisson (independent devices, the default) or even."
    )
    ramp: Annotated[tuple[float, float] | None, BeforeValidator(words.ramp)] = Field(
        default=None, description="A rate that changes evenly, then stays: 0/s..50/s. Needs over."
    )
    over: PositiveDuration | None = Field(default=None, description="How long the ramp takes: 10m.")
    steps: Annotated[tuple[StepModel, ...], Field(min_length=1)] | None = Field(
        default=None, description="A staircase of rates: [{rate: 10/s, for: 60s}, {rate: 20/s, for: 60s}]."
    )
    trace: Text | None = Field(
        default=None, description="A CSV file with the second of each boot, in a column `at` or alone."
    )
    stations: PositiveCount | None = Field(
        default=None, description="A closed loop: so many devices at a time, the next begins when one is done: 8."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = self._ways
        if len(ways) != 1:
            wanted = f"{', '.join(_WAYS[:-1])} and {_WAYS[-1]}"
            raise UnitError(f"needs one of {wanted} (got {' and '.join(ways) or 'none of them'})")
        if self.shape is not None and self.rate is None:
            raise UnitError(f"shape belongs to rate (got {ways[0]})")
        if (self.over is not None) != (self.ramp is not None):
            raise UnitError("ramp and over belong together: {ramp: 0/s..50/s, over: 10m}")
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
