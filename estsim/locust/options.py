"""What estsim adds to Locust's command line and to the form of its web UI, and which scenario they come to."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.user.users import HttpUser

from estsim.errors import UsageError
from estsim.fleet.permission import require_permission
from estsim.locust.form import FormRefused, check_host, scenario_file
from estsim.locust.start_options import DEFAULT_SCENARIO, StartOptions
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Scenario
from estsim.scenario.source import Overrides
from estsim.units import shown

_STARTS: Final[WeakKeyDictionary[Environment, StartOptions]] = WeakKeyDictionary()
_LONGEST_NUMBER: Final = 9  # digits


def add_options(parser: LocustArgumentParser) -> None:
    """Add them; those that a test may begin with anew are in the web UI as well."""
    parser.add_argument(
        "--scenario",
        default=DEFAULT_SCENARIO,
        env_var="ESTSIM_SCENARIO",
        metavar="FILE|NAME",
        help="Scenario: a YAML file, or the name of a library scenario",
    )
    parser.add_argument(
        "--devices",
        default="",
        env_var="ESTSIM_DEVICES",
        metavar="N",
        help="Total number of devices, in the scenario's proportions; default: the scenario's number",
    )
    parser.add_argument(
        "--trust",
        default="",
        env_var="ESTSIM_TRUST",
        metavar="PEM",
        help="CA certificates that the host's certificate must chain to",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--results", default="results", env_var="ESTSIM_RESULTS", metavar="DIR", help="Directory for results folders",
        include_in_web_ui=False,
    )  # fmt: skip
    parser.add_argument(
        "--i-may-test",
        default="",
        env_var="ESTSIM_I_MAY_TEST",
        metavar="HOST",
        help="Confirm that you are authorised to load this host with over 100 devices",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--link-secret",
        default="",
        metavar="FILE",
        help="File with the secret that master and workers share, readable by its owner only; overrides the "
        "environment variable ESTSIM_LINK_SECRET",
        include_in_web_ui=False,
    )
    parser.add_argument(
        "--insecure-link",
        action="store_true",
        help="Run master and workers on several machines without a secret: anyone who can reach the link can join",
        include_in_web_ui=False,
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What the next test is to play."""

    scenario: Scenario
    results: Path


def keep_start(environment: Environment) -> StartOptions:
    """Keep what this process was started with, as Locust has come up."""
    users = [getattr(each, "scenario", None) for each in environment.user_classes if hasattr(each, "cohort")]
    options, host = environment.parsed_options or Namespace(), str(environment.host or "")
    kept = _STARTS[environment] = StartOptions.read(options, host=host, of_users=[str(name) for name in users if name])
    return kept


def start_of(environment: Environment) -> StartOptions:
    """Return what this process was started with."""
    return _STARTS.get(environment) or keep_start(environment)


def asked(environment: Environment) -> Asked:
    """Read the scenario that the options and the users name; raises EstsimError for what cannot be played."""
    options, start = environment.parsed_options or Namespace(), start_of(environment)
    devices = str(getattr(options, "devices", "") or "").strip()
    if devices and not (devices.isdecimal() and len(devices) <= _LONGEST_NUMBER):
        raise FormRefused(f"--devices: expected a number (got {shown(devices)})")
    host = _est_host(environment, str(environment.host or ""))
    check_host(host or "", start)
    overrides = Overrides(devices=int(devices) if devices else None, url=host, trust=start.trust)
    scenario = load_scenario(scenario_file(scenario_name(environment), start), overrides=overrides)
    require_permission(scenario, start.i_may_test)
    return Asked(scenario, start.results)


def own_scenario(environment: Environment) -> Scenario:
    """Return the scenario that this process would play by itself, with the options that it was started with.

    It is the base of files and passwords, and says where this process may go. Raises EstsimError.
    """
    start = start_of(environment)
    overrides = Overrides(url=_est_host(environment, start.host), trust=start.trust)
    return load_scenario(scenario_file(scenario_name(environment), start), overrides=overrides)


def scenario_name(environment: Environment) -> str:
    """Return the one scenario of the locustfile's users, or of the options; raises UsageError where there are two."""
    asking = {
        str(named): each.__name__
        for each in environment.user_classes
        if hasattr(each, "cohort") and (named := getattr(each, "scenario", None)) is not None
    }
    if len(asking) > 1:
        said = ", ".join(f"{who} names {name}" for name, who in asking.items())
        raise UsageError(f"expected one scenario per test (got: {said})")
    if asking:
        return next(iter(asking))
    return str(getattr(environment.parsed_options, "scenario", None) or DEFAULT_SCENARIO)


def _est_host(environment: Environment, host: str) -> str | None:
    """Return a host that Locust was given, unless there are users of another kind whom it may be meant for."""
    others = any(issubclass(each, HttpUser) for each in environment.user_classes)
    return host if host and not others else None
