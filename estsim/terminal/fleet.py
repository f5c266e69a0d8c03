"""The fleet by state: each state of docs/architecture.md in its fixed place, so that the eye finds it again."""

from typing import Final

from rich.style import Style

from estsim.figures.snapshot import Snapshot
from estsim.figures.text import count, quantity, short_count
from estsim.terminal.chart import bar
from estsim.terminal.ink import ALARM, PLAIN, QUIET, STRONG, Line, fit, ink, left, title

_STATES: Final = (
    ("off", "off", QUIET),
    ("fetching_ca", "fetching CA", Style(color="blue")),
    ("fetching_attrs", "fetch attrs", Style(color="blue")),
    ("enrolling", "enrolling", Style(color="cyan")),
    ("deferred", "deferred", Style(color="yellow")),
    ("backing_off", "backing off", Style(color="magenta")),
    ("operational", "operational", Style(color="green")),
    ("renewing", "renewing", Style(color="cyan")),
    ("expired", "expired", Style(color="red")),
    ("gave_up", "gave up", Style(color="red")),
    ("retired", "retired", QUIET),
)
_SELDOM: Final = {"lost": "lost", "internal_error": "int. error"}  # they share the last place
_KNOWN: Final = frozenset(name for name, _, _ in _STATES)
_LABEL: Final = 12
_COUNT: Final = 7
ROWS: Final = 4  # of the pane with three states to a line
TALL_ROWS: Final = 12  # of the pane with one state to a line


def fleet(snapshot: Snapshot, width: int, *, tall: bool = False) -> list[Line]:
    """Return the pane: a bar and a count for each state, three to a line or, where it is tall, one."""
    states = {name.lower(): number for name, number in snapshot.states.items()}
    rest = sum(number for name, number in states.items() if name not in _KNOWN)
    entries = [(label, states.get(name, 0), style) for name, label, style in _STATES]
    alone = next((label for name, label in _SELDOM.items() if states.get(name, 0) == rest), "other")
    entries.append((alone, rest, PLAIN))
    rows = TALL_ROWS if tall else ROWS
    each = (width - 1) // (len(entries) // rows)
    cells = [_entry(entry, snapshot.devices, each) for entry in entries]
    if not rest:
        cells[-1] = []
    lines = [[ink(" "), *(part for cell in cells[row::rows] for part in fit(cell, each))] for row in range(rows)]
    return [title("FLEET", _notes(snapshot), width), *lines]


def _notes(snapshot: Snapshot) -> list[str]:
    total = sum(snapshot.states.values())
    devices = quantity(snapshot.devices, "device")
    if total == snapshot.devices or not snapshot.states:
        return [devices]
    return [devices, f"{count(total)} with a known state"]


def _entry(entry: tuple[str, int, Style], devices: int, width: int) -> Line:
    """Return one state: label, count, bar, and two spaces to the next."""
    label, number, style = entry
    urgent = number > 0 and label in {"expired", "gave up", "other", *_SELDOM.values()}
    return [
        ink(left(label, _LABEL), PLAIN if number else QUIET),
        ink(f"{short_count(number, _COUNT):>{_COUNT}} ", ALARM if urgent else STRONG if number else QUIET),
        *bar(number / devices if devices > 0 else 0.0, width - _LABEL - _COUNT - 3, style),
        ink("  "),
    ]
