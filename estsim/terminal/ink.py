"""Lines of exactly known width, the stuff that the dashboard is made of.

A dashboard must not wrap, and must cost next to nothing while a load generator runs beside it. So its panes are not
nested tables that measure each other but plain lists of styled text, cut and padded to the cell here; rich only
turns them into bytes. Text from outside (names, reasons) passes through :func:`clean`, which takes control
characters, bidirectional overrides and joiners out of it: they would move the cells of everything after them.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

from estsim.figures.text import clean

Line = list[Segment]

PLAIN: Final = Style()
STRONG: Final = Style(bold=True)
QUIET: Final = Style(dim=True)
GOOD: Final = Style(color="green")
CAUTION: Final = Style(color="yellow", bold=True)
ALARM: Final = Style(color="red", bold=True)
REQUESTS: Final = Style(color="cyan")
CERTIFICATES: Final = Style(color="green")
WAKE_UPS: Final = Style(color="magenta")

_ELLIPSIS: Final = "…"
_NEW_LINE: Final = Segment.line()


@lru_cache(maxsize=2048)
def cut(text: str, width: int) -> str:
    """Return the text, cleaned, in at most ``width`` cells; what is cut off shows as an ellipsis."""
    text = clean(text)
    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, width - 1)}{_ELLIPSIS}" if width > 0 else ""


def left(text: str, width: int) -> str:
    """Return the text cut and padded to exactly ``width`` cells, at their left."""
    text = cut(text, width)
    return text + " " * (width - cell_len(text))


def right(text: str, width: int) -> str:
    """Return the text cut and padded to exactly ``width`` cells, at their right."""
    text = cut(text, width)
    return " " * (width - cell_len(text)) + text


def ink(text: str, style: Style = PLAIN) -> Segment:
    """Return a piece of a line."""
    return Segment(text, style)


def width_of(line: Iterable[Segment]) -> int:
    """Return how many cells a line takes."""
    return sum(cell_len(segment.text) for segment in line)


def fit(line: Line, width: int) -> Line:
    """Return the line padded, or as the last resort cropped, to exactly ``width`` cells."""
    spare = width - width_of(line)
    if spare == 0:
        return line
    return [*line, Segment(" " * spare)] if spare > 0 else Segment.adjust_line_length(line, width)


def trimmed(line: Line) -> Line:
    """Return the line without the spaces at its end."""
    last = len(line)
    while last and not line[last - 1].text.strip(" "):
        last -= 1
    if not last:
        return []
    end = line[last - 1]
    return [*line[: last - 1], Segment(end.text.rstrip(" "), end.style)]


def spread(start: Line, end: Line, width: int, *, fill: str = " ") -> Line:
    """Return a line of ``width`` cells with one part at its start and the other at its end."""
    spare = width - width_of(start) - width_of(end)
    return fit([*start, Segment(fill * max(0, spare), QUIET), *end], width)


def title(name: str, notes: Sequence[str], width: int) -> Line:
    """Return a pane's first line: its name, what to know at once, and a rule to the end of the pane."""
    head = cut(" · ".join(notes), width - len(name) - 2) if notes else ""
    line = [ink(name, STRONG), ink(f"  {head} " if head else " ")]
    return spread(line, [], width, fill="─")


def beside(left_lines: Sequence[Line], right_lines: Sequence[Line], *, left_width: int, width: int) -> list[Line]:
    """Return two blocks of lines side by side, two cells apart; the shorter one ends in blank lines."""
    rows = max(len(left_lines), len(right_lines))
    right_width = width - left_width - 2
    return [
        [
            *fit(left_lines[row] if row < len(left_lines) else [], left_width),
            Segment("  "),
            *fit(right_lines[row] if row < len(right_lines) else [], right_width),
        ]
        for row in range(rows)
    ]


class Page:
    """Ready lines that rich can print as they are."""

    __slots__ = ("lines",)

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = list(lines)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            yield from line
            yield _NEW_LINE

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = max(map(width_of, self.lines), default=0)
        return Measurement(width, width)


class Frame(Page):
    """A page of exactly ``width`` by ``height`` cells."""

    __slots__ = ()

    def __init__(self, lines: Sequence[Line], *, width: int, height: int) -> None:
        blank = [[Segment(" " * width)]] * (height - len(lines))
        super().__init__([*(fit(line, width) for line in lines[:height]), *blank])


def wrap(text: str, width: int) -> list[str]:
    """Return a text in lines of so many cells at most, broken at blanks, or within a word longer than a line."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        for piece in chop_cells(word, width) if cell_len(word) > width else [word]:
            longer = f"{line} {piece}" if line else piece
            if cell_len(longer) > width:
                lines.append(line)
                longer = piece
            line = longer
    return [*lines, line] if line else lines
