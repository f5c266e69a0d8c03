"""YAML text as ruamel's graph of nodes, within bounds that are held while it is read.

A few lines of YAML can stand for more than any memory holds: aliases of aliases, merge keys of merged mappings. Each
node is counted as it is composed, an alias as all that it stands for, and reading ends at the one that is too much. So
nothing is ever unfolded that is too large, and the time is linear in the text.
"""

from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import Node
from ruamel.yaml.scanner import Scanner

# A scenario of a thousand cohorts has some 50 000 values; the "billion laughs" has more.
MOST_VALUES: Final = 100_000
MOST_WRITTEN: Final = 50_000  # of those, as they stand in the text: some five seconds of a core
DEEPEST: Final = 64  # one in another; the language itself needs eight


class TooMuch(MarkedYAMLError):  # noqa: N818 - what the text is
    """Text that goes beyond the bounds; ``problem`` says beyond which, ``problem_mark`` where."""


def composed(text: str) -> Node | None:
    """Return the graph of a text, None of an empty one. Raises TooMuch, and what ruamel raises for broken YAML."""
    yaml: Any = YAML(typ="safe", pure=True)  # ruamel's settings are plain attributes that its annotations get wrong
    yaml.Scanner = _Scanner
    yaml.Composer = _Composer
    node: Node | None = yaml.compose(text)
    return node


class _Scanner(Scanner):
    """Refuses brackets too deep in one another: ruamel looks at all that are open for each further token."""

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:  # noqa: N803, ANN401 - ruamel's
        if len(self.flow_context) >= DEEPEST:
            raise _too_deep(self.reader.get_mark())
        super().fetch_flow_collection_start(TokenClass, to_push)


class _Composer(Composer):
    """Counts values and levels, with what aliases stand for."""

    def __init__(self, loader: Any = None) -> None:  # noqa: ANN401 - ruamel's
        super().__init__(loader=loader)
        self.warn_double_anchors = False  # YAML 1.2 §7.1: an anchor may be given again
        self._values = 0
        self._written = 0
        self._level = 0
        self._height = 0  # of what was composed last
        self._anchored: dict[int, tuple[int, int]] = {}  # by the id of a node: the values in it, and its height

    def compose_node(self, parent: Any, index: Any) -> Any:  # noqa: ANN401 - ruamel's
        """Compose the next node, or take the one that an alias names."""
        mark = self.parser.peek_event().start_mark
        self._count_written(mark)
        if self.parser.check_event(AliasEvent):
            node = super().compose_node(parent, index)
            values, height = self._anchored.get(id(node), (1, 1))  # not there: it stands in itself, told later
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
