"""The state diagram of the README, drawn from the transition table in Mermaid's language.

Edges that every state shares (a power cut, a retirement) would hide the rest; they are told in words instead.
"""

from collections import defaultdict
from itertools import groupby
from typing import Final

from estsim.device.events import EventType, PowerCut, Retire
from estsim.device.states import State
from estsim.device.table import TABLE

BEGIN: Final = "<!-- diagram: made from estsim/device/table.py, do not edit -->"
END: Final = "<!-- end of diagram -->"
_SHARED: Final[frozenset[EventType]] = frozenset({PowerCut, Retire})


def mermaid() -> str:
    """Return the diagram as a fenced Mermaid block between its markers."""
    lines = ["stateDiagram-v2", "    [*] --> off"]
    lines += [f"    {source} --> {target}: {label}" for (source, target), label in sorted(_edges().items())]
    lines.append(f"    {State.RETIRED} --> [*]")
    words = "From every state but `retired` a power cut leads to `off` and a retirement to `retired`."
    return "\n".join([BEGIN, "```mermaid", *lines, "```", "", words, END])


def _edges() -> dict[tuple[State, State], str]:
    labels: dict[tuple[State, State], list[str]] = defaultdict(list)
    for source, row in TABLE.items():
        for event, transition in row.items():
            if event in _SHARED:
                continue
            for target in transition.leads_to - {source}:
                labels[source, target].append(_name(event))
    return {edge: ", ".join(name for name, _ in groupby(sorted(names))) for edge, names in labels.items()}


def _name(event: EventType) -> str:
    """Return an event's name in lower-case words."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in event.__name__).strip()
