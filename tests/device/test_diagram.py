"""The README's state diagram is the transition table's."""

from pathlib import Path

from estsim.device.diagram import BEGIN, END, mermaid
from estsim.device.states import State

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_shows_the_diagram_of_the_table() -> None:
    """Drawn anew when the table changes: `python -m estsim.device.diagram` prints it."""
    text = README.read_text(encoding="utf-8")
    assert text[text.index(BEGIN) : text.index(END) + len(END)] == mermaid()


def test_the_diagram_names_every_state() -> None:
    """None is forgotten in the grouping."""
    assert all(state.value in mermaid() for state in State)
