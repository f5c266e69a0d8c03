"""YAML 1.2 text as ruamel's graph of nodes, within limits, and the values of its scalars.

A few lines of YAML can expand beyond any memory, by aliases of aliases and merge keys of merged mappings. Each node is
counted as it is composed, an alias with all that it expands to, and reading stops at the limit. So nothing too large is
ever expanded, and the time is linear in the text.
"""

from functools import cache
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import Node, ScalarNode
from ruamel.yaml.scanner import Scanner

TAG: Final = "tag:yaml.org,2002:"
SCALARS: Final = frozenset({"str", "int", "float", "bool", "null", "timestamp", "merge"})
_MOST_DIGITS: Final = 300  # far beyond any count, and below what makes int() slow
_PLAIN: Final = (True, False)  # a scalar without quotes and tag
# A scenario of a thousand cohorts has some 50 000 values; the "billion laughs" has more.
MOST_VALUES: Final = 100_000
MOST_WRITTEN: Final = 50_000  # of those, as they stand in the text: some five seconds of a core
DEEPEST: Final = 64  # one in another; the language itself needs eight


def scalar_value(kind: str, text: str) -> object:
    """Return the value of a scalar of YAML 1.2's core schema; a date stays the text that it was.

    Digits with underscores are text: YAML 1.1 read 1_000 as a thousand, 1.2 does not. Raises ValueError or
    OverflowError where the text is not of that kind.
    """
    if "_" in text and kind in ("int", "float"):
        return text
    match kind:
        case "null":
            return None
        case "bool":
            return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else text
        case "int":
            return _whole_number(text)
        case "float":
            number = text.lower()
            return float(number.replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            return text


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError
    return int(digits, 0) if digits.lstrip("+-").lower().startswith(("0x", "0o", "0b")) else int(digits)


def scalar_of(text: str) -> object:
    """Return the number, boolean or null that YAML reads a whole text as, else the text."""
    if not text or len(text) > _MOST_DIGITS or text[-1] == "\n":  # ruamel's patterns end at $, which is before one
        return text
    tag = _resolver().resolve(ScalarNode, text, _PLAIN)
    kind = str(tag).removeprefix(TAG)
    try:
        return scalar_value(kind, text) if kind in SCALARS else text
    except (ValueError, OverflowError):
        return text


@cache
def _resolver() -> Any:  # noqa: ANN401 - ruamel's
    return YAML(typ="safe", pure=True).resolver


class TooMuch(MarkedYAMLError):  # noqa: N818 - what the text is
    """Text beyond a limit; ``problem`` names the limit, ``problem_mark`` the place."""


def composed(text: str) -> Node | None:
    """Return the graph of a text, None for an empty one. Raises TooMuch, and ruamel's errors for invalid YAML."""
    yaml: Any = YAML(typ="safe", pure=True)  # ruamel's settings are plain attributes that its annotations get wrong
    yaml.Scanner = _Scanner
    yaml.Composer = _Composer
    node: Node | None = yaml.compose(text)
    return node


class _Scanner(Scanner):
    """Refuses deeply nested brackets: ruamel checks all open ones for each further token."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:  # noqa: N803, ANN401 - ruamel's
        if len(self.flow_context) >= DEEPEST:
            raise _too_deep(self.reader.get_mark())
        super().fetch_flow_collection_start(TokenClass, to_push)


class _Composer(Composer):
    """Counts values and levels, with aliases expanded."""

    def __init__(self, loader: Any = None) -> None:  # noqa: ANN401 - ruamel's
        super().__init__(loader=loader)
        self.warn_double_anchors = False  # YAML 1.2 §7.1: an anchor may be redefined
        self._values = 0
        self._written = 0
        self._level = 0
        self._height = 0  # of what was composed last
        self._anchored: dict[int, tuple[int, int]] = {}  # by the id of a node: the values in it, and its height

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - ruamel's
        """Compose the next node, or return that of an alias."""
        mark = self.parser.peek_event().start_mark
        self._count_written(mark)
        if self.parser.check_event(AliasEvent):
            node = super().compose_node(parent, index)
            values, height = self._anchored.get(
                id(node), (1, 1)
            )  # missing for a recursive alias, which is reported later
            self._add(values, mark)
            self._reach(height, mark)
            return node
        self._add(1, mark)
        before, outer, self._height = self._values - 1, self._height, 0
        self._level += 1
        if self._level > DEEPEST:
            raise _too_deep(mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        height = self._height + 1
        if node.anchor is not None:
            self._anchored[id(node)] = (self._values - before, height)
        self._height = max(outer, height)
        return node

    def _count_written(self, mark: Any) -> None:  # noqa: ANN401 - ruamel's
        self._written += 1
        if self._written > MOST_WRITTEN:
            raise TooMuch(problem=f"has more than {MOST_WRITTEN} values", problem_mark=mark)

    def _add(self, values: int, mark: Any) -> None:  # noqa: ANN401 - ruamel's
        self._values += values
        if self._values > MOST_VALUES:
            raise TooMuch(problem=f"expands to more than {MOST_VALUES} values", problem_mark=mark)

    def _reach(self, height: int, mark: Any) -> None:  # noqa: ANN401 - ruamel's
        if self._level + height > DEEPEST:
            raise _too_deep(mark)
        self._height = max(self._height, height)


def _too_deep(mark: Any) -> TooMuch:  # noqa: ANN401 - ruamel's
    return TooMuch(problem=f"is nested more than {DEEPEST} deep", problem_mark=mark)
