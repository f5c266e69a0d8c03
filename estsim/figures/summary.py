"""summary.json as frozen values; the fields are the keys, in their order (a contract).

None is null: there is no value. :mod:`estsim.figures.summary_builder` makes a summary of a run, `as_dict`
and `to_json` write it, and `read_summary` reads it back without trust.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from estsim.est.outcome import OutcomeClass
from estsim.figures.json_form import LEFT_OUT_IF_NONE, NOT_WRITTEN, json_of, read_json
from estsim.figures.summary_blocks import (
    DeferralSummary,
    ErrorSummary,
    GeneratorSummary,
    InternalErrorsSummary,
    ThresholdSummary,
)
from estsim.figures.verdict import Verdict
from estsim.record.statistic import LatencyStatistic, Statistic

SCHEMA_VERSION: Final = 1

_WITHOUT_FIGURES: Final = ("schema_version", "run", "internal_errors", "thresholds", "verdict")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """The facts of a run; times are ISO 8601, UTC. ``lasted_s`` is set with the figures."""

    id: str
    scenario: str
    seed: int | None
    started: str
    ended: str
    version: str
    workers: int | None
    target: str
    groups: tuple[str, ...]
    openssl: str
    notices: tuple[str, ...] = ()  # for readers of the figures
    machine: Mapping[str, str] = field(default_factory=dict)  # of the generator: CPU, cores, OS, Python
    lasted_s: float | None = field(default=None, metadata=LEFT_OUT_IF_NONE)


@dataclass(frozen=True, slots=True)
class FleetSummary:
    """The number of devices, and of those in each state at the end, if known."""

    devices: int
    states: Mapping[str, int] | None


@dataclass(frozen=True, slots=True)
class OperationSummary:
    """The exchanges of one operation: the ten classes, which add up to the requests, and their durations."""

    requests: int
    ok: int
    deferred: int
    overloaded: int
    challenged: int
    unauthorized: int
    rejected: int
    server_error: int
    malformed: int
    failed: int
    abandoned: int
    service_ms: LatencyStatistic
    response_ms: LatencyStatistic
    deferred_ms: Statistic
    failed_ms: Statistic

    @property
    def by_class(self) -> dict[str, int]:
        """Requests by class, in the order of summary.json."""
        return {kind.value: getattr(self, kind.value) for kind in OutcomeClass}


@dataclass(frozen=True, slots=True)
class CertificateSummary:
    """Certificates, and findings: devices that should have been refused."""

    issued: int | None
    verified: int | None
    expected_refusals: int
    findings: tuple[str, ...]


class Figures(Protocol):
    """The common blocks of a run, a cohort and a phase."""

    @property
    def operations(self) -> Mapping[str, OperationSummary]:
        """Exchanges by operation."""

    @property
    def certificates(self) -> CertificateSummary:
        """Certificates."""

    @property
    def deferral(self) -> DeferralSummary:
        """Deferrals, polls and times to certificate."""


@dataclass(frozen=True, slots=True)
class PhaseCohortSummary:
    """The figures of a cohort in a phase."""

    operations: Mapping[str, OperationSummary]
    certificates: CertificateSummary
    deferral: DeferralSummary


@dataclass(frozen=True, slots=True)
class PhaseSummary:
    """The figures of a phase, its rates and its cohorts."""

    lasted_s: float | None
    requests_per_s: float | None
    certificates_per_s: float | None
    operations: Mapping[str, OperationSummary]
    certificates: CertificateSummary
    deferral: DeferralSummary
    cohorts: Mapping[str, PhaseCohortSummary]


@dataclass(frozen=True, slots=True)
class CohortSummary:
    """The figures of a cohort."""

    fleet: FleetSummary
    operations: Mapping[str, OperationSummary]
    certificates: CertificateSummary
    deferral: DeferralSummary


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary of a run.

    ``has_figures`` is false if an internal error prevented the figures: they are empty, and not written.
    """

    schema_version: int
    run: RunFacts
    fleet: FleetSummary
    operations: Mapping[str, OperationSummary]
    certificates: CertificateSummary
    deferral: DeferralSummary
    phases: Mapping[str, PhaseSummary]
    cohorts: Mapping[str, CohortSummary]
    errors: tuple[ErrorSummary, ...]
    generator: GeneratorSummary
    internal_errors: InternalErrorsSummary | None = field(metadata=LEFT_OUT_IF_NONE)
    unreachable: str | None = field(metadata=LEFT_OUT_IF_NONE)
    thresholds: tuple[ThresholdSummary, ...]
    verdict: str
    has_figures: bool = field(default=True, metadata=NOT_WRITTEN)

    def as_dict(self) -> dict[str, Any]:
        """Return nested dictionaries and lists with the keys of summary.json."""
        written: dict[str, Any] = json_of(self)
        return written if self.has_figures else {key: written[key] for key in written if key in _WITHOUT_FIGURES}

    def to_json(self) -> str:
        """Return the text of summary.json."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def with_errors(self, internal_errors: InternalErrorsSummary) -> "Summary":
        """Return the summary with internal errors that occurred after it was made."""
        ended_otherwise = self.verdict in (Verdict.ABORTED, Verdict.UNREACHABLE)
        verdict = self.verdict if ended_otherwise else Verdict.ERROR.value
        return replace(self, internal_errors=internal_errors, verdict=verdict)


def read_summary(found: Mapping[str, object]) -> Summary:
    """Return the summary in a summary.json of any version, even a damaged one."""
    return replace(read_json(Summary, found), has_figures="operations" in found)


def requests_of(figures: Figures) -> int:
    """Return all exchanges of a run, cohort or phase."""
    return sum(operation.requests for operation in figures.operations.values())
