"""Text that is no YAML: the slip is named, where it was made, which is often a line above where a parser gives up."""

from pathlib import Path
from typing import Final

import pytest

from estsim.errors import ScenarioError
from estsim.scenario.document import parse_document

FLEET: Final = """\
version: 1
duration: 10m
cohorts:
  extra:
    devices: 30
    boot: {burst: 5s}
"""
BLOCK: Final = "a value that begins with > or | is a text block: put it in quotes"


def _told(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        parse_document(Path("f.yaml"), text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("    boot", "   boot", "6:4: is not valid YAML: wrong indentation: 3 spaces here, 4 above"),
        ("    boot", "     boot", "6:6: is not valid YAML: wrong indentation: 5 spaces here, 4 above"),
        ("    boot", "    # so\n     boot", "7:6: is not valid YAML: wrong indentation: 5 spaces here, 4 above"),
        ("duration", " duration", "2:2: is not valid YAML: wrong indentation: 1 space here, 0 above"),
        ("    devices", "      devices", "6:5: is not valid YAML: wrong indentation: 4 spaces here, 6 above"),
        ("    boot", "\tboot", "6:1: is not valid YAML: a tab cannot indent or start a value; use spaces"),
        ("devices: 30", "devices:30", "5:5: is not valid YAML: missing space after the colon, write devices: 30"),
        ("duration: 10m", "duration:10m", "2:1: is not valid YAML: missing space after the colon, write duration: 10m"),
        ("devices: 30", "password:hunter2", "5:5: is not valid YAML: missing space after the colon, write password: …"),
        (
            "duration: 10m",
            "duration = 10m",
            "2:1: is not valid YAML: a key and its value are separated by a colon and a space, write duration: 10m",
        ),
        ("duration: 10m", "duration", "2:1: is not valid YAML: missing colon and space after a key"),
        ("10m", "a: b", "2:12: is not valid YAML: a value contains a colon and a space: put it in quotes"),
        ("10m", "%5", "2:11: is not valid YAML: a value cannot begin with %: put it in quotes"),
        ("10m", "@x", "2:11: is not valid YAML: a value cannot begin with @: put it in quotes"),
        ("10m", "*x", "2:11: is not valid YAML: there is no anchor &x; put text that begins with * in quotes"),
        ("10m", "> 5", f"2:13: is not valid YAML: {BLOCK}"),
        ("10m", ">= 5%", f"2:12: is not valid YAML: {BLOCK}"),
        ("10m", "'a' b", "2:15: is not valid YAML: text after a closing quote: put the whole value in quotes"),
        ("5s}", "5s", "6:11: is not valid YAML: this { is not closed"),
        ("30", "'30", "5:14: is not valid YAML: this quote is not closed"),
        ("30", "[a{b}]", '5:16: is not valid YAML: put text that contains { in quotes inside []: write "a{b}"'),
        (
            "30",
            "[failures < ${MAX:-1}%, unfinished < 1%]",
            '5:35: is not valid YAML: quote the whole entry: "failures < ${MAX:-1}%"',
        ),
        (
            "{burst: 5s}",
            "{burst: 5s, subject: CN=meter-{index:6},O=Acme, L=Köln, devices: 3}",
            (
                "6:41: is not valid YAML: put text that contains { in quotes inside {}: write "
                'subject: "CN=meter-{index:6},O=Acme, L=Köln"'
            ),
        ),
        (
            "{burst: 5s}",
            "{password: a{b}, x: 1}",
            '6:23: is not valid YAML: put text that contains { in quotes inside {}: write password: "…"',
        ),
        (
            "{burst: 5s}",
            "{subject: “CN={index}”}",
            '6:21: is not valid YAML: typographic quote “: write an ordinary "',
        ),
        ("devices:", "devices\N{FULLWIDTH COLON}", "5:12: is not valid YAML: full-width colon: write an ordinary :"),
        (
            "devices: ",
            "devices:\N{NO-BREAK SPACE}",
            "5:13: is not valid YAML: no-break space: write an ordinary space",
        ),
        (
            "    boot",
            "    - x\n    boot",
            "6:5: is not valid YAML: `-` between keys: a list needs its own key",
        ),
    ],
)
def test_a_slip_is_named_where_it_was_made(right: str, wrong: str, told: str) -> None:
    """With what to write, where that can be known."""
    assert right in FLEET
    assert _told(FLEET.replace(right, wrong)) == f"f.yaml:{told}"


def test_a_key_twice_is_a_duplicate_key() -> None:
    """With the line of the first."""
    assert _told(FLEET + "duration: 5m\n") == "f.yaml:7:1: duplicate key 'duration' (first on line 2)"


def test_a_key_among_entries_is_told() -> None:
    """It was to be a key of the entry above, or the list ends too late."""
    told = "key between list entries: indent it by two more spaces"
    assert _told("events:\n  - at: 5m\n  mark: x\n") == f"f.yaml:3:3: is not valid YAML: {told}"
