"""estsim as a user has it, against a server of nobody's making, and what it wrote down of that."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import trio

# How commands are run and read, and what drives devices, is told once.
sys.path.extend(str(Path(__file__).parent.parent / folder) for folder in ("cli", "locust"))

from cli_runs import DEADLINE_S, Done, Keys, Results, estsim, results_in, write_scenario
from drivers import Played, played_by
from locust_kit import Place
from odd_server import OddServer

__all__ = [
    "DRIVERS",
    "NOISE",
    "RENEW_ONCE",
    "ForeignRun",
    "Keys",
    "Played",
    "assert_issued",
    "play_against",
    "run_against",
]

NOISE: Final = ("Traceback", "site-packages", "Warning")
# Each run of Locust's users takes the start of a process with Locust in it.
DRIVERS: Final = ("trio", "threads", pytest.param("gevent", marks=pytest.mark.long))
RENEW_ONCE: Final[Keys] = {"after": "500ms", "times": 1, "then": "leave"}


@dataclass(frozen=True, slots=True)
class ForeignRun:
    """A run that has ended: what it said, and what it left, if it began at all."""

    done: Done
    results: Results | None

    @property
    def code(self) -> int:
        """The exit code."""
        return self.done.code

    def rows(self, operation: str | None = None, *, preflight: bool = False) -> list[Any]:
        """Return the rows of one operation or of all, without the preflight's unless asked for."""
        if self.results is None:
            return []
        found = self.results.rows("SELECT * FROM exchanges ORDER BY started_ns")
        return [
            row for row in found if operation in {None, row["operation"]} and (preflight or row["cause"] != "preflight")
        ]

    @property
    def kinds(self) -> list[str]:
        """The class of each row, without the preflight's."""
        return [row["kind"] for row in self.rows()]

    @property
    def details(self) -> list[str]:
        """What each row says, without the preflight's."""
        return [row["detail"] for row in self.rows()]

    @property
    def enrolments(self) -> list[Any]:
        """The rows of the enrolments."""
        return [] if self.results is None else self.results.rows("SELECT * FROM enrolments ORDER BY device, number")

    @property
    def ends(self) -> list[str | None]:
        """How each enrolment ended."""
        return [each["end"] for each in self.enrolments]

    @property
    def non_conformances(self) -> list[str]:
        """What the rows tell of broken rules, a text for each row that tells of any."""
        return [row["non_conformances"] for row in self.rows() if row["non_conformances"]]


def scenario_against(
    server: OddServer,
    folder: Path,
    *,
    devices: int = 2,
    url: str | None = None,
    trust: Path | None = None,
    target: Keys | None = None,
    cohort: Keys | None = None,
    **keys: Any,  # noqa: ANN401 - of a scenario
) -> Path:
    """Write a scenario of a small fleet without bootstrap credentials against a server.

    ``target`` and ``cohort`` add keys there; CA certificates are fetched once by each device, as is usual.
    """
    folder.mkdir(parents=True, exist_ok=True)
    defaults: Keys = {
        "devices": devices,
        "subject": "CN=dev-{index},O=Example",
        "bootstrap": {"kind": "none"},
        "enroll": {"cacerts": "once"},
        "retry": {"base": "50ms", "cap": "50ms", "jitter": "none", "attempts": 3},
    }
    place = {"url": url or server.url, "trust": {"ca": str(trust or server.trust)}, **(target or {})}
    return write_scenario(folder, cohort={**defaults, **(cohort or {})}, **{"duration": "8s", **keys, "target": place})


def run_against(
    server: OddServer,
    folder: Path,
    *options: str,
    **scenario: Any,  # noqa: ANN401 - as for scenario_against
) -> ForeignRun:
    """Run such a fleet from the command line, and check that Python stays out of sight."""
    scenario_against(server, folder, **scenario)
    done = estsim("run", "scenario.yaml", "--no-dashboard", *options, cwd=folder)
    assert not [word for word in NOISE if word in done.out + done.err], done.err
    written = folder / "results"
    return ForeignRun(done, results_in(written) if written.is_dir() and any(written.iterdir()) else None)


async def play_against(
    driver: str,
    server: OddServer,
    folder: Path,
    **scenario: Any,  # noqa: ANN401 - as for scenario_against
) -> Played:
    """Play such a fleet with one of the live drivers, without preflight, and return what each device did."""
    path = scenario_against(server, folder, **scenario)
    with trio.fail_after(3 * DEADLINE_S):
        return await played_by(driver, Place(str(path), scenario.get("url") or server.url, str(server.trust)))


def assert_issued(run: ForeignRun, times: int = 1) -> None:
    """Check that every device of a run got its certificate, as often as it was to."""
    assert run.code == 0, run.done.err
    assert run.ends, "no enrolment was begun"
    assert set(run.ends) == {"issued"}, run.details
    assert len(run.ends) == times * len({each["device"] for each in run.enrolments})
