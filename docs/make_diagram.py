"""Draw the state diagram of ``docs/architecture.md`` from the transition table, in Mermaid's language.

``python docs/make_diagram.py`` writes it into the page; a test compares the two.

The steps of an enrolment are drawn as one composite state, and edges that every state shares (a power cut, a
retirement) are told in words: drawn one by one they would hide the rest.
"""

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Final

from estsim.device.events import EventType, PowerCut, Retire
from estsim.device.states import State
from estsim.device.transitions import TRANSITIONS

PAGE: Final = Path(__file__).parent / "architecture.md"
BEGIN: Final = "<!-- diagram: made by docs/make_diagram.py from estsim/device/transitions.py, do not edit -->"
END: Final = "<!-- end of diagram -->"
_SEEKING: Final = "seeking"
_STEPS: Final = (State.FETCHING_CA, State.FETCHING_ATTRS, State.ENROLLING)
_SHARED: Final[frozenset[EventType]] = frozenset({PowerCut, Retire})
_WORDS: Final = (
    "From every state but `retired` a power cut leads to `off`; a retirement leads to `retired`, from an exchange once "
    "its answer is there. A deferral or a failure repeats the step that it interrupted."
)


def mermaid() -> str:
    """Return the diagram as a fenced Mermaid block between its markers."""
    edges = _edges()
    inside = [f"        {step} --> {later}" for step, later in pairwise(_STEPS)]
    lines = ["stateDiagram-v2", f"    [*] --> {State.OFF}", f"    state {_SEEKING} {{", *inside, "    }"]
    for (source, target), names in sorted(edges.items()):
        lines.append(f"    {source} --> {target}: {', '.join(sorted(names))}")
    lines.append(f"    {State.RETIRED} --> [*]")
    return "\n".join([BEGIN, "```mermaid", *lines, "```", "", _WORDS, END])


def _edges() -> dict[tuple[str, str], set[str]]:
    """Return the events of every edge between states, or composite states, that differ."""
    edges: dict[tuple[str, str], set[str]] = defaultdict(set)
    for source, row in TRANSITIONS.items():
        for event, targets in row.items():
            if event in _SHARED:
                continue
            for target in targets:
                if _drawn(source) != _drawn(target):
                    edges[_drawn(source), _drawn(target)].add(_name(event))
    return edges


def _drawn(state: State) -> str:
    return _SEEKING if state in _STEPS else state.value


def _name(event: EventType) -> str:
    """Return an event's name in lower-case words."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in event.__name__).strip()


def page_with(diagram: str) -> str:
    """Return the page with the diagram between its markers."""
    text = PAGE.read_text(encoding="utf-8")
    return text[: text.index(BEGIN)] + diagram + text[text.index(END) + len(END) :]


if __name__ == "__main__":
    PAGE.write_text(page_with(mermaid()), encoding="utf-8")
