"""What is wrong with text that is no YAML, in an author's words: indentation, colons, quotes, brackets.

ruamel says where it gave up and what it had expected; the slip is often in the line above. Each reading here looks at
the lines in question and answers with its place, or leaves it to the next.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ruamel.yaml.error import MarkedYAMLError

from estsim.scenario.flow_advice import entry_quoted
from estsim.units import counted, shown

_KEY: Final = r"[A-Za-z_][A-Za-z0-9_.-]*"
_GLUED: Final = re.compile(rf"\s*(?:- )?({_KEY}):([^\s/].*)")
_EQUALS: Final = re.compile(rf"\s*(?:- )?({_KEY})\s*=\s*(\S.*)")
_TWO_COLONS: Final = re.compile(rf"\s*(?:- )?{_KEY}:\s+[^\s{{\[\"'].*:(?:\s|$)")
_QUOTED_PART: Final = re.compile(r"""(["']).*\1\s*\S""")
_STRANGE: Final = {
    "\N{FULLWIDTH COLON}": "full-width colon: write an ordinary :",
    "\N{NO-BREAK SPACE}": "no-break space: write an ordinary space",
}
_TYPOGRAPHIC: Final = re.compile(r"(?:^|[:,\[{-])\s*([\u201c-\u201f\u2018-\u201b\u00ab\u00bb])")
_MOST_READ: Final = 1000  # characters of a line
_HIDDEN: Final = "password"
_MUST_QUOTE: Final = "put it in quotes"
_OPENING: Final = {"}": "{", "]": "["}
Told = tuple[int, int, str]  # line and column from 1, and the message


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Where ruamel gave up, counted from 0, and with what it had begun."""

    lines: list[str]
    problem: str
    line: int
    column: int
    begun: tuple[int, int] | None

    @property
    def here(self) -> str:
        """The line in question."""
        return self.at(self.line)

    @property
    def above(self) -> int:
        """The number of the nearest line above that holds anything; -1 where there is none."""
        held = (n for n in range(min(self.line, len(self.lines)) - 1, -1, -1) if _holds(self.lines[n]))
        return next(held, -1)

    def at(self, number: int) -> str:
        """Return a line, empty beyond the ends, and no more of it than a person would read."""
        return self.lines[number][:_MOST_READ] if 0 <= number < len(self.lines) else ""


def syntax_told(text: str, error: MarkedYAMLError) -> Told | None:
    """Return what is wrong with a text and where, None where nobody can say better than ruamel."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return None
    begun = (error.context_mark.line, error.context_mark.column) if error.context_mark else None
    trouble = _Trouble(text.splitlines(), str(error.problem or error.context or ""), mark.line, mark.column, begun)
    return next((told for reading in _READINGS if (told := reading(trouble)) is not None), None)


def _strange(trouble: _Trouble) -> Told | None:
    for number in (trouble.line, trouble.above):
        for char, message in _STRANGE.items():
            if (column := trouble.at(number).find(char)) >= 0:
                return number + 1, column + 1, message
        if match := _TYPOGRAPHIC.search(trouble.at(number)):
            return number + 1, match.start(1) + 1, f'typographic quote {match[1]}: write an ordinary "'
    return None


def _quotes(trouble: _Trouble) -> Told | None:
    if "end of stream" in trouble.problem and trouble.begun:
        line, column = trouble.begun
        return line + 1, column + 1, "this quote is not closed"
    if "found '<scalar>'" in trouble.problem and _QUOTED_PART.search(trouble.here):
        return trouble.line + 1, trouble.column + 1, "text after a closing quote: put the whole value in quotes"
    return None


def _brackets(trouble: _Trouble) -> Told | None:
    match = re.search(r"expected ',' or '([}\]])', but got '(.+)'", trouble.problem)
    if match is None or trouble.begun is None:
        return None
    line, column = trouble.begun
    opening = _OPENING[match[1]]
    if match[2] in ("{", "["):
        meant = entry_quoted(trouble.here, trouble.column)
        write = f": write {meant}" if meant else ""
        told = f"put text that contains {match[2]} in quotes inside {opening}{match[1]}{write}"
        return trouble.line + 1, trouble.column + 1, told
    if match[2] == "<stream end>" or trouble.line > line:
        return line + 1, column + 1, f"this {opening} is not closed"
    return trouble.line + 1, trouble.column + 1, f"missing comma or closing {match[1]} before this"


def _first_character(trouble: _Trouble) -> Told | None:
    place = trouble.line + 1, trouble.column + 1
    if match := re.search(r"found character '(.+)' that cannot start any token", trouble.problem):
        if "${" in trouble.here[: trouble.column] and (meant := entry_quoted(trouble.here, trouble.column)):
            return (*place, f"quote the whole entry: {meant}")
        return (*place, f"a value cannot begin with {shown(match[1])}: {_MUST_QUOTE}") if match[1] != "\\t" else None
    if match := re.search(r"undefined alias '(.+)'", trouble.problem):
        return (*place, f"there is no anchor &{shown(match[1])}; put text that begins with * in quotes")
    if "chomping or indentation" in trouble.problem or "expected a comment or a line break" in trouble.problem:
        return (*place, f"a value that begins with > or | is a text block: {_MUST_QUOTE}")
    return None


def _colons(trouble: _Trouble) -> Told | None:
    """Find a key without its colon, or a colon without its space, in the line in question or above it."""
    if "mapping values" in trouble.problem and _TWO_COLONS.match(trouble.here[: trouble.column + 1]):
        return trouble.line + 1, trouble.column + 1, f"a value contains a colon and a space: {_MUST_QUOTE}"
    for number in dict.fromkeys((trouble.begun[0] if trouble.begun else trouble.line, trouble.line, trouble.above)):
        line = trouble.at(number)
        column = len(line) - len(line.lstrip()) + 1
        if (glued := _GLUED.fullmatch(line)) and ": " not in line.split("{")[0]:
            return number + 1, column, f"missing space after the colon, write {_pair(glued)}"
        if equals := _EQUALS.fullmatch(line):
            return (
                number + 1,
                column,
                f"a key and its value are separated by a colon and a space, write {_pair(equals)}",
            )
    if "could not find expected ':'" in trouble.problem and trouble.begun:
        line_number, begun = trouble.begun
        return line_number + 1, begun + 1, "missing colon and space after a key"
    return None


def _indentation(trouble: _Trouble) -> Told | None:
    """Compare the line with the one above: ruamel's two ways to say that they do not stand at the same depth."""
    if "mapping values" not in trouble.problem and "expected <block end>" not in trouble.problem:
        return None
    here, above = _depth(trouble.here), _depth(trouble.at(trouble.above))
    if here == above or trouble.above < 0:
        return None
    return trouble.line + 1, here + 1, f"wrong indentation: {_spaces(here)} here, {above} above"


def _dashes(trouble: _Trouble) -> Told | None:
    if "expected <block end>" not in trouble.problem:
        return None
    dashed = [trouble.at(number).lstrip().startswith("-") for number in (trouble.line, trouble.above)]
    if dashed == [True, False]:
        return trouble.line + 1, trouble.column + 1, "`-` between keys: a list needs its own key"
    if dashed == [False, True]:
        return trouble.line + 1, trouble.column + 1, "key between list entries: indent it by two more spaces"
    return None


_READINGS: Final[tuple[Callable[[_Trouble], Told | None], ...]] = (
    _strange,
    _quotes,
    _brackets,
    _first_character,
    _colons,
    _indentation,
    _dashes,
)


def _pair(match: re.Match[str]) -> str:
    return shown(f"{match[1]}: {'…' if _HIDDEN in match[0] else match[2]}")


def _holds(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _spaces(count: int) -> str:
    return counted(count, "space")
