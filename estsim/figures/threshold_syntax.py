"""The syntax of a threshold: path, comparison, bound; errors suggest what was probably meant."""

import re
from typing import Final, NamedTuple

from estsim.errors import UnitError
from estsim.figures.catalogue import Metric, ThresholdError
from estsim.figures.metric_kinds import Unit
from estsim.units import parse_duration, parse_latency, parse_share, parse_small_share, shown

_FORM: Final = re.compile(r"(?P<path>[^\s<>=!:()]+)\s*(?P<comparison><=|>=|==|<|>)\s*(?P<bound>[^\s<>=!].*)")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_VALUE: Final = re.compile(r"[+-]?[0-9.][0-9.,_]*\s*[a-z%/]*", re.IGNORECASE)
_COUNTED: Final = re.compile(r"([+-]?[0-9][0-9_,.]*)(e[+]?[0-9])?\s*(?:%|[a-z]*)", re.IGNORECASE)
_NAME: Final = r"[A-Za-z][\w.%-]*"
_CALL: Final = re.compile(rf"(p[0-9.]+|avg|mean|max|min|count)\s*\(\s*({_NAME})\s*\)(.*)")
_COLON: Final = re.compile(rf"({_NAME}):\s*([<>=]*)\s*(\S.*)")
_NO_COMPARISON: Final = re.compile(rf"({_NAME})\s+([+-]?[0-9.]\S*)")
_REVERSED: Final = re.compile(rf"(\S+)\s*(<=|>=|==|<|>)\s*({_NAME})")
_JOINED: Final = re.compile(r"\s(?:and|or|&&|\|\|)\s", re.IGNORECASE)
_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}
_RIGHT: Final = {
    "=<": "<=",
    "=>": ">=",
    "=": "==",
    "≤": "<=",
    "≥": ">=",
    "is": "==",
    "under": "<",
    "below": "<",
    "above": ">",
    "over": ">",
}
_LOOSE: Final = re.compile(rf"({_NAME})\s*({'|'.join(sorted(_RIGHT, key=len, reverse=True))})\s*(\S.*)")
_UPPER: Final = frozenset({"<", "<="})
_LARGEST: Final = 10**15


class ThresholdParts(NamedTuple):
    """The three parts of a threshold, as written."""

    path: str
    comparison: str
    bound: str


def parts_of(expression: str, example: str) -> ThresholdParts:
    """Return the parts of ``simpleenroll.response.p99 < 800ms``; raises ThresholdError."""
    text = expression.strip()
    match = _FORM.fullmatch(text)
    if _JOINED.search(text):
        raise ThresholdError(f"expected one comparison per threshold: write two entries (got {shown(text)})")
    if match is not None and not _VALUE.fullmatch(match["path"]):
        return ThresholdParts(match["path"], match["comparison"], match["bound"])
    meant = _meant(text)
    write = f": write {shown(meant)}" if meant else f", such as {example}"
    reason = "remove the colon" if _COLON.fullmatch(text) else "expected a metric, a comparison and a value"
    raise ThresholdError(f"{reason}{write} (got {shown(text)})")


def _meant(text: str) -> str | None:
    if match := _COLON.fullmatch(text):
        return f"{match[1]} {match[2] or '<'} {match[3]}"
    if match := _CALL.fullmatch(text):
        return f"{match[2]}.{match[1]}{match[3]}"
    if (match := _REVERSED.fullmatch(text)) and _VALUE.fullmatch(match[1]):
        return f"{match[3]} {_MIRRORED[match[2]]} {match[1]}"
    if (match := _LOOSE.fullmatch(text)) and match[2] in _RIGHT:
        return f"{match[1]} {_RIGHT[match[2]]} {match[3]}"
    if match := _NO_COMPARISON.fullmatch(text):
        return f"{match[1]} < {match[2]}"
    return None


def bound_of(metric: Metric, comparison: str, text: str) -> float:
    """Return a bound in seconds, as a share or as a number, by the metric's unit; raises ThresholdError."""
    try:
        if metric.unit is Unit.MILLISECONDS:
            return parse_latency(text)
        if metric.unit is Unit.SECONDS:
            return parse_duration(text)
        if metric.unit is Unit.SHARE:
            return parse_small_share(text) if comparison in _UPPER else parse_share(text)
    except UnitError as error:
        raise ThresholdError(f"{metric.path}: {error}") from error
    if len(text) > len(str(_LARGEST)) or not _NUMBER.fullmatch(text):
        raise ThresholdError(f"{metric.path}: expected a plain number such as 3{_plain(text)} (got {shown(text)})")
    return float(text)


def _plain(text: str) -> str:
    match = _COUNTED.fullmatch(text)
    if match is None or len(text) > len(str(_LARGEST)):
        return ""
    digits = match[1].replace("_", "").replace(",", "")
    try:
        number = float(digits + (match[2] or ""))
    except ValueError:
        return ""
    return f": write {number:.15g}" if number < _LARGEST else ""
