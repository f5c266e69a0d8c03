"""Scenarios made to hurt: refused in their place before they cost anything; what is read costs what it is long."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from _pytest.mark.structures import ParameterSet
from linear import Reader, assert_linear

from estsim.errors import EstsimError, ScenarioError, UnitError, UsageError
from estsim.figures.thresholds import parse_threshold
from estsim.scenario import document
from estsim.scenario.boot_model import MOST_TRACE_BYTES, read_trace
from estsim.scenario.data_checks import MOST_CHARACTERS
from estsim.scenario.document import MOST_BYTES, parse_document
from estsim.scenario.loader import load_scenario
from estsim.scenario.pem_files import certificates_in, public_key_in
from estsim.scenario.source import location_of
from estsim.scenario.subjects import compile_sans, compile_subject
from estsim.scenario.target_url import parse_url
from estsim.scenario.variables import Variables
from estsim.spreads import parse_distribution
from estsim.units import parse_duration, parse_rate, parse_share
from estsim.user_files import MOST_PEM_BYTES, read_user_file

AT_ONCE_S: Final = 5.0  # the longest text there may be takes some seconds only to be scanned
ROOM: Final = 1000  # bytes for what stands around the pieces
HEAD: Final = "version: 1\nduration: 1h\n"
COHORT: Final = "devices: 2, boot: {burst: 5s}, bootstrap: {kind: none}"
FLEET: Final = f"{HEAD}cohorts: {{a: {{{COHORT}}}}}\n"


def _filled(piece: str, size: int) -> str:
    return (piece * (size // len(piece) + 1))[:size]


def _counted(piece: str, size: int) -> str:
    """Return so many pieces, with their numbers, as have a size."""
    return "".join(piece.format(n) for n in range(100_000, 100_000 + size // len(piece.format(100_000))))[:size]


def _cohorts(size: int, more: str = "") -> str:
    rows = size * 1000 // MOST_BYTES  # as many as there may be, at full size
    return f"{HEAD}cohorts:\n" + "".join(f"  c{n}: {{{COHORT}{more}}}\n" for n in range(rows))


def _events(size: int) -> str:
    rows = size * 1000 // MOST_BYTES
    named = "cohorts: [c1, c2, c3]"
    return (
        _cohorts(size)
        + "events:\n"
        + "".join(
            f"  - {{at: {n % 3000}s, renew_now: {{{named}}}}}\n  - {{at: 1m, power_cut: {{{named}, off: 30s}}}}\n"
            for n in range(rows // 2)
        )
    )


def _named_by_all(size: int) -> str:
    names = [f"c{n}" for n in range(size * 1000 // MOST_BYTES)]
    events = "".join(f"  - {{at: {n % 3000}s, cohort_join: {name}}}\n" for n, name in enumerate(names))
    thresholds = "".join(f"  - cohorts.{name}.failures < 1%\n" for name in names)
    expected = "".join(f"  - {{cohorts: [{name}]}}\n" for name in names)
    return f"{_cohorts(size)}events:\n{events}thresholds:\n{thresholds}expect:\n{expected}"


# Whole scenarios, by how many bytes they are to have.
SCENARIOS: Final[dict[str, Callable[[int], str]]] = {
    "one long text": lambda size: f"description: {_filled('a', size)}",
    "many words": lambda size: f"description: {_filled('a ', size)}",
    "many lines": lambda size: f"description: {_filled('a' + chr(10) + '  ', size)}",
    "quotes": lambda size: f"""description: "{_filled(chr(92) + "n", size // 2 * 2)}\"""",
    "a quote without end": lambda size: f'description: "{_filled("a" + chr(10) + "  ", size)}',
    "a block": lambda size: f"description: |\n{_filled('  a' + chr(10), size)}",
    "blank lines": lambda size: f"description: |\n  a\n{_filled(chr(10), size)}",
    "comments": lambda size: f"{_filled('# a' + chr(10), size)}{FLEET}",
    "blanks": lambda size: f"seed:{_filled(' ', size)}1\n{FLEET}",
    "a blank directive": lambda size: f"%YAML{_filled(' ', size)}1.2\n---\n{FLEET}",
    "directives": lambda size: _counted("%TAG !a{}! a\n", size) + f"---\n{FLEET}",
    "keys": lambda size: _counted("k{}: 1\n", size),
    "one key again and again": lambda size: _filled("seed: 1\n", size),
    "a long key": lambda size: f"? {_filled('a', size)}\n: 1\n{FLEET}",
    "list in lines": lambda size: f"events:\n{_filled('- a' + chr(10), size)}",
    "list in brackets": lambda size: f"events: [{_filled('a,', size)}]",
    "pairs in brackets": lambda size: f"events: [{_filled('a: b,', size)}]",
    "anchors": lambda size: "events:\n" + _counted("- &k{} a\n", size),
    "aliases": lambda size: "x: &a 1\nevents:\n" + _filled("- *a\n", size),
    "merged again and again": lambda size: f"x: &a {{k: 1}}\ny: {{<<: [{_filled('*a,', size)}]}}",
    "merged of many keys": lambda size: (
        f"x: &a {{{_counted('k{}: 1,', size // 2)}}}\ny: {{<<: [{_filled('*a,', size // 2)}]}}"
    ),
    "brackets in brackets": lambda size: _filled("[", size),
    "braces in braces": lambda size: _filled("{a: ", size),
    "lists in lists": lambda size: _filled("- ", size),
    "digits": lambda size: f"seed: {_filled('1', size)}\n{FLEET}",
    "digits and underscores": lambda size: f"seed: {_filled('1_', size)}\n{FLEET}",
    "a fraction": lambda size: f"seed: 0.{_filled('1', size)}\n{FLEET}",
    "variables": lambda size: f"description: {_filled('${X:-a}', size)}\n{FLEET}",
    "variables that are not set": lambda size: f"description: {_filled('${X_NOT_SET}', size)}\n{FLEET}",
    "a variable without end": lambda size: f"description: {_filled('${X:-', size)}\n{FLEET}",
    "values of variables": lambda size: f"events:\n{_filled('- ${X:-12}' + chr(10), size)}",
    "a long duration": lambda size: f"duration: {_filled('1', size)}s\nversion: 1\n",
    "a long range": lambda size: FLEET.replace("burst: 5s", f"burst: {_filled('1s..', size)}"),
    "a long rate": lambda size: FLEET.replace("burst: 5s", f"rate: {_filled('1', size)}/s"),
    "a long subject": lambda size: FLEET.replace("devices", f"subject: 'CN={_filled('a', size)}', devices"),
    "escapes in a subject": lambda size: FLEET.replace(
        "devices", f"subject: 'CN={_filled(chr(92) + '41a', size)}', devices"
    ),
    "placeholders": lambda size: FLEET.replace("devices", f"subject: 'CN={_filled('{hex:8}', size)}', devices"),
    "parts of a subject": lambda size: FLEET.replace("devices", f"subject: '{_filled('CN=a,', size)}', devices"),
    "many names": lambda size: FLEET.replace("devices", f"sans: [{_filled('dns:a,', size)}], devices"),
    "a long threshold": lambda size: f"{FLEET}thresholds: ['failures < x{_filled(' ', size)}y']",
    "thresholds": lambda size: f"{FLEET}thresholds:\n" + _counted("- failures < {}%\n", size),
    "steps": lambda size: FLEET.replace("burst: 5s", f"steps: [{_filled('{rate: 1/s, for: 1s},', size)}]"),
    "includes": lambda size: f"include: [{_filled('a,', size)}]\n{FLEET}",
    "cohorts": _cohorts,
    "cohorts of a kind of key that takes time": lambda size: _cohorts(size, ", key: rsa-2048"),
    "cohorts with a slip each": lambda size: _cohorts(size, ", renews: off"),
    "cohorts without their authority": lambda size: _cohorts(
        size, ", bootstrap: {kind: manufacturer, authority: nobody}"
    ).replace("bootstrap: {kind: none}, ", ""),
    "cohorts and events": _events,
    "cohorts that join, each with an event, a threshold and an expectation": _named_by_all,
    "authorities and cohorts of nearly their names": lambda size: (
        _cohorts(size, ", bootstrap: {kind: manufacturer, authority: someboby}").replace(
            "bootstrap: {kind: none}, ", ""
        )
        + "authorities:\n"
        + "".join(f"  somebody-{n}: {{made: true}}\n" for n in range(size * 1000 // MOST_BYTES))
    ),
    "changes of the sandbox": lambda size: (
        f"{FLEET}events:\n"
        + "".join(f"- {{at: {n}s, sandbox: {{capacity.rate: 9/s}}}}\n" for n in range(size * 1000 // MOST_BYTES))
    ),
    "expectations and cohorts": lambda size: (
        f"{_cohorts(size)}expect:\n{'- {outcomes: [rejected]}' + chr(10)}"
        + "- {cohorts: [c1, nobody]}\n" * (size * 990 // MOST_BYTES)
    ),
    "thresholds of cohorts": lambda size: (
        f"{_cohorts(size)}thresholds:\n"
        + "".join(f"- cohorts.c{n}.failurez < 1%\n" for n in range(size * 1000 // MOST_BYTES))
    ),
    "phases": lambda size: (
        f"{FLEET}phases:\n" + "".join(f"  p{n}: {n}s..{n + 1}s\n" for n in range(size * 1000 // MOST_BYTES))
    ),
    "trust centers": lambda size: (
        f"{FLEET}sandbox:\n  trust_centers:\n    default: {{}}\n"
        + "".join(f"    t{n}: {{issuer: {{key: ec-p256}}}}\n" for n in range(size * 990 // MOST_BYTES))
    ),
    "defaults of many cohorts": lambda size: _cohorts(size) + f"defaults: {{description: {_filled('a', 4000)}}}\n",
}


def _assert_linear(
    name: str, read: Callable[[Path], object], make: Callable[[int], str], *, path: Path, full: int
) -> None:
    """Check a reader of a file, with a little room around what is repeated."""

    def written(size: int) -> Path:
        path.write_text(make(size - ROOM), encoding="utf-8")
        assert path.stat().st_size <= size
        return path

    assert_linear(Reader(name, read, written, full))


# CI takes a few of each kind; the rest, minutes of CPU, is for changes to a reader.
TAKEN_BY_CI: Final = frozenset(
    {
        "a block", "a quote without end", "aliases", "anchors", "brackets in brackets", "cohorts", "cohorts and events",
        "digits", "keys", "list in brackets", "many words", "merged of many keys", "thresholds of cohorts", "variables",
        "rows of a table", "one row", "-----BEGIN a-----", "A\n",
    }
)  # fmt: skip


def _tiers(shapes: Iterable[str]) -> list[ParameterSet]:
    return [pytest.param(each, marks=pytest.mark.long if each in TAKEN_BY_CI else pytest.mark.full) for each in shapes]


@pytest.mark.alone
@pytest.mark.parametrize("shape", _tiers(SCENARIOS))
def test_the_time_of_reading_a_scenario_grows_as_its_size(tmp_path: Path, shape: str) -> None:
    """Up to the largest that is read, whatever is in it."""
    (tmp_path / "a").write_text("seed: 1\n", encoding="utf-8")
    _assert_linear(shape, load_scenario, SCENARIOS[shape], path=tmp_path / "f.yaml", full=MOST_BYTES)


TRACES: Final[dict[str, Callable[[int], str]]] = {
    "times": lambda size: _counted("{}.25\n", size),
    "times backwards": lambda size: "".join(f"{n}\n" for n in range(size // 8, 0, -1)),
    "rows of a table": lambda size: "device,at\n" + _counted("a,{}\n", size),
    "blank lines": lambda size: _filled("\n", size),
    "commas": lambda size: _filled(",", size),
    "one row": lambda size: _filled("1,", size),
    "quotes": lambda size: _filled('"1",', size),
    "a quote without end": lambda size: '"' + _filled("1\n", size),
    "numbers of many digits": lambda size: _filled("0." + "1" * 131_000 + "\n", size),
}


@pytest.mark.alone
@pytest.mark.parametrize("shape", _tiers(TRACES))
def test_the_time_of_reading_a_trace_grows_as_its_size(tmp_path: Path, shape: str) -> None:
    """Up to the largest that is read."""
    ages_ns = iter(range(1, 1000))

    def work(path: Path) -> None:
        path.touch()
        age_ns = next(ages_ns)
        os.utime(path, ns=(age_ns, age_ns))  # else it is known already
        read_trace(path)

    _assert_linear(shape, work, TRACES[shape], path=tmp_path / "trace", full=MOST_TRACE_BYTES)


PEMS: Final = (
    "-----BEGIN CERTIFICATE-----\n",
    "-----BEGIN a-----",
    "-----",
    "-",
    "A",
    "A\n",
    "\n",
    "-----END a-----\n",
)


@pytest.mark.alone
@pytest.mark.parametrize("piece", _tiers(PEMS))
def test_the_time_of_reading_pem_grows_as_its_size(tmp_path: Path, piece: str) -> None:
    """Up to the largest that is read, for certificates and keys."""

    def work(path: Path) -> None:
        for read in (certificates_in, public_key_in):
            with pytest.raises(UnitError):
                read(path)

    _assert_linear(piece, work, lambda size: _filled(piece, size), path=tmp_path / "f.pem", full=MOST_PEM_BYTES)


# Texts, each as long as one may be.
TEXTS: Final[dict[str, tuple[str, Callable[[str], object]]]] = {
    "a subject": ("a", lambda text: compile_subject(f"1.2.3=a{text}", cohort="c", seed=1)),
    "escapes": ("\\41a", lambda text: compile_subject(f"1.2.3={text}", cohort="c", seed=1)),
    "escaped letters": ("\\,", lambda text: compile_subject(f"1.2.3={text}", cohort="c", seed=1)),
    "placeholders": ("{hex:8}", lambda text: compile_subject(f"1.2.3={text}", cohort="c", seed=1)),
    "braces": ("{", lambda text: compile_subject(f"CN={text}", cohort="c", seed=1)),
    "attributes": ("O=a,", lambda text: compile_subject(f"{text}CN=a", cohort="c", seed=1)),
    "attributes of one part": ("1.2.3=a+", lambda text: compile_subject(f"{text}CN=a", cohort="c", seed=1)),
    "digits of an OID": ("1", lambda text: compile_subject(f"1.2.{text}=a", cohort="c", seed=1)),
    "parts of an OID": (".1", lambda text: compile_subject(f"1.2{text}=a", cohort="c", seed=1)),
    "a DNS name": ("a.", lambda text: compile_sans([f"dns:{text}a"], cohort="c", seed=1)),
    "an address": ("1:", lambda text: compile_sans([f"ip:{text}"], cohort="c", seed=1)),
    "a duration": ("1", lambda text: parse_duration(f"{text}s")),
    "parts of a duration": ("1.1h", parse_duration),
    "a rate": ("1", lambda text: parse_rate(f"{text}/s")),
    "a share": ("1.", parse_share),
    "ranges": ("1s..", lambda text: parse_distribution(text, parse_duration)),
    "blanks in a threshold": (" ", lambda text: parse_threshold(f"failures < x{text}y")),
    "signs in a threshold": ("<", lambda text: parse_threshold(f"failures {text} 1%")),
    "a threshold's metric": ("a.", lambda text: parse_threshold(f"{text}a < 1%")),
    "a threshold's cohort": ("a", lambda text: parse_threshold(f"cohorts.{text}.failures < 1%", cohorts=["a" * 30])),
    "a URL's path": ("/a", lambda text: parse_url(f"https://a{text}/.well-known/est")),
    "a URL's host": ("a.", lambda text: parse_url(f"https://{text}-/.well-known/est")),
    "a URL's label": ("a", lambda text: parse_url(f"https://a/.well-known/est/{text}~!")),
    "variables": ("${X:-", lambda text: Variables({}).expanded(parse_document(Path("f"), f"a: {text}"))),
}


@pytest.mark.alone
@pytest.mark.parametrize("text", TEXTS)
def test_the_time_of_reading_a_text_grows_as_its_length(text: str) -> None:
    """Up to the longest that a scenario may have."""
    piece, read = TEXTS[text]

    def many(whole: str) -> None:
        for _ in range(20):
            with suppress(EstsimError):
                read(whole)

    assert_linear(Reader(piece, many, lambda length: piece * (length // len(piece)), MOST_CHARACTERS))


def _told(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        parse_document(Path("f.yaml"), text)
    return str(caught.value)


KEYS: Final = ",".join(f"k{n}: 1" for n in range(1000))
BOMBS: Final = {
    f"x: &a {{{KEYS}}}\ny: {{<<: [{','.join(['*a'] * 300_000)}]}}\n": "2:154: expands to more than 100000 values",
    f"x: &a {{{KEYS}}}\n" + "".join(f"y{n}: {{<<: *a, z: 1}}\n" for n in range(10_000)): (
        "50:11: expands to more than 100000 values"
    ),
    "".join(
        f"a{n}: &a{n} {{{','.join(f'{key}: *a{n - 1}' if n else f'{key}: 1' for key in 'abcdefghij')}}}\n"
        for n in range(9)
    ): "5:34: expands to more than 100000 values",
    "".join(f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: 1}}\n" if n else "a0: &a0 {k: 1}\n" for n in range(9000)): (
        "63:16: is nested more than 64 deep"
    ),
    "".join(f"a{n}: &a{n} [{f'*a{n - 1}' if n else 1}]\n" for n in range(9000)): "63:12: is nested more than 64 deep",
    "[" * 500_000: "1:65: is nested more than 64 deep",
}


@pytest.mark.alone
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb[:20])
def test_what_unfolds_without_end_is_refused_where_it_is_too_much(bomb: str) -> None:
    """Before anything is unfolded, at the alias that goes beyond the bound."""
    assert len(bomb) < MOST_BYTES
    began_s = time.process_time()
    assert _told(bomb) == f"f.yaml:{BOMBS[bomb]}"
    assert time.process_time() - began_s < AT_ONCE_S


def test_merged_mappings_keep_their_order() -> None:
    """Of several, the last comes first, as it always has: the order of cohorts gives devices their numbers."""
    document = parse_document(Path("f.yaml"), "a: &a {x: 1, y: 1}\nb: &b {z: 2, x: 2}\nc: {<<: [*a, *b], y: 3, w: 3}")
    assert [*document.root.value["c"].items()] == [("z", 2), ("x", 1), ("y", 3), ("w", 3)]  # type: ignore[index]


def test_an_anchor_may_be_given_again_without_a_word() -> None:
    """As YAML 1.2 has it; a warning would be an error here."""
    assert parse_document(Path("f.yaml"), "a: &x 1\nb: &x 2\nc: *x").root.value == {"a": 1, "b": 2, "c": 2}


def _tree(folder: Path, files: int, includes: int) -> Path:
    for number in range(files):
        named = [f"{number + 1}.yaml"] * includes
        (folder / f"{number}.yaml").write_text(f"include: [{', '.join(named)}]\nseed: {number}\n", encoding="utf-8")
    (folder / f"{files}.yaml").write_text(FLEET, encoding="utf-8")
    return folder / "0.yaml"


def test_a_tree_of_includes_reads_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight files that include the next one ten times each would be a hundred million, one by one."""
    root, opened = _tree(tmp_path, 8, 10), []

    def reading(path: Path, *, most_bytes: int) -> bytes:
        opened.append(path.name)
        return read_user_file(path, most_bytes=most_bytes)

    monkeypatch.setattr(document, "read_user_file", reading)
    assert load_scenario(root).seed == 0
    assert sorted(opened) == [f"{number}.yaml" for number in range(9)]


def test_more_includes_than_anybody_needs_are_refused_in_their_place(tmp_path: Path) -> None:
    """By file and line, however they are spread."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(_tree(tmp_path, 15, 10))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{tmp_path}/5.yaml:1:51: ")
    assert line.endswith("include: exceeds the limit of 100 includes")


def test_files_may_not_be_too_much_together(tmp_path: Path) -> None:
    """Each is small enough on its own."""
    for name in "abc":
        (tmp_path / f"{name}.yaml").write_text(f"{name}: [&a [{'1,' * 1000}], {'*a,' * 39}]\n", encoding="utf-8")
    (tmp_path / "fleet.yaml").write_text(f"include:\n- a.yaml\n- b.yaml\n- c.yaml\n{FLEET}", encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(tmp_path / "fleet.yaml")
    assert str(caught.value) == (f"{tmp_path}/fleet.yaml:4:3: include: included files have more than 100000 values")


def test_a_short_name_of_much_text_fills_in_no_more_than_files_hold() -> None:
    """A variable of 100 kB, named some hundred times."""
    text = "a:\n" + "- ${X}\n" * 100
    with pytest.raises(ScenarioError) as caught:
        Variables({"X": "x" * 100_000}).expanded(parse_document(Path("f.yaml"), text))
    assert str(caught.value) == "f.yaml:43:3: a[41]: variables expand to more than 4194304 characters"


def test_a_variable_that_is_no_text_is_told() -> None:
    """It could be neither sent nor written."""
    with pytest.raises(ScenarioError) as caught:
        Variables({"X": "\udcff"}).expanded(parse_document(Path("f.yaml"), "a: ${X}"))
    assert str(caught.value) == "f.yaml:1:1: a: the variable X is not UTF-8 text"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("devices", "1000000000000", "must be at most 10000000 (got 1000000000000)"),
        ("devices", "9" * 299, f"must be at most 10000000 (got {'9' * 59}…)"),
        ("renew", f"{{times: {'9' * 200}}}", f"must be at most 1000000000 (got {'9' * 59}…)"),
        ("deferral", f"{{max_polls: {'9' * 200}}}", f"must be at most 1000000000 (got {'9' * 59}…)"),
        ("retry", f"{{attempts: {'9' * 200}}}", f"must be at most 1000000000, or unlimited (got {'9' * 59}…)"),
        ("keys", f"{{prepare: {'9' * 200}}}", f"must be at most 1000000000 (got {'9' * 59}…)"),
        ("deferral", "{max_wait: 40000d}", "must be at most 36500d (got 40000d)"),
        ("clock", "{skew: -40000d..0s}", "must be at least -36500d (got -40000d..0s)"),
        ("network", "{rtt: {lognormal: [20000d, 4]}}", "must be at most 36500d (this lognormal reaches 177722"),
        ("network", "{rate: 99999Gbit/s}", "must be at most 1e+12 (got 99999Gbit/s)"),
        ("boot", "{rate: 10000000000/s}", "must be at most 1000000000/s (got 10000000000/s)"),
        ("boot", "{ramp: 0/s..10000000000/s, over: 1s}", "must be at most 1000000000/s (got 0/s..10000000000/s)"),
        ("subject", "'CN={index:999999999}'", "unknown placeholder {index:999999999}: expected {index}"),
        ("subject", "'CN={hex:99}'", "unknown placeholder {hex:99}: expected {index}"),
        ("sans", f"[{', '.join(['dns:a'] * 101)}]", "must have at most 100 entries (got 101)"),
        ("subject", f"CN={'a' * 4096}", "must have at most 4096 characters (got 4099)"),
    ],
)
def test_a_number_or_text_beyond_all_bounds_is_told_in_its_place(
    tmp_path: Path, key: str, value: str, said: str
) -> None:
    """With what came, shortened: nothing is reckoned with it."""
    path = tmp_path / "fleet.yaml"
    cohort = {"devices": "2", "boot": "{burst: 5s}", "bootstrap": "{kind: none}", key: value}
    rows = "".join(f"    {name}: {part}\n" for name, part in cohort.items())
    path.write_text(f"{HEAD}cohorts:\n  a:\n{rows}", encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert len(caught.value.mistakes) == 1
    assert f"cohorts.a.{key}" in str(caught.value)
    assert said in str(caught.value)


def test_of_many_mistakes_the_first_are_told_and_the_rest_counted() -> None:
    """Nobody reads a thousand lines."""
    told = _told("a: 1\n" * 1000).splitlines()
    assert len(told) == 501
    assert told[-1] == "and 499 more"


def test_an_option_leads_no_deeper_than_a_file() -> None:
    """Whatever its dots are worth."""
    with pytest.raises(UsageError, match="is nested more than 64 deep"):
        location_of("a." * 1000 + "b")
    assert location_of("cohorts.north.devices") == ("cohorts", "north", "devices")
