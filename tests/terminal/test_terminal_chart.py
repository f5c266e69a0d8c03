"""Charts of block characters."""

from hypothesis import given
from hypothesis import strategies as st
from rich.style import Style

from estsim.terminal.chart import GUTTER, axis, bar, columns
from estsim.terminal.ink import Line, width_of

COUNTS = st.lists(st.integers(min_value=0, max_value=10**9), max_size=70)


def texts(lines: list[Line]) -> list[str]:
    """Return the characters of lines."""
    return ["".join(segment.text for segment in line) for line in lines]


def test_the_highest_value_fills_the_height_and_the_least_still_shows() -> None:
    """A single wake-up beside a herd of a thousand is not nothing."""
    top, bottom = texts(columns([0] * 57 + [1000, 1, 500], height=2, cells=1, style=Style()))
    assert bottom == "." * 57 + "█▁█"
    assert top == " " * 57 + "█  "


def test_seconds_without_a_value_yet_stay_blank() -> None:
    """A run of three seconds did not make zero requests in the minute before."""
    (line,) = texts(columns([4, 0, 8], height=1, cells=1, style=Style()))
    assert line == " " * 57 + "▄.█"


@given(COUNTS, st.integers(min_value=1, max_value=12), st.integers(min_value=1, max_value=4))
def test_a_chart_is_sixty_columns_wide_whatever_it_shows(values: list[int], height: int, cells: int) -> None:
    """All its lines have the same width."""
    lines = columns(values, height=height, cells=cells, style=Style())
    assert [width_of(line) for line in lines] == [60 * cells] * height


@given(st.floats(allow_nan=False), st.integers(min_value=1, max_value=40))
def test_a_bar_is_empty_only_at_nothing_and_full_only_at_all(share: float, width: int) -> None:
    """Half a cell is the least that a share above zero shows."""
    (text,) = texts([bar(share, width)])
    assert len(text) == width
    assert ("─" * width == text) == (share <= 0)
    assert ("━" * width == text) == (share >= 1)


def test_an_axis_has_a_label_at_each_tenth_second() -> None:
    """Where the column of that second begins."""
    (text,) = texts([axis(("now", "+10s", "+20s", "+30s", "+40s", "+50s"), cells=2)])
    assert len(text) == GUTTER + 120
    assert text.index("+10s") == GUTTER + 21
