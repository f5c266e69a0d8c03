"""The page behind the Deferral tab: the same figures with drawn bars, one HTML file that asks nobody for anything.

Pure. It is made anew for each look, and asks to be looked at again; there is no script in it.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from estsim.figures.snapshot import RunStage, Snapshot
from estsim.locust.master.figures import ABSENT, Figure, figures, trimmed

LIVELY_S: Final = 1
CALM_S: Final = 5
_WIDTH: Final = 900
_HEIGHT: Final = 120
_UNDER: Final = 18  # room for the axis
_DRAWN: Final = frozenset({"wakeups", "told", "kept"})
_STYLE: Final = """
:root { color-scheme: light dark; --ink: light-dark(#26323d, #dfe6ec); --quiet: light-dark(#6b7a88, #93a1ad);
  --line: light-dark(#e3e8ed, #33404b); --paper: light-dark(#fff, #151d24); --bar: light-dark(#15803d, #4ade80);
  --kept: light-dark(#2563a8, #7ab3ef); }
body { margin: 0 auto; max-width: 980px; padding: 24px 20px 48px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
h1 { font-size: 24px; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 15px; margin: 24px 0 4px; }
p, text { color: var(--quiet); fill: var(--quiet); margin: 2px 0 12px; font-size: 13px; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 6px 16px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 500; white-space: nowrap; } td:last-child { color: var(--quiet); font-size: 13px; }
svg { display: block; width: 100%; height: auto; border-bottom: 1px solid var(--line); }
rect { fill: var(--bar); } .kept rect { fill: var(--kept); }
"""


def page(snapshot: Snapshot | None) -> str:
    """Return the page of a moment; None says that there has been no run yet."""
    if snapshot is None:
        return _document("Deferral", CALM_S, "<h1>Deferral</h1><p>No run yet. Start a test in Locust.</p>")
    lively = snapshot.stage is not RunStage.DONE
    return _document(f"Deferral of {snapshot.name}", LIVELY_S if lively else CALM_S, "".join(_parts(snapshot)))


def _document(title: str, again_s: int, body: str) -> str:
    head = f'<meta charset="utf-8"><meta http-equiv="refresh" content="{again_s}"><title>{escape(title)}</title>'
    icon = '<link rel="icon" href="data:,">'  # or the browser asks for one
    return f'<!doctype html><html lang="en"><head>{head}{icon}<style>{_STYLE}</style></head><body>{body}</body></html>'


def _parts(snapshot: Snapshot) -> Iterator[str]:
    moment = snapshot.deferral
    found = {figure.key: figure for figure in figures(snapshot)}
    yield f"<h1>{escape(snapshot.name)}</h1><p>{escape(_where(snapshot))}</p>"
    yield f"<table>{''.join(_row(figure) for key, figure in found.items() if key not in _DRAWN)}</table>"
    yield _chart(found["wakeups"], snapshot.wakeups, ends=("now", "+60 s"))
    ends = ("0 s", f"{len(trimmed(moment.told, moment.kept)) * moment.bin_s:g} s")
    yield _chart(found["told"], trimmed(moment.told, moment.kept), ends=ends)
    yield _chart(found["kept"], trimmed(moment.kept, moment.told), ends=ends)


def _where(snapshot: Snapshot) -> str:
    of = "" if snapshot.duration_s is None else f" of at most {snapshot.duration_s:g} s"
    return f"{snapshot.stage.value} {snapshot.elapsed_s:.0f} s{of} against {snapshot.target}"


def _row(figure: Figure) -> str:
    cells = f"<td>{escape(figure.value)}</td><td>{escape(figure.note)}</td>"
    return f'<tr id="{figure.key}"><th>{escape(figure.name)}</th>{cells}</tr>'


def _chart(figure: Figure, counts: Sequence[int], *, ends: tuple[str, str]) -> str:
    head = f"<h2>{escape(figure.name)}</h2><p>{escape(figure.note)}</p>"
    drawn = _bars(counts, ends, figure.name) if any(counts) else f"<p>{ABSENT}</p>"
    return f'<section id="{figure.key}" class="{figure.key}">{head}{drawn}</section>'


def _bars(counts: Sequence[int], ends: tuple[str, str], what: str) -> str:
    """Draw counts as bars over an axis, the highest of them told in its corner."""
    highest, step = max(counts), _WIDTH / len(counts)
    drawn = "".join(
        f'<rect x="{at * step + step * 0.1:.1f}" y="{_HEIGHT - count * _HEIGHT / highest:.1f}" '
        f'width="{step * 0.8:.1f}" height="{count * _HEIGHT / highest:.1f}"><title>{count}</title></rect>'
        for at, count in enumerate(counts)
        if count
    )
    under = _HEIGHT + _UNDER - 4
    axis = (
        f'<text x="0" y="{under}">{escape(ends[0])}</text>'
        f'<text x="{_WIDTH}" y="{under}" text-anchor="end">{escape(ends[1])}</text>'
        f'<text x="{_WIDTH / 2:.0f}" y="{under}" text-anchor="middle">highest {highest}</text>'
    )
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT + _UNDER}"'
    return f'<svg {box} role="img" aria-label="{escape(what)}">{drawn}{axis}</svg>'
