"""Pydantic's errors as messages of the scenario language, each with its place in the file.

Generic: works for every model of a configuration file. A message says what was probably meant where that is known.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from estsim.fields import Section
from estsim.scenario.document import Location, Step
from estsim.scenario.model_walk import section_at
from estsim.scenario.scalar_advice import flag_meant, list_meant, whole_number_meant, word_meant
from estsim.scenario.section_advice import UnknownKey, mapping_meant, meant_at, unknown_key
from estsim.units import shown

_MOST_REPORTED: Final = 500  # with more mistakes, it has to be run again anyway

Reported = TypeVar("Reported")

_PLAIN: Final = {
    "missing": "is missing",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list",
    "set_type": "must be a list",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a whole number with fewer digits",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "path_type": "must be the path of a file",
    "none_required": "must not be given",
}
_BOUNDS: Final = {
    "greater_than": ("must be greater than {}", "gt"),
    "greater_than_equal": ("must be at least {}", "ge"),
    "less_than": ("must be less than {}", "lt"),
    "less_than_equal": ("must be at most {}", "le"),
}


_COMPLETE: Final = frozenset({"missing", "string_too_short", "too_short"})  # messages without the value
_NUMBERS: Final = frozenset({"int_type", "int_parsing", "int_from_float", "int_parsing_size"})
_FLAGS: Final = frozenset({"bool_type", "bool_parsing"})
_LISTS: Final = frozenset({"list_type", "tuple_type", "frozen_set_type", "set_type"})
_SECRETIVE: Final = frozenset({"HttpAuthModel", "UserConfig"})  # a value given instead of them may be a password


def shape_mistakes(
    error: ValidationError, model: type[BaseModel], tell: Callable[[Location, str], Reported], data: object = None
) -> list[Reported]:
    """Return every mistake of a failed validation; ``tell`` places a path and a message.

    With the validated ``data``, the other keys of a section help to say where a key belongs.
    """
    found = error.errors(include_url=False)
    unknown = islice((details for details in found if details["type"] == "extra_forbidden"), _MOST_REPORTED)
    misspelt = {_meant(details, model, data) for details in unknown}
    # Pydantic also reports a list as too short if members are wrong, at any depth.
    holding = {details["loc"][:depth] for details in found for depth in range(len(details["loc"]))}
    consequences = {"missing": misspelt, "too_short": holding}
    reported = (details for details in found if details["loc"] not in consequences.get(details["type"], ()))
    return [tell(_path(details["loc"]), _message(details, model, data)) for details in islice(reported, _MOST_REPORTED)]


def _path(loc: tuple[Step, ...]) -> Location:
    return tuple(_safe_step(step) for step in loc if step != "[key]")


def _safe_step(step: Step) -> Step:
    """Return a step for a message; a key such as ``password:secret``, without its space, contains the secret."""
    return "password" if isinstance(step, str) and step.startswith("password:") else step


def _meant(details: ErrorDetails, model: type[BaseModel], data: object) -> Location:
    unknown = _unknown(details["loc"], model, data)
    return details["loc"] if unknown is None else meant_at(unknown)


def _unknown(loc: Location, model: type[BaseModel], data: object) -> UnknownKey | None:
    section = section_at(model, loc[:-1])
    return UnknownKey(str(loc[-1]), loc[:-1], section, model, _mapping_at(data, loc[:-1])) if section else None


def _mapping_at(data: object, loc: Location) -> dict[str, object]:
    """Return the mapping at a place of the data, empty for another value."""
    at: Any = data
    for step in loc:
        is_there = isinstance(at, dict) and step in at
        is_entry = isinstance(at, Sequence) and isinstance(step, int) and step < len(at)
        at = at[step] if is_there or is_entry else None
    return at if isinstance(at, dict) else {}


def _message(details: ErrorDetails, model: type[BaseModel], data: object) -> str:
    kind, context, loc, value = details["type"], details.get("ctx", {}), details["loc"], details["input"]
    came = "***" if loc[-1:] == ("password",) else shown(value)
    if kind == "extra_forbidden":
        unknown = _unknown(loc, model, data)
        return "unknown key" if unknown is None else unknown_key(unknown)
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    if kind in ("enum", "literal_error"):
        return _choice(str(context["expected"]), value, came)
    if kind in _BOUNDS:
        text, bound = _BOUNDS[kind]
        return f"{text.format(context[bound])} (got {came})"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']} (got {came})"
    if kind in ("model_type", "model_attributes_type"):
        return _no_mapping(section_at(model, loc), value, came)
    if kind in _PLAIN:
        return _PLAIN[kind] if kind in _COMPLETE else _no_scalar(kind, value, came)
    return f"{details['msg'][:1].lower()}{details['msg'][1:]} (got {came})"


def _no_mapping(section: type[BaseModel] | None, value: object, came: str) -> str:
    hidden = section is not None and section.__name__ in _SECRETIVE and not isinstance(value, bool | None)
    if hidden and section is not None and issubclass(section, Section):
        return f"must be a mapping such as {section.example} (got ***)"
    return f"must be a mapping{mapping_meant(section, value)} (got {came})"


def _no_scalar(kind: str, value: object, came: str) -> str:
    write = _scalar_meant(kind, value)
    if write is not None and write.startswith("remove the quotes"):
        came = f'"{came}"'
    return f"{_PLAIN[kind]}{f': {write}' if write else ''} (got {came})"


def _scalar_meant(kind: str, value: object) -> str | None:
    if kind in _NUMBERS:
        return whole_number_meant(value)
    if kind in _FLAGS:
        return flag_meant(value)
    if kind in _LISTS:
        return list_meant(value)
    if kind == "dict_type" and isinstance(value, list):
        return "write each entry as NAME: without a `-`"
    if kind == "string_type" and isinstance(value, dict):
        return "put text that begins with { in quotes"
    if kind == "string_type" and isinstance(value, bool | int | float):
        return "put it in quotes"
    return None


def _choice(expected: str, value: object, came: str) -> str:
    """Return the possible words, and the one that was probably meant."""
    words = expected.replace("'", "")
    known = words.replace(" or ", ", ").split(", ")
    meant = word_meant(value, known)
    write = f": write {meant}" if meant is not None and len(known) > 1 else ""
    return f"must be {words}{write} (got {came})"
