"""The books of a run, for whoever leads it: its facts, its recorder, its thresholds, and the summary they come to."""

import json
import secrets
from datetime import UTC, datetime
from typing import Any

from estsim import __version__
from estsim.fleet.demands import recorder_of, thresholds_of
from estsim.fleet.losses import Losses
from estsim.fleet.notices import notices_of
from estsim.fleet.offer import groups_offered
from estsim.measure.sample import FleetReading
from estsim.measure.snapshot import RunStage, Snapshot
from estsim.measure.store import RunStore
from estsim.measure.summary import Ending, GeneratorTotals, RunFacts, build_summary
from estsim.measure.thresholds import Judgement, Vigil
from estsim.net.openssl import openssl_version
from estsim.scenario.plan import Scenario


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
        self.recorder = recorder_of(scenario, ports_limit=ports_limit, descriptors_limit=descriptors_limit)
        self.losses = Losses(scenario, self.recorder)
        self._thresholds, demands = thresholds_of(scenario), scenario.thresholds
        watched = [(t, d.after_s) for t, d in zip(self._thresholds, demands, strict=False) if d.aborts]
        self._vigil = Vigil(tuple(watched))
        self._broken: Judgement | None = None
        off = {cohort.name: {"off": cohort.devices} for cohort in scenario.cohorts}
        self.recorder.fleet(FleetReading(0, {"off": scenario.devices}, cohorts=off))

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
            "duration_s": repr(scenario.duration_s),
            "cohorts": json.dumps({cohort.name: cohort.devices for cohort in scenario.cohorts}),
            "phases": json.dumps([[phase.name, phase.from_s, phase.to_s] for phase in scenario.phases]),
            "thresholds": json.dumps([demand.expression for demand in scenario.thresholds]),
            "max_lag_s": repr(scenario.generator.max_lag_s),
            "max_cpu": repr(scenario.generator.max_cpu),
            "scenario_text": scenario.resolved,
        }
        store.put(**facts)

    @property
    def may_end_early(self) -> bool:
        """Whether a threshold may end the run."""
        return bool(self._vigil.thresholds)

    def is_broken(self, at_ns: int) -> bool:
        """Ask the thresholds that may end the run, and remember the first that does."""
        self._broken = self._vigil.broken(self.recorder.scopes(at_ns))
        return self._broken is not None

    def snapshot(self, at_ns: int, stage: RunStage) -> Snapshot:
        """Return what a display shows now."""
        return self.recorder.snapshot(
            name=self.scenario.name,
            target=self.target,
            stage=stage,
            at_ns=at_ns,
            duration_s=self.scenario.duration_s,
        )

    def summary(self, ending: Ending, *, ended_ns: int, totals: GeneratorTotals) -> dict[str, Any]:
        """Return what the run came to."""
        recorder, scenario = self.recorder, self.scenario
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
            notices=notices_of(scenario),
        )
        return build_summary(
            facts,
            recorder.scopes(ended_ns),
            generator=totals,
            saturation=recorder.verdict(),
            thresholds=self._thresholds,
            broken=self._broken,
            findings=recorder.findings,
            ending=ending,
        )
