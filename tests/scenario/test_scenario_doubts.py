"""Warnings: what a scenario can say and probably does not mean. It is told with its place, and the scenario runs."""

from pathlib import Path
from typing import Final

import pytest
import typer
from typer.testing import CliRunner

from estsim.cli.validate import validate
from estsim.scenario.loader import load_scenario
from estsim.scenario.source import Overrides

HEAD: Final = "version: 1\nduration: 10m\n"
COHORT: Final = "devices: 300, boot: {burst: 5s}"
FLEET: Final = f"cohorts: {{a: {{{COHORT}}}}}\n"
FIRST: Final = "renew 15h50m24s after issue"
ADVICE: Final = "use renew: off or a shorter sandbox.issuer.validity"
SAME: Final = "all 300 devices have the same Subject: add {index} or {hex:8}"
TWO_DIGITS: Final = "with 2 random digits, some of 300 devices will have the same Subject: add {index} or use {hex:16}"
ALERT: Final = (
    "the sandbox refuses a in the handshake, so the outcome is failed: "
    "write outcomes: [failed], or set sandbox.clients.refuse_at: application"
)

app = typer.Typer(add_completion=False)
app.command()(validate)


def _warnings(folder: Path, text: str, overrides: Overrides = Overrides()) -> list[str]:  # noqa: B008 - frozen
    path = folder / "fleet.yaml"
    path.write_text(text, encoding="utf-8")
    warnings = load_scenario(path, overrides=overrides).warnings
    return [f"{each.line}: {each.path}: {each.message}" for each in warnings]


def _cohort(keys: str) -> str:
    return f"cohorts: {{a: {{{COHORT}, {keys}}}}}\n"


def _event(what: str) -> str:
    return f"{FLEET}events:\n  - {{at: 1m, {what}}}\n"


def _threshold(text: str) -> str:
    return f"{FLEET}thresholds:\n  - {text}\n"


def _boot(way: str) -> str:
    return f"cohorts: {{a: {{devices: 300, boot: {{{way}}}}}}}\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (_cohort("subject: CN=meter"), f"3: cohorts.a.subject: {SAME} (got CN=meter)"),
        (_cohort('subject: "CN={cohort}"'), f"3: cohorts.a.subject: {SAME} (got CN={{cohort}})"),
        (_cohort('subject: "CN={hex:2}"'), f"3: cohorts.a.subject: {TWO_DIGITS} (got CN={{hex:2}})"),
        (
            _cohort("renew: {after: 30h}"),
            "3: cohorts.a.renew.after: the certificate has expired by then: it is valid for 1d",
        ),
        (
            _cohort("renew: {after: 30m, lifetime_scale: 60}"),
            "3: cohorts.a.renew.after: the certificate has expired by then: it is valid for 24m",
        ),
        (
            _cohort("faults: {unknown_ca: 0.1%}"),
            "3: cohorts.a.faults.unknown_ca: applies to no device: 0.1% of 300 is less than one",
        ),
        (
            _event("power_cut: {cohorts: [a], share: 0.1%, off: 5s}"),
            "5: events[0].power_cut.share: a: applies to no device: 0.1% of 300 is less than one",
        ),
        (
            _event("power_cut: {cohorts: [a], off: 800d}"),
            "5: events[0].power_cut.off: is 2.19 years (got 800d)",
        ),
        (
            _boot("rate: 2000000/s"),
            (
                "3: cohorts.a.boot.rate: no generator can start 2000000/s; "
                "use at_once: true to boot all devices together"
            ),
        ),
        (
            f"{FLEET}phases: {{late: 20m..30m}}\n",
            "4: phases.late: starts after the end of the run, 10m",
        ),
        (f"{FLEET}phases: {{late: 5m..30m}}\n", "4: phases.late: ends at 30m, after the end of the run, 10m"),
        (
            f"{FLEET}target: {{timeouts: {{answer: 5h}}}}\n",
            "4: target.timeouts.answer: a device waits up to 5h for one exchange",
        ),
        (
            _threshold("enrolled_within.5m >= 195%"),
            "5: thresholds[0]: enrolled_within.5m >= 195%: never passes: a share is from 0% to 100%",
        ),
        (
            _threshold("failures <= 100%"),
            "5: thresholds[0]: failures <= 100%: always passes: a share is from 0% to 100%",
        ),
        (
            _threshold("certificates.issued >= -1"),
            "5: thresholds[0]: certificates.issued >= -1: always passes: it is never below 0",
        ),
        (
            _threshold("simpleenroll.service.p95 < 800s"),
            (
                "5: thresholds[0]: simpleenroll.service.p95 < 800s: always passes: target.timeouts end each "
                "exchange after 1m20s"
            ),
        ),
        (
            f"until: settled\n{FLEET}",
            f"3: until: is not reached before the end of the run, 10m: devices of a {FIRST}; {ADVICE}",
        ),
        (
            f"until: settled\nsandbox: {{issuer: {{validity: 1m}}}}\n{FLEET}",
            "3: until: is not reached before the end of the run, 10m: devices of a renew forever",
        ),
        (
            f"until: settled\nsandbox: {{issuer: {{validity: 1m}}}}\n{_cohort('renew: {after: 30s, times: 20}')}",
            ("3: until: is not reached before the end of the run, 10m: devices of a renew 20 times, every 30s"),
        ),
        (
            "until: settled\ntarget: {url: https://est.example}\n" + _cohort("bootstrap: {kind: none}"),
            "3: until: is never reached: devices of a renew forever; use renew.times or renew: off",
        ),
        (
            "authorities: {x: {made: true}}\nexpect: [{cohorts: [a]}]\n"
            + _cohort("bootstrap: {kind: manufacturer, authority: x}"),
            f"4: expect[0]: {ALERT}",
        ),
    ],
)
def test_what_is_probably_not_meant_is_told_alone_and_runs(tmp_path: Path, text: str, told: str) -> None:
    """With file, line, column and key, as a mistake is."""
    assert _warnings(tmp_path, HEAD + text) == [told]


@pytest.mark.parametrize(
    "text",
    [
        _cohort('subject: "CN={hex:8}"'),
        _cohort("renew: {after: 20h}"),
        _cohort("faults: {unknown_ca: 1%}"),
        f"{FLEET}phases: {{all: 0s..10m}}\n",
        _threshold("enrolled_within.5m >= 100%"),
        _threshold("failures < 100%"),
        _threshold("punctuality.p50 > -1s"),
        _threshold("time_to_certificate.p95 < 800s"),
        f"until: settled\n{_cohort('renew: off')}",
        f"until: settled\nsandbox: {{issuer: {{validity: 1m}}}}\n{_cohort('renew: {times: 3}')}",
        "sandbox: {issuer: {validity: 700d}}\n" + FLEET,
        "cohorts: {a: {devices: 1, boot: {burst: 5s}, subject: CN=meter}}\n",
    ],
)
def test_what_makes_sense_is_not_warned_of(tmp_path: Path, text: str) -> None:
    """A warning that comes for nothing is one that nobody reads."""
    assert _warnings(tmp_path, HEAD + text) == []


def test_a_run_of_years_is_warned_of_and_the_option_is_named(tmp_path: Path) -> None:
    """Wherever it was said."""
    (told,) = _warnings(tmp_path, HEAD + FLEET, Overrides(duration="1000d"))
    assert told == "2: duration: the run takes up to 1000 days of real time, from --duration 1000d"


def test_warnings_come_on_stderr_and_change_no_exit_code(tmp_path: Path) -> None:
    """Beside the line that says what the scenario runs."""
    path = tmp_path / "fleet.yaml"
    path.write_text(HEAD + _cohort("subject: CN=meter"), encoding="utf-8")
    result = CliRunner().invoke(app, [str(path)])
    assert result.exit_code == 0
    assert result.stderr == f"{path}:3:48: warning: cohorts.a.subject: {SAME} (got CN=meter)\n"
    assert result.stdout.startswith(f"{path}: 300 devices in 1 cohort")
