"""What a text is to YAML 1.2 where it stands alone: a number, a boolean, nothing, or text."""

from functools import cache
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.nodes import ScalarNode

TAG: Final = "tag:yaml.org,2002:"
SCALARS: Final = frozenset({"str", "int", "float", "bool", "null", "timestamp", "merge"})
_MOST_DIGITS: Final = 300  # far beyond any count, and below what makes int() slow
_PLAIN: Final = (True, False)  # a scalar without quotes and tag


def scalar_value(kind: str, text: str) -> object:
    """Return the value of a scalar of YAML 1.2's core schema; a date stays the text that it was.

    Digits with underscores are text: YAML 1.1 read 1_000 as a thousand, 1.2 does not. Raises ValueError and
    OverflowError for text that is none of that kind.
    """
    if "_" in text and kind in ("int", "float"):
        return text
    match kind:
        case "null":
            return None
        case "bool":
            return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else text
        case "int":
            return _whole_number(text)
        case "float":
            number = text.lower()
            return float(number.replace(".inf", "inf").replace(".nan", "nan"))
        case _:
            return text


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError
    return int(digits, 0) if digits.lstrip("+-").lower().startswith(("0x", "0o", "0b")) else int(digits)


def scalar_of(text: str) -> object:
    """Return the number, boolean or nothing that a whole text is to YAML; else the text, whatever it looks like."""
    if not text or len(text) > _MOST_DIGITS or text[-1] == "\n":  # ruamel's patterns end at $, which is before one
        return text
    tag = _resolver().resolve(ScalarNode, text, _PLAIN)
    kind = str(tag).removeprefix(TAG)
    try:
        return scalar_value(kind, text) if kind in SCALARS else text
    except (ValueError, OverflowError):
        return text


@cache
def _resolver() -> Any:  # noqa: ANN401 - ruamel's
    return YAML(typ="safe", pure=True).resolver
