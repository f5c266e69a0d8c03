"""Events, phases and expectations: what each form means to the engine, and each mistake in its place."""

from pathlib import Path

import pytest

from estsim.errors import ScenarioError
from estsim.load.arrivals import Burst, Even, Poisson, Ramp, Steps
from estsim.record.phases import Stretch
from estsim.scenario.happenings import (
    CohortJoin,
    Happening,
    Mark,
    PowerCut,
    RenewNow,
    Retire,
    SandboxChange,
    Touched,
    What,
)
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Demand, Expectation, Scenario
from estsim.units import Constant, Uniform

HEAD = """\
version: 1
duration: 10m
cohorts:
  north: {devices: 100, boot: {burst: 5s}, bootstrap: {kind: none}}
  south: {devices: 10, boot: {burst: 5s}, bootstrap: {kind: none}, renew: off}
"""
CENTERS = "target: {label: meters}\nsandbox: {trust_centers: {default: {}, meters: {capacity: {rate: 5/s}}}}\n"


def _load(folder: Path, text: str) -> Scenario:
    path = folder / "fleet.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return load_scenario(path)


def _told(folder: Path, text: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        _load(folder, text)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


@pytest.mark.parametrize(
    ("yaml", "what"),
    [
        ("power_cut: {cohorts: [north], off: 30s}", PowerCut(Touched(("north",)), Constant(30.0), Burst(0.0))),
        (
            "power_cut: {cohorts: [north, south], share: 40%, off: 1s..5s, return: {burst: 2m}, keeps: [key, pending]}",
            PowerCut(
                Touched(("north", "south"), 0.4), Uniform(1.0, 5.0), Burst(120.0), keeps_key=True, keeps_pending=True
            ),
        ),
        (
            "power_cut: {cohorts: [north], off: 0s, return: {rate: 60/min, shape: even}, keeps: [key]}",
            PowerCut(Touched(("north",)), Constant(0.0), Even(1.0), keeps_key=True),
        ),
        (
            "power_cut: {cohorts: [north], off: 1s, return: {rate: 2/s}}",
            PowerCut(Touched(("north",)), Constant(1.0), Poisson(2.0)),
        ),
        (
            "power_cut: {cohorts: [north], off: 1s, return: {ramp: 0/s..5/s, over: 1m}}",
            PowerCut(Touched(("north",)), Constant(1.0), Ramp(0.0, 5.0, 60.0)),
        ),
        (
            "power_cut: {cohorts: [north], off: 1s, return: {steps: [{rate: 2/s, for: 1s}, {rate: 3/s, for: 1s}]}}",
            PowerCut(Touched(("north",)), Constant(1.0), Steps(((2.0, 1.0), (3.0, 1.0)))),
        ),
        ("renew_now: {cohorts: [north], share: 10%, within: 10s}", RenewNow(Touched(("north",), 0.1), 10.0)),
        ("renew_now: {cohorts: [north]}", RenewNow(Touched(("north",)), 0.0)),
        ("retire: {cohorts: [south], within: 1m}", Retire(Touched(("south",)), 60.0)),
        ("cohort_join: south", CohortJoin("south")),
        ("cohort_join: {cohort: south}", CohortJoin("south")),
        ("sandbox: {capacity.rate: 20/s}", SandboxChange({"capacity.rate": "20/s"})),
        ("mark: calm again", Mark("calm again")),
        ("mark: {text: plug it in, wait_for: enter}", Mark("plug it in", wait_for_enter=True)),
    ],
)
def test_each_kind_of_event_means_what_it_says(tmp_path: Path, yaml: str, what: What) -> None:
    """Every key of every kind, long and short."""
    assert _load(tmp_path, f"events:\n  - {{at: 5m, {yaml}}}\n").events == (Happening(300.0, what),)


def test_events_are_in_the_order_of_time_and_those_of_one_time_as_written(tmp_path: Path) -> None:
    """Wherever they stand in the file; a cohort that one lets join is marked so."""
    text = "events: [{at: 2m, mark: c}, {at: 1m, mark: a}, {at: 1m, mark: b}, {at: 0s, cohort_join: south}]\n"
    scenario = _load(tmp_path, text)
    assert [happening.at_s for happening in scenario.events] == [0.0, 60.0, 60.0, 120.0]
    assert [happening.what for happening in scenario.events[1:]] == [Mark("a"), Mark("b"), Mark("c")]
    assert [cohort.joins for cohort in scenario.cohorts] == [False, True]


MISTAKES = [  # the event, where in it the mistake is, the path below the event, what is said
    ("retire: {cohorts: [nroth]}", "cohorts", ".retire.cohorts", "there is no cohort 'nroth' (did you mean 'north'?)"),
    ("renew_now: {cohorts: [east]}", "cohorts", ".renew_now.cohorts", "there is no cohort 'east'"),
    ("cohort_join: sout", "cohort_join", ".cohort_join", "there is no cohort 'sout' (did you mean 'south'?)"),
    ("cohort_join: {cohort: sout}", "cohort_join", ".cohort_join", "there is no cohort 'sout' (did you mean 'south'?)"),
    ("retire: {cohorts: [south, south]}", "cohorts", ".retire.cohorts", "duplicate cohort (got south, south)"),
    ("retire: {cohorts: []}", "cohorts", ".retire.cohorts", "must not be empty"),
    ("retire: {cohorts: north}", "cohorts", ".retire.cohorts", "must be a list: write [north] (got north)"),
    ("retire: {cohorts: [3]}", "3", ".retire.cohorts[0]", "must be text: put it in quotes (got 3)"),
    ("retire: {cohorts: [north], share: 0%}", "share", ".retire.share", "must be greater than 0 (got 0%)"),
    ("retire: {cohorts: [north], share: 101%}", "share", ".retire.share", "must be at most 100% (got 101%)"),
    ("renew_now: {cohorts: [south]}", "cohorts", ".renew_now.cohorts", "south cannot renew: it has renew: off"),
    ("renew_now: {cohorts: [north], within: -1s}", "within", ".renew_now.within", "must be at least 0 (got -1s)"),
    ("power_cut: {cohorts: [north]}", "power_cut", ".power_cut.off", "is missing"),
    ("power_cut: {cohorts: [north], of: 1s}", "of:", ".power_cut.of", "unknown key (did you mean 'off'?)"),
    ("power_cut: {cohorts: [north], off: -1s}", "off", ".power_cut.off", "must be at least 0 (got -1s)"),
    (
        "power_cut: {cohorts: [north], off: 1s, keeps: [pending]}",
        "power_cut",
        ".power_cut",
        "keeps: pending requires key; use [key, pending]",
    ),
    (
        "power_cut: {cohorts: [north], off: 1s, return: {stations: 8}}",
        "power_cut",
        ".power_cut",
        "return must be burst, at_once, rate, ramp or steps (got stations)",
    ),
    (
        "power_cut: {cohorts: [north], off: 1s, return: {}}",
        "return",
        ".power_cut.return",
        "requires exactly one of burst, at_once, rate, ramp, steps, trace or stations (got none)",
    ),
    (
        "power_cut: {cohorts: [north], off: 1s, return: {ramp: 4/s..0/s, over: 10s}}",
        "return",
        ".power_cut.return",
        "stops after power has returned to 20 of 100 devices",
    ),
    (
        "power_cut: {cohorts: [south], off: 1s, return: {steps: [{rate: 3/s, for: 3s}, {rate: 0/s, for: 1s}]}}",
        "return",
        ".power_cut.return",
        "stops after power has returned to 9 of 10 devices",
    ),
    ("mark: {text: x, wait_for: return}", "wait_for", ".mark.wait_for", "must be enter (got return)"),
    ("mark: ''", "mark", ".mark.text", "must not be empty"),
    ("mark: 3", "mark", ".mark", "must be a mapping (got 3)"),
    ("power_cutt: {cohorts: [north]}", "power_cutt", ".power_cutt", "unknown key (did you mean 'power_cut'?)"),
    (
        "mark: x, cohort_join: south",
        "{at",
        "",
        "requires exactly one of power_cut, renew_now, retire, cohort_join, sandbox, mark (got cohort_join and mark)",
    ),
    (
        "sandbox: {}",
        "sandbox",
        ".sandbox",
        "expected keys of the sandbox, such as {capacity.rate: 20/s} (got a mapping)",
    ),
]


@pytest.mark.parametrize(("yaml", "where", "path", "message"), MISTAKES)
def test_a_mistake_in_an_event_is_told_in_its_place(
    tmp_path: Path, yaml: str, where: str, path: str, message: str
) -> None:
    """At the key, alone, with the nearest name."""
    line = f"- {{at: 1s, {yaml}}}"
    column = line.index(where) + 1
    assert _told(tmp_path, f"events:\n{line}\n") == [f"fleet.yaml:7:{column}: events[0]{path}: {message}"]


def test_an_event_comes_before_the_run_ends(tmp_path: Path) -> None:
    """At the very end is too late; without a time it is told what is missing."""
    told = _told(tmp_path, "events: [{at: 10m, mark: x}, {at: 9m59s, mark: y}, {mark: z}]\n")
    assert sorted(told) == [
        "fleet.yaml:6:11: events[0].at: must be before the end of the run, 10m (got 10m)",
        "fleet.yaml:6:52: events[2].at: is missing",
    ]


def test_a_cohort_joins_once_and_only_one_that_was_not_there_before(tmp_path: Path) -> None:
    """Not twice, not where its stations or its devices are there from the beginning."""
    cohorts = (
        "  line: {devices: 4, boot: {stations: 2}, bootstrap: {kind: none}}\n"
        "  old: {devices: 4, boot: {at_once: true}, start: operational}\n"
    )
    joins = ", ".join(f"{{at: 1s, cohort_join: {name}}}" for name in ("north", "north", "line", "old"))
    assert [line.split(": ", 1)[1] for line in _told(tmp_path, f"{cohorts}events: [{joins}]\n")] == [
        "events[1].cohort_join: north already joins in an earlier event",
        "events[2].cohort_join: line cannot join later: stations start with the run",
        "events[3].cohort_join: old cannot join later: it is operational from the start",
    ]


def test_a_cohort_that_joins_late_must_have_booted_before_the_end(tmp_path: Path) -> None:
    """Its arrivals begin when it joins."""
    (line,) = _told(tmp_path, "events: [{at: 9m56s, cohort_join: north}]\n")
    assert line.startswith("fleet.yaml:4:32: cohorts.north.boot.burst: the last of 100 devices boots at 10m1s,")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("capacity.rat: 3/s", "events[0].sandbox.capacity.rat: unknown key (did you mean 'rate'?)"),
        ("capacity.rate: -3/s", "events[0].sandbox.capacity.rate: must be greater than 0 (got -3/s)"),
        ("capacity: {rate: 3/s, quue: 3}", "events[0].sandbox.capacity.quue: unknown key (did you mean 'queue'?)"),
        (
            "issue.mode: sometimes",
            "events[0].sandbox.issue.mode: must be immediate, deferred or manual (got sometimes)",
        ),
        ("faults: [{kind: rest}]", "events[0].sandbox.faults[0].kind: must be "),
        (
            "capacity.sign_time: 4ms",
            "events[0].sandbox.capacity.sign_time: makes the sandbox invalid: requires either rate, or sign_time",
        ),
        (
            "issue.share: 20%",
            "events[0].sandbox.issue.share: makes the sandbox invalid: share would have no effect without",
        ),
        (
            "issuer.validity: 2h",
            "events[0].sandbox.issuer.validity: cannot change while the sandbox runs; only issue, capacity, faults can",
        ),
        ("tls.resume: false", "events[0].sandbox.tls.resume: cannot change while the sandbox runs"),
        ("seed: 3", "events[0].sandbox.seed: cannot change while the sandbox runs"),
        ("trust_centers.metres.capacity.rate: 3/s", "the sandbox has no trust center 'metres'"),
    ],
)
def test_a_change_that_cannot_be_is_told_at_its_key(tmp_path: Path, change: str, said: str) -> None:
    """A key that is none, one that cannot change while it runs, a value that makes no sense."""
    (line,) = _told(tmp_path, f"sandbox: {{capacity: {{rate: 5/s}}}}\nevents: [{{at: 1s, sandbox: {{{change}}}}}]\n")
    assert line.startswith("fleet.yaml:7:")
    assert said in line


@pytest.mark.parametrize(
    "events",
    [
        "[{at: 1s, sandbox: {issue.mode: deferred, issue.share: 20%}}]",
        "[{at: 1s, sandbox: {issue.share: 20%, issue.mode: deferred}}]",
        "[{at: 2s, sandbox: {issue.share: 20%}}, {at: 1s, sandbox: {issue.mode: deferred}}]",
        "[{at: 1s, sandbox: {capacity: null}}, {at: 2s, sandbox: {capacity.sign_time: 4ms, capacity.signers: 1}}]",
        "[{at: 1s, sandbox: {capacity: {queue: 3, overflow: refuse}}}]",
        "[{at: 1s, sandbox: {faults: [{kind: reset, rate: 1%}]}}, {at: 2s, sandbox: {faults: []}}]",
        "[{at: 1s, sandbox: {capacity: null}}]",
    ],
)
def test_changes_are_judged_together_and_after_those_before(tmp_path: Path, events: str) -> None:
    """What makes sense only with another key of the same event, or after an earlier event, is in order."""
    assert _load(tmp_path, f"sandbox: {{capacity: {{rate: 5/s}}}}\nevents: {events}\n").events


def test_a_change_is_about_the_trust_center_that_the_fleet_goes_to(tmp_path: Path) -> None:
    """Or about the one that it names."""
    changes = "{capacity.rate: 9/s, trust_centers.default.capacity: {rate: 1/s}}"
    assert _load(tmp_path, f"{CENTERS}events: [{{at: 1s, sandbox: {changes}}}]\n").events
    told = _told(
        tmp_path, f"{CENTERS}events: [{{at: 1s, sandbox: {{capacity.rate: 9, trust_centers.default.isue: 1}}}}]\n"
    )
    assert [line.split(": ")[1] for line in told] == [
        "events[0].sandbox.capacity.rate",
        "events[0].sandbox.trust_centers.default.isue",
    ]


def test_another_server_cannot_be_changed(tmp_path: Path) -> None:
    """Nor is a change judged by a sandbox that cannot be read."""
    told = _told(tmp_path, "target: {url: 'https://est.example'}\nevents: [{at: 1s, sandbox: {capacity.rate: 1/s}}]\n")
    assert told == [
        "fleet.yaml:7:19: events[0].sandbox: requires the sandbox; mutually exclusive with target.url",
    ]
    broken = "sandbox: {clients: {bootstrap_cas: [3]}}\nevents: [{at: 1s, sandbox: {capacity.rate: 1/s}}]\n"
    (line,) = _told(tmp_path, broken)
    assert "sandbox.clients.bootstrap_cas[0]: must be the path of a file (got 3)" in line
    (line,) = _told(tmp_path, "sandbox: [1]\nevents: [{at: 1s, sandbox: {capacity.rate: 1/s}}]\n")
    assert "sandbox: must be a mapping (got a list)" in line


def test_phases_are_in_the_order_of_time(tmp_path: Path) -> None:
    """Wherever they stand; they may touch, leave gaps, and end after the run."""
    phases = _load(tmp_path, "phases: {late: 8m..20m, calm: 0s..5m, warm-up_2: 5m..6m}\n").phases
    assert phases == (Stretch("calm", 0.0, 300.0), Stretch("warm-up_2", 300.0, 360.0), Stretch("late", 480.0, 1200.0))


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        ("{a: 0s..5m, b: 4m..6m}", ["21: phases.b: overlaps a, which ends at 5m"]),
        (
            "{a: 0s..9m, b: 1m..2m, c: 3m..4m}",
            ["21: phases.b: overlaps a, which ends at 9m", "32: phases.c: overlaps a, which ends at 9m"],
        ),
        ("{a: 5m..5m}", ["10: phases.a: must start at 0s or later and end after its start (got 5m..5m)"]),
        ("{a: -1s..5m}", ["10: phases.a: must start at 0s or later and end after its start (got -1s..5m)"]),
        ("{a: 5m}", ["10: phases.a: expected two times such as 0s..5m (got 5m)"]),
        ("{a: 0..5m}", ["10: phases.a: expected two times such as 0s..5m: write 0m..5m (got 0..5m)"]),
        ("{a: [0s, 5m]}", ["10: phases.a: expected two times such as 0s..5m: write 0s..5m (got [0s, 5m])"]),
        ("{A: 0s..5m}", ["10: phases.A: a phase name must be a lower-case letter"]),
        ("{a.b: 0s..5m}", ["10: phases.a.b: a phase name must be a lower-case letter"]),
        ("{north: 0s..5m}", ["10: phases.north: is reserved: thresholds use this name"]),
        (
            "{simpleenroll: 0s..5m}",
            ["10: phases.simpleenroll: is reserved: thresholds use this name"],
        ),
        ("{certificates: 0s..5m}", ["10: phases.certificates: is reserved: thresholds use this name"]),
        ("{failures: 0s..5m}", ["10: phases.failures: is reserved: thresholds use this name"]),
        ("[a]", ["1: phases: must be a mapping: write each entry as NAME: without a `-` (got a list)"]),
    ],
)
def test_phases_that_cannot_be_are_told(tmp_path: Path, phases: str, told: list[str]) -> None:
    """Overlaps with whatever is still going on, spans that are none, names that thresholds could not tell apart."""
    said = _told(tmp_path, f"phases: {phases}\n")
    assert len(said) == len(told)
    assert all(line.startswith(f"fleet.yaml:6:{wanted}") for line, wanted in zip(said, told, strict=True))


def test_thresholds_may_be_about_a_phase_and_a_cohort_in_it(tmp_path: Path) -> None:
    """Of a phase, of a cohort, of a cohort in a phase; an unknown one is reported."""
    phases = "phases: {recovery: 5m..8m}\n"
    demands = ["recovery.simpleenroll.response.p90 < 2s", "recovery.cohorts.north.failures < 1%"]
    thresholds = "".join(f"  - {demand}\n" for demand in demands)
    assert _load(tmp_path, f"{phases}thresholds:\n{thresholds}").thresholds == tuple(map(Demand, demands))
    (line,) = _told(tmp_path, f"{phases}thresholds:\n  - recovry.failures < 1%\n")
    assert line.startswith(
        "fleet.yaml:8:5: thresholds[0]: recovry.failures: there is no phase 'recovry' (did you mean 'recovery'?)"
    )
    (line,) = _told(tmp_path, f"{phases}thresholds:\n  - recovery.cohorts.east.failures < 1%\n")
    assert "there is no cohort 'east'" in line


def test_refusals_may_be_expected(tmp_path: Path) -> None:
    """Of all cohorts for the whole run, or of some, so, and from when until when."""
    text = "expect: [{}, {cohorts: [south], outcomes: [overloaded], from: 1m, to: 2m}]\n"
    assert _load(tmp_path, text).expect == (
        Expectation(frozenset({"north", "south"}), frozenset({"rejected", "unauthorized"})),
        Expectation(frozenset({"south"}), frozenset({"overloaded"}), 60.0, 120.0),
    )


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ("{cohorts: [est]}", "11: expect[0].cohorts: there is no cohort 'est'"),
        ("{outcomes: [ok]}", "22: expect[0].outcomes[0]: expected one of failed, "),
        ("{outcomes: [[rejected]]}", "22: expect[0].outcomes[0]: expected one of failed, "),
        ("{outcomes: []}", "11: expect[0].outcomes: must not be empty"),
        ("{from: 2m, to: 1m}", "10: expect[0]: to must be after from, 2m (got 1m)"),
        ("{to: -1s}", "11: expect[0].to: must be greater than 0 (got -1s)"),
        ("{form: 2m}", "11: expect[0].form: unknown key (did you mean 'from'?)"),
    ],
)
def test_an_expectation_that_cannot_be_is_told(tmp_path: Path, expect: str, said: str) -> None:
    """Unknown cohorts and outcomes, times in the wrong order."""
    (line,) = _told(tmp_path, f"expect: [{expect}]\n")
    assert line.startswith(f"fleet.yaml:6:{said}")
