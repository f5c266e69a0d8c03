"""A moment of a run in the figures of deferral, as words for Locust's web UI. Pure: imports no Locust.

The definitions are docs/metrics.md's, the values those of the snapshot that the dashboard of ``estsim run`` shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final

from estsim.figures.metrics import EARLY_POLLS, EXCHANGES, RETRY_AFTER, SYNCHRONISATION, TIME_TO_CERTIFICATE
from estsim.figures.snapshot import Quantiles, Snapshot

ABSENT: Final = "\N{EN DASH}"
_BARS: Final = " ▁▂▃▄▅▆▇█"
_ENROLLED: Final = ("operational", "renewing", "retired")
_FEWEST_BINS: Final = 20
_MOST_BINS: Final = 60


@dataclass(frozen=True, slots=True)
class Figure:
    """One line: what it is, its value, and what there is to know of it. ``key`` names it for who looks for one."""

    key: str
    name: str
    value: str
    note: str = ""


def figures(snapshot: Snapshot) -> tuple[Figure, ...]:
    """Return the figures of a moment, the weightiest first."""
    moment = snapshot.deferral
    told = f"{sum(moment.told)} Retry-After values in bins of {moment.bin_s:g} s from 0"
    kept = f"{sum(moment.kept)} waits from a deferral to the next poll, in the same bins"
    return (
        Figure(
            "waiting", "waiting now", str(snapshot.waiting_deferred), "deferred devices that have not polled again yet"
        ),
        Figure("enrolled", "enrolled", _enrolled(snapshot), _states(snapshot)),
        Figure("certificates", "certificates", str(snapshot.certificates), f"from {snapshot.requests} requests"),
        Figure("exchanges", EXCHANGES.label, _number(snapshot.exchanges_per_certificate), _wasted(snapshot)),
        Figure(
            "ttc",
            TIME_TO_CERTIFICATE.label,
            _quantiles(snapshot.time_to_certificate_s),
            "p50, p90, p99; open enrolments are included",
        ),
        Figure("synchrony", SYNCHRONISATION.label, _number(moment.synchronisation), _period(snapshot)),
        Figure("wakeups", "wake-up forecast", bars(snapshot.wakeups), _wakeups(snapshot.wakeups)),
        Figure("told", RETRY_AFTER.label, bars(trimmed(moment.told, moment.kept)), told),
        Figure("kept", "actual wait", bars(trimmed(moment.kept, moment.told)), kept),
        Figure("punctuality", EARLY_POLLS.label, str(moment.early_polls), _punctuality(moment.punctuality_s)),
        Figure("generator", "generator", snapshot.saturated or "keeps up", _lag(snapshot)),
    )


def bars(counts: Sequence[int]) -> str:
    """Return counts as a row of bars, a cell each; whatever is there has at least the lowest."""
    highest = max(counts, default=0)
    if not highest:
        return ABSENT
    steps = len(_BARS) - 1
    return "".join(_BARS[-(-count * steps // highest)] if count else "·" for count in counts)


def trimmed(bins: Sequence[int], beside: Sequence[int] = ()) -> tuple[int, ...]:
    """Return bins up to the last that is not empty, here or in those beside, or a few more: two are no picture."""
    last = max((at for each in (bins, beside) for at, count in enumerate(each) if count), default=-1)
    return tuple(bins[: min(max(last + 1, _FEWEST_BINS), _MOST_BINS)])


def seconds(value: float | None) -> str:
    """Return a time with three digits: ``43 ms``, ``1.04 s``, ``125 s``."""
    if value is None or not isfinite(value):
        return ABSENT
    if abs(value) < 0.9995:  # noqa: PLR2004 - where rounding would make a thousand of it
        return f"{value * 1000:.3g} ms"
    return f"{value:.0f} s" if abs(value) >= 99.95 else f"{value:.3g} s"  # noqa: PLR2004 - three digits


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.1%}"


def _quantiles(quantiles: Quantiles) -> str:
    return ", ".join(map(seconds, (quantiles.p50, quantiles.p90, quantiles.p99)))


def enrolled(snapshot: Snapshot) -> int:
    """Return how many devices have their certificate: they use it, or have left with it when all was done."""
    return sum(snapshot.states.get(state, 0) for state in _ENROLLED)


def _enrolled(snapshot: Snapshot) -> str:
    return f"{enrolled(snapshot)} of {snapshot.devices}"


def _states(snapshot: Snapshot) -> str:
    return ", ".join(f"{state.replace('_', ' ')} {count}" for state, count in snapshot.states.items() if count)


def _wasted(snapshot: Snapshot) -> str:
    moment = snapshot.deferral
    return f"{moment.polls} polls, {_share(moment.wasted_share)} of them deferred again"


def _period(snapshot: Snapshot) -> str:
    moment = snapshot.deferral
    if moment.period_s is None:
        return "no period: Retry-After values differ, or there are none"
    return f"last window, period {moment.period_s} s; whole run {_number(moment.run_synchronisation)}"


def _wakeups(wakeups: Sequence[int]) -> str:
    return f"{sum(wakeups)} in the next 60 s, at most {max(wakeups, default=0)} per second"


def _punctuality(quantiles: Quantiles) -> str:
    return f"{quantiles.count} polls; after the Retry-After by {_quantiles(quantiles)} (p50, p90, p99)"


def _lag(snapshot: Snapshot) -> str:
    p99_ms = snapshot.schedule_lag_ms.p99
    lag = ABSENT if p99_ms is None else f"{p99_ms:.0f} ms"
    return f"p99 schedule lag over the last 10 s: {lag} (limit {snapshot.max_lag_ms:g} ms)"
