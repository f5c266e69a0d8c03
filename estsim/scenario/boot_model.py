"""How devices power up: the ``boot`` of a cohort, the ``return`` of a power cut, and the file of a ``trace``."""

import csv
from collections.abc import Iterator
from functools import lru_cache
from io import StringIO
from math import ceil, inf, isfinite
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from estsim.errors import UnitError, UnreadableFile
from estsim.fields import Duration, Flag, PositiveCount, PositiveDuration, Rate, RateOrZero, Section, Text
from estsim.load.arrivals import Arrivals, Burst, Even, Poisson, Ramp, Steps, Trace
from estsim.scenario import words
from estsim.units import shown
from estsim.user_files import read_user_file, unreadable

_COUNTED = 1e-9  # the first device boots at 0 s, so an integral of 9.5 makes ten boot, one of 9 makes nine
_WAYS = ("burst", "at_once", "rate", "ramp", "steps", "trace", "stations")
MOST_TRACE_BYTES: Final = 16 << 20  # a million devices and more
_COLUMN: Final = "at"
_KEPT: Final = 4  # cached traces: cohorts share them, and each is read several times while a scenario is loaded
Row = tuple[int, list[str]]


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
        """The key that was given."""
        return self._ways[0]

    @property
    def _ways(self) -> list[str]:
        given = {way: getattr(self, way) for way in _WAYS if way in self.model_fields_set}
        return [way for way, value in given.items() if value is not None and value is not False]


def comes_to_rest(boot: BootModel, trace: tuple[float, ...] = ()) -> int | None:
    """Return how many devices an arrival process boots in all; None if it is unlimited."""
    if boot.trace is not None:
        return len(trace)
    if boot.ramp and boot.over and boot.ramp[1] == 0:
        return ceil(boot.ramp[0] / 2 * boot.over - _COUNTED)
    if boot.steps and boot.steps[-1].rate == 0:
        return ceil(sum(step.rate * step.for_ for step in boot.steps) - _COUNTED)
    return None


def arrivals_of(boot: BootModel, trace: tuple[float, ...] = ()) -> Arrivals:
    """Return the arrival process; ``trace`` has the file's times. With stations, all devices arrive at once."""
    if boot.ramp is not None and boot.over is not None:
        return Ramp(boot.ramp[0], boot.ramp[1], boot.over)
    if boot.steps is not None:
        return Steps(tuple((step.rate, step.for_) for step in boot.steps))
    if boot.rate is not None:
        return Even(boot.rate) if boot.shape == "even" else Poisson(boot.rate)
    return Trace(trace) if boot.trace is not None else Burst(boot.burst or 0.0)


def trace_of(boot: BootModel, folder: Path) -> tuple[float, ...]:
    """Return the seconds in a boot's trace file, none without one; raises UnitError."""
    return read_trace(folder / boot.trace) if boot.trace is not None else ()


def read_trace(path: Path) -> tuple[float, ...]:
    """Return the seconds of a file, ascending: its only column, or the one named ``at``.

    Raises UnitError with the line of the file.
    """
    try:
        found = path.stat()
    except (OSError, ValueError):
        return _times_in(path, ())  # raises with the reason
    return _times_in(path, (found.st_ino, found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=_KEPT)
def _times_in(path: Path, _stamp: tuple[int, ...]) -> tuple[float, ...]:
    """Read a file; ``_stamp`` changes with its content, for the cache."""
    try:
        text = read_user_file(path, most_bytes=MOST_TRACE_BYTES).decode("utf-8-sig")
        rows = _rows(text)
        first = next(rows, None)
        if first is None:
            raise UnitError(f"contains no boot times (got {path})")
        column, times = 0, []
        if not _is_number(first[1][0]) or _COLUMN in first[1]:
            column = _column_of(first[1])
        else:
            times.append(_time(path, first, column))
        times += [_time(path, row, column) for row in rows]
    except UnreadableFile as error:
        raise unreadable(path, error.reason) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, str(error)) from error
    if not times:
        raise UnitError(f"contains no boot times (got {path})")
    return tuple(sorted(times))


def _rows(text: str) -> Iterator[Row]:
    """Yield the non-empty rows with their numbers."""
    return ((number, row) for number, row in enumerate(csv.reader(StringIO(text, newline="")), start=1) if any(row))


def _column_of(head: list[str]) -> int:
    names = [name.strip() for name in head]
    if _COLUMN not in names:
        raise UnitError(f"has no column '{_COLUMN}' (got {shown(', '.join(names))})")
    return names.index(_COLUMN)


def _time(path: Path, row: Row, column: int) -> float:
    number, cells = row
    text = cells[column] if column < len(cells) else ""
    try:
        at_s = float(text)
    except ValueError:
        at_s = -1.0
    if not 0 <= at_s < inf:  # nor NaN
        raise UnitError(f"{path}:{number}: expected a boot time in seconds, 0 or more (got {shown(text)})")
    return at_s


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False
