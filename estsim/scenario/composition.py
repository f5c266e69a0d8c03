"""A scenario put together: files that it includes under its own keys, and variables of the environment in its values.

Every value keeps the place where it was written, in whichever file that is, so that mistakes are told there.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from estsim.errors import Mistake, ScenarioError
from estsim.scenario.document import Document, Located, Location, Place, Step, read_document, scalar_of
from estsim.scenario.source import excluded, is_mixed
from estsim.units import shown

_INCLUDE: Final = "include"
_DEEPEST: Final = 16
# Text, even where a variable fills them with a number: a password may be 0123, a site 17.
_TEXTS: Final = frozenset({"name", "description", "label", "user", "password", "subject", "text", "authorised_by"})
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}|\$\{[^}]*\}?")


def compose(path: Path, environment: Mapping[str, str]) -> Document:
    """Read a scenario with what it includes, variables filled in. Raises ScenarioError with every mistake in its place.

    A variable without a value and without a default is a mistake; ``$${`` is a literal ``${``.
    """
    return expanded(_including(path, (), environment), environment)


def _including(path: Path, above: tuple[Path, ...], environment: Mapping[str, str]) -> Document:
    document = read_document(path)
    named = document.root.members.get(_INCLUDE)
    if named is None:
        return document
    members = dict(document.root.members)
    del members[_INCLUDE]
    own = _mapping(members)
    below: Located | None = None
    for place, other in _files(document, named[0], _filled_in(document, named[1], (_INCLUDE,), environment)):
        _check_file(document, place, other)
        if other.resolve() in (*above, path.resolve()):
            raise ScenarioError([_told(document, place, "includes itself, by way of the files above it")])
        if len(above) >= _DEEPEST:
            raise ScenarioError([_told(document, place, f"is included by more than {_DEEPEST} files, one in another")])
        included = _including(other, (*above, path.resolve()), environment)
        if not isinstance(included.root.value, dict):
            raise ScenarioError([Mistake(1, 1, "", "must be a mapping", other)])
        theirs = _in_file(included.root, other)
        below = theirs if below is None else _over(below, theirs)
    return Document(path, own if below is None else _over(below, own))


def _files(document: Document, place: Place, named: Located) -> list[tuple[Place, Path]]:
    """Return the files of ``include``: one, or a list of which later ones count more."""
    entries = [(place, named)] if isinstance(named.value, str) else [*named.members.values()]
    texts = [(at, entry.value) for at, entry in entries if isinstance(entry.value, str) and entry.value]
    if not isinstance(named.value, str | list) or len(texts) != len(entries) or not texts:
        raise ScenarioError([_told(document, place, f"must be a file or a list of files (got {shown(named.value)})")])
    return [(at, document.file.parent / text) for at, text in texts]


def _check_file(document: Document, place: Place, file: Path) -> None:
    """Raise ScenarioError, at the ``include``, for what is no file."""
    try:
        wrong = None if file.is_file() else "is no file" if file.exists() else "there is no such file"
    except (OSError, ValueError) as error:  # a name too long; a NUL in it, which some versions of Python raise for
        wrong = f"cannot be read: {error.strerror if isinstance(error, OSError) else error}"
    if wrong is not None:
        name = str(file).removeprefix(f"{document.file.parent}/")
        raise ScenarioError([_told(document, place, f"{wrong} (got {shown(name)})")])


def _told(document: Document, place: Place, message: str) -> Mistake:
    return Mistake(place.line, place.column, _INCLUDE, message, place.file or document.file)


def _in_file(located: Located, file: Path) -> Located:
    members = {
        step: (replace(place, file=place.file or file), _in_file(member, file))
        for step, (place, member) in located.members.items()
    }
    return replace(located, members=members)


def _mapping(members: dict[Step, tuple[Place, Located]]) -> Located:
    values = {step: member.value for step, (_, member) in members.items()}
    return Located(values, 1 + sum(member.size for _, member in members.values()), members)


def _over(below: Located, above: Located) -> Located:
    """Return mappings merged key by key, what is above first; anything else is replaced."""
    members = {step: member for step, member in below.members.items() if not excluded(step, above.members)}
    for step, (place, member) in above.members.items():
        lower = members.get(step)
        mixes = isinstance(member.value, dict) and lower is not None and isinstance(lower[1].value, dict)
        if mixes and lower is not None and is_mixed(str(step), lower[1].value, member.value):
            members[step] = (place, _over(lower[1], member))
        else:
            members[step] = (place, member)
    return _mapping(members)


def expanded(document: Document, environment: Mapping[str, str]) -> Document:
    """Return a document with its variables filled in; a value that one filled is read as YAML reads it."""
    return Document(document.file, _filled_in(document, document.root, (), environment))


def _filled_in(document: Document, located: Located, path: Location, environment: Mapping[str, str]) -> Located:
    mistakes: list[Mistake] = []
    result = _expanded(document, located, path, environment, mistakes)
    if mistakes:
        raise ScenarioError(mistakes)
    return result


def _expanded(
    document: Document, located: Located, path: Location, environment: Mapping[str, str], mistakes: list[Mistake]
) -> Located:
    if isinstance(located.value, str):
        if "${" not in located.value:
            return located
        filled = _filled(document, located.value, path, environment, mistakes)
        return replace(located, value=filled if path and path[-1] in _TEXTS else scalar_of(filled))
    if not located.members:
        return located
    members = {
        step: (place, _expanded(document, member, (*path, step), environment, mistakes))
        for step, (place, member) in located.members.items()
    }
    if isinstance(located.value, list):
        return Located([member.value for _, member in members.values()], located.size, members)
    return _mapping(members)


def _filled(
    document: Document, text: str, path: Location, environment: Mapping[str, str], mistakes: list[Mistake]
) -> str:
    unset: list[str] = []

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        name: str | None = match[1]
        default: str | None = match[3]
        if name is None or (default is not None and "${" in default):
            unset.append(f"expected ${{NAME}} or ${{NAME:-default}} (got {shown(match[0])})")
            return ""
        found = environment.get(name)
        if default is not None:
            return found or default  # as in the shell: also for a variable that is set to nothing
        if found is None:
            unset.append(f"the variable {name} is not set; give it a value, or a default: ${{{name}:-…}}")
        return found or ""

    result = _VARIABLE.sub(value, text)
    mistakes.extend(document.mistake(path, message) for message in unset)
    return result
