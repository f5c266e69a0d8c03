"""The books of a run, for whoever leads it: its facts, its record, its thresholds, and the summary they come to."""

import json
import secrets
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

from estsim import __version__
from estsim.errors import UnitError
from estsim.figures.live import LiveFigures
from estsim.figures.snapshot import RunStage, Snapshot
from estsim.figures.summary import RunFacts, Summary
from estsim.figures.summary_blocks import internal_errors_summary
from estsim.figures.summary_builder import build_summary, summary_of_error
from estsim.figures.thresholds import AbortWatch, Judgement
from estsim.figures.verdict import Ending
from estsim.fleet.demands import record_of, thresholds_of
from estsim.fleet.machine import machine_facts
from estsim.fleet.notices import notices_of
from estsim.fleet.offer import groups_offered
from estsim.net.openssl import openssl_version
from estsim.record.doubled_serials import SERIAL_TWICE, Doubled, mark_doubled_serials
from estsim.record.generator_totals import GeneratorTotals
from estsim.record.sample import FleetReading
from estsim.record.slice_counts import CountedSlices
from estsim.record.store import CountedSlice, RunStore
from estsim.scenario.pem_files import credentials_in, fingerprint_of
from estsim.scenario.plan import Files, Scenario


class RunBooks:
    """What is kept of one run. ``workers`` and ``target`` may be told later than the rest."""

    def __init__(
        self, scenario: Scenario, *, workers: int = 1, ports_limit: int = 0, descriptors_limit: int = 0
    ) -> None:
        self.id = secrets.token_hex(4)
        self.scenario = scenario
        self.started = datetime.now(UTC)
        self.workers = workers
        self.target = str(scenario.target.url) if scenario.target else "sandbox"
        self.groups = groups_offered(scenario)
        self._machine = machine_facts()
        self.record = record_of(scenario)
        self.figures = LiveFigures(self.record, ports_limit=ports_limit, descriptors_limit=descriptors_limit)
        self._thresholds, demands = thresholds_of(scenario), scenario.thresholds
        watched = [(t, d.after_s) for t, d in zip(self._thresholds, demands, strict=False) if d.aborts]
        self._abort_watch = AbortWatch(tuple(watched))
        self._broken: Judgement | None = None
        self.record.fleet(self.all_off)

    @property
    def all_off(self) -> FleetReading:
        """The state of the fleet before it lives."""
        off = {cohort.name: {"off": cohort.devices} for cohort in self.scenario.cohorts}
        return FleetReading(0, {"off": self.scenario.devices}, cohorts=off)

    def introduce(self, store: RunStore) -> None:
        """Write what is known of the run before it begins."""
        scenario = self.scenario
        facts = {
            "id": self.id,
            "scenario": scenario.name,
            "seed": str(scenario.seed),
            "started": self.started.isoformat(),
            "version": __version__,
            "groups_offered": ",".join(self.groups),
            "workers": str(self.workers),
            "target": self.target,
            "duration_s": repr(scenario.duration_s),
            "cohorts": json.dumps({cohort.name: cohort.devices for cohort in scenario.cohorts}),
            "phases": json.dumps([[phase.name, phase.from_s, phase.to_s] for phase in scenario.phases]),
            "thresholds": json.dumps([demand.expression for demand in scenario.thresholds]),
            "strict_thresholds": json.dumps([demand.expression for demand in scenario.thresholds if demand.strict]),
            "max_lag_s": repr(scenario.generator.max_lag_s),
            "max_cpu": repr(scenario.generator.max_cpu),
            "scenario_text": scenario.resolved,
            "description": scenario.description,
            "machine": json.dumps(self._machine),
        }
        if files := _credential_files(scenario):
            facts["credential_files"] = json.dumps(files)
        store.put(**facts)

    @property
    def may_end_early(self) -> bool:
        """Whether a threshold may end the run."""
        return bool(self._abort_watch.thresholds)

    def is_broken(self, at_ns: int) -> bool:
        """Ask the thresholds that may end the run, and remember the first that does."""
        self._broken = self._abort_watch.broken(self.figures.scopes(at_ns))
        return self._broken is not None

    def snapshot(self, at_ns: int, stage: RunStage) -> Snapshot:
        """Return what a display shows now."""
        return self.figures.snapshot(
            name=self.scenario.name,
            target=self.target,
            stage=stage,
            at_ns=at_ns,
            duration_s=self.scenario.duration_s,
        )

    def look_back(self, store: RunStore) -> None:
        """Find what only all that was written tells; raises StoreError."""
        store.amend(mark_doubled_serials, self._count_doubled)

    def _count_doubled(self, found: Iterable[Doubled]) -> Iterable[CountedSlice]:
        counted = CountedSlices(self.record.own.within_s, self.scenario.phases)
        for doubled in found:
            counts = counted.at(doubled.cohort, intended_ns=doubled.intended_ns, now_ns=0)
            counts.tally.non_conformances[SERIAL_TWICE] += doubled.count
        self.record.count(counted.counts)
        return counted.counts.items()

    def summary(
        self, ending: Ending, *, ended_ns: int, totals: GeneratorTotals, unreachable: str | None = None
    ) -> Summary:
        """Return what the run came to; where a bug of ours keeps it from being reckoned, little more than that.

        ``unreachable`` is what the preflight says of a server that cannot be reached.
        """
        record, scenario = self.record, self.scenario
        record.saturation.now_ns = ended_ns
        facts = RunFacts(
            id=self.id,
            scenario=scenario.name,
            seed=scenario.seed,
            started=self.started.isoformat(),
            ended=datetime.now(UTC).isoformat(),
            version=__version__,
            workers=self.workers,
            target=self.target,
            groups=self.groups,
            openssl=openssl_version(),
            notices=(*notices_of(scenario), *record.notices),
            machine=self._machine,
        )
        try:
            return build_summary(
                facts,
                self.figures.scopes(ended_ns),
                generator=totals,
                saturation=record.verdict(),
                of_thresholds=record.saturation.of_thresholds,
                thresholds=self._thresholds,
                broken=self._broken,
                findings=record.findings,
                internal_errors=internal_errors_summary(record.internal_errors),
                ending=ending,
                unreachable=unreachable,
            )
        except Exception as bug:  # noqa: BLE001 - whatever it is, the run is saved
            record.own.internal_error(bug, at_ns=ended_ns)
            record.collect()
            return summary_of_error(facts, ending, internal_errors_summary(record.internal_errors))


def _credential_files(scenario: Scenario) -> dict[str, str]:
    """Return of each cohort with files of its devices' own which they are, as a fingerprint of their names."""
    found: dict[str, str] = {}
    for cohort in scenario.cohorts:
        if isinstance(cohort.bootstrap, Files):
            with suppress(UnitError):  # it is told where the devices are made
                found[cohort.name] = fingerprint_of(credentials_in(cohort.bootstrap.path, cohort.devices))
    return found
