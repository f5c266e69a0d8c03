"""The generator's view of itself, beside the errors: whether these figures can be trusted."""

import math
from typing import Final

from estsim.measure.snapshot import Snapshot
from estsim.present.figures import count, mebibytes, milliseconds, percent, short_count
from estsim.present.ink import ALARM, CAUTION, GOOD, PLAIN, QUIET, STRONG, Line, ink, left, title

ROWS: Final = 3
WIDTH: Final = 45

_NEAR: Final = 0.7  # of the limit
_STANDINGS: Final = {"": QUIET, "ok": GOOD, "near": CAUTION, "OVER": ALARM}


def standing(value: float | None, limit: float) -> str:
    """Return how a figure stands against its limit, in a word: ``ok``, ``near`` (above 70 % of it) or ``OVER``."""
    if value is None or math.isnan(value):
        return ""
    return "OVER" if value > limit else "near" if value > _NEAR * limit else "ok"


def generator(snapshot: Snapshot, width: int) -> list[Line]:
    """Return the pane: lag and CPU against their limits, then what has no limit but explains them."""
    lag = snapshot.schedule_lag_ms
    cpu = snapshot.cpu_share
    lag_word, cpu_word = standing(lag.p99, snapshot.max_lag_ms), standing(cpu, snapshot.max_cpu)
    verdict = "SATURATED" if snapshot.saturated is not None else "keeps up"
    return [
        title("GENERATOR", [verdict], width),
        [
            *_limited("lag p99", milliseconds(lag.p99), milliseconds(snapshot.max_lag_ms), lag_word),
            *_plain("lag p50", milliseconds(lag.p50)),
        ],
        [
            *_limited("CPU", percent(cpu), percent(snapshot.max_cpu), cpu_word),
            *_plain("loop p99", milliseconds(snapshot.loop_delay_p99_ms)),
        ],
        [
            ink(f" {left('RSS', 8)}", QUIET),
            ink(left(mebibytes(snapshot.rss_mib), 19)),
            *_plain("in flight", short_count(snapshot.in_flight, 6)),
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
        lines.append([ink(f" {short_count(rest, 6):>6} "), ink(left(f"in {kinds - len(shown)} more kinds", width - 8))])
    return lines
