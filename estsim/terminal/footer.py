"""The dashboard's last line: the keys, or what the run waits for before it goes on."""

from typing import Final

from rich.style import Style

from estsim.figures.snapshot import RunStage, Snapshot
from estsim.terminal.ink import QUIET, STRONG, Line, cut, fit, ink, width_of
from estsim.terminal.viewing import View, Viewing

_CALL: Final = Style(bold=True, reverse=True, color="yellow")
_LEAST_CALL: Final = 48  # cells for what is awaited, beside which the views are told by name


def footer(snapshot: Snapshot, viewing: Viewing, width: int) -> Line:
    """Return the line. The chosen view stands in brackets; without keys it says how to stop the run."""
    if snapshot.awaiting is None:
        return _keys(snapshot, viewing, by_name=True)
    keys = _keys(snapshot, viewing, by_name=True)
    if width - width_of(keys) < _LEAST_CALL:
        keys = _keys(snapshot, viewing, by_name=False)
    room = width - width_of(keys) - 1
    return [*fit([ink(cut(f" ▶ {snapshot.awaiting} ", room), _CALL)], room + 1), *keys]


def _keys(snapshot: Snapshot, viewing: Viewing, *, by_name: bool) -> Line:
    ending = snapshot.stage is RunStage.DRAINING
    if not viewing.keys:
        return [ink(" Ctrl-C: quit now " if ending else " Ctrl-C: stop ", QUIET)]
    line = _views(viewing.view) if by_name else [ink(" 1-4 views ", QUIET)]
    line.append(ink("  space: resume" if viewing.frozen else "  space: freeze", STRONG if viewing.frozen else QUIET))
    line.append(ink("  Ctrl-C: quit now " if ending else "  q: stop ", QUIET))
    return line


def _views(chosen: View) -> Line:
    line: Line = []
    for view in View:
        here = view is chosen
        text = f"{view.key} {view.value}"
        line.append(ink(f"[{text}]" if here else f" {text} ", STRONG if here else QUIET))
    return line
