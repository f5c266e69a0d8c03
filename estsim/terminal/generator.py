"""The generator's view of itself, beside the errors: whether these figures can be trusted."""

import math
from typing import Final

from estsim.figures.snapshot import Snapshot
from estsim.figures.text import ABSENT, compact, count, mebibytes, milliseconds, percent, short_count
from estsim.record.error_kinds import others_of
from estsim.terminal.ink import ALARM, CAUTION, GOOD, PLAIN, QUIET, STRONG, Line, ink, left, title

ROWS: Final = 3
WIDTH: Final = 45

_KILO_FROM: Final = 10_000
_NEAR: Final = 0.7  # of the limit
_STANDINGS: Final = {"": QUIET, "ok": GOOD, "near": CAUTION, "OVER": ALARM}


def standing(value: float | None, limit: float) -> str:
    """Return how a figure stands against its limit, in a word: ``ok``, ``near`` (above 70 % of it) or ``OVER``."""
    if value is None or math.isnan(value):
        return ""
    return "OVER" if value > limit else "near" if value > _NEAR * limit else "ok"


def generator(snapshot: Snapshot, width: int) -> list[Line]:
    """Return the pane: lag, CPU, ports and descriptors against their limits, and what explains them.

    The figures are of the last ten seconds, by which saturation is judged, or of the last reading until there are any.
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
                standing(lag.p99, snapshot.max_lag_ms),
            ),
            *_plain("lag p50", milliseconds(lag.p50)),
        ],
        [
            *_limited("CPU", percent(cpu), percent(snapshot.max_cpu), standing(cpu, snapshot.max_cpu)),
            *_plain("loop p99", milliseconds(loop_delay_ms)),
        ],
        [
            *_used("ports", moment.ports, moment.ports_limit),
            *_used("fds", moment.descriptors, moment.descriptors_limit),
        ],
    ]


def _limited(label: str, value: str, limit: str, word: str) -> Line:
    style = _STANDINGS[word]
    return [
        ink(f" {left(label, 8)}", QUIET),
        ink(left(value, 6), STRONG if word in {"", "ok"} else style),
        ink(left(f"of {limit}", 9), QUIET),
        ink(f"{word:<4}", style),
    ]


def _plain(label: str, value: str) -> Line:
    return [ink(f" {left(label, 9)} ", QUIET), ink(left(value, 6))]


def _used(label: str, number: int, limit: int) -> Line:
    """Return how much of what this machine has is taken, in 22 cells; dashes where nobody has counted."""
    if limit <= 0:
        return [ink(f" {left(f'{label} {ABSENT}', 21)}", QUIET)]
    word = standing(number, limit)
    used = f"{compact(number, kilo_from=_KILO_FROM)}/{compact(limit, kilo_from=_KILO_FROM)}"
    return [
        ink(f" {label} ", QUIET),
        ink(left(used, 15 - len(label)), STRONG if word == "ok" else _STANDINGS[word]),
        ink(f"{word:<5}", _STANDINGS[word]),
    ]


def errors(snapshot: Snapshot, width: int, *, rows: int) -> list[Line]:
    """Return the pane: the most frequent kinds, at most ``rows`` lines; the last sums up what found no line."""
    if not snapshot.errors:
        return [title("ERRORS", ["none"], width)]
    total = sum(number for _, number in snapshot.errors)
    kinds = len(snapshot.errors)
    shown = snapshot.errors if kinds <= rows else snapshot.errors[: rows - 1]
    lines = [title("ERRORS", [count(total)], width)]
    for text, number in shown:
        lines.append([ink(f" {short_count(number, 6):>6} ", ALARM), ink(left(text, width - 8), PLAIN)])
    if kinds > len(shown):
        rest = total - sum(number for _, number in shown)
        lines.append(
            [
                ink(f" {short_count(rest, 6):>6} "),
                ink(left(others_of(snapshot.errors[len(shown) :]), width - 8)),
            ]
        )
    return lines
