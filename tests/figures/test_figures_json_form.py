"""Values as JSON, and back without trust."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from estsim.figures.json_form import LEFT_OUT_IF_NONE, NOT_WRITTEN, json_of, keyed, read_json


@dataclass(frozen=True, slots=True)
class Part:
    """A block in a block."""

    count: int
    share: float | None


@dataclass(frozen=True, slots=True)
class Whole:
    """A block with a field of every kind."""

    kind: str = field(metadata=keyed("class"))
    passed: bool | None
    part: Part
    parts: Mapping[str, Part]
    states: Mapping[str, int] | None
    shares: Mapping[str, float | None]
    names: tuple[str, ...]
    range: tuple[float, float | None] | None
    why: str | None = field(metadata=LEFT_OUT_IF_NONE)
    note: str = field(default="kept", metadata=NOT_WRITTEN)


WHOLE = Whole("x", None, Part(1, None), {"a": Part(2, 0.5)}, {"off": 3}, {"1s": None}, ("n",), (1.0, None), None)
EMPTY = Whole("", None, Part(0, None), {}, None, {}, (), None, None)


def test_a_value_is_read_as_it_was_written() -> None:
    """Fields are keys in their order; one that is left out is None again, one that is no key has its default."""
    written = json.loads(json.dumps(json_of(WHOLE)))
    assert list(written) == ["class", "passed", "part", "parts", "states", "shares", "names", "range"]
    assert read_json(Whole, written) == WHOLE


@pytest.mark.parametrize(
    "found",
    [
        {},
        None,
        [1],
        {"class": 7, "passed": 1, "part": [1], "parts": 3, "states": "off", "shares": [], "names": "n", "range": 1},
        {"class": None, "range": [1.0], "names": [None, 3], "states": None, "why": 3},
        {"range": ["low", 2.0], "part": {"count": True, "share": "1"}},
        {"part": {"count": 1.5, "share": float("nan")}, "range": [1.0, float("inf")]},
        {"part": {"count": 10**400, "share": -(10**400)}},
    ],
)
def test_a_value_of_the_wrong_type_is_empty(found: object) -> None:
    """Or None, where it may be; no figure is taken for another."""
    assert read_json(Whole, found) == EMPTY


def test_members_of_the_wrong_type_are_left_out() -> None:
    """Blocks stay, empty, and so do figures that may be None."""
    states = {"off": 3, "on": "4", "lost": None}
    found = read_json(Whole, {"states": states, "shares": {"1s": "x"}, "parts": {"a": 1}, "names": ["n", 2]})
    assert (found.states, found.shares, found.parts) == ({"off": 3}, {"1s": None}, {"a": Part(0, None)})
    assert found.names == ("n",)
