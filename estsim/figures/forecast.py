"""The forecast that a dry run makes: the load over time, the outcome for the fleet, and the resources it needs.

Figures have the names and definitions of docs/metrics.md. They come from a model of the server: nothing is measured,
and no threshold is judged.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from estsim.record.saturation import WINDOW_S

_SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class FleetPoint:
    """The number of devices in each state at a time."""

    at_s: float
    states: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Need:
    """A resource of this machine: what the plan needs of it, and what is available."""

    what: str
    needed: float
    has: float
    unit: str
    why: str

    @property
    def is_met(self) -> bool:
        """Whether the machine has enough."""
        return self.needed <= self.has


@dataclass(frozen=True, slots=True)
class Load:
    """The exchanges of the fleet by second of the run; seconds without any are left out.

    ``first`` has all exchanges but polls, by operation; polls of all operations are counted together.
    """

    first: Mapping[str, Mapping[int, int]]
    polls: Mapping[int, int]

    def per_second(self) -> dict[int, int]:
        """Return all exchanges by the second."""
        return summed([*self.first.values(), self.polls])

    @property
    def exchanges(self) -> int:
        """All exchanges of the run."""
        return sum(sum(counts.values()) for counts in (*self.first.values(), self.polls))


@dataclass(frozen=True, slots=True)
class Forecast:
    """The result of a dry run. ``None`` is a figure without a value; ``server`` describes the assumed server.

    ``settled``: nothing more was planned at ``ended_s``. ``ends`` counts enrolments by how they ended, ``open_at_end``
    the others.
    """

    scenario: str
    seed: int
    devices: int
    duration_s: float
    ended_s: float
    settled: bool
    server: str
    load: Load
    fleet: tuple[FleetPoint, ...]
    outcomes: Mapping[str, int]  # by class, as in a summary
    ends: Mapping[str, int]
    open_at_end: int
    certificates: int
    certificate_exchanges: int  # exchanges that asked for one
    polls: int
    wasted_polls: int
    drain_s: float | None
    period_s: int | None
    synchronisation: float | None
    needs: tuple[Need, ...]
    events: tuple[tuple[float, str], ...] = ()
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    thresholds: int = 0  # of a real run
    steps: int = field(default=0, compare=False)  # events that the machines were stepped through

    @property
    def exchanges_per_certificate(self) -> float | None:
        """Exchanges that asked for a certificate, per certificate received."""
        return self.certificate_exchanges / self.certificates if self.certificates else None

    @property
    def wasted_share(self) -> float | None:
        """Share of polls that were answered by another deferral."""
        return self.wasted_polls / self.polls if self.polls else None

    @property
    def busiest(self) -> tuple[int, int]:
        """The first of the busiest ten seconds, and the exchanges in them."""
        return busiest(self.load.per_second(), WINDOW_S)


def summed(counts: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """Return the sum of counts by the second."""
    total: dict[int, int] = {}
    for each in counts:
        for second, count in each.items():
            total[second] = total.get(second, 0) + count
    return total


def busiest(per_second: Mapping[int, int], window_s: int) -> tuple[int, int]:
    """Return the first second and the count of the busiest window of ``window_s`` seconds; (0, 0) without any count.

    The first second of the window has a count.
    """
    begins, most = 0, 0
    for second, total in _windows(per_second, window_s):
        if total > most:
            begins, most = second, total
    return begins, most


def _windows(per_second: Mapping[int, int], window_s: int) -> Iterator[tuple[int, int]]:
    """Yield the sum over each window whose first second has a count."""
    seconds = sorted(per_second)
    total = end = 0
    for second in seconds:
        while end < len(seconds) and seconds[end] < second + window_s:
            total += per_second[seconds[end]]
            end += 1
        yield second, total
        total -= per_second[second]


def forecast_json(forecast: Forecast, *, resolved: str, problems: Iterable[str] = ()) -> str:
    """Return a forecast as JSON; counts by the second are pairs of second and count, in the order of time."""
    return json.dumps(_figures(forecast, resolved, problems), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _figures(forecast: Forecast, resolved: str, problems: Iterable[str]) -> dict[str, Any]:
    begins_s, most = forecast.busiest
    return {
        "schema_version": _SCHEMA_VERSION,
        "dry_run": True,
        "run": {
            "scenario": forecast.scenario,
            "seed": forecast.seed,
            "duration_s": forecast.duration_s,
            "ended_s": forecast.ended_s,
            "settled": forecast.settled,
            "server": forecast.server,
        },
        "fleet": {
            "devices": forecast.devices,
            "states": forecast.fleet[-1].states if forecast.fleet else {},
            "over_time": [asdict(point) for point in forecast.fleet],
        },
        "load": {
            "exchanges": forecast.load.exchanges,
            "per_second": {
                **{operation: _pairs(counts) for operation, counts in forecast.load.first.items()},
                "polls": _pairs(forecast.load.polls),
            },
            "busiest_10s": {"from_s": begins_s, "exchanges": most},
            "outcomes": dict(forecast.outcomes),
        },
        "certificates": {
            "issued": forecast.certificates,
            "enrolments": {**forecast.ends, "open": forecast.open_at_end},
        },
        "deferral": {
            "exchanges_per_certificate": forecast.exchanges_per_certificate,
            "polls": forecast.polls,
            "wasted_share": forecast.wasted_share,
            "period_s": forecast.period_s,
            "synchronisation": forecast.synchronisation,
            "drain_s": forecast.drain_s,
        },
        "needs": [{**asdict(need), "is_met": need.is_met} for need in forecast.needs],
        "events": [{"at_s": at_s, "what": what} for at_s, what in forecast.events],
        "assumptions": list(forecast.assumptions),
        "notes": list(forecast.notes),
        "problems": list(problems),
        "scenario": resolved,
    }


def _pairs(counts: Mapping[int, int]) -> list[list[int]]:
    return [[second, counts[second]] for second in sorted(counts)]
