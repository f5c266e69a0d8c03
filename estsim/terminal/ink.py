"""Styled lines of exactly known width, and the pages and screens made of them.

A dashboard must not wrap, and must cost little while the load generator runs. So its panes are plain lists of styled
text, cut and padded to the cell here; rich only turns them into bytes. Text from outside (names, reasons) passes
through :func:`clean`, which removes control characters, bidirectional overrides and joiners: they would shift the
cells after them.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, TypeVar

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style

from estsim.figures.text import clean

Line = list[Segment]
_Item = TypeVar("_Item")

PLAIN: Final = Style()
STRONG: Final = Style(bold=True)
QUIET: Final = Style(dim=True)
GOOD: Final = Style(color="green")
CAUTION: Final = Style(color="yellow", bold=True)
ALARM: Final = Style(color="red", bold=True)
REQUESTS: Final = Style(color="cyan")
CERTIFICATES: Final = Style(color="green")
WAKE_UPS: Final = Style(color="magenta")
BADGE: Final = Style(bold=True, reverse=True, color="cyan")
BANNER: Final = Style(bold=True, reverse=True, color="red")

LEAST_WIDTH: Final = 80  # of a screen; a smaller one is cropped
LEAST_HEIGHT: Final = 24
_WIDEST_PAGE: Final = 110

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
    """Return the text cut, or padded on its right, to exactly ``width`` cells."""
    text = cut(text, width)
    return text + " " * (width - cell_len(text))


def right(text: str, width: int) -> str:
    """Return the text cut, or padded on its left, to exactly ``width`` cells."""
    text = cut(text, width)
    return " " * (width - cell_len(text)) + text


def ink(text: str, style: Style = PLAIN) -> Segment:
    """Return a piece of a line."""
    return Segment(text, style)


def width_of(line: Iterable[Segment]) -> int:
    """Return how many cells a line takes."""
    return sum(cell_len(segment.text) for segment in line)


def fit(line: Line, width: int) -> Line:
    """Return the line padded, or if need be cropped, to exactly ``width`` cells."""
    spare = width - width_of(line)
    if spare == 0:
        return line
    return [*line, Segment(" " * spare)] if spare > 0 else Segment.adjust_line_length(line, width)


def trimmed(line: Line) -> Line:
    """Return the line without trailing spaces."""
    last = len(line)
    while last and not line[last - 1].text.strip(" "):
        last -= 1
    if not last:
        return []
    end = line[last - 1]
    return [*line[: last - 1], Segment(end.text.rstrip(" "), end.style)]


def spread(start: Line, end: Line, width: int, *, fill: str = " ") -> Line:
    """Return a line of ``width`` cells with one part at each end."""
    spare = width - width_of(start) - width_of(end)
    return fit([*start, Segment(fill * max(0, spare), QUIET), *end], width)


def title(name: str, notes: Sequence[str], width: int) -> Line:
    """Return a pane's first line: its name, its key figures, and a rule to the end of the pane."""
    head = cut(" · ".join(notes), width - len(name) - 2) if notes else ""
    line = [ink(name, STRONG), ink(f"  {head} " if head else " ")]
    return spread(line, [], width, fill="─")


def beside(left_lines: Sequence[Line], right_lines: Sequence[Line], *, left_width: int, width: int) -> list[Line]:
    """Return two blocks of lines side by side, two cells apart; the shorter one is padded with blank lines."""
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


def fitting(items: Sequence[_Item], rows: int) -> tuple[Sequence[_Item], Sequence[_Item]]:
    """Return the items that get a row of their own, and those that share the last one."""
    shown = items if len(items) <= rows else items[: rows - 1]
    return shown, items[len(shown) :]


def wrap(text: str, width: int, *, gap: str | None = None) -> list[str]:
    """Return a text in lines of at most ``width`` cells, broken at ``gap`` (blanks), or within a longer word."""
    lines: list[str] = []
    line = ""
    for word in text.split(gap):
        for piece in chop_cells(word, width) if cell_len(word) > width else [word]:
            longer = f"{line}{gap or ' '}{piece}" if line else piece
            if cell_len(longer) > width:
                lines.append(line)
                longer = piece
            line = longer
    return [*lines, line] if line else lines


def hanging(head: Line, lines: Sequence[str], style: Style = PLAIN) -> list[Line]:
    """Return the lines of a text behind a head; from the second on they are indented by its width."""
    first, *others = lines or [""]
    indent = ink(" " * width_of(head))
    return [[*head, ink(first, style)], *([indent, ink(line, style)] for line in others)]


class Page:
    """Finished lines, which rich prints as they are."""

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


def page_width(width: int) -> int:
    """Return the width of a printed page on a terminal of ``width`` cells."""
    return min(max(width, LEAST_WIDTH), _WIDEST_PAGE)


def page_of(panes: Iterable[Sequence[Line]]) -> Page:
    """Return a page of the panes that have lines, with a blank line before each and at the end."""
    lines: list[Line] = []
    for pane in filter(None, panes):
        lines += [[], *map(trimmed, pane)]
    return Page([*lines, []])


def screen_of(lines: Sequence[Line], last: Line, *, width: int, height: int) -> Frame:
    """Return a screen of lines above the last one; a screen that is too small says so in its last line."""
    full_height = max(height, LEAST_HEIGHT)
    shown = [*lines, *[[]] * (full_height - len(lines))]
    shown[full_height - 1 :] = [last]
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        note = f" {width}x{height} is too small: the view needs {LEAST_WIDTH}x{LEAST_HEIGHT}"
        shown[max(height - 1, 0) :] = [[ink(cut(note, width), CAUTION)]]
    return Frame(shown, width=width, height=height)
