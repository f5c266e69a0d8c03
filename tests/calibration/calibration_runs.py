"""What the calibration tests share: the generator within its limits, and each row beside the sandbox's line of it.

The command line is that of ``tests/cli``, and the herd that of ``tests/benchmarks``: importing this module first makes
both importable, whatever folder pytest was given.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeVar

_TESTS: Final = Path(__file__).parents[1]
sys.path.extend(str(_TESTS / folder) for folder in ("cli", "benchmarks"))

from cli_runs import Done, Keys, Results, results_in  # noqa: E402 - as the docstring says

T = TypeVar("T")

MOST_CPU: Final = 0.30  # up to which docs/metrics.md promises what is tested here
P50_WITHIN_MS: Final = 1.0
P99_WITHIN_MS: Final = 5.0
GENERATOR: Final[Keys] = {"max_lag": "20ms", "max_cpu": "30%"}  # so that the run's own verdict says whether it counts
_TRIES: Final = 3  # on a machine that others use
_SATURATED: Final = 4  # exit code


@dataclass(frozen=True, slots=True)
class Pair:
    """One exchange as both saw it: our ``wait``, and the handling time that the sandbox logged under the same id."""

    cohort: str
    wait_ms: float
    handling_ms: float
    faults: int  # injected

    @property
    def apart_ms(self) -> float:
        """By how much our wait is the longer."""
        return self.wait_ms - self.handling_ms


def valid_run(folder: Path, play: Callable[[Path], tuple[Done, T]]) -> tuple[Results, T]:
    """Play a run, again where the run itself says that it does not count, and return the first that does.

    ``play`` is given a folder for its results. A run whose generator was the bottleneck is no measurement of a server:
    its verdict says so before anything of it is looked at. That every run is invalid is a failure.
    """
    why = ""
    for number in range(_TRIES):
        done, more = play(folder / f"results-{number}")
        assert done.code in {0, _SATURATED}, done.out
        run = results_in(folder / f"results-{number}")
        if not (why := why_invalid(run)):
            return run, more
    raise AssertionError(f"in none of {_TRIES} runs was the generator within its limits: {why}")


def why_invalid(run: Results) -> str:
    """Return by what the generator was out of its limits; nothing if a run's figures are the server's."""
    generator = run.summary["generator"]
    if generator["saturated"]:
        return str(generator["why"])
    (lived_ns,) = run.rows("SELECT MAX(at_ns) FROM generator")[0]
    share = generator["cpu_s"] / (lived_ns / 1e9)
    return f"CPU was {share:.0%} of a core" if share > MOST_CPU else ""


def pairs_of(run: Results, log: list[Any]) -> list[Pair]:
    """Match every exchange of a run by its id with its line in the log; all of them have been answered."""
    lines = {line["request_id"]: line for line in log}
    rows = run.rows("SELECT request_id, cohort, kind, sent_ns, first_byte_ns FROM exchanges WHERE cause != 'preflight'")
    assert {row["kind"] for row in rows} <= {"ok", "deferred"}
    pairs = []
    for row in rows:
        line = lines[row["request_id"]]
        wait_ms = (row["first_byte_ns"] - row["sent_ns"]) / 1e6
        faults = len(line["fault"].split(",")) if line["fault"] else 0
        pairs.append(Pair(row["cohort"], wait_ms, line["handling_us"] / 1e3, faults))
    return pairs


def assert_agree(pairs: list[Pair]) -> None:
    """Hold the waits against the log: the two distributions by their quantiles, and each exchange against its own."""
    waits, handling = [pair.wait_ms for pair in pairs], [pair.handling_ms for pair in pairs]
    assert abs(median(waits) - median(handling)) <= P50_WITHIN_MS
    assert abs(quantile(waits, 0.99) - quantile(handling, 0.99)) <= P99_WITHIN_MS
    apart = [abs(pair.apart_ms) for pair in pairs]
    assert median(apart) <= P50_WITHIN_MS
    assert quantile(apart, 0.99) <= P99_WITHIN_MS


def quantile(values: list[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all values do not exceed."""
    return sorted(values)[ceil(share * len(values)) - 1]
