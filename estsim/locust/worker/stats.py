"""What Locust charts: requests, failures and response times per operation, as a worker reports them each few seconds.

The figures of ``locust/stats.py``, in its form and with its rounding: a master adds up those of all workers, whatever
they run on. They are a view beside our own books, which hold what Locust's cannot (deferrals are successes to it).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Final

from estsim.fleet.rows import failure_of
from estsim.record.sample import Sample

METHOD: Final = "EST"
_TOTAL: Final = ("Aggregated", "")
_NS_PER_MS: Final = 1_000_000


def rounded_ms(response_ms: float) -> int:
    """Return a response time as Locust keeps it: to the millisecond below 100, to about two digits above."""
    if response_ms < 100:  # noqa: PLR2004 - Locust's steps
        return round(response_ms)
    digits = min(len(str(int(response_ms))), 5)
    return int(round(response_ms, 2 - digits))


def failure_key(sample: Sample) -> str | None:
    """Return what failed as our Locust user's exception reads in Locust's errors; None where nothing did."""
    text = failure_of(sample)
    return None if text is None else f"ExchangeFailed({text!r})"


@dataclass(slots=True)
class Entry:
    """One line of Locust's table since the last report; the names of the fields are Locust's. Times are in ms."""

    name: str
    method: str
    start_time: float  # UNIX seconds, as all moments here
    last_request_timestamp: float | None = None
    num_requests: int = 0
    num_none_requests: int = 0
    num_failures: int = 0
    total_response_time: float = 0.0
    max_response_time: float = 0.0
    min_response_time: float | None = None
    total_content_length: int = 0
    response_times: Counter[int] = field(default_factory=Counter)
    num_reqs_per_sec: Counter[int] = field(default_factory=Counter)
    num_fail_per_sec: Counter[int] = field(default_factory=Counter)

    def log(self, response_ms: float, wall_s: float, *, failed: bool) -> None:
        """Count a request that ended at this time."""
        lowest = self.min_response_time
        self.num_requests += 1
        self.num_reqs_per_sec[int(wall_s)] += 1
        self.last_request_timestamp = wall_s
        self.total_response_time += response_ms
        self.min_response_time = response_ms if lowest is None else min(lowest, response_ms)
        self.max_response_time = max(self.max_response_time, response_ms)
        self.response_times[rounded_ms(response_ms)] += 1
        if failed:
            self.num_failures += 1
            self.num_fail_per_sec[int(wall_s)] += 1

    def report(self) -> dict[str, object]:
        """Return it as Locust sends it."""
        named = ((each.name, getattr(self, each.name)) for each in fields(self))
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in named}


@dataclass(slots=True)
class Error:
    """One kind of failure since the last report; the names of the fields are Locust's."""

    name: str
    method: str
    error: str
    occurrences: int
    first_seen: float
    last_seen: float

    @property
    def key(self) -> str:
        """What Locust tells errors apart by."""
        return sha256(f"{self.method}.{self.name}.{self.error!r}".encode()).hexdigest()


class StatsBook:
    """Requests since the last report; ``wall_s`` is UNIX seconds by the master's clock, to whose charts they go."""

    def __init__(self, wall_s: float) -> None:
        self.begin(wall_s)

    def begin(self, wall_s: float) -> None:
        """Begin a new report: the one before has been sent."""
        self._since_s = wall_s
        self._total = Entry(*_TOTAL, wall_s)
        self._entries: dict[str, Entry] = {}
        self._errors: dict[tuple[str, str], Error] = {}

    def exchange(self, sample: Sample, wall_s: float) -> None:
        """Count an exchange that ended at ``wall_s``."""
        name, failure = sample.operation.value, failure_key(sample)
        response_ms = sample.stamps.service_ns / _NS_PER_MS
        if name not in self._entries:
            self._entries[name] = Entry(name, METHOD, self._since_s)
        for entry in (self._entries[name], self._total):
            entry.log(response_ms, wall_s, failed=failure is not None)
        if failure is not None:
            self._fail(name, failure, wall_s)

    def report(self) -> Mapping[str, object]:
        """Return the report so far."""
        return {
            "stats": [entry.report() for entry in self._entries.values()],
            "stats_total": self._total.report(),
            "errors": {error.key: asdict(error) for error in self._errors.values()},
        }

    def _fail(self, name: str, failure: str, wall_s: float) -> None:
        error = self._errors.get((name, failure))
        if error is None:
            error = self._errors[name, failure] = Error(name, METHOD, failure, 0, wall_s, wall_s)
        error.occurrences += 1
        error.last_seen = wall_s
