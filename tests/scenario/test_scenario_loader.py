"""The loader: from a file to the plan, and from mistakes to positioned lines."""

from pathlib import Path

import pytest

from estsim.device.policy import DeferralPolicy, RenewPolicy, RetryOn, RetryPolicy
from estsim.errors import ScenarioError, UsageError
from estsim.est.names import name_text
from estsim.load.arrivals import Burst, Even, Poisson, Ramp
from estsim.scenario.loader import load_scenario
from estsim.scenario.plan import Close, HttpAuth, KeyKind, Manufacturer, NoBootstrap, Scenario
from estsim.scenario.sandbox_file import read_sandbox
from estsim.scenario.source import Overrides
from estsim.server.config import SandboxConfig
from estsim.units import Constant, Uniform

KEYS = "ec-p256, ec-p384, rsa-2048, rsa-3072, rsa-4096 or ed25519"
TOO_LONG = "the last of 500 devices boots at 8m19s, after the end of the run, 1m"
PLACEHOLDERS = "expected {index}, {index:6}, {cohort} or {hex:8}, with at most 32 digits"
NO_DURATION = "expected a duration such as 500ms, 10s, 5m or 1h30m: missing unit"
SMALL = """\
version: 1
duration: 1m
cohorts:
  a: {devices: 30, boot: {burst: 5s}}
  b: {devices: 10, boot: {rate: 1/s}}
"""


@pytest.fixture
def write(tmp_path: Path) -> "Write":
    """Return a way to write a scenario file."""
    return Write(tmp_path)


class Write:
    """Writes a scenario and reads it, or what is reported about it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "fleet.yaml"

    def load(self, text: str, **overrides: object) -> Scenario:
        """Read a scenario that is in order."""
        self.path.write_text(text, encoding="utf-8")
        return load_scenario(self.path, overrides=Overrides(**overrides))  # type: ignore[arg-type]  # a test's shorthand

    def told(self, text: str, **overrides: object) -> list[str]:
        """Return what is reported about a scenario that is not, without the folder."""
        with pytest.raises(ScenarioError) as caught:
            self.load(text, **overrides)
        return str(caught.value).replace(f"{self.path.parent}/", "").splitlines()


def test_five_mistakes_are_told_in_five_positioned_lines(write: Write) -> None:
    """All at once, in the order of the file, each where it stands."""
    text = """\
version: 1
seed: many
duration: 10
cohorts:
  meters:
    device: 500
    boot:
      rate: -3/s
    events: []
"""
    assert write.told(text) == [
        "fleet.yaml:2:1: seed: must be a whole number (got many)",
        f"fleet.yaml:3:1: duration: {NO_DURATION}, write 10s or 10m (got 10)",
        "fleet.yaml:6:5: cohorts.meters.device: unknown key (did you mean 'devices'?)",
        "fleet.yaml:8:7: cohorts.meters.boot.rate: must be greater than 0 (got -3/s)",
        "fleet.yaml:9:5: cohorts.meters.events: unknown key: 'events' belongs at the top of the file",
    ]


def test_mistakes_of_shape_and_of_meaning_are_told_together(write: Write) -> None:
    """A broken key does not hide that another one points nowhere."""
    text = """\
version: 1
duration: 1m
until: tomorrow
target: {url: "https://est.example.com", label: simpleenroll}
sandbox: {}
cohorts:
  north:
    devices: 500
    key: ec-p25
    boot: {rate: 1/s, shape: even}
    bootstrap: {kind: manufacturer, authority: mfg}
    subject: "CN={nix}"
"""
    assert write.told(text) == [
        "fleet.yaml:3:1: until: must be settled (got tomorrow)",
        "fleet.yaml:4:42: target.label: a label must not be the name of an operation (got simpleenroll)",
        "fleet.yaml:5:1: sandbox: target.url and sandbox are mutually exclusive",
        f"fleet.yaml:9:5: cohorts.north.key: must be {KEYS}: write ec-p256 (got ec-p25)",
        f"fleet.yaml:10:12: cohorts.north.boot.rate: {TOO_LONG}",
        "fleet.yaml:11:37: cohorts.north.bootstrap.authority: there is no authority 'mfg'",
        f"fleet.yaml:12:5: cohorts.north.subject: unknown placeholder {{nix}}: {PLACEHOLDERS}",
    ]


def test_a_small_scenario_is_filled_with_defaults(write: Write) -> None:
    """The name is the file's, the server the sandbox, the devices prove themselves with its maker's certificates."""
    scenario = write.load(SMALL)
    assert (scenario.name, scenario.seed, scenario.duration_s, scenario.devices) == ("fleet", 1, 60, 40)
    assert scenario.target is None
    assert scenario.sandbox == SandboxConfig()
    assert not scenario.until_settled
    first, second = scenario.cohorts
    assert (first.index, first.first_device, second.index, second.first_device) == (0, 0, 1, 30)
    assert first.bootstrap == Manufacturer(None)
    assert first.key is KeyKind.EC_P256
    subject_der, san_der = first.requested.of(3, None)
    assert (name_text(subject_der), san_der) == ("CN=a-000003", None)
    assert (first.arrivals, second.arrivals) == (Burst(5), Poisson(1))
    assert first.policy.renew == RenewPolicy()
    assert first.policy.deferral == DeferralPolicy()
    assert first.policy.retry == RetryPolicy()


def test_every_key_of_a_cohort_reaches_the_plan(write: Write) -> None:
    """Units become seconds and parts of one, words become the policy's."""
    scenario = write.load(
        """\
version: 1
name: all-keys
duration: 20m
until: settled
cohorts:
  north:
    devices: 10
    subject: "CN=m-{index}"
    sans: ["dns:m-{index}.example"]
    key: rsa-2048
    bootstrap: {kind: basic, user: alice, password: secret, preemptive: true}
    tls: {versions: 1.3, keep_alive: 0s, close: rst}
    start: off
    boot: {ramp: 0/s..50/s, over: 10m}
    enroll: {cacerts: never, deadline: 10m, names: require, then: until_power_up}
    renew: {after: 30s, spread: -5%..5%, rekey: false, times: 3, then: leave, retry_every: 10%, lifetime_scale: 60}
    deferral: {retry_after: {late: 20%}, spread: 0%..10%, when_missing: 5s, max_polls: 7, max_wait: 5m}
    retry: {on: [5xx, 429], backoff: constant, base: 2s, cap: 10s, jitter: none, attempts: 2}
"""
    )
    (cohort,) = scenario.cohorts
    policy = cohort.policy
    assert cohort.key is KeyKind.RSA_2048
    assert cohort.http_auth == HttpAuth("alice", "secret", preemptive=True)
    assert (cohort.tls.oldest, cohort.tls.newest, cohort.tls.close) == ("1.3", "1.3", Close.RST)
    assert cohort.arrivals == Ramp(0, 50, 600)
    enroll = policy.enroll
    assert (enroll.cacerts, enroll.deadline_s, enroll.names, enroll.then) == ("never", 600, "require", "until_power_up")
    assert policy.renew is not None
    assert (policy.renew.after_s, policy.renew.spread, policy.renew.rekey) == (30, Uniform(-0.05, 0.05), False)
    assert (policy.renew.times, policy.renew.then, policy.renew.lifetime_scale) == (3, "leave", 60)
    assert policy.deferral == DeferralPolicy(1.2, Uniform(0, 0.1), 5, 7, 300)
    assert policy.retry.on == {RetryOn.SERVER_ERROR, RetryOn.THROTTLED}
    assert (policy.retry.base_s, policy.retry.cap_s, policy.retry.attempts) == (2, 10, 2)
    assert scenario.until_settled


@pytest.mark.parametrize(
    ("yaml", "obedience"),
    [("obey", 1.0), ("ignore", 0.0), ("{early: 50%}", 0.5), ("{early: 100%}", 0.0), ("{late: 20%}", 1.2)],
)
def test_obedience_is_the_part_of_a_told_wait_that_a_device_waits(write: Write, yaml: str, obedience: float) -> None:
    """docs/scenario-reference.md: obey, ignore, early, late."""
    scenario = write.load(f"{SMALL}defaults: {{deferral: {{retry_after: {yaml}}}}}\n")
    assert scenario.cohorts[0].policy.deferral.obedience == obedience


def test_defaults_lie_under_every_cohort_and_give_way_to_it(write: Write) -> None:
    """Deeply, but one of several ways replaces the other instead of being mixed with it."""
    scenario = write.load(
        """\
version: 1
duration: 1m
defaults:
  devices: 5
  boot: {burst: 5s}
  renew: {at: 50%, spread: -1%..1%, times: 2}
  bootstrap: {kind: basic, user: a, password: b}
cohorts:
  a:
  b: {boot: {rate: 1/s, shape: even}, renew: {after: 3s}, bootstrap: {kind: none}}
  c: {renew: off}
"""
    )
    a, b, c = scenario.cohorts
    assert a.policy.renew == RenewPolicy(at=0.5, spread=Uniform(-0.01, 0.01), times=2)
    assert b.policy.renew == RenewPolicy(after_s=3, spread=Uniform(-0.01, 0.01), times=2)
    assert c.policy.renew is None
    assert (a.arrivals, b.arrivals) == (Burst(5), Even(1))
    assert (a.http_auth, a.bootstrap, b.bootstrap) == (HttpAuth("a", "b"), NoBootstrap(), NoBootstrap())


def test_a_mistake_in_the_defaults_is_told_once_and_there(write: Write) -> None:
    """However many cohorts take it; a cohort's own mistake is reported in the cohort."""
    text = SMALL + "defaults:\n  enroll: {deadline: 0s}\n  retries: {}\n"
    assert write.told(text) == [
        "fleet.yaml:7:12: defaults.enroll.deadline: must be greater than 0 (got 0s)",
        "fleet.yaml:8:3: defaults.retries: unknown key (did you mean 'retry'?)",
    ]


def test_a_missing_key_is_told_where_it_is_missing(write: Write) -> None:
    """The place is that of the mapping."""
    assert write.told("cohorts:\n  a: {devices: 3}\n  b:\n") == [
        "fleet.yaml:1:1: duration: is missing",
        "fleet.yaml:1:1: version: is missing",
        "fleet.yaml:2:3: cohorts.a.boot: is missing",
        "fleet.yaml:3:3: cohorts.b.boot: is missing",
        "fleet.yaml:3:3: cohorts.b.devices: is missing",
    ]


@pytest.mark.parametrize("text", ["[]", "3", "fleet", "- a\n- b"])
def test_a_file_that_is_no_mapping_is_told(write: Write, text: str) -> None:
    """A list, a number, a word."""
    (line,) = write.told(text)
    assert line.startswith("fleet.yaml:1:1: must be a mapping (got ")


def test_overrides_change_what_the_file_says(write: Write) -> None:
    """Options for the common ones, --set for every key; the url takes the sandbox's place."""
    scenario = write.load(
        SMALL + "sandbox: {}\n",
        devices=100,
        duration="2m",
        seed=7,
        url="https://est.example.com:8443",
        set=(
            ("cohorts.a.subject", "CN=x-{index}"),
            ("defaults.bootstrap", "{kind: none}"),
            ("generator.request_ids", "false"),
        ),
    )
    assert [cohort.devices for cohort in scenario.cohorts] == [75, 25]
    assert (scenario.duration_s, scenario.seed, scenario.sandbox) == (120, 7, None)
    assert scenario.target is not None
    assert str(scenario.target.url) == "https://est.example.com:8443/.well-known/est"
    assert name_text(scenario.cohorts[0].requested.of(1, None)[0]) == "CN=x-1"
    assert not scenario.generator.request_ids


@pytest.mark.parametrize(("devices", "shares"), [(2, [1, 1]), (3, [2, 1]), (7, [5, 2]), (41, [31, 10])])
def test_a_fleet_of_another_size_keeps_the_proportions(write: Write, devices: int, shares: list[int]) -> None:
    """Exactly the number asked for, a device for every cohort."""
    assert [cohort.devices for cohort in write.load(SMALL, devices=devices).cohorts] == shares


def test_a_mistake_in_an_option_names_the_option(write: Write) -> None:
    """The file is not to blame."""
    assert write.told(SMALL, set=(("cohorts.a.devices", "many"), ("foo", "1")), duration="1") == [
        "fleet.yaml:1:1: foo: unknown key, from --set foo=1",
        f"fleet.yaml:2:1: duration: {NO_DURATION}, write 1s or 1m (got 1), from --duration 1",
        "fleet.yaml:4:7: cohorts.a.devices: must be a whole number (got many), from --set cohorts.a.devices=many",
    ]


@pytest.mark.parametrize(
    "overrides", [{"devices": 1}, {"devices": 0}, {"set": (("a..b", "1"),)}, {"set": (("a", "[1"),)}]
)
def test_an_option_that_cannot_be_one_is_a_usage_error(write: Write, overrides: dict[str, object]) -> None:
    """Fewer devices than cohorts, a broken key, a broken value."""
    with pytest.raises(UsageError):
        write.load(SMALL, **overrides)


def test_the_resolved_text_gives_the_same_plan_and_holds_no_password(write: Write) -> None:
    """Overrides and defaults are in it, and with its passwords put back it can be run again."""
    text = SMALL + (
        "defaults: {renew: {at: 50%}}\nsandbox:\n  clients: {users: {alice: {password: hunter2}}}\n"
        "  issue: {mode: deferred, share: 20%}\n"
    )
    scenario = write.load(text, devices=8, seed=5)
    assert "hunter2" not in scenario.resolved
    assert "hunter2" not in repr(scenario)
    assert "hunter2" in scenario.sandbox_text
    again = write.load(scenario.resolved.replace("'***'", "hunter2"))
    assert [c.policy for c in again.cohorts] == [c.policy for c in scenario.cohorts]
    assert (again.devices, again.seed, again.duration_s) == (8, 5, 60)


def test_the_sandbox_text_is_a_configuration_for_serve(write: Write, tmp_path: Path) -> None:
    """It reads back as the configuration of the plan, with the scenario's seed."""
    scenario = write.load(SMALL + "seed: 9\nsandbox: {issue: {mode: deferred, delay: 2s..4s}}\n")
    config = tmp_path / "sandbox.yaml"
    config.write_text(scenario.sandbox_text, encoding="utf-8")
    assert read_sandbox(config, None)[0] == scenario.sandbox
    assert scenario.sandbox is not None
    assert scenario.sandbox.seed == 9
    assert scenario.sandbox.issue.delay == Uniform(2, 4)


def test_the_server_s_configuration_reads_with_places_too(write: Write) -> None:
    """Nested, and all at once."""
    write.path.write_text("issuer: {validity: 10}\nissue: {mod: deferred}\nseeds: 3\n", encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        read_sandbox(write.path, {})
    places = [(m.line, m.column, m.path) for m in caught.value.mistakes]
    assert places == [(1, 10, "issuer.validity"), (2, 9, "issue.mod"), (3, 1, "seeds")]
    assert "did you mean 'mode'?" in caught.value.mistakes[1].message


def test_a_distribution_of_the_defaults_is_replaced_whole(write: Write) -> None:
    """A normal spread under a constant one leaves no trace."""
    text = SMALL + "defaults: {deferral: {retry_after: ignore, spread: {normal: [5%, 1%]}}}\n"
    scenario = write.load(text, set=(("cohorts.a.deferral.spread", "3%"),))
    assert scenario.cohorts[0].policy.deferral.spread == Constant(0.03)


def test_another_version_of_the_language_is_refused(write: Write) -> None:
    """Text and a decimal are no versions either."""
    for version in ("2", "'1'", "1.0", "true"):
        (line,) = write.told(SMALL.replace("version: 1", f"version: {version}"))
        assert line.startswith("fleet.yaml:1:1: version: must be 1, the only supported version (got ")
