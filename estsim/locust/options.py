"""What estsim adds to Locust's command line and to the form of its web UI, and which scenario they come to."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.user.users import HttpUser

from estsim.errors import UsageError
from estsim.fleet.permission import require_permission
from estsim.locust.playable import read_scenario
from estsim.scenario.library import found
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.scenario.source import Overrides

DEFAULT_SCENARIO: Final = "quickstart"


def add_options(parser: LocustArgumentParser) -> None:
    """Add them; those that a test may begin with anew are in the web UI as well."""
    parser.add_argument(
        "--scenario",
        default=DEFAULT_SCENARIO,
        env_var="ESTSIM_SCENARIO",
        metavar="FILE|NAME",
        help="The scenario: a file (YAML), or the name of one that comes with estsim",
    )
    parser.add_argument(
        "--devices",
        default="",
        env_var="ESTSIM_DEVICES",
        metavar="N",
        help="Devices in all, in the scenario's proportions; empty: as many as it says",
    )
    parser.add_argument(
        "--trust",
        default="",
        env_var="ESTSIM_TRUST",
        metavar="PEM",
        help="CA certificates of the host",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--results", default="results", env_var="ESTSIM_RESULTS", metavar="DIR", help="Where the run's folder is made",
        include_in_web_ui=False,
    )  # fmt: skip
    parser.add_argument(
        "--i-may-test",
        default="",
        env_var="ESTSIM_I_MAY_TEST",
        metavar="HOST",
        help="You may load this host with over 100 devices",
        include_in_web_ui=False,
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What the next test is to play."""

    scenario: Scenario
    results: Path


def asked(environment: Environment) -> Asked:
    """Read the scenario that the options and the users name; raises EstsimError for what cannot be played."""
    options = environment.parsed_options or Namespace()
    host, trust = _est_host(environment), str(getattr(options, "trust", "") or "")
    devices = str(getattr(options, "devices", "") or "").strip()
    if devices and not devices.isdecimal():
        raise UsageError(f"--devices: expected a number (got {devices})")
    overrides = Overrides(
        devices=int(devices) if devices else None,
        url=host,
        trust=Path(trust) if trust else None,
    )
    scenario = load_scenario(found(Path(scenario_name(environment))), overrides=overrides)
    require_permission(scenario, str(getattr(options, "i_may_test", "") or "") or None)
    return Asked(scenario, Path(str(getattr(options, "results", "results"))))


def own_scenario(environment: Environment) -> Scenario:
    """Return the scenario that this process would read by itself: the base of files and passwords."""
    return read_scenario(scenario_name(environment))


def scenario_name(environment: Environment) -> str:
    """Return the one scenario of the locustfile's users, or of the options; raises UsageError where there are two."""
    asking = {
        str(named): each.__name__
        for each in environment.user_classes
        if hasattr(each, "cohort") and (named := getattr(each, "scenario", None)) is not None
    }
    if len(asking) > 1:
        said = ", ".join(f"{who} says {name}" for name, who in asking.items())
        raise UsageError(f"one scenario for each test: {said}")
    if asking:
        return next(iter(asking))
    return str(getattr(environment.parsed_options, "scenario", None) or DEFAULT_SCENARIO)


def _est_host(environment: Environment) -> str | None:
    """Return the host that Locust was given, unless there are users of another kind whom it may be meant for."""
    others = any(issubclass(each, HttpUser) for each in environment.user_classes)
    host = str(environment.host or "")
    return host if host and not others else None
