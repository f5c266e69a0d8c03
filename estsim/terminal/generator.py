"""The generator's figures of itself: whether the figures of the run can be trusted."""

import math
from typing import Final

from estsim.figures.snapshot import Snapshot
from estsim.figures.text import ABSENT, compact, mebibytes, milliseconds, percent, short_count
from estsim.terminal.ink import ALARM, CAUTION, GOOD, QUIET, STRONG, Line, ink, left, title

ROWS: Final = 3
WIDTH: Final = 45

_KILO_FROM: Final = 10_000
_NEAR: Final = 0.7  # of the limit
_RATINGS: Final = {"": QUIET, "ok": GOOD, "near": CAUTION, "OVER": ALARM}


def _rating(value: float | None, limit: float) -> str:
    """Return a figure's rating against its limit: ``ok``, ``near`` (above 70 % of it) or ``OVER``."""
    if value is None or math.isnan(value):
        return ""
    return "OVER" if value > limit else "near" if value > _NEAR * limit else "ok"


def generator(snapshot: Snapshot, width: int) -> list[Line]:
    """Return the pane: lag, CPU, ports and descriptors against their limits, and what explains them.

    The figures cover the last ten seconds, as the saturation verdict does; until then the last reading.
    """
    moment = snapshot.generator
    known = moment.rss_mib > 0
    cpu = moment.cpu_share if known else snapshot.cpu_share
    loop_delay_ms = moment.loop_delay_p99_ms if known else snapshot.loop_delay_p99_ms
    lag = snapshot.schedule_lag_ms
    verdict = "SATURATED" if snapshot.saturated is not None else "keeps up"
    memory = mebibytes(moment.rss_mib if known else snapshot.rss_mib)
    return [
        title("GENERATOR", [verdict, memory, f"{short_count(snapshot.in_flight, 6)} in flight"], width),
        [
            *_limited(
                "lag p99",
                milliseconds(lag.p99),
                milliseconds(snapshot.max_lag_ms),
                _rating(lag.p99, snapshot.max_lag_ms),
            ),
            *_plain("lag p50", milliseconds(lag.p50)),
        ],
        [
            *_limited("CPU", percent(cpu), percent(snapshot.max_cpu), _rating(cpu, snapshot.max_cpu)),
            *_plain("loop p99", milliseconds(loop_delay_ms)),
        ],
        [
            *_used("ports", moment.ports, moment.ports_limit),
            *_used("fds", moment.descriptors, moment.descriptors_limit),
        ],
    ]


def _limited(label: str, value: str, limit: str, word: str) -> Line:
    style = _RATINGS[word]
    return [
        ink(f" {left(label, 8)}", QUIET),
        ink(left(value, 6), STRONG if word in {"", "ok"} else style),
        ink(left(f"of {limit}", 9), QUIET),
        ink(f"{word:<4}", style),
    ]


def _plain(label: str, value: str) -> Line:
    return [ink(f" {left(label, 9)} ", QUIET), ink(left(value, 6))]


def _used(label: str, number: int, limit: int) -> Line:
    """Return the use of a resource of this machine in 22 cells; a dash where it is not known."""
    if limit <= 0:
        return [ink(f" {left(f'{label} {ABSENT}', 21)}", QUIET)]
    word = _rating(number, limit)
    used = f"{compact(number, kilo_from=_KILO_FROM)}/{compact(limit, kilo_from=_KILO_FROM)}"
    return [
        ink(f" {label} ", QUIET),
        ink(left(used, 15 - len(label)), STRONG if word == "ok" else _RATINGS[word]),
        ink(f"{word:<5}", _RATINGS[word]),
    ]
