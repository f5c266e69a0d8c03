"""What a plan cannot support is reported before the run, with the number of samples that it will have."""

from pathlib import Path
from typing import Final

import pytest

from estsim.scenario.loader import load_scenario
from estsim.scenario.samples import Span, samples_of
from estsim.scenario.source import Overrides

HEAD: Final = "version: 1\nduration: 10m\nsandbox: {issuer: {validity: 100s}}\n"
RENEWING: Final = "{devices: 100, boot: {burst: 10s}, renew: {at: 60%, times: 2}}"
SERVICE: Final = (
    "{devices: 200, start: {operational: {age: 0%..50%}}, boot: {at_once: true}, renew: {at: 80%, times: 1}}"
)
PLAIN: Final = "{devices: 150, boot: {burst: 10s}, renew: off}"
CUT: Final = "events:\n  - {at: 20s, power_cut: {cohorts: [a], share: 40%, off: 30s}}\n"
ORDER: Final = "events:\n  - {at: 20s, renew_now: {cohorts: [a], share: 20%}}\n"


def _doubts(folder: Path, cohort: str, threshold: str, more: str = "") -> list[str]:
    path = folder / "fleet.yaml"
    path.write_text(f"{HEAD}cohorts: {{a: {cohort}}}\nthresholds:\n  - {threshold}\n{more}", encoding="utf-8")
    prefix = f"{threshold}: "
    warnings = load_scenario(path).warnings
    return [each.message.removeprefix(prefix) for each in warnings if each.path == "thresholds[0]"]


def thin(counted: str, needed: int) -> str:
    """Return the warning of a threshold, {} in it, that so many do not prove."""
    proof = f"too few to prove {{}} ({needed} needed at 95 % confidence)"
    return f"{counted} are {proof}; a pass will be marked thin"


NO_SAMPLE: Final = "cannot be evaluated: the plan has no samples for it"


@pytest.mark.parametrize(
    ("cohort", "threshold", "told"),
    [
        (PLAIN, "failures < 1%", thin("150 devices", 299)),
        (PLAIN, "failures < 2%", None),
        (PLAIN, "failures == 0%", None),  # a claim about the run alone
        (PLAIN, "simpleenroll.response.p99 < 1s", thin("150 devices", 299)),
        (PLAIN, "simpleenroll.response.p95 < 1s", None),
        (PLAIN, "simpleenroll.response.max < 1s", None),
        (PLAIN, "enrolled_within.10s >= 99%", thin("150 devices", 299)),
        (PLAIN, "unfinished < 1%", thin("150 devices", 299)),
        (
            PLAIN,
            "cohorts.a.time_to_certificate.p99 < 9s",
            thin("150 devices", 299),
        ),
        (PLAIN, "enrolled_within.11m >= 50%", "11m is longer than the run, 10m"),
        (PLAIN, "renewed_within.10s >= 50%", NO_SAMPLE),
        (PLAIN, "simplereenroll.response.p50 < 1s", NO_SAMPLE),
        (PLAIN, "serverkeygen.response.p50 < 1s", NO_SAMPLE),
        (PLAIN, "recovered_within.10s >= 50%", NO_SAMPLE),
        (PLAIN, "replaced_within.10s >= 50%", NO_SAMPLE),
        (PLAIN, "punctuality.p99 < 1s", None),  # nobody can tell whom a server defers
        (
            RENEWING,
            "simplereenroll.response.p99 < 1s",
            thin("about 200 samples", 299),
        ),
        (RENEWING, "failures < 1%", None),  # 100 first enrolments and 200 renewals
        (SERVICE, "enrolled_within.10s >= 99%", NO_SAMPLE),
        (SERVICE, "renewed_within.10s >= 99%", thin("200 devices", 299)),
    ],
)
def test_a_threshold_that_a_plan_cannot_support_is_told(
    tmp_path: Path, cohort: str, threshold: str, told: str | None
) -> None:
    """Too few samples, none at all, or a time longer than the run."""
    assert _doubts(tmp_path, cohort, threshold) == ([told.format(threshold)] if told else [])


@pytest.mark.parametrize(
    ("threshold", "more", "told"),
    [
        ("recovered_within.10s >= 95%", CUT, None),  # 60 devices, 59 needed
        ("recovered_within.10s >= 99%", CUT, thin("about 60 samples", 299)),
        ("late.recovered_within.10s >= 95%", f"{CUT}phases: {{late: 5m..10m}}\n", NO_SAMPLE),
        ("late.recovered_within.6m >= 95%", f"{CUT}phases: {{late: 5m..10m}}\n",
         "6m is longer than the time from the start of late to the end of the run, 5m"),
        ("early.simpleenroll.response.p90 < 1s", "phases: {early: 0s..1s}\n",
         thin("about 15 samples", 29)),
        ("never.failures < 1%", "phases: {never: 11m..12m}\n", None),  # told at the phase
    ],
)  # fmt: skip
def test_events_and_phases_are_reckoned_with(tmp_path: Path, threshold: str, more: str, told: str | None) -> None:
    """Those whom an event strikes, and what begins in a phase."""
    assert _doubts(tmp_path, PLAIN, threshold, more) == ([told.format(threshold)] if told else [])


def test_orders_to_renew_are_reckoned_with(tmp_path: Path) -> None:
    """A fifth of 200."""
    told = _doubts(tmp_path, SERVICE, "replaced_within.10s >= 95%", ORDER)
    assert told == [thin("about 40 samples", 59).format("replaced_within.10s >= 95%")]


def test_a_strict_threshold_is_told_to_fail(tmp_path: Path) -> None:
    """As it will."""
    path = tmp_path / "fleet.yaml"
    path.write_text(f"{HEAD}cohorts: {{a: {PLAIN}}}\nthresholds: [failures < 1%]\n", encoding="utf-8")
    (doubt,) = load_scenario(path, overrides=Overrides(strict=True)).warnings
    assert doubt.message == (
        "150 devices are too few to prove failures < 1% (299 needed at 95 % confidence); "
        "a pass will count as a failure (strict)"
    )


@pytest.mark.parametrize(
    ("name", "metric", "samples"),
    [  # as counted in runs
        ("quickstart", "failures", 1000),
        ("bad-devices", "failures", 334),  # 166 first enrolments of 40 faulty ones' 200, and 168 renewals
        ("shared-bootstrap-key", "renewed_within", 200),
        ("renewal-storm", "simplereenroll.response", 600),
    ],
)
def test_shipped_scenarios_are_reckoned_as_they_run(name: str, metric: str, samples: int) -> None:
    """To a few per cent."""
    scenario = load_scenario(Path(__file__).parents[2] / "scenarios" / f"{name}.yaml")
    assert samples_of(scenario, metric, None, Span(0.0, scenario.duration_s)) == pytest.approx(samples, rel=0.03)


def test_one_device_is_too_few(tmp_path: Path) -> None:
    """In the singular."""
    assert _doubts(tmp_path, "{devices: 1, boot: {burst: 0s}, renew: off}", "failures < 1%") == [
        "1 device is too few to prove failures < 1% (299 needed at 95 % confidence); a pass will be marked thin"
    ]


def test_an_empty_list_of_thresholds_is_told_what_judges_instead(tmp_path: Path) -> None:
    """The defaults, as without the key: who left it out has read so, who emptied it wants none."""
    path = tmp_path / "fleet.yaml"
    text = f"{HEAD}cohorts: {{a: {{devices: 300, boot: {{burst: 1s}}, renew: off}}}}\n"
    path.write_text(f"{text}thresholds: []\n", encoding="utf-8")
    (doubt,) = load_scenario(path).warnings
    assert str(doubt).removeprefix(f"{path}:") == (
        "5:1: warning: thresholds: is empty, so the defaults apply: failures < 1% and unfinished < 1%"
    )
    path.write_text(text, encoding="utf-8")
    assert load_scenario(path).warnings == ()
