"""YAML 1.2 text as plain data that remembers where everything stood.

Owns reading: encoding, syntax, duplicate keys, tags, anchors and merge keys, with the place of every mistake. Knows
nothing of what the keys mean. Data is built from ruamel's node graph and not by its constructors, because only the
graph still has the place of every key, and because a scenario needs no YAML object but text, numbers and booleans.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from estsim.errors import Mistake, ScenarioError
from estsim.units import shown

Step = str | int
Location = tuple[Step, ...]

# What aliases may unfold to. A scenario of a thousand cohorts has some 50 000 values; the "billion laughs" has more.
_MOST_VALUES: Final = 200_000
_MOST_BYTES: Final = 1024 * 1024
_TAG: Final = "tag:yaml.org,2002:"
_SCALARS: Final = frozenset({"str", "int", "float", "bool", "null", "timestamp", "merge"})
_OTHER_VERSION: Final = re.compile(r"^%YAML[ \t]+(?!1\.2\b)", re.MULTILINE)
_INT_DIGITS: Final = 300  # far beyond any count, and below what makes int() slow


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column, from 1; ``file`` where it is not the document's own."""

    line: int
    column: int
    file: Path | None = None


START: Final = Place(1, 1)


@dataclass(slots=True)
class Located:
    """A value with its members and where each was written: at its key, or as a list item."""

    value: object
    size: int = 1
    members: dict[Step, tuple[Place, "Located"]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A file as plain data (``dict``, ``list``, ``str``, ``int``, ``float``, ``bool``, ``None``) with places."""

    file: Path
    root: Located

    def find(self, path: Location) -> tuple[Location, Place]:
        """Return how much of a path the file holds, and where the last part of that stands."""
        at, place = self.root, START
        for depth, step in enumerate(path):
            member = at.members.get(step)
            if member is None:
                return path[:depth], place
            place, at = member
        return path, place

    def mistake(self, path: Location, message: str) -> Mistake:
        """Return a mistake at a path, placed at the nearest part of it that the file holds."""
        _, place = self.find(path)
        return Mistake(place.line, place.column, dotted(path), message, place.file or self.file)


def dotted(path: Location) -> str:
    """Return a path as messages write it: ``cohorts.meters.sans[0]``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{shown(step)}" for step in path)
    return text.removeprefix(".")


def read_document(path: Path) -> Document:
    """Read a file. Raises ScenarioError with the place of what is wrong, also where there is no file."""
    return parse_document(path, _decoded(path, _bytes_of(path)))


def parse_document(path: Path, text: str) -> Document:
    """Read text as YAML; ``path`` is only the name under which mistakes are told."""
    if other := _OTHER_VERSION.search(text):
        raise _error(path, _place_of(text, other.start()), "must be YAML 1.2: leave the %YAML line away")
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except ReaderError as error:
        raise _error(path, _place_of(text, error.position), "holds a control character") from error
    except MarkedYAMLError as error:
        raise _error(path, _place_of_mark(error), f"is not valid YAML: {_said(error)}") from error
    except RecursionError as error:
        raise _error(path, START, "is nested too deeply") from error
    except (YAMLError, ValueError, IndexError, AttributeError) as error:  # ruamel trips over some broken directives
        raise _error(
            path, START, f"is not valid YAML: {shown(str(error).splitlines()[0] if str(error) else error)}"
        ) from error
    if node is None or (isinstance(node, ScalarNode) and node.tag == f"{_TAG}null"):
        raise _error(path, START, "is empty")
    build = _Build(path)
    try:
        root = build.located(node)
    except RecursionError as error:
        raise _error(path, START, "is nested too deeply") from error
    if build.mistakes:
        raise ScenarioError(build.mistakes)
    return Document(path, root)


@dataclass(slots=True)
class _Build:
    """The walk over ruamel's node graph; a node that several aliases share is built once."""

    path: Path
    mistakes: list[Mistake] = field(default_factory=list)
    built: dict[int, Located] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def located(self, node: Node) -> Located:
        """Return a node as data."""
        if id(node) in self.built:
            return self.built[id(node)]
        if id(node) in self.open:
            self._wrong(node, "holds itself: an alias may not point at what it stands in")
            return Located(None)
        self.open.add(id(node))
        if isinstance(node, MappingNode):
            result = self._mapping(node)
        elif isinstance(node, SequenceNode):
            result = self._sequence(node)
        elif isinstance(node, ScalarNode):
            result = Located(self._scalar(node))
        else:  # ruamel knows no fourth kind
            raise TypeError(node)
        self.open.discard(id(node))
        self.built[id(node)] = result
        if result.size > _MOST_VALUES:
            self._wrong(node, f"unfolds to more than {_MOST_VALUES} values")
            self.built[id(node)] = result = Located(None)
        return result

    def _mapping(self, node: MappingNode) -> Located:
        self._check_tag(node, "map")
        own: dict[Step, tuple[Place, Located]] = {}
        merged: list[Located] = []
        for key_node, value_node in node.value:
            if isinstance(key_node, ScalarNode) and key_node.tag == f"{_TAG}merge":
                merged += self._merges(value_node)
                continue
            if not isinstance(key_node, ScalarNode):
                self._wrong(key_node, "a key must be text")
                continue
            key = str(key_node.value)
            place = _place(key_node)
            if key in own:
                self._wrong(key_node, f"the key '{shown(key)}' stands here twice (first in line {own[key][0].line})")
                continue
            own[key] = (place, self.located(value_node))
        for other in merged:  # earlier ones win, and what stands here wins over all
            own = {**other.members, **own}
        return Located({k: v.value for k, (_, v) in own.items()}, 1 + sum(v.size for _, v in own.values()), own)

    def _merges(self, node: Node) -> list[Located]:
        """Return the mappings that a ``<<`` key merges in, the one that counts most first."""
        sources = [self.located(n) for n in (node.value if isinstance(node, SequenceNode) else [node])]
        if not all(isinstance(source.value, dict) for source in sources):
            self._wrong(node, "<< takes a mapping or a list of mappings")
            return []
        return sources

    def _sequence(self, node: SequenceNode) -> Located:
        self._check_tag(node, "seq")
        members: dict[Step, tuple[Place, Located]] = {
            i: (_place(item), self.located(item)) for i, item in enumerate(node.value)
        }
        return Located([v.value for _, v in members.values()], 1 + sum(v.size for _, v in members.values()), members)

    def _scalar(self, node: ScalarNode) -> object:
        kind = str(node.tag).removeprefix(_TAG)
        text = str(node.value)
        if kind not in _SCALARS:
            self._wrong(node, f"the tag {shown(node.tag)} is not supported")
            return None
        try:
            return _scalar_value(kind, text)
        except (ValueError, OverflowError):
            self._wrong(node, f"is no {kind} (got {shown(text)})")
            return None

    def _check_tag(self, node: Node, kind: str) -> None:
        if node.tag != f"{_TAG}{kind}":
            self._wrong(node, f"the tag {shown(node.tag)} is not supported")

    def _wrong(self, node: Node, message: str) -> None:
        place = _place(node)
        self.mistakes.append(Mistake(place.line, place.column, "", message, self.path))


def _scalar_value(kind: str, text: str) -> object:
    """Return the value of a scalar of YAML 1.2's core schema; a date stays the text that it was."""
    match kind:
        case "null":
            return None
        case "bool":
            return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else text
        case "int":
            digits = text.replace("_", "")
            if len(digits) > _INT_DIGITS:
                raise ValueError
            return int(digits, 0) if digits.lstrip("+-").lower().startswith(("0x", "0o", "0b")) else int(digits)
        case "float":
            number = text.replace("_", "").lower()
            return float(number.replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            return text


def scalar_of(text: str) -> object:
    """Return the number, boolean or nothing that a whole text is to YAML; else the text, whatever it looks like."""
    if len(text) > _INT_DIGITS:
        return text
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except (YAMLError, ValueError, IndexError, AttributeError, RecursionError):
        return text
    is_whole = isinstance(node, ScalarNode) and node.style is None and node.value == text  # no comment, quote or anchor
    kind = str(node.tag).removeprefix(_TAG) if is_whole else ""
    try:
        return _scalar_value(kind, str(node.value)) if kind in _SCALARS else text
    except (ValueError, OverflowError):
        return text


def plain_copy(value: object) -> object:
    """Return plain data with nothing shared, so that a change in one place stays there."""
    if isinstance(value, Mapping):
        return {key: plain_copy(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain_copy(member) for member in value]
    return value


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except IsADirectoryError as error:
        raise _error(path, START, "is a directory, not a file") from error
    except FileNotFoundError as error:
        raise _error(path, START, "there is no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _error(path, START, f"cannot be read: {reason}") from error
    if len(content) > _MOST_BYTES:
        raise _error(path, START, f"is larger than {_MOST_BYTES // 1024 // 1024} MiB")
    return content


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        raise _error(path, _place_of(before, len(before)), "is not UTF-8 text") from error


def _said(error: MarkedYAMLError) -> str:
    problem = str(error.problem or error.context or "broken")
    if "'\\t'" in problem:
        return "a tab cannot indent or start a value; use spaces"
    if problem == "but found another document":
        return "a second document begins here; one file is one document"
    return shown(problem)


def _place(node: Node) -> Place:
    mark = node.start_mark
    return Place(mark.line + 1, mark.column + 1)


def _place_of_mark(error: MarkedYAMLError) -> Place:
    mark = error.problem_mark or error.context_mark
    return Place(mark.line + 1, mark.column + 1) if mark else START


def _place_of(text: str, index: int) -> Place:
    before = text[: max(index, 0)]
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _error(path: Path, place: Place, message: str) -> ScenarioError:
    return ScenarioError([Mistake(place.line, place.column, "", message, path)])
