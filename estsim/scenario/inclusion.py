"""The files that a scenario includes: each read once, and merged key by key under the keys of the including file.

Few files that include each other many times can expand without bound, so the number of includes is limited.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from estsim.errors import Mistake, ScenarioError
from estsim.scenario.document import Document, Located, Place, mapping_of, read_document
from estsim.scenario.nodes import MOST_VALUES
from estsim.scenario.source import excluded, is_mixed
from estsim.scenario.variables import Variables
from estsim.units import shown

_INCLUDE: Final = "include"
_DEEPEST: Final = 16
MOST_INCLUDES: Final = 100  # in all the files of a scenario


@dataclass(slots=True)
class Inclusion:
    """The reading of one scenario and its includes."""

    variables: Variables
    _read: dict[Path, Document] = field(default_factory=dict)
    _named: int = 0
    _values: int = 0

    def document(self, path: Path, above: tuple[Path, ...] = ()) -> Document:
        """Return a file with all its includes; ``above`` are the files that include it, outermost first."""
        known = path.parent.resolve() / path.name  # a link is not resolved: its includes are relative to the link
        if known not in self._read:
            self._read[known] = self._including(path, above)
        return self._read[known]

    def _including(self, path: Path, above: tuple[Path, ...]) -> Document:
        document = read_document(path)
        self._values += document.root.size
        named = document.root.members.get(_INCLUDE)
        if named is None:
            return document
        members = dict(document.root.members)
        del members[_INCLUDE]
        own = mapping_of(members)
        below: Located | None = None
        whole = self.variables.origin(*named, _INCLUDE)
        for place, other in _files(document, whole, self.variables.filled_in(document, named[1], (_INCLUDE,))):
            self._check(document, place, other, (*above, path.resolve()))
            included = self.document(other, (*above, path.resolve()))
            if self._values > MOST_VALUES:
                raise _error(document, place, f"included files have more than {MOST_VALUES} values")
            if not isinstance(included.root.value, dict):
                raise ScenarioError([Mistake(1, 1, "", "must be a mapping", other)])
            theirs = _in_file(included.root, other)
            below = theirs if below is None else _over(below, theirs)
        return Document(path, own if below is None else _over(below, own))

    def _check(self, document: Document, place: Place, file: Path, above: tuple[Path, ...]) -> None:
        """Raise ScenarioError, at the ``include``, for a missing file or an exceeded limit."""
        _check_file(document, place, file)
        self._named += 1
        if file.resolve() in above:
            raise _error(document, place, "circular include")
        if len(above) > _DEEPEST:
            raise _error(document, place, f"includes are nested more than {_DEEPEST} deep")
        if self._named > MOST_INCLUDES:
            raise _error(document, place, f"exceeds the limit of {MOST_INCLUDES} includes")


def _files(document: Document, place: Place, named: Located) -> list[tuple[Place, Path]]:
    """Return the files of ``include``: one, or a list in which later ones take precedence."""
    entries = [(place, named)] if isinstance(named.value, str) else [*named.members.values()]
    texts = [(at, entry.value) for at, entry in entries if isinstance(entry.value, str) and entry.value]
    if not isinstance(named.value, str | list) or len(texts) != len(entries) or not texts:
        raise _error(document, place, f"must be a file or a list of files (got {shown(named.value)})")
    return [(at, document.file.parent / text) for at, text in texts]


def _check_file(document: Document, place: Place, file: Path) -> None:
    """Raise ScenarioError, at the ``include``, where it is not a file."""
    try:
        wrong = None if file.is_file() else "is not a file" if file.exists() else "no such file"
    except (OSError, ValueError) as error:  # a name that is too long, or a NUL in it, with some versions of Python
        wrong = f"cannot be read: {error.strerror if isinstance(error, OSError) else error}"
    if wrong is not None:
        name = str(file).removeprefix(f"{document.file.parent}/")
        raise _error(document, place, f"{wrong} (got {shown(name)})")


def _error(document: Document, place: Place, message: str) -> ScenarioError:
    text = f"{message}{place.origin()}"
    return ScenarioError([Mistake(place.line, place.column, _INCLUDE, text, place.file or document.file)])


def _in_file(located: Located, file: Path) -> Located:
    members = {
        step: (replace(place, file=place.file or file), _in_file(member, file))
        for step, (place, member) in located.members.items()
    }
    return replace(located, members=members)


def _over(below: Located, above: Located) -> Located:
    """Return mappings merged key by key, ``above`` taking precedence; other values are replaced."""
    members = {step: member for step, member in below.members.items() if not excluded(step, above.members)}
    for step, (place, member) in above.members.items():
        lower = members.get(step)
        mixes = isinstance(member.value, dict) and lower is not None and isinstance(lower[1].value, dict)
        if mixes and lower is not None and is_mixed(str(step), lower[1].value, member.value):
            members[step] = (place, _over(lower[1], member))
        else:
            members[step] = (place, member)
    return mapping_of(members)
