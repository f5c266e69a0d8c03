"""Advice on invalid YAML: indentation, colons, quotes, brackets.

ruamel reports where it gave up and what it expected; the mistake is often in the line above. Each reading here looks at
the lines in question and returns a place and a message, or leaves them to the next reading.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ruamel.yaml.error import MarkedYAMLError

from estsim.fields import SECRET_KEYS
from estsim.units import counted, shown

_FLOW_KEY: Final = re.compile(r"\s*([A-Za-z_][\w.-]*):\s+")
# A comma ends a value, but not in the name of a subject, which has its own.
_COMMA: Final = re.compile(r",(?=\s)(?!\s*[A-Za-z][A-Za-z0-9.]*=)")
_PAIRS: Final = {"{": "}", "[": "]"}
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
Advice = tuple[int, int, str]  # line and column from 1, and the message


def entry_quoted(line: str, column: int) -> str | None:
    """Return the entry of braces or brackets around a place with its value in quotes; None where it is ambiguous.

    ``failures < ${MAX:-1}%`` of ``[failures < ${MAX:-1}%]``, ``subject: CN={index}`` of ``{subject: CN={index}}``.
    """
    start, end = _bounds(line, column)
    entry = line[start:end].strip()
    key = _FLOW_KEY.match(entry)
    name, value = (f"{key[1]}: ", entry[key.end() :]) if key else ("", entry)
    if not value or any(quote in value for quote in "\"'\\") or not any(brace in value for brace in "{[%"):
        return None
    is_secret = any(key in line for key in SECRET_KEYS)
    return f'{name}"{"…" if is_secret else shown(value)}"'


def _bounds(line: str, column: int) -> tuple[int, int]:
    """Return the bounds of the entry around a column, including braces within it."""
    start, commas = 0, {match.start() for match in _COMMA.finditer(line)}
    open_at: list[int] = []
    for at, char in enumerate(line):
        is_placeholder = char in _PAIRS and _is_within_text(line, at)
        if char in _PAIRS:
            open_at.append(-1 if is_placeholder else at)
            start = start if is_placeholder or at >= column else at + 1
        elif char in _PAIRS.values():
            if at >= column and (not open_at or open_at[-1] >= 0):
                return start, at
            if open_at:
                open_at.pop()
        elif at in commas and -1 not in open_at:
            if at >= column:
                return start, at
            start = at + 1
    return start, len(line)


def _is_within_text(line: str, at: int) -> bool:
    """Whether a brace is within a text: ``${NAME}``, ``meter-{index}``."""
    return line[at - 1 : at] not in ("", " ", "[", "{", ",")


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Where ruamel gave up, counted from 0, and where the construct began."""

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
        """The number of the nearest non-empty line above; -1 if there is none."""
        held = (n for n in range(min(self.line, len(self.lines)) - 1, -1, -1) if _holds(self.lines[n]))
        return next(held, -1)

    def at(self, number: int) -> str:
        """Return a line, shortened; empty beyond the ends."""
        return self.lines[number][:_MOST_READ] if 0 <= number < len(self.lines) else ""


def syntax_advice(text: str, error: MarkedYAMLError) -> Advice | None:
    """Return what is wrong with a text and where, None where ruamel's own message is better."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return None
    begun = (error.context_mark.line, error.context_mark.column) if error.context_mark else None
    trouble = _Trouble(text.splitlines(), str(error.problem or error.context or ""), mark.line, mark.column, begun)
    return next((advice for reading in _READINGS if (advice := reading(trouble)) is not None), None)


def _strange(trouble: _Trouble) -> Advice | None:
    for number in (trouble.line, trouble.above):
        for char, message in _STRANGE.items():
            if (column := trouble.at(number).find(char)) >= 0:
                return number + 1, column + 1, message
        if match := _TYPOGRAPHIC.search(trouble.at(number)):
            return number + 1, match.start(1) + 1, f'typographic quote {match[1]}: write an ordinary "'
    return None


def _quotes(trouble: _Trouble) -> Advice | None:
    if "end of stream" in trouble.problem and trouble.begun:
        line, column = trouble.begun
        return line + 1, column + 1, "this quote is not closed"
    if "found '<scalar>'" in trouble.problem and _QUOTED_PART.search(trouble.here):
        return trouble.line + 1, trouble.column + 1, "text after a closing quote: put the whole value in quotes"
    return None


def _brackets(trouble: _Trouble) -> Advice | None:
    match = re.search(r"expected ',' or '([}\]])', but got '(.+)'", trouble.problem)
    if match is None or trouble.begun is None:
        return None
    line, column = trouble.begun
    opening = _OPENING[match[1]]
    if match[2] in ("{", "["):
        meant = entry_quoted(trouble.here, trouble.column)
        write = f": write {meant}" if meant else ""
        advice = f"put text that contains {match[2]} in quotes inside {opening}{match[1]}{write}"
        return trouble.line + 1, trouble.column + 1, advice
    if match[2] == "<stream end>" or trouble.line > line:
        return line + 1, column + 1, f"this {opening} is not closed"
    return trouble.line + 1, trouble.column + 1, f"missing comma or closing {match[1]} before this"


def _first_character(trouble: _Trouble) -> Advice | None:
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


def _colons(trouble: _Trouble) -> Advice | None:
    """Find a key without colon, or a colon without space, in the line in question or above it."""
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


def _indentation(trouble: _Trouble) -> Advice | None:
    """Compare the line's indentation with the one above, for ruamel's two messages about it."""
    if "mapping values" not in trouble.problem and "expected <block end>" not in trouble.problem:
        return None
    here, above = _depth(trouble.here), _depth(trouble.at(trouble.above))
    if here == above or trouble.above < 0:
        return None
    return trouble.line + 1, here + 1, f"wrong indentation: {_spaces(here)} here, {above} above"


def _dashes(trouble: _Trouble) -> Advice | None:
    if "expected <block end>" not in trouble.problem:
        return None
    dashed = [trouble.at(number).lstrip().startswith("-") for number in (trouble.line, trouble.above)]
    if dashed == [True, False]:
        return trouble.line + 1, trouble.column + 1, "`-` between keys: a list needs its own key"
    if dashed == [False, True]:
        return trouble.line + 1, trouble.column + 1, "key between list entries: indent it by two more spaces"
    return None


_READINGS: Final[tuple[Callable[[_Trouble], Advice | None], ...]] = (
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
