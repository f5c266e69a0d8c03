"""Scenarios of several files and with variables: what comes together, and mistakes reported where they were written."""

from pathlib import Path

import pytest

from estsim.errors import ScenarioError
from estsim.load.arrivals import Burst, Even
from estsim.scenario.loader import compose, load_scenario
from estsim.scenario.plan import HttpAuth, Network, NoBootstrap, Scenario
from estsim.scenario.source import Overrides
from estsim.units import LogNormal

COHORT = "cohorts: {a: {devices: 5, boot: {burst: 5s}, bootstrap: {kind: none}}}\n"
BASE = f"version: 1\nduration: 1m\n{COHORT}"


def _write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _load(folder: Path, text: str, *, overrides: Overrides = Overrides()) -> Scenario:  # noqa: B008 - frozen
    return load_scenario(_write(folder, "fleet.yaml", text), overrides=overrides)


def _told(folder: Path, text: str, *, overrides: Overrides = Overrides()) -> list[str]:  # noqa: B008 - frozen
    with pytest.raises(ScenarioError) as caught:
        _load(folder, text, overrides=overrides)
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def _value(folder: Path, text: str, environment: dict[str, str]) -> object:
    """Return what a value becomes."""
    document = compose(_write(folder, "value.yaml", f"key: {text}\n"), environment)
    assert isinstance(document.root.value, dict)
    return document.root.value["key"]


def test_a_file_includes_another_under_its_own_keys(tmp_path: Path) -> None:
    """Merged mapping by mapping; lists and single values are replaced."""
    _write(tmp_path, "base.yaml", f"{BASE}seed: 7\nthresholds: [failures < 1%, failures < 2%]\n")
    scenario = _load(
        tmp_path,
        "include: base.yaml\nduration: 2m\nthresholds: [failures < 3%]\n"
        "cohorts:\n  a: {devices: 9}\n  b: {devices: 1, boot: {at_once: true}, bootstrap: {kind: none}}\n",
    )
    assert (scenario.name, scenario.seed, scenario.duration_s) == ("fleet", 7, 120.0)
    assert [(cohort.name, cohort.devices) for cohort in scenario.cohorts] == [("a", 9), ("b", 1)]
    assert [demand.expression for demand in scenario.thresholds] == ["failures < 3%"]
    assert "include" not in scenario.resolved


def test_of_a_list_of_files_later_ones_count_more(tmp_path: Path) -> None:
    """And each may include others, from its own folder."""
    _write(tmp_path, "parts/one.yaml", "include: [deeper.yaml]\nseed: 1\ndescription: one\n")
    _write(tmp_path, "parts/deeper.yaml", f"{BASE}seed: 9\ndescription: deeper\nname: deeper\n")
    _write(tmp_path, "two.yaml", "seed: 2\n")
    scenario = _load(tmp_path, "include: [parts/one.yaml, two.yaml]\n")
    assert (scenario.seed, scenario.description, scenario.name) == (2, "one", "deeper")


@pytest.mark.parametrize(
    ("below", "above", "arrivals"),
    [("{burst: 5s}", "{rate: 1/s, shape: even}", Even(1.0)), ("{rate: 1/s, shape: even}", "{burst: 2s}", Burst(2.0))],
)
def test_what_is_one_of_several_ways_is_replaced_whole(
    tmp_path: Path, below: str, above: str, arrivals: object
) -> None:
    """A boot is not mixed of two, nor a bootstrap, a start or a distribution."""
    cohort = "devices: 5, start: {operational: {age: 10%}}, network: {rtt: {normal: [80ms, 1ms]}}"
    bootstrap = "bootstrap: {kind: basic, user: u, password: p}"
    _write(
        tmp_path, "base.yaml", f"version: 1\nduration: 1m\ncohorts: {{a: {{{cohort}, boot: {below}, {bootstrap}}}}}\n"
    )
    own = f"boot: {above}, bootstrap: {{kind: none}}, start: off, network: {{rtt: {{lognormal: [9ms, 0.2]}}}}"
    scenario = _load(tmp_path, f"include: base.yaml\ncohorts: {{a: {{{own}}}}}\n")
    (made,) = scenario.cohorts
    assert made.arrivals == arrivals
    assert made.start is None
    assert made.bootstrap == NoBootstrap()
    assert made.network == Network(rtt_s=LogNormal(0.009, 0.2))


@pytest.mark.parametrize(
    ("below", "above"),
    [
        ("renew: {at: 50%}", "renew: {after: 30s}"),
        ("renew: {after: 30s}", "renew: {at: 50%}"),
        ("deferral: {retry_after: {early: 50%}}", "deferral: {retry_after: {late: 20%}}"),
    ],
)
def test_of_keys_that_exclude_each_other_the_upper_one_counts(tmp_path: Path, below: str, above: str) -> None:
    """Over an included file as over the defaults."""
    _write(tmp_path, "base.yaml", BASE.replace("devices: 5", f"devices: 5, {below}"))
    included = _load(tmp_path, f"include: base.yaml\ncohorts: {{a: {{{above}}}}}\n")
    defaults = _load(tmp_path, BASE.replace("devices: 5", f"devices: 5, {above}") + f"defaults: {{{below}}}\n")
    alone = _load(tmp_path, BASE.replace("devices: 5", f"devices: 5, {above}"))
    assert included.cohorts[0].policy == defaults.cohorts[0].policy == alone.cohorts[0].policy


def test_defaults_and_options_come_after_including(tmp_path: Path) -> None:
    """Defaults of an included file reach the cohorts of this one; --set has the last word."""
    _write(tmp_path, "base.yaml", "version: 1\nduration: 1m\ndefaults: {boot: {burst: 5s}, bootstrap: {kind: none}}\n")
    overrides = Overrides(set=(("cohorts.a.devices", "8"), ("defaults.boot.burst", "3s")))
    scenario = _load(tmp_path, "include: base.yaml\ncohorts: {a: {devices: 2}}\n", overrides=overrides)
    assert (scenario.devices, scenario.cohorts[0].arrivals) == (8, Burst(3.0))


def test_a_mistake_is_told_in_the_file_that_holds_it(tmp_path: Path) -> None:
    """With its own line: in the included file, in its defaults, in this one over it."""
    _write(tmp_path, "base.yaml", "version: 1\nduration: 1x\ndefaults:\n  boot: {burst: 1s}\n  retry: {attempts: 0}\n")
    cohorts = "cohorts:\n  a: {devices: 0, bootstrap: {kind: none}}\n"
    assert _told(tmp_path, f"include: base.yaml\nseed: 3\n{cohorts}") == [
        "base.yaml:2:1: duration: expected a duration such as 500ms, 10s, 5m or 1h30m (got 1x)",
        "fleet.yaml:4:7: cohorts.a.devices: must be greater than 0 (got 0)",
        "base.yaml:5:11: defaults.retry.attempts: must be greater than 0 (got 0)",
    ]
    _write(tmp_path, "broken.yaml", "seed: 1\nname: [\n")
    (line,) = _told(tmp_path, "include: broken.yaml\n")
    assert line.startswith("broken.yaml:3:1: is not valid YAML")


def test_a_key_that_is_missing_is_told_in_the_including_file(tmp_path: Path) -> None:
    """Nobody else could know that it is needed."""
    _write(tmp_path, "base.yaml", "version: 1\n")
    assert _told(tmp_path, f"include: base.yaml\n{COHORT}") == ["fleet.yaml:1:1: duration: is missing"]


@pytest.mark.parametrize(
    ("include", "told"),
    [
        ("fleet.yaml", "fleet.yaml:1:1: include: circular include"),
        ("loop.yaml", "loop.yaml:2:3: include: circular include"),
        ("[good.yaml, no.yaml]", "fleet.yaml:1:22: include: no such file (got no.yaml)"),
        ("asks.yaml", "asks.yaml:1:1: include: no such file (got no.yaml)"),
        ("folder", "fleet.yaml:1:1: include: is not a file (got folder)"),
        ("list.yaml", "list.yaml:1:1: must be a mapping"),
        ("text.yaml", "text.yaml:1:1: must be a mapping"),
        ("empty.yaml", "empty.yaml:1:1: is empty"),
        ("''", "fleet.yaml:1:1: include: must be a file or a list of files (got )"),
        ("3", "fleet.yaml:1:1: include: must be a file or a list of files (got 3)"),
        ("[]", "fleet.yaml:1:1: include: must be a file or a list of files (got a list)"),
        ("[good.yaml, 3]", "fleet.yaml:1:1: include: must be a file or a list of files (got a list)"),
        ("", "fleet.yaml:1:1: include: must be a file or a list of files (got nothing)"),
        ('"a\\0b"', "fleet.yaml:1:1: include: "),
        ("a" * 300, "fleet.yaml:1:1: include: cannot be read: File name too long"),
    ],
)
def test_an_include_that_cannot_be_is_told(tmp_path: Path, include: str, told: str) -> None:
    """At the name of the file, in the file that names it."""
    (tmp_path / "folder").mkdir()
    for name, text in {
        "good.yaml": BASE,
        "loop.yaml": "include:\n- fleet.yaml\n",
        "asks.yaml": "include: no.yaml\n",
        "list.yaml": "[1, 2]\n",
        "text.yaml": "hello\n",
        "empty.yaml": "# nothing\n",
    }.items():
        _write(tmp_path, name, text)
    (line,) = _told(tmp_path, f"include: {include}\n")
    assert line.startswith(told)


def test_includes_end_somewhere(tmp_path: Path) -> None:
    """A long chain is a mistake of its own, not called a circle."""
    for number in range(30):
        _write(tmp_path, f"{number}.yaml", f"include: {number + 1}.yaml\n")
    _write(tmp_path, "30.yaml", BASE)
    assert _load(tmp_path, "include: 15.yaml\n").devices == 5
    (line,) = _told(tmp_path, "include: 0.yaml\n")
    assert line.endswith("include: includes are nested more than 16 deep")


@pytest.mark.parametrize(
    ("text", "environment", "value"),
    [
        ("${X}", {"X": "abc"}, "abc"),
        ("CN=${X}-{index}", {"X": "m"}, "CN=m-{index}"),
        ("${X}${Y}", {"X": "1", "Y": "2"}, 12),
        ("${X:-5}", {}, 5),
        ("${X:-5}", {"X": ""}, 5),
        ("${X:-5}", {"X": "6"}, 6),
        ("${X:-}", {}, ""),
        ("${X}", {"X": ""}, ""),
        ("'${X}'", {"X": "7"}, 7),
        ("${X}", {"X": "true"}, True),
        ("${X}", {"X": "null"}, None),
        ("${X}", {"X": "1.5"}, 1.5),
        ("${X}", {"X": "0123"}, 123),
        ("${X}", {"X": "off"}, "off"),
        ("${X}", {"X": "10s"}, "10s"),
        ("${X}", {"X": "a #b"}, "a #b"),
        ("${X}", {"X": "'quoted'"}, "'quoted'"),
        ("${X}", {"X": " 5"}, " 5"),
        ("${X}", {"X": "&a 5"}, "&a 5"),
        ("${X}", {"X": "!!str 5"}, "!!str 5"),
        ("${X}", {"X": "a: b"}, "a: b"),
        ("${X}", {"X": "[1, 2]"}, "[1, 2]"),
        ("${X}", {"X": "[" * 5000}, "[" * 5000),
        ("${X}", {"X": "9" * 400}, "9" * 400),
        ("${X}", {"X": "${Y}", "Y": "no"}, "${Y}"),
        ("$${X}", {"X": "no"}, "${X}"),
        ("$$${X}", {"X": "no"}, "$${X}"),
        ("costs $5 {X}", {"X": "no"}, "costs $5 {X}"),
        ('["${X}", {k: "${X}"}, 3]', {"X": "4"}, [4, {"k": 4}, 3]),
        ('{"${X}": 1}', {"X": "4"}, {"${X}": 1}),
        ("{user: '${X}', password: '${Y:-0123}', devices: '${X}'}", {"X": "12"},
         {"user": "12", "password": "0123", "devices": 12}),
    ],
)  # fmt: skip
def test_variables_are_filled_in(tmp_path: Path, text: str, environment: dict[str, str], value: object) -> None:
    """In values, not in keys; what is wholly a number or word of YAML is one, all else is text."""
    filled = _value(tmp_path, text, environment)
    assert filled == value
    assert type(filled) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a${NOPE}", "the variable NOPE is not set; set it, or write a default: ${NOPE:-…}"),
        (
            "${ESTSIM_LINK_SECRET}",
            "the variable ESTSIM_LINK_SECRET is the link secret and cannot be used in a scenario",
        ),
        ("${}", "expected ${NAME} or ${NAME:-default} (got ${})"),
        ("${1X}", "expected ${NAME} or ${NAME:-default} (got ${1X})"),
        ("${X-5}", "expected ${NAME} or ${NAME:-default} (got ${X-5})"),
        ("${X", "expected ${NAME} or ${NAME:-default} (got ${X)"),
        ("${X:-${Y}}", "expected ${NAME} or ${NAME:-default} (got ${X:-${Y})"),
    ],
)
def test_a_variable_that_cannot_be_filled_is_told(tmp_path: Path, text: str, message: str) -> None:
    """One that is not set, one that is none, one within another; in the place of the value."""
    assert _told(tmp_path, f"{BASE}description: {text}\nthresholds:\n  - '{text}'\n") == [
        f"fleet.yaml:4:1: description: {message}",
        f"fleet.yaml:6:5: thresholds[0]: {message}",
    ]


def test_a_variable_of_an_included_file_is_told_there(tmp_path: Path) -> None:
    """With its own line."""
    _write(tmp_path, "base.yaml", f"{BASE}\ndescription: ${{NOPE}}\n")
    (line,) = _told(tmp_path, "include: base.yaml\n")
    assert line.startswith("base.yaml:5:1: description: the variable NOPE is not set")


def test_the_resolved_text_is_filled_and_holds_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run keeps can be run again with the variables of its passwords alone, and tells nobody's."""
    monkeypatch.setenv("ESTSIM_TEST_N", "3")
    monkeypatch.setenv("ESTSIM_TEST_PW", "0123456")
    bootstrap = "{kind: basic, user: '${ESTSIM_TEST_N}', password: '${ESTSIM_TEST_PW}'}"
    text = BASE.replace("{kind: none}", bootstrap).replace("devices: 5", "devices: '${ESTSIM_TEST_N}'")
    users = "sandbox: {clients: {users: {'3': {password: '${ESTSIM_TEST_PW}'}}}}\n"
    scenario = _load(tmp_path, f"{text}{users}description: 'costs $${{N}}, $$$${{N}}'\n")
    assert scenario.cohorts[0].http_auth == HttpAuth("3", "0123456")
    assert scenario.devices == 3
    assert "0123456" in scenario.sandbox_text
    assert "0123456" not in scenario.resolved + repr(scenario)
    assert "ESTSIM_TEST_N" not in scenario.resolved
    assert scenario.resolved.count("${ESTSIM_TEST_PW}") == 2
    monkeypatch.delenv("ESTSIM_TEST_N")
    again = _load(tmp_path, scenario.resolved)
    assert again.cohorts[0].http_auth == scenario.cohorts[0].http_auth
    assert again.description == scenario.description == "costs ${N}, $$${N}"
    assert again.devices == 3


def test_the_files_that_a_resolved_text_names_are_found_from_anywhere(tmp_path: Path) -> None:
    """Of traces and firmware keys, too: the copy of a run lies elsewhere."""
    _write(tmp_path, "boots.csv", "1\n2\n3\n4\n5\n")
    scenario = _load(tmp_path, BASE.replace("{burst: 5s}", "{trace: boots.csv}"))
    elsewhere = _write(tmp_path, "results/scenario.yaml", scenario.resolved)
    assert load_scenario(elsewhere).cohorts[0].arrivals == scenario.cohorts[0].arrivals


@pytest.mark.parametrize(
    ("text", "environment", "told"),
    [
        (
            "cohorts: {a: {devices: '${CITY_DEVICES}', boot: {burst: 5s}}}",
            {"CITY_DEVICES": "abc"},
            "fleet.yaml:3:15: cohorts.a.devices: must be a whole number (got abc), from CITY_DEVICES",
        ),
        (
            "cohorts: {a: {devices: '${CITY_DEVICES:-abc}', boot: {burst: 5s}}}",
            {},
            "fleet.yaml:3:15: cohorts.a.devices: must be a whole number (got abc)",
        ),
        (
            "defaults: {boot: {burst: '${N}${UNIT}'}}\ncohorts: {a: {devices: 5}}",
            {"N": "1", "UNIT": "x"},
            (
                "fleet.yaml:3:19: defaults.boot.burst: expected a duration such as 500ms, 10s, 5m or 1h30m (got 1x), "
                "from N and UNIT"
            ),
        ),
        (
            f"{COHORT}thresholds: ['failures < ${{MAXFAIL}}%']",
            {"MAXFAIL": "x"},
            "fleet.yaml:4:14: thresholds[0]: failures: expected a share such as 40% or 0.1% (got x%), from MAXFAIL",
        ),
        ("include: ${PART}", {"PART": "no.yaml"}, "fleet.yaml:3:1: include: no such file (got no.yaml), from PART"),
        (
            "cohorts: {a: {devices: 5, boot: {burst: 5s}, http_auth: {user: u, password: '${EST_PASSWORD}', x: 1}}}",
            {"EST_PASSWORD": "secret"},
            "fleet.yaml:3:96: cohorts.a.http_auth.x: unknown key",
        ),
        (
            "cohorts: {a: {devices: 5, boot: {burst: 5s}, http_auth: '${EST_PASSWORD}'}}",
            {"EST_PASSWORD": "secret"},
            (
                "fleet.yaml:3:46: cohorts.a.http_auth: "
                "must be a mapping such as {user: NAME, password: PASSWORD} (got ***)"
            ),
        ),
    ],
)
def test_what_a_variable_has_made_wrong_is_told_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, environment: dict[str, str], told: str
) -> None:
    """As with an option; a password's variable, and one that gave nothing, have no part in it."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _told(tmp_path, f"version: 1\nduration: 1m\n{text}\n") == [told]
