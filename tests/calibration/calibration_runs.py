"""What the calibration tests share: the generator within its limits, and each row beside the sandbox's line of it.

The command line is that of ``tests/cli``, and the herd that of ``tests/benchmarks``: importing this module first makes
both importable, whatever folder pytest was given.
"""

import sys
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any, Final

_TESTS: Final = Path(__file__).parents[1]
sys.path.extend(str(_TESTS / folder) for folder in ("cli", "benchmarks"))

from cli_runs import Keys, Results  # noqa: E402 - as the docstring says

MOST_CPU: Final = 0.30  # up to which METRICS.md promises what is tested here
P50_WITHIN_MS: Final = 1.0
P99_WITHIN_MS: Final = 5.0
GENERATOR: Final[Keys] = {"max_lag": "20ms", "max_cpu": "30%"}  # so that the run's own verdict says whether it counts


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


def assert_counts(run: Results) -> None:
    """Check that the generator was within its limits: only then a run's figures are the server's."""
    generator = run.summary["generator"]
    assert not generator["saturated"], generator["why"]
    (lived_ns,) = run.rows("SELECT MAX(at_ns) FROM generator")[0]
    assert generator["cpu_s"] / (lived_ns / 1e9) <= MOST_CPU


def quantile(values: list[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all values do not exceed."""
    return sorted(values)[ceil(share * len(values)) - 1]
