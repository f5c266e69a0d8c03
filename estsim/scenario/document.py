"""YAML 1.2 text as plain data with the place of every value.

Owns reading: encoding, syntax, duplicate keys, tags, anchors and merge keys, with the place of every mistake. Does not
know what the keys mean. Data is built from ruamel's node graph and not by its constructors, because only the graph has
the place of every key, and a scenario needs only text, numbers and booleans.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from errno import EISDIR, ENOENT
from pathlib import Path
from typing import Final

from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from estsim.errors import Mistake, ScenarioError, UnreadableFile
from estsim.scenario.nodes import SCALARS, TAG, TooMuch, composed, scalar_value
from estsim.scenario.yaml_advice import syntax_advice
from estsim.units import shown
from estsim.user_files import read_user_file

Step = str | int
Location = tuple[Step, ...]
Finding = tuple[Location, str]
"""Where something is wrong, and the message."""

MOST_BYTES: Final = 1024 * 1024
_UNREADABLE: Final[dict[int | None, str]] = {EISDIR: "is a directory, not a file", ENOENT: "no such file"}
_OTHER_VERSION: Final = re.compile(r"^%YAML[ \t]++(?!1\.2\b)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column, from 1; ``file`` where it is not the document's own.

    ``variables`` are those that the value there was expanded from, except for passwords.
    """

    line: int
    column: int
    file: Path | None = None
    variables: tuple[str, ...] = ()

    def origin(self) -> str:
        """Return the end of a message about the value there: `, from CITY_DEVICES`."""
        return f", from {' and '.join(self.variables)}" if self.variables else ""


START: Final = Place(1, 1)


@dataclass(slots=True)
class Located:
    """A value with its members and their places: of the key, or of the list item."""

    value: object
    size: int = 1
    members: dict[Step, tuple[Place, "Located"]] = field(default_factory=dict)


def mapping_of(members: dict[Step, tuple[Place, Located]]) -> Located:
    """Return a mapping of members, with their places."""
    values = {step: member.value for step, (_, member) in members.items()}
    return Located(values, 1 + sum(member.size for _, member in members.values()), members)


@dataclass(frozen=True, slots=True)
class Document:
    """A file as plain data (``dict``, ``list``, ``str``, ``int``, ``float``, ``bool``, ``None``) with places."""

    file: Path
    root: Located

    def find(self, path: Location) -> tuple[Location, Place]:
        """Return the part of a path that the file has, and the place of its last step."""
        at, place = self.root, START
        for depth, step in enumerate(path):
            member = at.members.get(step)
            if member is None:
                return path[:depth], place
            place, at = member
        return path, place

    def mistake(self, path: Location, message: str) -> Mistake:
        """Return a mistake at a path, placed at the nearest part of it that the file has."""
        found, place = self.find(path)
        text = f"{message}{place.origin()}" if found == path else message
        return Mistake(place.line, place.column, dotted(path), text, place.file or self.file)


def dotted(path: Location) -> str:
    """Return a path as messages write it: ``cohorts.meters.sans[0]``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{shown(step)}" for step in path)
    return text.removeprefix(".")


def read_document(path: Path) -> Document:
    """Read a file. Raises ScenarioError with the place of the mistake, also for a missing file."""
    return parse_document(path, _decoded(path, _bytes_of(path)))


def parse_document(path: Path, text: str) -> Document:
    """Read text as YAML; ``path`` is only the name in messages."""
    if other := _OTHER_VERSION.search(text):
        raise _error(path, _place_of(text, other.start()), "must be YAML 1.2: remove the %YAML line")
    try:
        node = composed(text)
    except TooMuch as error:
        raise _error(path, _place_of_mark(error), str(error.problem)) from error
    except ReaderError as error:
        raise _error(path, _place_of(text, error.position), "contains a control character") from error
    except MarkedYAMLError as error:
        line, column, reason = syntax_advice(text, error) or (*_line_and_column(error), _reason(error))
        raise _error(path, Place(line, column), f"is not valid YAML: {reason}") from error
    except (
        YAMLError,
        ValueError,
        OverflowError,
        IndexError,
        AttributeError,
    ) as error:  # ruamel raises these for some mistakes
        raise _error(
            path, START, f"is not valid YAML: {shown(str(error).splitlines()[0] if str(error) else error)}"
        ) from error
    if node is None or (isinstance(node, ScalarNode) and node.tag == f"{TAG}null"):
        raise _error(path, START, "is empty")
    build = _Build(path)
    root = build.located(node)
    if build.mistakes:
        raise ScenarioError(build.mistakes)
    return Document(path, root)


@dataclass(slots=True)
class _Build:
    """The walk over ruamel's node graph; a node with several aliases is built once."""

    path: Path
    mistakes: list[Mistake] = field(default_factory=list)
    built: dict[int, Located] = field(default_factory=dict)
    open: set[int] = field(default_factory=set)

    def located(self, node: Node) -> Located:
        """Return a node as data."""
        if id(node) in self.built:
            return self.built[id(node)]
        if id(node) in self.open:
            self._wrong(node, "recursive alias")
            return Located(None)
        self.open.add(id(node))
        if isinstance(node, MappingNode):
            result = self._mapping(node)
        elif isinstance(node, SequenceNode):
            result = self._sequence(node)
        elif isinstance(node, ScalarNode):
            result = Located(self._scalar(node))
        else:  # ruamel has no fourth kind
            raise TypeError(node)
        self.open.discard(id(node))
        self.built[id(node)] = result
        return result

    def _mapping(self, node: MappingNode) -> Located:
        self._check_tag(node, "map")
        own: dict[Step, tuple[Place, Located]] = {}
        merged: list[Located] = []
        for key_node, value_node in node.value:
            if isinstance(key_node, ScalarNode) and key_node.tag == f"{TAG}merge":
                merged += self._merges(value_node)
                continue
            if not isinstance(key_node, ScalarNode):
                self._wrong(key_node, "a key must be text")
                continue
            key = str(key_node.value)
            place = _place(key_node)
            if key in own:
                comma = "; a comma ends a value, write numbers without" if key.isdecimal() else ""
                self._wrong(key_node, f"duplicate key '{shown(key)}' (first on line {own[key][0].line}){comma}")
                continue
            own[key] = (place, self.located(value_node))
        members: dict[Step, tuple[Place, Located]] = {}
        for other in reversed(merged):  # earlier ones take precedence, and the mapping's own keys over all
            members.update(other.members)
        members.update(own)
        return mapping_of(members)

    def _merges(self, node: Node) -> list[Located]:
        """Return the mappings of a ``<<`` key in order of precedence."""
        sources = [self.located(n) for n in (node.value if isinstance(node, SequenceNode) else [node])]
        if not all(isinstance(source.value, dict) for source in sources):
            self._wrong(node, "<< requires a mapping or a list of mappings")
            return []
        return sources

    def _sequence(self, node: SequenceNode) -> Located:
        self._check_tag(node, "seq")
        members: dict[Step, tuple[Place, Located]] = {
            i: (_place(item), self.located(item)) for i, item in enumerate(node.value)
        }
        return Located([v.value for _, v in members.values()], 1 + sum(v.size for _, v in members.values()), members)

    def _scalar(self, node: ScalarNode) -> object:
        kind = str(node.tag).removeprefix(TAG)
        text = str(node.value)
        if kind not in SCALARS:
            self._wrong(node, f"the tag {shown(node.tag)} is not supported")
            return None
        try:
            return scalar_value(kind, text)
        except (ValueError, OverflowError):
            self._wrong(node, f"is not a valid {kind} (got {shown(text)})")
            return None

    def _check_tag(self, node: Node, kind: str) -> None:
        if node.tag != f"{TAG}{kind}":
            self._wrong(node, f"the tag {shown(node.tag)} is not supported")

    def _wrong(self, node: Node, message: str) -> None:
        place = _place(node)
        self.mistakes.append(Mistake(place.line, place.column, "", message, self.path))


def plain_copy(value: object) -> object:
    """Return a deep copy of plain data, without shared parts."""
    if isinstance(value, Mapping):
        return {key: plain_copy(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain_copy(member) for member in value]
    return value


def _bytes_of(path: Path) -> bytes:
    try:
        return read_user_file(path, most_bytes=MOST_BYTES)
    except UnreadableFile as error:
        message = _UNREADABLE.get(error.errno, f"cannot be read: {error.reason}")
        raise _error(path, START, message) from error


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        raise _error(path, _place_of(before, len(before)), "is not UTF-8 text") from error


def _reason(error: MarkedYAMLError) -> str:
    problem = str(error.problem or error.context or "broken")
    if "'\\t'" in problem:
        return "a tab cannot indent or start a value; use spaces"
    if problem == "but found another document":
        return "a second document starts here; expected one document per file"
    return shown(problem)


def _place(node: Node) -> Place:
    mark = node.start_mark
    return Place(mark.line + 1, mark.column + 1)


def _place_of_mark(error: MarkedYAMLError) -> Place:
    return Place(*_line_and_column(error))


def _line_and_column(error: MarkedYAMLError) -> tuple[int, int]:
    mark = error.problem_mark or error.context_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _place_of(text: str, index: int) -> Place:
    before = text[: max(index, 0)]
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


def _error(path: Path, place: Place, message: str) -> ScenarioError:
    return ScenarioError([Mistake(place.line, place.column, "", message, path)])
