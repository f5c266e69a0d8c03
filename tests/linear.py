"""Linear in what a stranger sends: a reader at its full size takes as much CPU as ten readings of a tenth of it.

Each room lists its readers in a test of its own, marked ``alone``. A reader that is quadratic takes a hundred times as
long; twice the ten leaves room for caches that a larger input does not fit.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from estsim.errors import EstsimError

_TIMES: Final = 5
_MOST: Final = 20.0  # times the CPU of a tenth
_SHORTEST_S: Final = 100e-6  # below, the clock and the caches are all that is measured


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader of foreign bytes, and an input that is bad for it, of any size up to ``full``."""

    name: str
    read: Callable[[Any], object]  # raises EstsimError for what it refuses
    make: Callable[[int], object]
    full: int

    def __str__(self) -> str:
        return self.name


def assert_linear(reader: Reader) -> None:
    """Check a reader at its full size against a tenth of it: CPU time, side by side, best of five pairs.

    A machine may be slow for a minute, and no noise makes a quadratic reader linear: one pair that is linear is enough.
    """
    ratio = float("inf")
    for _ in range(_TIMES):
        tenth_s = min(cpu_s(reader, reader.full // 10) for _ in range(_TIMES))
        full_s = cpu_s(reader, reader.full)
        ratio = min(ratio, full_s / max(tenth_s, _SHORTEST_S))
        if ratio <= _MOST:
            return
    told = f"{full_s * 1e3:.1f} ms for {reader.full}, {tenth_s * 1e3:.2f} ms for a tenth"
    raise AssertionError(f"{reader}: {ratio:.1f} times a tenth at best; the last pair was {told}")


def cpu_s(reader: Reader, size: int) -> float:
    """Return the CPU time of one reading, of an input made anew so that nothing is remembered."""
    made = reader.make(size)
    begun_s = time.process_time()
    with suppress(EstsimError):
        reader.read(made)
    return time.process_time() - begun_s
