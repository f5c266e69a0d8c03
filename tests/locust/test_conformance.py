"""All drivers through the same scripts: each device does the same, exchange by exchange, whoever drives it.

A script is a scenario with its sandbox. The trio engine and the devices of Locust users play it over real TLS, the one
in this process, the others on plain threads and on gevent in a process of their own; the virtual driver plays it too
where no network matters.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from _pytest.mark.structures import ParameterSet
from drivers import on_threads, on_trio, played_by
from locust_kit import Row, Story, serving

from estsim.device.commands import Exchange
from estsim.device.events import Answered, Event
from estsim.est.enrolment import Cause, Goal
from estsim.est.outcome import OutcomeClass
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.virtual.dry_run import DryRun, _Device

ENROLL, RENEW, CACERTS = "simpleenroll", "simplereenroll", "cacerts"
DEFER_TWICE: Final = {"mode": "deferred", "delay": "1500ms", "retry_after": {"kind": "fixed", "seconds": 1}}


@dataclass(frozen=True, slots=True)
class Script:
    """What is played, and what each of its devices is to do."""

    name: str
    rows: list[Row]
    sandbox: dict[str, Any] = field(default_factory=dict)
    cohort: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    devices: int = 3
    virtual: bool = True

    def text(self) -> str:
        """Return the scenario: JSON is YAML."""
        meters: dict[str, Any] = {
            "devices": self.devices,
            "subject": "CN=meter-{index}",
            "boot": {"at_once": True},
            "enroll": {"cacerts": "never"},
            "renew": "off",
            "retry": {"base": "50ms", "cap": "50ms", "jitter": "none", "attempts": 3},
        }
        plan = {
            "version": 1,
            "name": self.name,
            "duration": "20s",
            "until": "settled",
            "sandbox": self.sandbox,
            "cohorts": {"meters": meters | self.cohort},
        }
        return json.dumps(plan | ({"events": self.events} if self.events else {}))


def row(operation: str, cause: str, outcome: str, enrolment: int = 1, attempt: int = 1) -> Row:
    """Return a row in short."""
    return operation, cause, outcome, enrolment, attempt


SCRIPTS: Final = [
    Script(
        "immediate",
        [
            row(CACERTS, "plan", "ok"),
            row(ENROLL, "chain", "ok", attempt=2),
        ],
        cohort={"enroll": {"cacerts": "once"}},
    ),
    Script(
        "deferred-twice",
        [
            row(ENROLL, "plan", "deferred"),
            row(ENROLL, "poll", "deferred", attempt=2),
            row(ENROLL, "poll", "ok", attempt=3),
        ],
        sandbox={"issue": DEFER_TWICE},
    ),
    Script(
        "overloaded",
        [
            row(ENROLL, "plan", "ok"),
            row(RENEW, "plan", "overloaded", enrolment=2),
            row(RENEW, "retry", "ok", enrolment=2, attempt=2),
        ],
        sandbox={"capacity": {"rate": "1/s", "overflow": "refuse"}},
        cohort={"renew": {"after": "100ms", "times": 1, "then": "leave"}},
        devices=1,
    ),
    Script(
        "challenged",
        [row(ENROLL, "plan", "challenged"), row(ENROLL, "challenge", "ok")],
        sandbox={"clients": {"require_certificate": "never", "users": {"alice": {"password": "secret"}}}},
        cohort={"bootstrap": {"kind": "basic", "user": "alice", "password": "secret"}},
    ),
    Script(
        "reset",
        [
            row(ENROLL, "plan", "failed"),
            row(ENROLL, "retry", "failed", attempt=2),
            row(ENROLL, "retry", "failed", attempt=3),
        ],
        sandbox={"faults": [{"kind": "reset", "rate": "100%"}]},
        virtual=False,
    ),
    Script(
        "garbage",
        [row(CACERTS, "plan", "ok"), row(ENROLL, "chain", "malformed", attempt=2)],
        sandbox={"faults": [{"kind": "garbage", "rate": "100%", "match": {"operation": ENROLL}}]},
        cohort={"enroll": {"cacerts": "once"}},
        virtual=False,
    ),
    Script(
        "refused",
        [row(ENROLL, "plan", "deferred"), row(ENROLL, "poll", "rejected", attempt=2)],
        sandbox={"issue": DEFER_TWICE | {"early": "forbid"}},
        cohort={"deferral": {"retry_after": {"early": "50%"}}},
    ),
    Script(
        "renewed",
        [
            row(ENROLL, "plan", "ok"),
            row(RENEW, "plan", "ok", enrolment=2),
            row(RENEW, "plan", "ok", enrolment=3),
        ],
        cohort={"renew": {"after": "200ms", "times": 2, "then": "leave"}},
    ),
    Script(
        "kept-alive",
        [
            row(CACERTS, "plan", "ok"),
            row(ENROLL, "chain", "ok", attempt=2),
            row(RENEW, "plan", "ok", enrolment=2),
        ],
        cohort={
            "enroll": {"cacerts": "once"},
            "renew": {"after": "200ms", "times": 1, "then": "leave"},
            "tls": {"keep_alive": "5s", "resume": True},
        },
    ),
    Script(
        "cut-while-waiting",
        [
            row(ENROLL, "plan", "deferred"),
            row(ENROLL, "plan", "deferred", enrolment=2),
            row(ENROLL, "poll", "deferred", enrolment=2, attempt=2),
            row(ENROLL, "poll", "ok", enrolment=2, attempt=3),
        ],
        sandbox={"issue": DEFER_TWICE},
        events=[{"at": "500ms", "power_cut": {"cohorts": ["meters"], "off": "200ms"}}],
    ),
    Script(
        "cut-in-an-exchange",
        [row(ENROLL, "plan", "abandoned"), row(ENROLL, "plan", "ok", enrolment=2)],
        sandbox={"faults": [{"kind": "latency", "add": "800ms", "rate": "100%"}]},
        events=[{"at": "500ms", "power_cut": {"cohorts": ["meters"], "off": "200ms"}}],
        virtual=False,
    ),
    Script(
        "renew-now",
        [row(ENROLL, "plan", "ok"), row(RENEW, "plan", "ok", enrolment=2)],
        cohort={"renew": {"after": "1h", "times": 1, "then": "leave"}},
        events=[{"at": "700ms", "renew_now": {"cohorts": ["meters"]}}],
    ),
]


# -- in virtual time


class Telling(DryRun):
    """A dry run that tells what each device does."""

    story: Story

    def _end_exchange(self, device: _Device, exchange: Exchange, event: Event, now_s: float) -> None:
        super()._end_exchange(device, exchange, event, now_s)
        kind = event.outcome.kind if isinstance(event, Answered) else OutcomeClass.ABANDONED
        told = self.story.setdefault(device.machine.device, [])
        cause = exchange.cause
        if device.kind.is_challenged and exchange.goal is Goal.ENROLL:
            told.append(row(exchange.operation, cause, OutcomeClass.CHALLENGED, exchange.enrolment, exchange.attempt))
            cause = Cause.CHALLENGE
        told.append(row(exchange.operation, cause, kind, exchange.enrolment, exchange.attempt))


def virtually(scenario: Scenario) -> Story:
    """Play it in virtual time, against a model of the sandbox."""
    dry = Telling(scenario)
    dry.story = {}
    made = dry.run()
    assert made.settled
    return dry.story


def _timed(script: Script) -> ParameterSet:
    """Where an event has its time, what comes before it must not be slowed down by others."""
    return pytest.param(script, id=script.name, marks=[pytest.mark.alone] if script.events else [])


@pytest.mark.parametrize("driver", ["trio", "threads", "gevent"])
@pytest.mark.parametrize("script", [_timed(script) for script in SCRIPTS])
async def test_every_driver_plays_a_script_the_same(script: Script, driver: str, tmp_path: Path) -> None:
    """Operation, cause, outcome, enrolment and attempt of each exchange of each device are those of the script."""
    async with serving(script.text(), tmp_path) as place:
        story = (await played_by(driver, place)).story
    assert story == dict.fromkeys(range(script.devices), script.rows)


@pytest.mark.alone
@pytest.mark.parametrize("name", ["deferred-twice", "challenged", "kept-alive", "cut-while-waiting"])
async def test_intended_times_and_connections_are_the_same(name: str, tmp_path: Path) -> None:
    """When each exchange was meant to be, and whether its connection stood already or resumed a session."""
    script = next(each for each in SCRIPTS if each.name == name)
    wires = []
    for driver in (on_trio, on_threads):
        folder = tmp_path / driver.__name__
        folder.mkdir()
        async with serving(script.text(), folder) as place:
            wires.append((await driver(place)).wires())
    theirs, ours = wires
    assert any(row[1] for row in ours[0]) is (name in {"kept-alive", "challenged"})
    assert ours.keys() == theirs.keys()
    for device, rows in ours.items():
        assert [row[1:] for row in rows] == [row[1:] for row in theirs[device]]
        assert [row[0] for row in rows] == pytest.approx([row[0] for row in theirs[device]], abs=0.2)


@pytest.mark.parametrize("script", [each for each in SCRIPTS if each.virtual], ids=lambda script: script.name)
def test_the_virtual_driver_plays_it_the_same_too(script: Script, tmp_path: Path) -> None:
    """Where no network matters, virtual time comes to the same exchanges."""
    path = tmp_path / "script.yaml"
    path.write_text(script.text(), encoding="utf-8")
    assert virtually(load_scenario(path)) == dict.fromkeys(range(script.devices), script.rows)
