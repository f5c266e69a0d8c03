"""The verdict of a run in plain words, and the thresholds that it rests on."""

from typing import Final

from rich.style import Style

from estsim.present.figures import count
from estsim.present.ink import ALARM, GOOD, PLAIN, QUIET, Line, clean, ink, left, title, width_of, wrap
from estsim.present.reading import Block, block, blocks, text

_PASSED: Final = Style(bold=True, reverse=True, color="green")
_FAILED: Final = Style(bold=True, reverse=True, color="red")
_VOID: Final = Style(bold=True, reverse=True, color="yellow")
_BADGES: Final = {"passed": _PASSED, "failed": _FAILED}


def verdict(summary: Block, width: int) -> list[Line]:
    """Return the verdict as one sentence behind a badge."""
    word = text(summary, "verdict")
    badge = ink(f" {clean(word).upper() or 'NO VERDICT'} ", _BADGES.get(word, _VOID))
    indent = width_of([badge]) + 1
    first, *others = wrap(clean(_sentence(summary, word)), width - indent - 1) or [""]
    return [[badge, ink(f" {first}")], *([ink(" " * indent + line)] for line in others)]


def _sentence(summary: Block, word: str) -> str:
    match word:
        case "passed" | "failed":
            return _judged(summary)
        case "saturated":
            return saturation_sentence(text(block(summary, "generator"), "why"))
        case "unreachable":
            return "The server could not be reached or set up; no device was started."
        case "aborted":
            return "The run was interrupted; the figures cover what happened until then."
        case _:
            return "The summary does not say how the run ended."


def saturation_sentence(why: str) -> str:
    """Return what it means that the generator was the limit, and why it was."""
    return f"The generator could not keep up, so these numbers are not the server's. {_as_sentence(why)}".strip()


def _as_sentence(words: str) -> str:
    """Return words that begin with a capital letter and end with a full stop."""
    words = words.strip()
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) or not words else ".")


def _judged(summary: Block) -> str:
    judged = blocks(summary, "thresholds")
    broken = [entry for entry in judged if entry.get("passed") is not True]
    findings = summary_findings(summary)
    found = f" The server accepted what it must refuse: {count(len(findings))} findings." if findings else ""
    if not broken:
        return (_all_hold(len(judged)) if judged else "There was no threshold to judge.") + found
    if len(broken) == 1:
        reason = f"{text(broken[0], 'expression')} ({text(broken[0], 'why') or 'no reason given'})"
        which = "The threshold" if len(judged) == 1 else f"1 of {len(judged)} thresholds"
        return f"{which} does not hold: {reason}.{found}"
    return f"{len(broken)} of {len(judged)} thresholds do not hold.{found}"


def _all_hold(judged: int) -> str:
    return "The threshold holds." if judged == 1 else f"All {judged} thresholds hold."


def summary_findings(summary: Block) -> tuple[str, ...]:
    """Return the findings, each as a line: a faulty device that the server accepted."""
    found = block(summary, "certificates").get("findings")
    return tuple(str(entry) for entry in found) if isinstance(found, list | tuple) else ()


def thresholds(summary: Block, width: int) -> list[Line]:
    """Return the table of thresholds: how it went, the expression, what it was or why it was not judged."""
    judged = blocks(summary, "thresholds")
    if not judged:
        return []
    held = sum(entry.get("passed") is True for entry in judged)
    longest = max(len(text(entry, "expression")) for entry in judged)
    column = min(longest + 3, width // 2)
    lines = [title("THRESHOLDS", [f"{held} of {len(judged)} hold"], width)]
    for entry in judged:
        lines += _threshold(entry, column, width)
    return lines


def _threshold(entry: Block, column: int, width: int) -> list[Line]:
    """Return one threshold; a long expression gets a line of its own, a long reason is folded under itself."""
    passed = entry.get("passed") is True
    mark = ink(f" {'passed' if passed else 'FAILED'}  ", GOOD if passed else ALARM)
    expression = clean(text(entry, "expression"))
    why = wrap(clean(text(entry, "why")) or "no reason given", width - 9 - column)
    style = QUIET if passed else PLAIN
    rest: list[Line] = [[ink(" " * (9 + column)), ink(line, style)] for line in why]
    if len(expression) >= column:
        folded = wrap(expression, width - 9)
        return [[mark, ink(folded[0])], *([ink(" " * 9 + line)] for line in folded[1:]), *rest]
    return [[mark, ink(left(expression, column)), ink(why[0], style)], *rest[1:]]
