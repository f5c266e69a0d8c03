"""Environment variables in a scenario's values: ``${NAME}``, ``${NAME:-default}``, and ``$${`` for a literal ``${``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self

from estsim.errors import Mistake, ScenarioError
from estsim.fields import SECRET_KEYS
from estsim.scenario.document import Document, Located, Location, Place, Step, mapping_of
from estsim.scenario.nodes import scalar_of
from estsim.units import shown

MOST_FILLED_IN: Final = 4 << 20  # characters: four times what a file may have
# These stay text even if a variable's value is a number: a password may be 0123, a site 17.
_TEXTS: Final = frozenset({"name", "description", "label", "user", "password", "subject", "text", "authorised_by"})
KEPT_OUT: Final = "ESTSIM_LINK_SECRET"  # of master and workers; never expanded into a file
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}|\$\{[^}]*\}?")


class FilledIn(str):
    """A password that is the whole value of a variable, with the variable's name to write it back."""

    __slots__ = ("variable",)
    variable: str

    @classmethod
    def by(cls, variable: str, value: str) -> Self:
        """Return a value with the name of its variable."""
        filled = cls(value)
        filled.variable = variable
        return filled


@dataclass(slots=True)
class Variables:
    """The environment, and how much of it has been expanded, which is limited."""

    environment: Mapping[str, str]
    _filled_in: int = 0  # characters

    def expanded(self, document: Document) -> Document:
        """Return a document with its variables expanded; an expanded value is read as YAML reads it.

        Raises ScenarioError with every mistake in its place.
        """
        return Document(document.file, self.filled_in(document, document.root, ()))

    def filled_in(self, document: Document, located: Located, path: Location) -> Located:
        """Return the part of a document at ``path`` with its variables expanded."""
        mistakes: list[Mistake] = []
        result = self._expanded(document, located, path, mistakes)
        if mistakes:
            raise ScenarioError(mistakes)
        return result

    def origin(self, place: Place, located: Located, step: Step) -> Place:
        """Return the place of a value with the variables that it is expanded from, unless it may be a password."""
        text = located.value
        if not isinstance(text, str) or step in SECRET_KEYS or "${" not in text:
            return place
        names = (match[1] for match in _VARIABLE.finditer(text) if match[1])
        return replace(place, variables=tuple(dict.fromkeys(name for name in names if self.environment.get(name))))

    def _expanded(self, document: Document, located: Located, path: Location, mistakes: list[Mistake]) -> Located:
        if isinstance(located.value, str):
            if "${" not in located.value:
                return located
            filled = self._filled(document, located.value, path, mistakes)
            if path[-1:] == ("password",) and (whole := _VARIABLE.fullmatch(located.value)) and whole[1]:
                filled = FilledIn.by(whole[1], filled)
            return replace(located, value=filled if path and path[-1] in _TEXTS else scalar_of(filled))
        if not located.members:
            return located
        members = {
            step: (self.origin(place, member, step), self._expanded(document, member, (*path, step), mistakes))
            for step, (place, member) in located.members.items()
        }
        if isinstance(located.value, list):
            return Located([member.value for _, member in members.values()], located.size, members)
        return mapping_of(members)

    def _filled(self, document: Document, text: str, path: Location, mistakes: list[Mistake]) -> str:
        wrong: list[str] = []

        def value(match: re.Match[str]) -> str:
            filled = self._value_of(match, wrong)
            self._filled_in += len(filled)
            if self._filled_in > MOST_FILLED_IN:
                raise ScenarioError(
                    [document.mistake(path, f"variables expand to more than {MOST_FILLED_IN} characters")]
                )
            return filled

        result = _VARIABLE.sub(value, text)
        mistakes.extend(document.mistake(path, message) for message in wrong)
        return result

    def _value_of(self, match: re.Match[str], wrong: list[str]) -> str:
        """Return the value of a variable; errors are appended to ``wrong``."""
        if match[0] == "$${":
            return "${"
        name: str | None = match[1]
        default: str | None = match[3]
        if name is None or (default is not None and "${" in default):
            wrong.append(f"expected ${{NAME}} or ${{NAME:-default}} (got {shown(match[0])})")
            return ""
        if name == KEPT_OUT:
            wrong.append(f"the variable {name} is the link secret and cannot be used in a scenario")
            return ""
        found = self.environment.get(name)
        if found is not None and not _is_text(found):
            wrong.append(f"the variable {shown(name)} is not UTF-8 text")
            return ""
        if default is not None:
            return found or default  # as in the shell, also for an empty variable
        if found is None:
            named = shown(name)
            wrong.append(f"the variable {named} is not set; set it, or write a default: ${{{named}:-…}}")
        return found or ""


def _is_text(value: str) -> bool:
    """Whether a variable is text: Python represents other bytes by characters that cannot be encoded."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
