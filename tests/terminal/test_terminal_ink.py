"""Lines of exactly known width."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from estsim.figures.text import clean
from estsim.terminal.ink import cut, ink, left, right, spread, title, trimmed, width_of, wrap

TEXT = st.text(max_size=60)


@given(TEXT, st.integers(min_value=0, max_value=50))
def test_text_is_cut_and_padded_to_the_cell(text: str, width: int) -> None:
    """Also text of wide characters, combining marks and control characters."""
    assert cell_len(left(text, width)) == width
    assert cell_len(right(text, width)) == width


def test_what_is_cut_off_shows_as_an_ellipsis() -> None:
    """Nobody takes half a name for the whole."""
    assert cut("meter-fleet", 8) == "meter-f…"
    assert cut("日本語の名前", 6) == "日本 …"


def test_characters_that_move_others_are_made_harmless() -> None:
    """Escape sequences, line breaks, joiners and bidirectional overrides in a server's words."""
    assert clean("a\x1b[2Jb\nc\u202ed\u200de\ud800f") == "a·[2Jb·c·d·e·f"


@given(TEXT, st.lists(TEXT, max_size=3), st.integers(min_value=20, max_value=90))
def test_a_title_fills_its_pane(name: str, notes: list[str], width: int) -> None:
    """Its rule ends where the pane ends, and long notes are cut."""
    assert width_of(title(cut(name, 12), notes, width)) == width


def test_two_parts_stand_at_the_ends_of_a_line() -> None:
    """The space between them is what is left."""
    line = spread([ink("ab")], [ink("c")], 6)
    assert "".join(part.text for part in line) == "ab   c"


def test_a_trimmed_line_ends_with_its_last_visible_character() -> None:
    """Logs hold no blanks at the ends of lines."""
    assert [part.text for part in trimmed([ink(" a "), ink("b  "), ink("   ")])] == [" a ", "b"]
    assert trimmed([ink("  ")]) == []


@given(st.text("ab 𠀀ß-", max_size=60), st.integers(2, 20))
def test_wrapped_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    """Counted in cells, of which some characters take two."""
    lines = wrap(text, width)
    assert all(0 < cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
